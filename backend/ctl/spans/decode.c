#include "ctl/spans/decode.h"

#include "common/text/hex.h"
#include "common/text/utf8.h"
#include "common/trace/context.h"
#include "common/trace/decode/wire.h"
#include "log/alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Messages in messages; attributes may be lists in lists. */
#define DEPTH_MAX 32

/* Bytes in protobuf, of which two can need some hundred bytes of memory. */
#define SPAN_MAX (256u * 1024)
#define RESOURCE_MAX (64u * 1024)

/* --- the messages of OTLP -------------------------------------------------------------------- */

typedef enum {
    TEXT,
    ID,     /* hexadecimal, unlike other bytes */
    BYTES,  /* base64 */
    NUMBER, /* up to 32 bits; also enums */
    BOOL,
    INT64,  /* a string, as all numbers of 64 bits */
    UINT64, /* the same of type fixed64 */
    DOUBLE,
    MESSAGE,
    MESSAGES /* repeated */
} kind_t;

typedef struct message message_t;

typedef struct {
    uint64_t number;
    const char *name; /* in JSON */
    kind_t kind;
    weir_wire_type_t type;
    const message_t *message; /* of MESSAGE and MESSAGES */
} field_t;

struct message {
    const field_t *fields; /* ends with the number 0 */
    bool is_oneof;         /* the last field counts */
};

static const message_t any_value, array_value, key_value_list, key_value;

static const message_t any_value = {
    (const field_t[]){
        {1, "stringValue", TEXT, WEIR_WIRE_BYTES, NULL},
        {2, "boolValue", BOOL, WEIR_WIRE_VARINT, NULL},
        {3, "intValue", INT64, WEIR_WIRE_VARINT, NULL},
        {4, "doubleValue", DOUBLE, WEIR_WIRE_FIXED64, NULL},
        {5, "arrayValue", MESSAGE, WEIR_WIRE_BYTES, &array_value},
        {6, "kvlistValue", MESSAGE, WEIR_WIRE_BYTES, &key_value_list},
        {7, "bytesValue", BYTES, WEIR_WIRE_BYTES, NULL},
        {0},
    },
    true,
};

static const message_t array_value = {
    (const field_t[]){{1, "values", MESSAGES, WEIR_WIRE_BYTES, &any_value}, {0}}, false};

static const message_t key_value_list = {
    (const field_t[]){{1, "values", MESSAGES, WEIR_WIRE_BYTES, &key_value}, {0}}, false};

static const message_t key_value = {
    (const field_t[]){
        {1, "key", TEXT, WEIR_WIRE_BYTES, NULL},
        {2, "value", MESSAGE, WEIR_WIRE_BYTES, &any_value},
        {0},
    },
    false,
};

static const message_t resource_message = {
    (const field_t[]){
        {1, "attributes", MESSAGES, WEIR_WIRE_BYTES, &key_value},
        {2, "droppedAttributesCount", NUMBER, WEIR_WIRE_VARINT, NULL},
        {0},
    },
    false,
};

static const message_t scope_message = {
    (const field_t[]){
        {1, "name", TEXT, WEIR_WIRE_BYTES, NULL},
        {2, "version", TEXT, WEIR_WIRE_BYTES, NULL},
        {3, "attributes", MESSAGES, WEIR_WIRE_BYTES, &key_value},
        {4, "droppedAttributesCount", NUMBER, WEIR_WIRE_VARINT, NULL},
        {0},
    },
    false,
};

static const message_t event = {
    (const field_t[]){
        {1, "timeUnixNano", UINT64, WEIR_WIRE_FIXED64, NULL},
        {2, "name", TEXT, WEIR_WIRE_BYTES, NULL},
        {3, "attributes", MESSAGES, WEIR_WIRE_BYTES, &key_value},
        {4, "droppedAttributesCount", NUMBER, WEIR_WIRE_VARINT, NULL},
        {0},
    },
    false,
};

