#include "api/schema/schema.h"

#include "api/schema/private.h"

#include <stdlib.h>
#include <string.h>

/* True when two media types differ at most in the version number: application/vnd.name.v2+json. */
static bool is_same_type(const char *a, const char *b)
{
    const char *start = a;

    while (*a != '\0' && *a == *b) {
        bool version = *a == 'v' && a > start && a[-1] == '.';

        a++;
        b++;
        if (version) {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        }
    }

    return *a == '\0' && *b == '\0';
}

static const json_t *find_type(json_t *content, const char *wanted)
{
    const char *type;
    json_t *media;

    json_object_foreach(content, type, media)
    {
        if (is_same_type(wanted, type))
            return media;
    }

    return NULL;
}

/* Compares each media type of a body, with its schema. */
static void compare_content(weir_schema_check_t *check, const char *label, weir_schema_use_t use,
                            const json_t *old, const json_t *new)
{
    json_t *had = json_object_get(weir_schema_resolve(check->old, old, NULL), "content");
    json_t *has = json_object_get(weir_schema_resolve(check->new, new, NULL), "content");
    const char *type;
    json_t *media;

    json_object_foreach(had, type, media)
    {
        const json_t *other = find_type(has, type);
        const json_t *schema = json_object_get(media, "schema");

        if (other == NULL)
            weir_schema_refuse(check, label, "the media type %s is gone", type);
        else if (schema != NULL && json_object_get(other, "schema") != NULL)
            weir_schema_compare(check, label, use, schema, json_object_get(other, "schema"));
    }
}

/* The parameter of the same name and place. */
static const json_t *find_parameter(const json_t *document, const json_t *list,
                                    const json_t *wanted)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = weir_schema_resolve(document, json_array_get(list, i), NULL);

        if (weir_schema_same(json_object_get(one, "name"), json_object_get(wanted, "name")) &&
            weir_schema_same(json_object_get(one, "in"), json_object_get(wanted, "in")))
            return one;
    }

    return NULL;
}

static void compare_parameters(weir_schema_check_t *check, const char *label, const json_t *old,
                               const json_t *new)
{
    for (size_t i = 0; i < json_array_size(old); i++) {
        const json_t *one = weir_schema_resolve(check->old, json_array_get(old, i), NULL);
        const json_t *other = find_parameter(check->new, new, one);
        const char *name = json_string_value(json_object_get(one, "name"));
        char inner[WEIR_SCHEMA_LABEL_MAX];

        if (name == NULL)
            continue;
        if (other == NULL) {
            weir_schema_refuse(check, label, "the parameter %s is gone", name);
            continue;
        }
        weir_schema_label(inner, "%s, parameter %s", label, name);
        if (json_object_get(one, "schema") != NULL && json_object_get(other, "schema") != NULL)
            weir_schema_compare(check, inner, WEIR_IN_REQUEST, json_object_get(one, "schema"),
                                json_object_get(other, "schema"));
    }

    for (size_t i = 0; i < json_array_size(new); i++) {
        const json_t *one = weir_schema_resolve(check->new, json_array_get(new, i), NULL);
        const json_t *before = find_parameter(check->old, old, one);
        const char *name = json_string_value(json_object_get(one, "name"));

        if (name == NULL)
            continue;
        if (json_is_true(json_object_get(one, "required")) &&
            !json_is_true(json_object_get(before, "required")))
            weir_schema_refuse(check, label, "a request must have the parameter %s now", name);
        else if (before == NULL)
            weir_schema_added(check, label, "the parameter %s", name);
    }
}

