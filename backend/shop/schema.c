#include "shop/schema.h"

#include <jansson.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 32 /* of schemas in schemas: one that holds itself ends there */
#define LABEL_MAX 512

typedef enum { REQUEST, ANSWER, ANY } use_t;

typedef struct {
    const json_t *old, *new; /* documents */
    json_t *told;            /* lines, as keys: each is told once */
    json_t *reached;         /* names of schemas that an operation of the old one uses */
    json_t *pairs;           /* of references that were compared */
    FILE *out;
    int refused, added;
} check_t;

static bool tell(check_t *check, const char *kind, const char *label, const char *text, va_list ap)
{
    char line[LABEL_MAX + 256];
    int len = snprintf(line, sizeof(line), "%s: %s: ", kind, label);

    if (len < (int)sizeof(line))
        vsnprintf(line + len, sizeof(line) - (size_t)len, text, ap);
    if (json_object_get(check->told, line) != NULL)
        return false;

    json_object_set_new(check->told, line, json_true());
    fprintf(check->out, "%s\n", line);

    return true;
}

static void refuse(check_t *check, const char *label, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

static void refuse(check_t *check, const char *label, const char *text, ...)
{
    va_list ap;

    va_start(ap, text);
    check->refused += tell(check, "refused", label, text, ap);
    va_end(ap);
}

static void note_added(check_t *check, const char *label, const char *text, ...)
    __attribute__((format(printf, 3, 4)));

static void note_added(check_t *check, const char *label, const char *text, ...)
{
    va_list ap;

    va_start(ap, text);
    check->added += tell(check, "added", label, text, ap);
    va_end(ap);
}

/* Writes a label; what has no room is left out. */
static void name_it(char label[LABEL_MAX], const char *text, ...)
    __attribute__((format(printf, 2, 3)));

static void name_it(char label[LABEL_MAX], const char *text, ...)
{
    va_list ap;

    va_start(ap, text);
    vsnprintf(label, LABEL_MAX, text, ap);
    va_end(ap);
}

/* --- references ------------------------------------------------------------------------ */

/* RFC 6901 section 4: the member of that token, in which ~1 stands for / and ~0 for ~. */
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

/*
 * What a reference of the document leads to, itself when it is none.  label becomes the last
 * token of the reference: a schema is told by its own name, wherever it is used.  NULL: nowhere.
 */
static const json_t *resolve(const json_t *document, const json_t *at, char *label)
{
    for (int i = 0; i < DEPTH_MAX; i++) {
        const char *p = json_string_value(json_object_get(at, "$ref"));

        if (p == NULL)
            return at;
        if (p[0] != '#')
            return NULL;

        if (label != NULL)
            name_it(label, "%s", strrchr(p, '/') != NULL ? strrchr(p, '/') + 1 : p);
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

static bool same(const json_t *a, const json_t *b)
{
    return (a == NULL && b == NULL) || (a != NULL && b != NULL && json_equal(a, b));
}

/* Text for a message; not to be freed. */
static const char *shown(const json_t *value, char buf[64])
{
    char *text = value != NULL ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

    snprintf(buf, 64, "%s", text != NULL ? text : "none");
    free(text);

    return buf;
}

/* Of types: "number" takes what "integer" takes, a list of types what each of them takes. */
static bool is_widened(const json_t *old, const json_t *new)
{
    const char *from = json_string_value(old), *to = json_string_value(new);

    if (from == NULL)
        return false;
    if (to != NULL)
        return strcmp(from, "integer") == 0 && strcmp(to, "number") == 0;

    return has_string(new, from);
}

static void compare_types(check_t *check, const char *label, use_t use, const json_t *old,
                          const json_t *new)
{
    static const char *const keys[] = {"type", "format", "const", "allOf", "anyOf", "oneOf", "not"};
    char from[64], to[64];

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const json_t *a = json_object_get(old, keys[i]), *b = json_object_get(new, keys[i]);

        if (same(a, b) || (use == REQUEST && (b == NULL || is_widened(a, b))))
            continue;
        refuse(check, label, "its %s was %s and is %s", keys[i], shown(a, from), shown(b, to));
    }
}

/* A request that was right must stay so. */
static void compare_limits(check_t *check, const char *label, const json_t *old, const json_t *new)
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
            refuse(check, label, "its %s was %s and is %s", key, shown(a, from), shown(b, to));
    }

    if (json_object_get(new, "pattern") != NULL &&
        !same(json_object_get(old, "pattern"), json_object_get(new, "pattern")))
        refuse(check, label, "its pattern is another");

    if (json_object_get(new, "enum") != NULL) {
        const json_t *had = json_object_get(old, "enum"), *has = json_object_get(new, "enum");

        if (had == NULL)
            refuse(check, label, "its values are limited now");
        for (size_t i = 0; i < json_array_size(had); i++) {
            bool found = false;

            for (size_t k = 0; k < json_array_size(has); k++)
                found = found || json_equal(json_array_get(had, i), json_array_get(has, k));
            if (!found)
                refuse(check, label, "the value %s is gone", shown(json_array_get(had, i), from));
        }
    }
}

