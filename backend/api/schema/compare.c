#include "api/schema/private.h"

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX                                                                                  \
    32 /* of nested schemas, so that the recursion of a schema that contains itself ends */

static bool report(weir_schema_check_t *check, const char *kind, const char *label,
                   const char *text, va_list ap)
{
    char line[WEIR_SCHEMA_LABEL_MAX + 256];
    int len = snprintf(line, sizeof(line), "%s: %s: ", kind, label);

    if (len < (int)sizeof(line))
        vsnprintf(line + len, sizeof(line) - (size_t)len, text, ap);
    if (json_object_get(check->lines, line) != NULL)
        return false;

    json_object_set_new(check->lines, line, json_true());
    fprintf(check->out, "%s\n", line);

    return true;
}

void weir_schema_refuse(weir_schema_check_t *check, const char *label, const char *text, ...)
{
    va_list ap;

    va_start(ap, text);
    check->refused += report(check, "refused", label, text, ap);
    va_end(ap);
}

void weir_schema_added(weir_schema_check_t *check, const char *label, const char *text, ...)
{
    va_list ap;

    va_start(ap, text);
    check->added += report(check, "added", label, text, ap);
    va_end(ap);
}

void weir_schema_label(char label[WEIR_SCHEMA_LABEL_MAX], const char *text, ...)
{
    va_list ap;

    va_start(ap, text);
    vsnprintf(label, WEIR_SCHEMA_LABEL_MAX, text, ap);
    va_end(ap);
}

/* --- references ------------------------------------------------------------------------ */

/* RFC 6901 section 4: the member of that token, in which ~1 means / and ~0 means ~. */
static const json_t *step(const json_t *at, const char *token, size_t len)
{
    char name[256];
    size_t n = 0;

    for (size_t i = 0; i < len && n < sizeof(name) - 1; i++) {
        if (token[i] == '~' && i + 1 < len)
            name[n++] = token[++i] == '1' ? '/' : '~';
        else
            name[n++] = token[i];
    }
    name[n] = '\0';

    return json_object_get(at, name);
}

const json_t *weir_schema_resolve(const json_t *document, const json_t *at,
                                  char label[WEIR_SCHEMA_LABEL_MAX])
{
    for (int i = 0; i < DEPTH_MAX; i++) {
        const char *p = json_string_value(json_object_get(at, "$ref"));

        if (p == NULL)
            return at;
        if (p[0] != '#')
            return NULL;

        if (label != NULL)
            weir_schema_label(label, "%s", strrchr(p, '/') != NULL ? strrchr(p, '/') + 1 : p);
        at = document;
        for (p++; *p == '/' && at != NULL;) {
            size_t len = strcspn(++p, "/");

            at = step(at, p, len);
            p += len;
        }
        if (at == NULL)
            return NULL;
    }

    return NULL;
}

/* --- schemas --------------------------------------------------------------------------- */

static bool has_string(const json_t *array, const char *s)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const char *element = json_string_value(json_array_get(array, i));

        if (element != NULL && strcmp(element, s) == 0)
            return true;
    }

    return false;
}

bool weir_schema_same(const json_t *a, const json_t *b)
{
    return (a == NULL && b == NULL) || (a != NULL && b != NULL && json_equal(a, b));
}

/* Text for a message, in buf. */
static const char *shown(const json_t *value, char buf[64])
{
    char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

    snprintf(buf, 64, "%s", text != NULL ? text : "none");
    free(text);

    return buf;
}

/*
 * True when the new type accepts all values of the old one: "number" accepts integers, a list of
 * types the values of each type.
 */
static bool is_widened(const json_t *old, const json_t *new)
{
    const char *from = json_string_value(old), *to = json_string_value(new);

    if (from == NULL)
        return false;
    if (to != NULL)
        return strcmp(from, "integer") == 0 && strcmp(to, "number") == 0;

    return has_string(new, from);
}

static void compare_types(weir_schema_check_t *check, const char *label, weir_schema_use_t use,
                          const json_t *old, const json_t *new)
{
    static const char *const keys[] = {"type", "format", "const", "allOf", "anyOf", "oneOf", "not"};
    char from[64], to[64];

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const json_t *a = json_object_get(old, keys[i]), *b = json_object_get(new, keys[i]);

        if (weir_schema_same(a, b) || (use == WEIR_IN_REQUEST && (b == NULL || is_widened(a, b))))
            continue;
        weir_schema_refuse(check, label, "its %s was %s and is %s", keys[i], shown(a, from),
                           shown(b, to));
    }
}

/* A request that was valid must stay valid. */
static void compare_limits(weir_schema_check_t *check, const char *label, const json_t *old,
                           const json_t *new)
{
    static const char *const upper[] = {"maximum", "maxLength", "maxItems"};
    static const char *const lower[] = {"minimum", "minLength", "minItems"};
    char from[64], to[64];

    for (int i = 0; i < 6; i++) {
        const char *key = i < 3 ? upper[i] : lower[i - 3];
        const json_t *a = json_object_get(old, key), *b = json_object_get(new, key);

        if (b == NULL)
            continue;
        if (a == NULL || (i < 3 ? json_number_value(b) < json_number_value(a)
                                : json_number_value(b) > json_number_value(a)))
            weir_schema_refuse(check, label, "its %s was %s and is %s", key, shown(a, from),
                               shown(b, to));
    }

    if (json_object_get(new, "pattern") != NULL &&
        !weir_schema_same(json_object_get(old, "pattern"), json_object_get(new, "pattern")))
        weir_schema_refuse(check, label, "its pattern has changed");

    if (json_object_get(new, "enum") != NULL) {
        const json_t *had = json_object_get(old, "enum"), *has = json_object_get(new, "enum");

        if (had == NULL)
            weir_schema_refuse(check, label, "its values are limited now");
        for (size_t i = 0; i < json_array_size(had); i++) {
            bool found = false;

            for (size_t k = 0; k < json_array_size(has); k++)
                found = found || json_equal(json_array_get(had, i), json_array_get(has, k));
            if (!found)
                weir_schema_refuse(check, label, "the value %s is gone",
                                   shown(json_array_get(had, i), from));
        }
    }
}

