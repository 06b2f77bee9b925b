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

static inline size_t name_len(const weir_attribute_t *a)
{
    return a->name_len != 0 ? a->name_len : strlen(a->name);
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

/* Such an attribute has no length of more than one byte. */
#define SHORT_MAX 100

/* What it takes beside its name and text, at most: a negative number takes ten bytes. */
#define SHORT_HEAD 17

/* A word of 16 bytes, of which a processor has registers. */
typedef uint64_t wide_t __attribute__((vector_size(16)));

/*
 * Copies a short text without a call, by words that may overlap. False if the text is not ASCII.
 */
static inline __attribute__((always_inline)) bool copy_ascii(char *p, const char *text, size_t len)
{
    wide_t wide, last_wide;
    uint64_t word, last;
    uint32_t half, rest = 0;

    if (len >= sizeof(wide)) {
        memcpy(&last_wide, text + len - sizeof(wide), sizeof(wide));
        memcpy(p + len - sizeof(wide), &last_wide, sizeof(wide));
        for (size_t i = 0; i + sizeof(wide) < len; i += sizeof(wide)) {
            memcpy(&wide, text + i, sizeof(wide));
            memcpy(p + i, &wide, sizeof(wide));
            last_wide |= wide;
        }
        return ((last_wide[0] | last_wide[1]) & WEIR_OUT_HIGH) == 0;
    }

    if (len >= sizeof(word)) {
        memcpy(&word, text, sizeof(word));
        memcpy(&last, text + len - sizeof(last), sizeof(last));
        memcpy(p, &word, sizeof(word));
        memcpy(p + len - sizeof(last), &last, sizeof(last));
        return ((word | last) & WEIR_OUT_HIGH) == 0;
    }

    if (len >= sizeof(half)) {
        memcpy(&half, text, sizeof(half));
        memcpy(&rest, text + len - sizeof(rest), sizeof(rest));
        memcpy(p, &half, sizeof(half));
        memcpy(p + len - sizeof(rest), &rest, sizeof(rest));
        return ((half | rest) & (uint32_t)WEIR_OUT_HIGH) == 0;
    }

    for (size_t i = 0; i < len; i++) {
        rest |= (unsigned char)text[i];
        p[i] = text[i];
    }

    return (rest & 0x80) == 0;
}

/* Two fields with lengths of one byte, the second at the beginning of the first. */
static inline char *write_two(char *p, uint8_t outer, size_t outer_len, uint8_t inner,
                              size_t inner_len)
{
    weir_put32(p, (uint32_t)(outer | outer_len << 8 | (size_t)inner << 16 | inner_len << 24));

    return p + 4;
}

/* The name of a short attribute whose value takes so many bytes with its tag and length. */
static inline char *write_short_name(char *p, uint8_t tag, const weir_attribute_t *a, size_t name,
                                     size_t value)
{
    p = write_two(p, tag, 2 + name + value, WEIR_PB_TAG(1, WEIR_PB_BYTES), name);
    if (a->name_room >= WEIR_SPAN_NAME_ROOM)
        memcpy(p, a->name, WEIR_SPAN_NAME_ROOM); /* what is too much is written over */
    else
        memcpy(p, a->name, name);

    return p + name;
}

/*
 * A short text in ASCII or a number, as most attributes are. Returns the place behind it, or NULL
 * if it is another one; what was written is then of no use.
 */
static inline char *write_short(char *p, uint8_t tag, const weir_attribute_t *a)
{
    size_t name = name_len(a), len = a->value.text.len;

    if (a->type == WEIR_ATTRIBUTE_TEXT && name + len <= SHORT_MAX) {
        p = write_short_name(p, tag, a, name, len + 4);
        p = write_two(p, WEIR_PB_TAG(2, WEIR_PB_BYTES), len + 2, WEIR_PB_TAG(1, WEIR_PB_BYTES),
                      len);
        return copy_ascii(p, a->value.text.data, len) ? p + len : NULL;
    }

    if (a->type == WEIR_ATTRIBUTE_NUMBER && name <= SHORT_MAX) {
        len = weir_pb_varint_len((uint64_t)a->value.number);
        p = write_short_name(p, tag, a, name, len + 3);
        *p++ = WEIR_PB_TAG(2, WEIR_PB_BYTES);
        *p++ = (char)(len + 1);
        *p++ = WEIR_PB_TAG(3, WEIR_PB_VARINT);
        return weir_pb_write_varint(p, (uint64_t)a->value.number);
    }

    return NULL;
}

static __attribute__((noinline)) void put_attribute(weir_out_t *out, uint8_t tag,
                                                    const weir_attribute_t *a, size_t name)
{
    size_t inner = 0, value = value_len(a, &inner),
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

/*
 * Most of a span's bytes are attributes, and most of them are short: there is one check for room
 * for all. Behind one that is not short, room is checked again.
 */
static void put_attributes(weir_out_t *out, uint8_t tag, const weir_attributes_t *attributes)
{
    const weir_attribute_t *a = attributes->elts, *end = a + attributes->n;
    char *p, *next;

    while (a < end) {
        if (out->len + (size_t)(end - a) * (SHORT_MAX + SHORT_HEAD) <= out->cap) {
            assert(out->buf != NULL);
            for (p = out->buf + out->len; a < end; a++, p = next) {
                next = write_short(p, tag, a);
                if (next == NULL)
                    break;
            }
            out->len = (size_t)(p - out->buf);
        }
        if (a < end) {
            put_attribute(out, tag, a, name_len(a));
            a++;
        }
    }
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
 * The span's tag, room for its length, what identifies it, its times and what was encoded before,
 * with one check for room for all. Returns where the message begins.
 */
static size_t put_head(weir_out_t *out, const weir_span_t *span)
{
    bool root = is_root(span);
    size_t start = out->len + 1 + WEIR_PB_LENGTH_ROOM,
           state = span->tracestate.len != 0 ? weir_out_text_len(span->tracestate) : 0,
           len = (2 + WEIR_TRACE_ID_LEN) + (2 + WEIR_SPAN_ID_LEN) +
                 (state != 0 ? weir_pb_field_len(state) : 0) + (root ? 0 : 2 + WEIR_SPAN_ID_LEN) +
                 2 * (1 + sizeof(uint64_t)) + span->encoded.len;
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
    if (state != 0)
        p = write_text(p, WEIR_PB_TAG(3, WEIR_PB_BYTES), span->tracestate, state);
    if (!root)
        p = write_id(p, WEIR_PB_TAG(4, WEIR_PB_BYTES), span->parent_id, WEIR_SPAN_ID_LEN);
    p = weir_pb_write_fixed(p, WEIR_PB_TAG(7, WEIR_PB_FIXED64), span->start);
    p = weir_pb_write_fixed(p, WEIR_PB_TAG(8, WEIR_PB_FIXED64), span->end);
    if (span->encoded.len != 0)
        memcpy(p, span->encoded.data, span->encoded.len);

    return start;
}

static void put_common(weir_out_t *out, const weir_span_t *span)
{
    weir_pb_put_text(out, WEIR_PB_TAG(5, WEIR_PB_BYTES), span->name);
    weir_out_byte(out, WEIR_PB_TAG(6, WEIR_PB_VARINT));
    weir_out_byte(out, (uint8_t)span->kind);
    put_attributes(out, WEIR_PB_TAG(9, WEIR_PB_BYTES), &span->attributes);
}

static void encode(weir_out_t *out, const weir_span_t *span, const weir_span_resource_t *resource)
{
    size_t start = put_head(out, span);

    (void)resource;
    if (span->encoded.len != 0)
        put_attributes(out, WEIR_PB_TAG(9, WEIR_PB_BYTES), &span->attributes);
    else
        put_common(out, span);
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
    .common = put_common,
    .head = head,
    .separator = {"", 0},
    .tail = {"", 0},
};
