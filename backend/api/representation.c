#include "api/representation.h"

#include "common/problem.h"
#include "log/alloc.h"
#include "log/log.h"

#include <jansson.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

/* A text; bytes beyond cap are counted in len, but not written. */
typedef struct {
    char *buf;
    size_t cap, len;
} text_t;

static size_t room(const text_t *t)
{
    return t->len < t->cap ? t->cap - t->len : 0;
}

static void put(text_t *t, const char *s, size_t n)
{
    size_t fits = room(t) < n ? room(t) : n;

    if (fits > 0)
        memcpy(t->buf + t->len, s, fits);
    t->len += n;
}

static void put_string(text_t *t, weir_str_t s)
{
    size_t left = room(t);

    t->len += weir_json_string(left > 0 ? t->buf + t->len : NULL, left, s);
}

static void put_object(text_t *t, const weir_resource_t *resource, const weir_str_t *values,
                       int version);

#define DIGITS_MAX 32 /* of a number, with its NUL */

/*
 * A JSON value in the form that weir_represent() takes. The digits of a number are written to
 * digits.
 */
static weir_str_t value_of(const json_t *value, char digits[DIGITS_MAX])
{
    int len = 0;

    if (json_is_string(value))
        return (weir_str_t){json_string_value(value), json_string_length(value)};
    if (json_is_boolean(value))
        return json_is_true(value) ? WEIR_STR("true") : WEIR_STR("false");
    if (json_is_integer(value))
        len = snprintf(digits, DIGITS_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        len = snprintf(digits, DIGITS_MAX, "%.17g", json_real_value(value));

    return (weir_str_t){len > 0 ? digits : NULL, (size_t)len};
}

static json_t *array_of(weir_str_t text)
{
    json_t *array = json_loadb(text.data, text.len, JSON_ALLOW_NUL, NULL);

    /* PostgreSQL's json may have integers beyond 2^63. */
    if (array == NULL)
        array = json_loadb(text.data, text.len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
    if (!json_is_array(array)) {
        weir_log(WEIR_LOG_ERROR, NULL, "a list from the database is not a JSON array", NULL);
        json_decref(array);
        array = weir_alloc_check(json_array());
    }

    return array;
}

/* Writes an object from the array of its values. */
static void put_row(text_t *t, const weir_resource_t *of, const json_t *row, int version)
{
    weir_str_t values[WEIR_VALUES_MAX] = {{NULL, 0}};
    char digits[WEIR_VALUES_MAX][DIGITS_MAX];

    for (size_t i = 0; i < json_array_size(row) && i < WEIR_VALUES_MAX; i++)
        values[i] = value_of(json_array_get(row, i), digits[i]);
    put_object(t, of, values, version);
}

/* put_object() omits a field without a value; only an element of a list can be NULL. */
static void put_scalar(text_t *t, const weir_field_t *field, weir_str_t value)
{
    assert(field != NULL);
    if (value.data == NULL) {
        put(t, "null", 4);
        return;
    }
    switch (field->type) {
    case WEIR_INTEGER:
    case WEIR_NUMBER:
        put(t, value.data, value.len);
        break;
    case WEIR_BOOLEAN:
        put(t, value.data[0] == 't' ? "true" : "false", value.data[0] == 't' ? 4 : 5);
        break;
    default:
        put_string(t, value);
        break;
    }
}

static void put_list(text_t *t, const weir_field_t *field, weir_str_t list, int version)
{
    json_t *elements = array_of(list);
    char digits[DIGITS_MAX];

    assert(field->of != NULL || field->each != NULL);
    put(t, "[", 1);
    for (size_t i = 0; i < json_array_size(elements); i++) {
        const json_t *element = json_array_get(elements, i);

        if (i > 0)
            put(t, ",", 1);
        if (field->of != NULL)
            put_row(t, field->of, element, version);
        else
            put_scalar(t, field->each, value_of(element, digits));
    }
    put(t, "]", 1);
    json_decref(elements);
}

static void put_value(text_t *t, const weir_field_t *field, weir_str_t value, int version)
{
    json_t *row;

    switch (field->type) {
    case WEIR_LIST:
        put_list(t, field, value, version);
        break;
    case WEIR_OBJECT:
        row = array_of(value);
        put_row(t, field->of, row, version);
        json_decref(row);
        break;
    default:
        put_scalar(t, field, value);
        break;
    }
}

static void put_object(text_t *t, const weir_resource_t *resource, const weir_str_t *values,
                       int version)
{
    const char *separator = "{";

    for (size_t i = 0; i < resource->count; i++) {
        const weir_field_t *field = &resource->fields[i];
        weir_str_t value = values[field->value];

        assert(field->value >= 0 && field->value < WEIR_VALUES_MAX);
        if (!weir_field_is_shown(field, version) || value.data == NULL)
            continue;

        put(t, separator, 1);
        separator = ",";
        put_string(t, (weir_str_t){field->name, strlen(field->name)});
        put(t, ":", 1);
        put_value(t, field, value, version);
    }

    put(t, separator[0] == '{' ? "{}" : "}", separator[0] == '{' ? 2 : 1);
}

size_t weir_represent(char *buf, size_t cap, const weir_resource_t *resource,
                      const weir_str_t *values, int version)
{
    text_t t = {buf, cap, 0};

    assert(version > 0 && (buf != NULL || cap == 0));
    put_object(&t, resource, values, version);
    put(&t, "\n", 1);

    return t.len;
}

/* Returns the length so far. */
static size_t add_deprecated(char *buf, size_t cap, size_t len, const char *prefix,
                             const weir_resource_t *resource, int version)
{
    for (size_t i = 0; i < resource->count; i++) {
        const weir_field_t *field = &resource->fields[i];
        char name[64];

        if (!weir_field_is_shown(field, version))
            continue;

        snprintf(name, sizeof(name), "%s%s", prefix, field->name);
        if (weir_field_is_deprecated(field, version) && len + strlen(name) + 2 < cap)
            len += (size_t)snprintf(buf + len, cap - len, "%s%s", len > 0 ? ", " : "", name);
        if (field->of != NULL) {
            char inner[66];

            snprintf(inner, sizeof(inner), "%s.", name);
            len = add_deprecated(buf, cap, len, inner, field->of, version);
        }
    }

    return len;
}

void weir_deprecated_fields(char *buf, size_t cap, const weir_resource_t *resource, int version)
{
    assert(cap > 0);
    buf[0] = '\0';
    add_deprecated(buf, cap, 0, "", resource, version);
}