static const message_t span_link = {
    (const field_t[]){
        {1, "traceId", ID, WEIR_WIRE_BYTES, NULL},
        {2, "spanId", ID, WEIR_WIRE_BYTES, NULL},
        {3, "traceState", TEXT, WEIR_WIRE_BYTES, NULL},
        {4, "attributes", MESSAGES, WEIR_WIRE_BYTES, &key_value},
        {5, "droppedAttributesCount", NUMBER, WEIR_WIRE_VARINT, NULL},
        {6, "flags", NUMBER, WEIR_WIRE_FIXED32, NULL},
        {0},
    },
    false,
};

static const message_t status = {
    (const field_t[]){
        {2, "message", TEXT, WEIR_WIRE_BYTES, NULL},
        {3, "code", NUMBER, WEIR_WIRE_VARINT, NULL},
        {0},
    },
    false,
};

static const message_t span_message = {
    (const field_t[]){
        {1, "traceId", ID, WEIR_WIRE_BYTES, NULL},
        {2, "spanId", ID, WEIR_WIRE_BYTES, NULL},
        {3, "traceState", TEXT, WEIR_WIRE_BYTES, NULL},
        {4, "parentSpanId", ID, WEIR_WIRE_BYTES, NULL},
        {5, "name", TEXT, WEIR_WIRE_BYTES, NULL},
        {6, "kind", NUMBER, WEIR_WIRE_VARINT, NULL},
        {7, "startTimeUnixNano", UINT64, WEIR_WIRE_FIXED64, NULL},
        {8, "endTimeUnixNano", UINT64, WEIR_WIRE_FIXED64, NULL},
        {9, "attributes", MESSAGES, WEIR_WIRE_BYTES, &key_value},
        {10, "droppedAttributesCount", NUMBER, WEIR_WIRE_VARINT, NULL},
        {11, "events", MESSAGES, WEIR_WIRE_BYTES, &event},
        {12, "droppedEventsCount", NUMBER, WEIR_WIRE_VARINT, NULL},
        {13, "links", MESSAGES, WEIR_WIRE_BYTES, &span_link},
        {14, "droppedLinksCount", NUMBER, WEIR_WIRE_VARINT, NULL},
        {15, "status", MESSAGE, WEIR_WIRE_BYTES, &status},
        {16, "flags", NUMBER, WEIR_WIRE_FIXED32, NULL},
        {0},
    },
    false,
};

/* --- protobuf -------------------------------------------------------------------------------- */

static json_t *text_of(weir_str_t in)
{
    char *text = weir_alloc(in.len * (sizeof(WEIR_UTF8_REPLACEMENT) - 1) + 1);
    size_t len = 0;
    json_t *result;

    while (in.len > 0) {
        size_t n = weir_utf8_sequence(in.data, in.len), taken = n > 0 ? n : 1;
        const char *from = n > 0 ? in.data : WEIR_UTF8_REPLACEMENT;

        n = n > 0 ? n : sizeof(WEIR_UTF8_REPLACEMENT) - 1;
        memcpy(text + len, from, n);
        len += n;
        in.data += taken;
        in.len -= taken;
    }
    result = weir_alloc_check(json_stringn_nocheck(text, len));
    free(text);

    return result;
}

static json_t *id_of(weir_str_t in)
{
    char *text = weir_alloc(2 * in.len + 1);
    json_t *result;

    weir_hex(text, (const uint8_t *)in.data, in.len);
    result = weir_alloc_check(json_stringn_nocheck(text, 2 * in.len));
    free(text);

    return result;
}

static json_t *base64_of(weir_str_t in)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = weir_alloc((in.len + 2) / 3 * 4 + 1), *out = text;
    json_t *result;

    for (size_t i = 0; i < in.len; i += 3) {
        unsigned bits = 0;

        for (size_t k = i; k < i + 3; k++)
            bits = bits << 8 | (k < in.len ? (unsigned char)in.data[k] : 0);
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = i + 1 < in.len ? digits[bits >> 6 & 63] : '=';
        *out++ = i + 2 < in.len ? digits[bits & 63] : '=';
    }
    result = weir_alloc_check(json_string_nocheck(text));
    free(text);

    return result;
}

/* JSON has no number for these: they are strings in protobuf's mapping. */
static json_t *double_of(uint64_t bits)
{
    double d;

    memcpy(&d, &bits, sizeof(d));
    if (isnan(d))
        return json_string("NaN");
    if (isinf(d))
        return json_string(d > 0 ? "Infinity" : "-Infinity");

    return json_real(d);
}

