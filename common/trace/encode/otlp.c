/*
 * Spans as OTLP in protobuf (protobuf.dev/programming-guides/encoding): a writer for the messages
 * of opentelemetry/proto/trace/v1/trace.proto and collector/trace/v1/trace_service.proto.
 *
 * A message within another one is preceded by its length. The length of an attribute is computed;
 * that of larger messages is written when their end is known, into the bytes left free for it.
 *
 * Spans are the last field of ScopeSpans, which is the last of ResourceSpans, which is the only one
 * of the request: so a batch is a head, which needs to know only the length of all spans, and the
 * spans.
 */
#include "common/trace/encode/otlp.h"

#include "common/text/bytes.h"
#include "common/trace/encode/protobuf.h"
#include "common/version.h"

#include <assert.h>

/* --- attributes: KeyValue { key = 1, value = 2 }, AnyValue ----------------------------------- */

/* len is that of the text as UTF-8. */
static inline char *write_text(char *p, uint8_t tag, weir_str_t text, size_t len)
{
    weir_out_t out;

    p = weir_pb_write_field(p, tag, len);
    if (len == text.len) {
        memcpy(p, text.data, len);
    } else {
        out = (weir_out_t){p, len, 0, false};
        weir_out_text(&out, text, len);
    }

    return p + len;
}

/* The array's values, each an AnyValue with a text. */
static size_t texts_len(const weir_attribute_t *a)
{
    size_t total = 0;

    for (size_t i = 0; i < a->value.texts.n; i++)
        total += weir_pb_field_len(weir_pb_field_len(weir_out_text_len(a->value.texts.elts[i])));

    return total;
}

static char *write_texts(char *p, const weir_attribute_t *a)
{
    for (size_t i = 0; i < a->value.texts.n; i++) {
        size_t len = weir_out_text_len(a->value.texts.elts[i]);

        p = weir_pb_write_field(p, WEIR_PB_TAG(1, WEIR_PB_BYTES), weir_pb_field_len(len));
        p = write_text(p, WEIR_PB_TAG(1, WEIR_PB_BYTES), a->value.texts.elts[i], len);
    }

    return p;
}

/* The length of the AnyValue; *inner is the length of what its field contains. */
static inline size_t value_len(const weir_attribute_t *a, size_t *inner)
{
    switch (a->type) {
    case WEIR_ATTRIBUTE_TEXT:
        *inner = weir_out_text_len(a->value.text);
        return weir_pb_field_len(*inner);
    case WEIR_ATTRIBUTE_NUMBER:
        return 1 + weir_pb_varint_len((uint64_t)a->value.number);
    case WEIR_ATTRIBUTE_DOUBLE:
        return 1 + sizeof(uint64_t);
    case WEIR_ATTRIBUTE_BOOL:
        return 2;
    case WEIR_ATTRIBUTE_TEXTS:
    default:
        *inner = texts_len(a);
        return weir_pb_field_len(*inner);
    }
}

static inline char *write_value(char *p, const weir_attribute_t *a, size_t inner)
{
    uint64_t bits;

    switch (a->type) {
    case WEIR_ATTRIBUTE_TEXT: /* string_value = 1 */
        return write_text(p, WEIR_PB_TAG(1, WEIR_PB_BYTES), a->value.text, inner);
    case WEIR_ATTRIBUTE_NUMBER: /* int_value = 3 */
        *p++ = WEIR_PB_TAG(3, WEIR_PB_VARINT);
        return weir_pb_write_varint(p, (uint64_t)a->value.number);
    case WEIR_ATTRIBUTE_DOUBLE: /* double_value = 4 */
        memcpy(&bits, &a->value.real, sizeof(bits));
        return weir_pb_write_fixed(p, WEIR_PB_TAG(4, WEIR_PB_FIXED64), bits);
    case WEIR_ATTRIBUTE_BOOL: /* bool_value = 2 */
        *p++ = WEIR_PB_TAG(2, WEIR_PB_VARINT);
        *p++ = a->value.flag;
        return p;
    case WEIR_ATTRIBUTE_TEXTS: /* array_value = 5, ArrayValue { values = 1 } */
    default:
        return write_texts(weir_pb_write_field(p, WEIR_PB_TAG(5, WEIR_PB_BYTES), inner), a);
    }
}

static void put_attribute(weir_out_t *out, uint8_t tag, const weir_attribute_t *a)
{
    size_t inner = 0, value = value_len(a, &inner), name = strlen(a->name),
           len = weir_pb_field_len(name) + weir_pb_field_len(value);
    char *p;

    if (out->len + weir_pb_field_len(len) > out->cap) {
        out->full = true;
        out->len += weir_pb_field_len(len);
        return;
    }

    assert(out->buf != NULL);
    p = weir_pb_write_field(out->buf + out->len, tag, len);
    p = weir_pb_write_field(p, WEIR_PB_TAG(1, WEIR_PB_BYTES), name);
    memcpy(p, a->name, name);
    p = weir_pb_write_field(p + name, WEIR_PB_TAG(2, WEIR_PB_BYTES), value);
    p = write_value(p, a, inner);
    out->len = (size_t)(p - out->buf);
}

