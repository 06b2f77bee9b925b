/*
 * Reads requests of OTLP/HTTP (opentelemetry-proto: collector/trace/v1, trace/v1), in protobuf or
 * in JSON, span by span: each becomes OTLP in JSON, as the protocol's mapping says.
 *
 * Requests are not trusted. Text that is not UTF-8 gets U+FFFD for each such byte; a message that
 * is malformed, is nested too deeply or has a resource of more than 64 KiB is refused as a whole; a
 * span without ids, or of more than 256 KiB in protobuf, is rejected alone.
 */
#ifndef WEIR_SPANS_DECODE_H
#define WEIR_SPANS_DECODE_H

#include "common/text/str.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * Takes one span, with what the request says of its resource and its scope (objects, perhaps
 * empty). All are the decoder's. False: the span is rejected.
 */
typedef bool (*weir_spans_take)(const json_t *resource, const json_t *scope, const json_t *span,
                                void *arg);

typedef struct {
    size_t taken;
    size_t rejected; /* by the ids, or by the function */
} weir_spans_decoded_t;

/* False if the message is malformed; some spans may have been taken already. */
bool weir_spans_decode_protobuf(weir_str_t body, weir_spans_take take, void *arg,
                                weir_spans_decoded_t *decoded);
bool weir_spans_decode_json(weir_str_t body, weir_spans_take take, void *arg,
                            weir_spans_decoded_t *decoded);

/* The same for a parsed document, whose ids are changed to lower case. */
bool weir_spans_decode_document(json_t *document, weir_spans_take take, void *arg,
                                weir_spans_decoded_t *decoded);

#endif
