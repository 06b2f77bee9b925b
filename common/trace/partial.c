#include "common/trace/partial.h"

#include "common/trace/decode/wire.h"

#include <assert.h>
#include <stdlib.h>

/* Field numbers of the .proto files. */
enum {
    RESPONSE_PARTIAL_SUCCESS = 1,
    PARTIAL_REJECTED_SPANS = 1,
    PARTIAL_ERROR_MESSAGE = 2,
};

/* Nesting of a JSON document, beyond which it is refused. */
#define DEPTH_MAX 32

void weir_partial_text(weir_str_t text, char *buf, size_t size)
{
    size_t n = text.len < size ? text.len : size - 1;

    assert(size > 0);

    for (size_t i = 0; i < n; i++)
        buf[i] = text.data[i] != '\0' ? text.data[i] : ' ';
    buf[n] = '\0';
    weir_str_make_printable(buf);
}

/* --- protobuf --- */

static bool partial_success(weir_str_t in, weir_partial_t *partial)
{
    weir_wire_t wire;

    while (in.len > 0) {
        if (!weir_wire_take(&in, &wire))
            return false;

        if (wire.field == PARTIAL_REJECTED_SPANS && wire.type == WEIR_WIRE_VARINT)
            partial->rejected = (int64_t)wire.number;
        if (wire.field == PARTIAL_ERROR_MESSAGE && wire.type == WEIR_WIRE_BYTES)
            weir_partial_text(wire.bytes, partial->message, sizeof(partial->message));
    }

    return true;
}

static void clear(weir_partial_t *partial)
{
    partial->rejected = 0;
    partial->message[0] = '\0';
}

bool weir_partial_protobuf(weir_str_t body, weir_partial_t *partial)
{
    weir_wire_t wire;

    clear(partial);

    while (body.len > 0) {
        if (!weir_wire_take(&body, &wire) ||
            (wire.field == RESPONSE_PARTIAL_SUCCESS && wire.type == WEIR_WIRE_BYTES &&
             !partial_success(wire.bytes, partial))) {
            clear(partial);
            return false;
        }
    }

    return true;
}

/* --- JSON (RFC 8259) --- */

typedef struct {
    const char *p;
    const char *end;
    bool inside; /* of the object partialSuccess */
    weir_partial_t *partial;
} json_t;

static void skip_blanks(json_t *j)
{
    while (j->p < j->end && (*j->p == ' ' || *j->p == '\t' || *j->p == '\n' || *j->p == '\r'))
        j->p++;
}

static bool take_char(json_t *j, char c)
{
    skip_blanks(j);
    if (j->p == j->end || *j->p != c)
        return false;
    j->p++;

    return true;
}

/* The characters between the quotes as they stand, escapes included. */
static bool take_string(json_t *j, weir_str_t *s)
{
    if (!take_char(j, '"'))
        return false;

    s->data = j->p;
    for (; j->p < j->end; j->p++) {
        if (*j->p == '"') {
            s->len = (size_t)(j->p - s->data);
            j->p++;
            return true;
        }
        if ((unsigned char)*j->p < 0x20)
            return false;
        if (*j->p == '\\' && ++j->p == j->end)
            return false;
    }

    return false;
}

/* A number, true, false or null. */
static bool take_word(json_t *j, weir_str_t *s)
{
    s->data = j->p;
    while (j->p < j->end && ((*j->p >= '0' && *j->p <= '9') || (*j->p >= 'a' && *j->p <= 'z') ||
                             *j->p == '-' || *j->p == '+' || *j->p == '.' || *j->p == 'E'))
        j->p++;
    s->len = (size_t)(j->p - s->data);

    return s->len > 0;
}

static int64_t integer_of(weir_str_t s)
{
    char text[24], *end;
    long long n;

    if (s.len == 0 || s.len >= sizeof(text))
        return 0;

    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    n = strtoll(text, &end, 10);

    return *end == '\0' ? n : 0;
}

static bool take_value(json_t *j, weir_str_t name, int depth);

static bool take_object(json_t *j, int depth)
{
    weir_str_t name;

    if (take_char(j, '}'))
        return true;

    do {
        skip_blanks(j);
        if (!take_string(j, &name) || !take_char(j, ':') || !take_value(j, name, depth))
            return false;
    } while (take_char(j, ','));

    return take_char(j, '}');
}

static bool take_array(json_t *j, int depth)
{
    if (take_char(j, ']'))
        return true;

    do {
        if (!take_value(j, (weir_str_t){NULL, 0}, depth))
            return false;
    } while (take_char(j, ','));

    return take_char(j, ']');
}

static bool take_value(json_t *j, weir_str_t name, int depth)
{
    bool inside = j->inside, text, ok;
    weir_str_t value;

    if (depth == DEPTH_MAX)
        return false;

    skip_blanks(j);
    if (j->p == j->end)
        return false;

    if (*j->p == '{' || *j->p == '[') {
        j->inside = depth == 1 && *j->p == '{' &&
                    (weir_str_eq(name, WEIR_STR("partialSuccess")) ||
                     weir_str_eq(name, WEIR_STR("partial_success")));
        ok = *j->p++ == '{' ? take_object(j, depth + 1) : take_array(j, depth + 1);
        j->inside = inside;
        return ok;
    }

    text = *j->p == '"';
    if (!(text ? take_string(j, &value) : take_word(j, &value)))
        return false;

    if (inside && depth == 2) {
        if (weir_str_eq(name, WEIR_STR("rejectedSpans")) ||
            weir_str_eq(name, WEIR_STR("rejected_spans")) ||
            weir_str_eq(name, WEIR_STR("rejectedDataPoints")) ||
            weir_str_eq(name, WEIR_STR("rejected_data_points")))
            j->partial->rejected = integer_of(value);

        if (text && (weir_str_eq(name, WEIR_STR("errorMessage")) ||
                     weir_str_eq(name, WEIR_STR("error_message"))))
            weir_partial_text(value, j->partial->message, sizeof(j->partial->message));
    }

    return true;
}

bool weir_partial_json(weir_str_t body, weir_partial_t *partial)
{
    json_t j = {body.data, body.data + body.len, false, partial};

    clear(partial);

    skip_blanks(&j);
    if (j.p == j.end)
        return true;

    if (*j.p == '{' && take_value(&j, (weir_str_t){NULL, 0}, 0)) {
        skip_blanks(&j);
        if (j.p == j.end)
            return true;
    }

    clear(partial);

    return false;
}