/* The new field that a field which is gone may have become; NULL when there is none. */
static const char *renamed_to(const json_t *old, json_t *new, const json_t *field)
{
    const char *name;
    json_t *other;

    json_object_foreach(new, name, other)
    {
        if (json_object_get(old, name) == NULL &&
            same(json_object_get(field, "type"), json_object_get(other, "type")) &&
            same(json_object_get(field, "format"), json_object_get(other, "format")))
            return name;
    }

    return NULL;
}

static void compare_schemas(check_t *check, const char *at, use_t use, const json_t *old,
                            const json_t *new, int depth);

static void compare_fields(check_t *check, const char *label, use_t use, const json_t *old,
                           const json_t *new, int depth)
{
    json_t *had = json_object_get(old, "properties"), *has = json_object_get(new, "properties");
    const json_t *must_old = json_object_get(old, "required");
    const json_t *must_new = json_object_get(new, "required");
    char field_label[LABEL_MAX];
    const char *name;
    json_t *field;

    json_object_foreach(had, name, field)
    {
        const json_t *other = json_object_get(has, name);

        name_it(field_label, "%s.%s", label, name);
        if (other == NULL) {
            const char *now = renamed_to(had, has, field);

            refuse(check, field_label,
                   now != NULL ? "the field is gone (or renamed to %s?)" : "the field is gone%s",
                   now != NULL ? now : "");
            continue;
        }
        if (use == ANSWER && has_string(must_old, name) && !has_string(must_new, name))
            refuse(check, field_label, "the field may be missing now");
        compare_schemas(check, field_label, use, field, other, depth + 1);
    }

    json_object_foreach(has, name, field)
    {
        if (json_object_get(had, name) == NULL)
            note_added(check, label, "the field %s", name);
        if (use == REQUEST && has_string(must_new, name) && !has_string(must_old, name))
            refuse(check, label, "a request must have the field %s now", name);
    }
}

/* Whether two references were compared before: schemas may hold each other in any number. */
static bool is_known_pair(check_t *check, use_t use, const json_t *old, const json_t *new)
{
    const char *from = json_string_value(json_object_get(old, "$ref"));
    const char *to = json_string_value(json_object_get(new, "$ref"));
    char key[2 * LABEL_MAX];

    if (from == NULL || to == NULL)
        return false;

    if (snprintf(key, sizeof(key), "%d %s %s", use, from, to) >= (int)sizeof(key))
        return false;
    if (json_object_get(check->pairs, key) != NULL)
        return true;
    json_object_set_new(check->pairs, key, json_true());

    return false;
}