/* A new field that may be the new name of a removed field; NULL when there is none. */
static const char *renamed_to(const json_t *old, json_t *new, const json_t *field)
{
    const char *name;
    json_t *other;

    json_object_foreach(new, name, other)
    {
        if (json_object_get(old, name) == NULL &&
            weir_schema_same(json_object_get(field, "type"), json_object_get(other, "type")) &&
            weir_schema_same(json_object_get(field, "format"), json_object_get(other, "format")))
            return name;
    }

    return NULL;
}

static void compare_schemas(weir_schema_check_t *check, const char *at, weir_schema_use_t use,
                            const json_t *old, const json_t *new, int depth);

static void compare_fields(weir_schema_check_t *check, const char *label, weir_schema_use_t use,
                           const json_t *old, const json_t *new, int depth)
{
    json_t *had = json_object_get(old, "properties"), *has = json_object_get(new, "properties");
    const json_t *must_old = json_object_get(old, "required");
    const json_t *must_new = json_object_get(new, "required");
    char field_label[WEIR_SCHEMA_LABEL_MAX];
    const char *name;
    json_t *field;

    json_object_foreach(had, name, field)
    {
        const json_t *other = json_object_get(has, name);

        weir_schema_label(field_label, "%s.%s", label, name);
        if (other == NULL) {
            const char *now = renamed_to(had, has, field);

            weir_schema_refuse(check, field_label,
                               now != NULL ? "the field is gone (or renamed to %s?)"
                                           : "the field is gone%s",
                               now != NULL ? now : "");
            continue;
        }
        if (use == WEIR_IN_ANSWER && has_string(must_old, name) && !has_string(must_new, name))
            weir_schema_refuse(check, field_label, "the field may be missing now");
        compare_schemas(check, field_label, use, field, other, depth + 1);
    }

    json_object_foreach(has, name, field)
    {
        if (json_object_get(had, name) == NULL)
            weir_schema_added(check, label, "the field %s", name);
        if (use == WEIR_IN_REQUEST && has_string(must_new, name) && !has_string(must_old, name))
            weir_schema_refuse(check, label, "a request must have the field %s now", name);
    }
}

/* True when two references were compared before: schemas may contain each other. */
static bool is_known_pair(weir_schema_check_t *check, weir_schema_use_t use, const json_t *old,
                          const json_t *new)
{
    const char *from = json_string_value(json_object_get(old, "$ref"));
    const char *to = json_string_value(json_object_get(new, "$ref"));
    char key[2 * WEIR_SCHEMA_LABEL_MAX];

    if (from == NULL || to == NULL)
        return false;

    if (snprintf(key, sizeof(key), "%d %s %s", use, from, to) >= (int)sizeof(key))
        return false;
    if (json_object_get(check->pairs, key) != NULL)
        return true;
    json_object_set_new(check->pairs, key, json_true());

    return false;
}

static void compare_schemas(weir_schema_check_t *check, const char *at, weir_schema_use_t use,
                            const json_t *old, const json_t *new, int depth)
{
    char label[WEIR_SCHEMA_LABEL_MAX];

    assert(depth >= 0 && depth <= DEPTH_MAX);
    if (depth == DEPTH_MAX)
        return;

    if (is_known_pair(check, use, old, new))
        return;

    weir_schema_label(label, "%s", at);
    old = weir_schema_resolve(check->old, old, label);
    new = weir_schema_resolve(check->new, new, NULL);
    if (old == NULL)
        return; /* the old reference was already broken */
    if (use != WEIR_ANYWHERE && strcmp(label, at) != 0)
        json_object_set_new(check->reached, label, json_true());
    if (new == NULL) {
        weir_schema_refuse(check, label, "the schema is gone");
        return;
    }

    compare_types(check, label, use, old, new);
    if (use == WEIR_IN_REQUEST)
        compare_limits(check, label, old, new);
    compare_fields(check, label, use, old, new, depth);

    if (json_object_get(old, "items") != NULL) {
        char inner[WEIR_SCHEMA_LABEL_MAX];

        weir_schema_label(inner, "%s[]", label);
        if (json_object_get(new, "items") == NULL)
            weir_schema_refuse(check, inner, "the schema of its elements is gone");
        else
            compare_schemas(check, inner, use, json_object_get(old, "items"),
                            json_object_get(new, "items"), depth + 1);
    }
}

void weir_schema_compare(weir_schema_check_t *check, const char *at, weir_schema_use_t use,
                         const json_t *old, const json_t *new)
{
    assert(old != NULL && new != NULL);
    compare_schemas(check, at, use, old, new, 0);
}