static void put_attributes(weir_out_t *out, uint8_t tag, const weir_attributes_t *attributes)
{
    for (size_t i = 0; i < attributes->n; i++)
        put_attribute(out, tag, &attributes->elts[i]);
}

void weir_otlp_put_attribute(weir_out_t *out, const weir_attribute_t *attribute)
{
    put_attribute(out, WEIR_PB_TAG(9, WEIR_PB_BYTES), attribute);
}

/* --- spans ----------------------------------------------------------------------------------- */

/* Event { time_unix_nano = 1, name = 2, attributes = 3 } */
static void put_event(weir_out_t *out, const weir_span_event_t *event)
{
    size_t start = weir_pb_begin(out, WEIR_PB_TAG(11, WEIR_PB_BYTES));

    weir_pb_put_fixed(out, WEIR_PB_TAG(1, WEIR_PB_FIXED64), event->time);
    weir_pb_put_text(out, WEIR_PB_TAG(2, WEIR_PB_BYTES), weir_str(event->name));
    put_attributes(out, WEIR_PB_TAG(3, WEIR_PB_BYTES), &event->attributes);
    weir_pb_end(out, start);
}

/* Link { trace_id = 1, span_id = 2, attributes = 4, flags = 6 } */
static void put_link(weir_out_t *out, const weir_span_link_t *link)
{
    size_t start = weir_pb_begin(out, WEIR_PB_TAG(13, WEIR_PB_BYTES));

    weir_pb_put_bytes(out, WEIR_PB_TAG(1, WEIR_PB_BYTES), link->trace_id, WEIR_TRACE_ID_LEN);
    weir_pb_put_bytes(out, WEIR_PB_TAG(2, WEIR_PB_BYTES), link->span_id, WEIR_SPAN_ID_LEN);
    put_attributes(out, WEIR_PB_TAG(4, WEIR_PB_BYTES), &link->attributes);
    if (link->flags != 0) {
        weir_out_byte(out, WEIR_PB_TAG(6, WEIR_PB_FIXED32));
        weir_pb_put_fixed32(out, link->flags);
    }
    weir_pb_end(out, start);
}

/* Status { message = 2, code = 3 } */
static void put_status(weir_out_t *out, const weir_span_t *span)
{
    size_t start;

    if (span->status == WEIR_SPAN_STATUS_UNSET)
        return;

    start = weir_pb_begin(out, WEIR_PB_TAG(15, WEIR_PB_BYTES));
    if (span->status == WEIR_SPAN_STATUS_ERROR && span->status_message.len != 0)
        weir_pb_put_text(out, WEIR_PB_TAG(2, WEIR_PB_BYTES), span->status_message);
    weir_out_byte(out, WEIR_PB_TAG(3, WEIR_PB_VARINT));
    weir_out_byte(out, (uint8_t)span->status);
    weir_pb_end(out, start);
}

/* Bits 8 and 9 of Span.flags: it is known whether the parent is remote, and it is. */
#define FLAG_HAS_IS_REMOTE 0x100
#define FLAG_IS_REMOTE 0x200

static void put_flags(weir_out_t *out, const weir_span_t *span)
{
    uint32_t flags = span->flags | FLAG_HAS_IS_REMOTE | (span->remote_parent ? FLAG_IS_REMOTE : 0);

    char bytes[2 + sizeof(flags)] = {(char)(WEIR_PB_TAG(16, WEIR_PB_FIXED32) | 0x80), 16 >> 4};

    weir_put32(bytes + 2, flags); /* behind a tag of two bytes */
    weir_out_bytes(out, bytes, sizeof(bytes));
}

static inline char *write_id(char *p, uint8_t tag, const uint8_t *id, size_t n)
{
    *p++ = (char)tag;
    *p++ = (char)n;
    memcpy(p, id, n);

    return p + n;
}

static inline bool is_root(const weir_span_t *span)
{
    uint64_t parent;

    memcpy(&parent, span->parent_id, sizeof(parent));

    return parent == 0;
}

/*
 * The span's tag, room for its length, what identifies it and its times, with one check for room
 * for all. Their places are known to frame.h, so what not all spans have comes last. Returns where
 * the message begins.
 */