static void compare_schemas(check_t *check, const char *at, use_t use, const json_t *old,
                            const json_t *new, int depth)
{
    char label[LABEL_MAX];

    if (depth == DEPTH_MAX)
        return;

    if (is_known_pair(check, use, old, new))
        return;

    name_it(label, "%s", at);
    old = resolve(check->old, old, label);
    new = resolve(check->new, new, NULL);
    if (old == NULL)
        return; /* it never was right */
    if (use != ANY && strcmp(label, at) != 0)
        json_object_set_new(check->reached, label, json_true());
    if (new == NULL) {
        refuse(check, label, "the schema is gone");
        return;
    }

    compare_types(check, label, use, old, new);
    if (use == REQUEST)
        compare_limits(check, label, old, new);
    compare_fields(check, label, use, old, new, depth);

    if (json_object_get(old, "items") != NULL) {
        char inner[LABEL_MAX];

        name_it(inner, "%s[]", label);
        if (json_object_get(new, "items") == NULL)
            refuse(check, inner, "what its elements are is not said any more");
        else
            compare_schemas(check, inner, use, json_object_get(old, "items"),
                            json_object_get(new, "items"), depth + 1);
    }
}

/* --- operations ------------------------------------------------------------------------- */

/* Of a body: each media type with its schema. */
static void compare_content(check_t *check, const char *label, use_t use, const json_t *old,
                            const json_t *new)
{
    json_t *had = json_object_get(resolve(check->old, old, NULL), "content");
    json_t *has = json_object_get(resolve(check->new, new, NULL), "content");
    const char *type;
    json_t *media;

    json_object_foreach(had, type, media)
    {
        const json_t *other = json_object_get(has, type);
        const json_t *schema = json_object_get(media, "schema");

        if (other == NULL)
            refuse(check, label, "the media type %s is gone", type);
        else if (schema != NULL && json_object_get(other, "schema") != NULL)
            compare_schemas(check, label, use, schema, json_object_get(other, "schema"), 0);
    }
}

/* The parameter of the same name and place. */
static const json_t *find_parameter(const json_t *document, const json_t *list,
                                    const json_t *wanted)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = resolve(document, json_array_get(list, i), NULL);

        if (same(json_object_get(one, "name"), json_object_get(wanted, "name")) &&
            same(json_object_get(one, "in"), json_object_get(wanted, "in")))
            return one;
    }

    return NULL;
}

static void compare_parameters(check_t *check, const char *label, const json_t *old,
                               const json_t *new)
{
    for (size_t i = 0; i < json_array_size(old); i++) {
        const json_t *one = resolve(check->old, json_array_get(old, i), NULL);
        const json_t *other = find_parameter(check->new, new, one);
        const char *name = json_string_value(json_object_get(one, "name"));
        char inner[LABEL_MAX];

        if (name == NULL)
            continue;
        if (other == NULL) {
            refuse(check, label, "the parameter %s is gone", name);
            continue;
        }
        name_it(inner, "%s, parameter %s", label, name);
        if (json_object_get(one, "schema") != NULL && json_object_get(other, "schema") != NULL)
            compare_schemas(check, inner, REQUEST, json_object_get(one, "schema"),
                            json_object_get(other, "schema"), 0);
    }

    for (size_t i = 0; i < json_array_size(new); i++) {
        const json_t *one = resolve(check->new, json_array_get(new, i), NULL);
        const json_t *before = find_parameter(check->old, old, one);
        const char *name = json_string_value(json_object_get(one, "name"));

        if (name == NULL)
            continue;
        if (json_is_true(json_object_get(one, "required")) &&
            !json_is_true(json_object_get(before, "required")))
            refuse(check, label, "a request must have the parameter %s now", name);
        else if (before == NULL)
            note_added(check, label, "the parameter %s", name);
    }
}

static void compare_operations(check_t *check, const char *label, const json_t *old,
                               const json_t *new)
{
    json_t *answers = json_object_get(old, "responses"), *answer;
    json_t *body = json_object_get(new, "requestBody");
    const char *status;

    compare_parameters(check, label, json_object_get(old, "parameters"),
                       json_object_get(new, "parameters"));

    if (json_object_get(old, "requestBody") == NULL) {
        if (json_is_true(json_object_get(resolve(check->new, body, NULL), "required")))
            refuse(check, label, "a request must have a body now");
    } else if (body != NULL) {
        char inner[LABEL_MAX];

        name_it(inner, "%s, body", label);
        compare_content(check, inner, REQUEST, json_object_get(old, "requestBody"), body);
    }

    json_object_foreach(answers, status, answer)
    {
        const json_t *other = json_object_get(json_object_get(new, "responses"), status);
        char inner[LABEL_MAX];

        name_it(inner, "%s, answer %s", label, status);
        if (other != NULL)
            compare_content(check, inner, ANSWER, answer, other);
        else if (status[0] == '2')
            refuse(check, inner, "it is gone");
    }
}

