#include "api/representation.h"

#include "common/problem.h"

#include <jansson.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

int weir_field_is_shown(const weir_field_t *field, int version)
{
    return version >= field->since && (field->removed == 0 || version < field->removed);
}

int weir_field_is_deprecated(const weir_field_t *field, int version)
{
    return weir_field_is_shown(field, version) && field->deprecated != 0 &&
           version >= field->deprecated;
}

/* Text that grows past its room only in length. */
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

/* An element's values from its row of JSON; numbers is where digits are written. */
static void read_row(json_t *row, weir_str_t values[WEIR_VALUES_MAX],
                     char numbers[WEIR_VALUES_MAX][24])
{
    memset(values, 0, WEIR_VALUES_MAX * sizeof(*values));

    for (size_t i = 0; i < json_array_size(row) && i < WEIR_VALUES_MAX; i++) {
        json_t *value = json_array_get(row, i);

        if (json_is_string(value)) {
            values[i] = (weir_str_t){json_string_value(value), json_string_length(value)};
        } else if (json_is_integer(value)) {
            int len = snprintf(numbers[i], sizeof(numbers[i]), "%" JSON_INTEGER_FORMAT,
                               json_integer_value(value));

            values[i] = (weir_str_t){numbers[i], (size_t)len};
        }
    }
}

static void put_list(text_t *t, const weir_resource_t *of, weir_str_t list, int version)
{
    json_t *rows = json_loadb(list.data, list.len, JSON_ALLOW_NUL, NULL);
    weir_str_t values[WEIR_VALUES_MAX];
    char numbers[WEIR_VALUES_MAX][24];

    assert(json_is_array(rows)); /* the database made it */
    put(t, "[", 1);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        if (i > 0)
            put(t, ",", 1);
        read_row(json_array_get(rows, i), values, numbers);
        put_object(t, of, values, version);
    }
    put(t, "]", 1);
    json_decref(rows);
}

static void put_object(text_t *t, const weir_resource_t *resource, const weir_str_t *values,
                       int version)
{
    const char *separator = "{";

    for (size_t i = 0; i < resource->count; i++) {
        const weir_field_t *field = &resource->fields[i];
        weir_str_t value = values[field->value];

        if (!weir_field_is_shown(field, version) || value.data == NULL)
            continue;

        put(t, separator, 1);
        separator = ",";
        put_string(t, (weir_str_t){field->name, strlen(field->name)});
        put(t, ":", 1);
        if (field->type == WEIR_INTEGER)
            put(t, value.data, value.len);
        else if (field->type == WEIR_LIST)
            put_list(t, field->of, value, version);
        else
            put_string(t, value);
    }

    put(t, separator[0] == '{' ? "{}" : "}", separator[0] == '{' ? 2 : 1);
}

size_t weir_represent(char *buf, size_t cap, const weir_resource_t *resource,
                      const weir_str_t *values, int version)
{
    text_t t = {buf, cap, 0};

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
        if (field->type == WEIR_LIST) {
            char inner[66];

            snprintf(inner, sizeof(inner), "%s.", name);
            len = add_deprecated(buf, cap, len, inner, field->of, version);
        }
    }

    return len;
}

void weir_deprecated_fields(char *buf, size_t cap, const weir_resource_t *resource, int version)
{
    buf[0] = '\0';
    add_deprecated(buf, cap, 0, "", resource, version);
}