static size_t put_head(weir_out_t *out, const weir_span_t *span)
{
    bool root = is_root(span);
    size_t start = out->len + 1 + WEIR_PB_LENGTH_ROOM,
           state = span->tracestate.len != 0 ? weir_out_text_len(span->tracestate) : 0,
           len = (2 + WEIR_TRACE_ID_LEN) + (2 + WEIR_SPAN_ID_LEN) + 2 * (1 + sizeof(uint64_t)) +
                 (root ? 0 : 2 + WEIR_SPAN_ID_LEN) + (state != 0 ? weir_pb_field_len(state) : 0);
    char *p = out->buf + out->len;

    out->len = start + len;
    if (out->len > out->cap) {
        out->full = true;
        return start;
    }

    assert(out->buf != NULL);
    *p = WEIR_PB_TAG(2, WEIR_PB_BYTES);
    p = write_id(p + 1 + WEIR_PB_LENGTH_ROOM, WEIR_PB_TAG(1, WEIR_PB_BYTES), span->trace_id,
                 WEIR_TRACE_ID_LEN);
    p = write_id(p, WEIR_PB_TAG(2, WEIR_PB_BYTES), span->span_id, WEIR_SPAN_ID_LEN);
    p = weir_pb_write_fixed(p, WEIR_PB_TAG(7, WEIR_PB_FIXED64), span->start);
    p = weir_pb_write_fixed(p, WEIR_PB_TAG(8, WEIR_PB_FIXED64), span->end);
    if (!root)
        p = write_id(p, WEIR_PB_TAG(4, WEIR_PB_BYTES), span->parent_id, WEIR_SPAN_ID_LEN);
    if (state != 0)
        (void)write_text(p, WEIR_PB_TAG(3, WEIR_PB_BYTES), span->tracestate, state);

    return start;
}

static void encode(weir_out_t *out, const weir_span_t *span, const weir_span_resource_t *resource)
{
    size_t start = put_head(out, span);

    (void)resource;
    weir_pb_put_text(out, WEIR_PB_TAG(5, WEIR_PB_BYTES), span->name);
    weir_out_byte(out, WEIR_PB_TAG(6, WEIR_PB_VARINT));
    weir_out_byte(out, (uint8_t)span->kind);
    put_attributes(out, WEIR_PB_TAG(9, WEIR_PB_BYTES), &span->attributes);
    for (size_t i = 0; i < span->event_count; i++)
        put_event(out, &span->events[i]);
    for (size_t i = 0; i < span->link_count; i++)
        put_link(out, &span->links[i]);
    put_status(out, span);
    put_flags(out, span);
    weir_pb_end(out, start);
}

/* --- a batch --------------------------------------------------------------------------------- */

/* Resource { attributes = 1 }, ResourceSpans.resource = 1 */
void weir_otlp_put_resource(weir_out_t *out, const weir_span_resource_t *resource)
{
    size_t start = weir_pb_begin(out, WEIR_PB_TAG(1, WEIR_PB_BYTES));

    put_attributes(out, WEIR_PB_TAG(1, WEIR_PB_BYTES), &resource->attributes);
    weir_pb_end(out, start);
}

/* ScopeSpans { scope = 1 { name = 1, version = 2 }, spans = 2, schema_url = 3 }, without spans */
void weir_otlp_put_scope(weir_out_t *out)
{
    size_t start = weir_pb_begin(out, WEIR_PB_TAG(1, WEIR_PB_BYTES));

    weir_pb_put_text(out, WEIR_PB_TAG(1, WEIR_PB_BYTES), WEIR_STR(WEIR_SPAN_SCOPE));
    weir_pb_put_text(out, WEIR_PB_TAG(2, WEIR_PB_BYTES), WEIR_STR(WEIR_VERSION));
    weir_pb_end(out, start);
    weir_pb_put_text(out, WEIR_PB_TAG(3, WEIR_PB_BYTES), WEIR_STR(WEIR_SPAN_SCHEMA));
}

/* ExportTraceServiceRequest { resource_spans = 1 { resource = 1, scope_spans = 2 } } */
static void head(weir_out_t *out, const weir_span_resource_t *resource, size_t spans_len)
{
    weir_out_t count = {NULL, 0, 0, false};
    size_t resource_len, scope_spans;

    weir_otlp_put_resource(&count, resource);
    resource_len = count.len;
    count.len = 0;
    weir_otlp_put_scope(&count);
    scope_spans = count.len + spans_len;

    weir_out_byte(out, WEIR_PB_TAG(1, WEIR_PB_BYTES));
    weir_pb_put_varint(out, resource_len + weir_pb_field_len(scope_spans));
    weir_otlp_put_resource(out, resource);
    weir_out_byte(out, WEIR_PB_TAG(2, WEIR_PB_BYTES));
    weir_pb_put_varint(out, scope_spans);
    weir_otlp_put_scope(out);
}

const weir_encoder_t weir_otlp = {
    .media_type = "application/x-protobuf",
    .encode = encode,
    .head = head,
    .separator = {"", 0},
    .tail = {"", 0},
};