static bool is_method(const char *name)
{
    static const char *const methods[] = {"get",     "put",  "post",  "delete",
                                          "options", "head", "patch", "trace"};

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strcmp(name, methods[i]) == 0)
            return true;
    }

    return false;
}

static void compare_paths(check_t *check)
{
    json_t *had = json_object_get(check->old, "paths"), *has = json_object_get(check->new, "paths");
    const char *path, *method;
    json_t *item, *operation;
    char label[LABEL_MAX];

    json_object_foreach(had, path, item)
    {
        const json_t *other = json_object_get(has, path);

        if (other == NULL) {
            refuse(check, path, "the path is gone");
            continue;
        }
        json_object_foreach(item, method, operation)
        {
            if (!is_method(method))
                continue;
            name_it(label, "%s %s", method, path);
            if (json_object_get(other, method) == NULL)
                refuse(check, label, "the method is gone");
            else
                compare_operations(check, label, operation, json_object_get(other, method));
        }
    }

    json_object_foreach(has, path, item)
    {
        json_object_foreach(item, method, operation)
        {
            if (is_method(method) && json_object_get(json_object_get(had, path), method) == NULL)
                note_added(check, path, "the method %s", method);
        }
    }
}

/* Those that no operation uses; the others were compared by their use. */
static void compare_components(check_t *check)
{
    json_t *had = json_object_get(json_object_get(check->old, "components"), "schemas");
    json_t *has = json_object_get(json_object_get(check->new, "components"), "schemas");
    const char *name;
    json_t *schema;

    json_object_foreach(had, name, schema)
    {
        if (json_object_get(check->reached, name) != NULL)
            continue;
        if (json_object_get(has, name) == NULL)
            refuse(check, name, "the schema is gone");
        else
            compare_schemas(check, name, ANY, schema, json_object_get(has, name), 0);
    }

    json_object_foreach(has, name, schema)
    {
        if (json_object_get(had, name) == NULL)
            note_added(check, name, "the schema");
    }
}

/* NULL, and the reason was written, when the file has no OpenAPI document. */
static json_t *load(const char *path, FILE *out)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

    if (root == NULL) {
        if (error.line > 0)
            fprintf(out, "%s: it is no JSON (line %d, column %d): %s\n", path, error.line,
                    error.column, error.text);
        else
            fprintf(out, "%s\n", error.text); /* it names the file */
        return NULL;
    }

    if (!json_is_object(json_object_get(root, "paths")) &&
        !json_is_object(json_object_get(root, "components"))) {
        fprintf(out, "%s: it is no OpenAPI document: it has neither paths nor components\n", path);
        json_decref(root);
        return NULL;
    }

    return root;
}

int weir_schema_check(const char *old_path, const char *new_path, FILE *out)
{
    json_t *old = load(old_path, out), *new = load(new_path, out);
    check_t check = {.old = old, .new = new, .out = out};

    if (old != NULL && new != NULL) {
        check.told = json_object();
        check.reached = json_object();
        check.pairs = json_object();
        if (check.told == NULL || check.reached == NULL || check.pairs == NULL)
            abort();
        compare_paths(&check);
        compare_components(&check);
        json_decref(check.told);
        json_decref(check.reached);
        json_decref(check.pairs);
        if (check.refused > 0)
            fprintf(out, "%d changes that clients cannot live with\n", check.refused);
        else
            fprintf(out, "compatible, %d additions\n", check.added);
    }

    json_decref(old);
    json_decref(new);
    if (old == NULL || new == NULL)
        return WEIR_SCHEMA_UNREADABLE;

    return check.refused > 0 ? WEIR_SCHEMA_REFUSED : WEIR_SCHEMA_COMPATIBLE;
}