static json_t *decode(const message_t *message, weir_str_t in, int depth);

/* NULL if it is malformed. */
static json_t *value_of(const field_t *field, const weir_wire_t *wire, int depth)
{
    char text[24];

    switch (field->kind) {
    case TEXT:
        return text_of(wire->bytes);
    case ID:
        return id_of(wire->bytes);
    case BYTES:
        return base64_of(wire->bytes);
    case NUMBER:
        return json_integer((json_int_t)(uint32_t)wire->number);
    case BOOL:
        return json_boolean(wire->number != 0);
    case INT64:
        snprintf(text, sizeof(text), "%" PRId64, (int64_t)wire->number);
        return json_string(text);
    case UINT64:
        snprintf(text, sizeof(text), "%" PRIu64, wire->number);
        return json_string(text);
    case DOUBLE:
        return double_of(wire->number);
    case MESSAGE:
    case MESSAGES:
        return decode(field->message, wire->bytes, depth + 1);
    }

    return NULL;
}

static const field_t *find_field(const message_t *message, uint64_t number)
{
    for (const field_t *f = message->fields; f->number != 0; f++) {
        if (f->number == number)
            return f;
    }

    return NULL;
}

static void put(const message_t *message, json_t *object, const field_t *field, json_t *value)
{
    json_t *list;

    if (message->is_oneof)
        json_object_clear(object);
    if (field->kind != MESSAGES) {
        json_object_set_new_nocheck(object, field->name, value);
        return;
    }
    list = json_object_get(object, field->name);
    if (list == NULL) {
        list = weir_alloc_check(json_array());
        json_object_set_new_nocheck(object, field->name, list);
    }
    json_array_append_new(list, value);
}

/* NULL if the message is malformed. */
static json_t *decode(const message_t *message, weir_str_t in, int depth)
{
    json_t *object, *value;
    weir_wire_t wire;

    if (depth > DEPTH_MAX)
        return NULL;
    object = weir_alloc_check(json_object());
    while (in.len > 0) {
        const field_t *field;

        if (!weir_wire_take(&in, &wire))
            goto malformed;
        field = find_field(message, wire.field);
        if (field == NULL)
            continue;
        if (wire.type != field->type || (value = value_of(field, &wire, depth)) == NULL)
            goto malformed;
        put(message, object, field, value);
    }

    return object;

malformed:
    json_decref(object);
    return NULL;
}

/* --- ids ------------------------------------------------------------------------------------- */

/* True if it is an id of n bytes, not all zero; it is changed to lower case. */
static bool settle_id(json_t *value, size_t n)
{
    const char *text = json_string_value(value);
    char lower[2 * WEIR_TRACE_ID_LEN + 1];

    assert(n <= WEIR_TRACE_ID_LEN);
    if (text == NULL || json_string_length(value) != 2 * n || !weir_hex_id(lower, text, 2 * n))
        return false;
    json_string_set(value, lower);

    return true;
}

/* A root has no parent, or an empty one, or one of zeros. */
static bool settle_ids(json_t *span)
{
    json_t *parent = json_object_get(span, "parentSpanId");

    if (!json_is_object(span) || !settle_id(json_object_get(span, "traceId"), WEIR_TRACE_ID_LEN) ||
        !settle_id(json_object_get(span, "spanId"), WEIR_SPAN_ID_LEN))
        return false;
    if (parent != NULL && !settle_id(parent, WEIR_SPAN_ID_LEN))
        json_object_del(span, "parentSpanId");

    return true;
}

static void hand_over(const json_t *resource, const json_t *scope, json_t *span,
                      weir_spans_take take, void *arg, weir_spans_decoded_t *decoded)
{
    if (settle_ids(span) && take(resource, scope, span, arg))
        decoded->taken++;
    else
        decoded->rejected++;
}

/* --- requests in protobuf -------------------------------------------------------------------- */