static void compare_operations(weir_schema_check_t *check, const char *label, const json_t *old,
                               const json_t *new)
{
    json_t *answers = json_object_get(old, "responses"), *answer;
    json_t *body = json_object_get(new, "requestBody");
    const char *status;

    compare_parameters(check, label, json_object_get(old, "parameters"),
                       json_object_get(new, "parameters"));

    if (json_object_get(old, "requestBody") == NULL) {
        if (json_is_true(json_object_get(weir_schema_resolve(check->new, body, NULL), "required")))
            weir_schema_refuse(check, label, "a request must have a body now");
    } else if (body == NULL) {
        weir_schema_refuse(check, label, "the request's body is gone");
    } else {
        char inner[WEIR_SCHEMA_LABEL_MAX];

        weir_schema_label(inner, "%s, body", label);
        compare_content(check, inner, WEIR_IN_REQUEST, json_object_get(old, "requestBody"), body);
    }

    json_object_foreach(answers, status, answer)
    {
        const json_t *other = json_object_get(json_object_get(new, "responses"), status);
        char inner[WEIR_SCHEMA_LABEL_MAX];

        weir_schema_label(inner, "%s, answer %s", label, status);
        if (other != NULL)
            compare_content(check, inner, WEIR_IN_ANSWER, answer, other);
        else if (status[0] == '2')
            weir_schema_refuse(check, inner, "it is gone");
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

static void compare_paths(weir_schema_check_t *check)
{
    json_t *had = json_object_get(check->old, "paths"), *has = json_object_get(check->new, "paths");
    const char *path, *method;
    json_t *item, *operation;
    char label[WEIR_SCHEMA_LABEL_MAX];

    json_object_foreach(had, path, item)
    {
        const json_t *other = json_object_get(has, path);

        if (other == NULL) {
            weir_schema_refuse(check, path, "the path is gone");
            continue;
        }
        json_object_foreach(item, method, operation)
        {
            if (!is_method(method))
                continue;
            weir_schema_label(label, "%s %s", method, path);
            if (json_object_get(other, method) == NULL)
                weir_schema_refuse(check, label, "the method is gone");
            else
                compare_operations(check, label, operation, json_object_get(other, method));
        }
    }

    json_object_foreach(has, path, item)
    {
        json_object_foreach(item, method, operation)
        {
            if (is_method(method) && json_object_get(json_object_get(had, path), method) == NULL)
                weir_schema_added(check, path, "the method %s", method);
        }
    }
}

/* Compares the schemas that no operation uses; the others were compared where they are used. */
static void compare_components(weir_schema_check_t *check)
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
            weir_schema_refuse(check, name, "the schema is gone");
        else
            weir_schema_compare(check, name, WEIR_ANYWHERE, schema, json_object_get(has, name));
    }

    json_object_foreach(has, name, schema)
    {
        if (json_object_get(had, name) == NULL)
            weir_schema_added(check, name, "the schema");
    }
}

/* Returns NULL, and writes the reason, when the file is not an OpenAPI document. */
static json_t *load(const char *path, FILE *out)
{
    json_error_t error;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

    if (root == NULL) {
        if (error.line > 0)
            fprintf(out, "%s: not JSON (line %d, column %d): %s\n", path, error.line, error.column,
                    error.text);
        else
            fprintf(out, "%s\n", error.text); /* it names the file */
        return NULL;
    }

    if (!json_is_object(json_object_get(root, "paths")) &&
        !json_is_object(json_object_get(root, "components"))) {
        fprintf(out, "%s: not an OpenAPI document: it has neither paths nor components\n", path);
        json_decref(root);
        return NULL;
    }

    return root;
}

int weir_schema_check(const char *old_path, const char *new_path, FILE *out)
{
    json_t *old = load(old_path, out), *new = load(new_path, out);
    weir_schema_check_t check = {.old = old, .new = new, .out = out};

    if (old != NULL && new != NULL) {
        check.lines = json_object();
        check.reached = json_object();
        check.pairs = json_object();
        compare_paths(&check);
        compare_components(&check);
        json_decref(check.lines);
        json_decref(check.reached);
        json_decref(check.pairs);
        if (check.refused > 0)
            fprintf(out, "%d incompatible changes\n", check.refused);
        else
            fprintf(out, "compatible, %d additions\n", check.added);
    }

    json_decref(old);
    json_decref(new);
    if (old == NULL || new == NULL)
        return WEIR_SCHEMA_UNREADABLE;

    return check.refused > 0 ? WEIR_SCHEMA_REFUSED : WEIR_SCHEMA_COMPATIBLE;
}
