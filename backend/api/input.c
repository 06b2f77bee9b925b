#include "api/input.h"

#include "common/uuid7.h"

#include <stdio.h>

json_t *weir_input_object(weir_str_t body, char *why, size_t why_size)
{
    json_error_t error;
    json_t *root;

    if (body.len == 0) {
        snprintf(why, why_size, "The body is empty; it must be a JSON object.");
        return NULL;
    }

    /* NUL and other types than objects are let in to be refused by name. */
    root = json_loadb(body.data, body.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (root == NULL) {
        snprintf(why, why_size, "The body is no JSON (line %d, column %d): %s.", error.line,
                 error.column, error.text);
        return NULL;
    }

    if (!json_is_object(root)) {
        json_decref(root);
        snprintf(why, why_size, "The body must be a JSON object.");
        return NULL;
    }

    return root;
}

const char *weir_input_string(const json_t *object, const char *name,
                              const char *(*check)(weir_str_t), const char **out)
{
    json_t *value = json_object_get(object, name);

    if (value == NULL)
        return "is required";
    if (!json_is_string(value))
        return "must be a string";

    *out = json_string_value(value);

    return check((weir_str_t){*out, json_string_length(value)});
}

const char *weir_input_integer(const json_t *object, const char *name, long long min, long long max,
                               const char *wrong, long long *out)
{
    json_t *value = json_object_get(object, name);

    if (value == NULL)
        return "is required";
    if (!json_is_integer(value))
        return wrong;

    *out = json_integer_value(value);

    return *out >= min && *out <= max ? NULL : wrong;
}

const char *weir_uuid_check(weir_str_t s)
{
    char uuid[WEIR_UUID_LEN + 1];

    return weir_uuid_parse(s, uuid) == 0 ? NULL : "must be a UUID";
}
