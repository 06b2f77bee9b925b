/*
 * Finished spans, and their encoding for a collector: one implementation for edge and backend.
 *
 * A batch is head, spans and tail, one after the other:
 *
 *     weir_span_head()  weir_span_encode() …  weir_span_tail()
 *
 * Each span is encoded when it ends, and a batch is made of any of them later, possibly by another
 * process: an encoded span is complete in itself. Between two spans are the bytes of
 * weir_span_separator().
 *
 * Formats: OTLP 1.x (opentelemetry-proto, trace/v1 and collector/trace/v1) in protobuf and in JSON,
 * and Zipkin v2 JSON.
 */
#ifndef WEIR_SPAN_H
#define WEIR_SPAN_H

#include "common/text/str.h"
#include "common/trace/context.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    WEIR_SPAN_FORMAT_PROTOBUF, /* application/x-protobuf */
    WEIR_SPAN_FORMAT_JSON,     /* OTLP, application/json */
    WEIR_SPAN_FORMAT_ZIPKIN    /* application/json */
} weir_span_format_t;

/* The values are those of OTLP's SpanKind. */
typedef enum {
    WEIR_SPAN_INTERNAL = 1,
    WEIR_SPAN_SERVER = 2,
    WEIR_SPAN_CLIENT = 3,
    WEIR_SPAN_PRODUCER = 4,
    WEIR_SPAN_CONSUMER = 5
} weir_span_kind_t;

/* The values are those of OTLP's StatusCode. */
typedef enum {
    WEIR_SPAN_STATUS_UNSET = 0,
    WEIR_SPAN_STATUS_OK = 1,
    WEIR_SPAN_STATUS_ERROR = 2
} weir_span_status_t;

typedef enum {
    WEIR_ATTRIBUTE_TEXT,
    WEIR_ATTRIBUTE_NUMBER,
    WEIR_ATTRIBUTE_DOUBLE,
    WEIR_ATTRIBUTE_BOOL,
    WEIR_ATTRIBUTE_TEXTS /* an array of strings */
} weir_attribute_type_t;

/*
 * Bytes of texts that are not UTF-8 are replaced by U+FFFD. Members that are not needed are 0.
 */
typedef struct {
    const char *name; /* of the semantic conventions, or "weir." and a name */
    weir_attribute_type_t type;
    union {
        weir_str_t text;
        int64_t number;
        double real;
        bool flag;
        struct {
            const weir_str_t *elts;
            size_t n;
        } texts;
    } value;
} weir_attribute_t;

/* Attributes of something; none if n is 0. */
typedef struct {
    const weir_attribute_t *elts;
    size_t n;
} weir_attributes_t;

typedef struct {
    uint64_t time; /* ns since 1970 */
    const char *name;
    weir_attributes_t attributes;
} weir_span_event_t;

typedef struct {
    uint8_t trace_id[WEIR_TRACE_ID_LEN];
    uint8_t span_id[WEIR_SPAN_ID_LEN];
    uint8_t flags; /* of traceparent; 0 also if they are not known */
    weir_attributes_t attributes;
} weir_span_link_t;

typedef struct {
    uint8_t trace_id[WEIR_TRACE_ID_LEN];
    uint8_t span_id[WEIR_SPAN_ID_LEN];
    uint8_t parent_id[WEIR_SPAN_ID_LEN]; /* all zero: a root */
    bool remote_parent;                  /* the parent is of another process */
    uint8_t flags;                       /* of traceparent */
    weir_str_t tracestate;
    weir_str_t name;
    weir_span_kind_t kind;
    uint64_t start; /* ns since 1970 */
    uint64_t end;
    weir_attributes_t attributes;
    const weir_span_event_t *events;
    size_t event_count;
    const weir_span_link_t *links;
    size_t link_count;
    weir_span_status_t status;
    weir_str_t status_message; /* with STATUS_ERROR only */
} weir_span_t;

/* What a process says of itself; the first attribute is service.name. */
typedef struct {
    weir_attributes_t attributes;
} weir_span_resource_t;

/* The value of Content-Type. */
const char *weir_span_media_type(weir_span_format_t format);

/*
 * Encodes a span. Returns its length; if that is greater than cap, nothing useful was written, and
 * the caller may try again with so much room. resource is used by Zipkin only.
 */
size_t weir_span_encode(weir_span_format_t format, const weir_span_t *span,
                        const weir_span_resource_t *resource, char *buf, size_t cap);

/*
 * The bytes before the spans of a batch; spans_len is the length of all spans of the batch with
 * their separators. Returns the length as weir_span_encode() does.
 */
size_t weir_span_head(weir_span_format_t format, const weir_span_resource_t *resource,
                      size_t spans_len, char *buf, size_t cap);

/* What is written between two spans, and after the last; static, may be empty. */
weir_str_t weir_span_separator(weir_span_format_t format);
weir_str_t weir_span_tail(weir_span_format_t format);

#endif