/* The last field 1, which is resource or scope, wherever it is; NULL: malformed. */
static json_t *decode_first(const message_t *message, weir_str_t in)
{
    weir_str_t found = {NULL, 0};
    weir_wire_t wire;

    while (in.len > 0) {
        if (!weir_wire_take(&in, &wire) || (wire.field == 1 && wire.type != WEIR_WIRE_BYTES))
            return NULL;
        if (wire.field == 1)
            found = wire.bytes;
    }

    return found.len <= RESOURCE_MAX ? decode(message, found, 0) : NULL;
}

typedef struct {
    const json_t *resource;
    const json_t *scope;
    weir_spans_take take;
    void *arg;
    weir_spans_decoded_t *decoded;
} reading_t;

static bool read_span(reading_t *r, weir_str_t in)
{
    json_t *span;

    if (in.len > SPAN_MAX) {
        r->decoded->rejected++;
        return true;
    }
    span = decode(&span_message, in, 0);
    if (span == NULL)
        return false;
    hand_over(r->resource, r->scope, span, r->take, r->arg, r->decoded);
    json_decref(span);

    return true;
}

/* Calls fn for each field of that number, which must have a length. */
static bool each(weir_str_t in, uint64_t field, bool (*fn)(reading_t *r, weir_str_t in),
                 reading_t *r)
{
    weir_wire_t wire;

    while (in.len > 0) {
        if (!weir_wire_take(&in, &wire))
            return false;
        if (wire.field == field && (wire.type != WEIR_WIRE_BYTES || !fn(r, wire.bytes)))
            return false;
    }

    return true;
}

static bool read_scope(reading_t *r, weir_str_t in)
{
    json_t *scope = decode_first(&scope_message, in);
    bool ok;

    if (scope == NULL)
        return false;
    r->scope = scope;
    ok = each(in, 2, read_span, r);
    json_decref(scope);

    return ok;
}

static bool read_resource(reading_t *r, weir_str_t in)
{
    json_t *resource = decode_first(&resource_message, in);
    bool ok;

    if (resource == NULL)
        return false;
    r->resource = resource;
    ok = each(in, 2, read_scope, r);
    json_decref(resource);

    return ok;
}

bool weir_spans_decode_protobuf(weir_str_t body, weir_spans_take take, void *arg,
                                weir_spans_decoded_t *decoded)
{
    reading_t r = {.take = take, .arg = arg, .decoded = decoded};

    *decoded = (weir_spans_decoded_t){0};

    return each(body, 1, read_resource, &r);
}

/* --- requests in JSON ------------------------------------------------------------------------ */

/* The member is missing or an array. */
static bool is_list(const json_t *object, const char *name)
{
    const json_t *list = json_object_get(object, name);

    return json_is_object(object) && (list == NULL || json_is_array(list));
}

bool weir_spans_decode_document(json_t *document, weir_spans_take take, void *arg,
                                weir_spans_decoded_t *decoded)
{
    json_t *empty = weir_alloc_check(json_object()), *of_resource, *of_scope, *span;
    bool ok = is_list(document, "resourceSpans");
    size_t i, k, n;

    *decoded = (weir_spans_decoded_t){0};
    json_array_foreach(json_object_get(document, "resourceSpans"), i, of_resource)
    {
        const json_t *resource = json_object_get(of_resource, "resource");

        ok = ok && is_list(of_resource, "scopeSpans");
        json_array_foreach(json_object_get(of_resource, "scopeSpans"), k, of_scope)
        {
            const json_t *scope = json_object_get(of_scope, "scope");

            ok = ok && is_list(of_scope, "spans");
            json_array_foreach(json_object_get(of_scope, "spans"), n, span)
            {
                hand_over(json_is_object(resource) ? resource : empty,
                          json_is_object(scope) ? scope : empty, span, take, arg, decoded);
            }
        }
    }
    json_decref(empty);

    return ok;
}

bool weir_spans_decode_json(weir_str_t body, weir_spans_take take, void *arg,
                            weir_spans_decoded_t *decoded)
{
    json_error_t error;
    json_t *document =
        weir_alloc_json(body.data, body.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    bool ok;

    *decoded = (weir_spans_decoded_t){0};
    if (document == NULL)
        return false;
    ok = weir_spans_decode_document(document, take, arg, decoded);
    json_decref(document);

    return ok;
}
