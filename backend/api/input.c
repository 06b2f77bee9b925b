#include "api/input.h"

#include "api/formats.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

json_t *weir_input_object(weir_str_t body, char *why, size_t why_size)
{
    json_error_t error;
    json_t *root;

    if (body.len == 0) {
        snprintf(why, why_size, "The body is empty; it must be a JSON object.");
        return NULL;
    }

    /* NUL and types other than objects are parsed, so that the message can name them. */
    root = weir_alloc_json(body.data, body.len,
                           JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (root == NULL) {
        snprintf(why, why_size, "The body is not JSON (line %d, column %d): %s.", error.line,
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

weir_input_error_t weir_input_error(const char *pointer, const char *detail)
{
    weir_input_error_t error;

    assert(pointer != NULL && detail != NULL);
    snprintf(error.pointer, sizeof(error.pointer), "%s", pointer);
    snprintf(error.detail, sizeof(error.detail), "%s", detail);

    return error;
}

/* --- one value ------------------------------------------------------------------------- */

/* The message about a wrong value; empty: the value is right. */
typedef struct {
    char text[sizeof(((weir_input_error_t *)0)->detail)];
} wrong_t;

static void say(wrong_t *wrong, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(wrong_t *wrong, const char *format, ...)
{
    va_list ap;

    va_start(ap, format);
    vsnprintf(wrong->text, sizeof(wrong->text), format, ap);
    va_end(ap);
}

static const char *check_format(const weir_field_t *field, weir_str_t s)
{
    switch (field->type) {
    case WEIR_LINE:
        return weir_format_line(s);
    case WEIR_EMAIL:
        return weir_format_email(s);
    case WEIR_UUID:
        return weir_format_uuid(s);
    case WEIR_TIME:
        return weir_format_time(s);
    case WEIR_DATE:
        return weir_format_date(s);
    case WEIR_CURRENCY:
        return weir_format_currency(s);
    default:
        return memchr(s.data, '\0', s.len) == NULL ? NULL : "must not contain U+0000";
    }
}

static void check_string(const weir_field_t *field, weir_str_t s, wrong_t *wrong)
{
    const char *detail = check_format(field, s);
    long long characters;

    if (detail != NULL) {
        say(wrong, "%s", detail);
        return;
    }
    if (field->type > WEIR_EMAIL || field->max == 0)
        return;

    characters = (long long)weir_format_characters(s);
    if (characters == 0 && field->min > 0)
        say(wrong, "must not be empty");
    else if (characters < field->min)
        say(wrong, "must have at least %lld characters", field->min);
    else if (characters > field->max)
        say(wrong, "must have at most %lld characters", field->max);
}

static void check_choice(const weir_field_t *field, weir_str_t s, wrong_t *wrong)
{
    size_t len = (size_t)snprintf(wrong->text, sizeof(wrong->text), "must be ");

    assert(field->choices != NULL);
    for (size_t i = 0; field->choices[i] != NULL; i++) {
        const char *choice = field->choices[i];

        if (strlen(choice) == s.len && memcmp(choice, s.data, s.len) == 0) {
            wrong->text[0] = '\0';
            return;
        }
        if (len < sizeof(wrong->text))
            len += (size_t)snprintf(wrong->text + len, sizeof(wrong->text) - len, "%s%s",
                                    i == 0                          ? ""
                                    : field->choices[i + 1] == NULL ? " or "
                                                                    : ", ",
                                    choice);
    }
}

static void check_number(const weir_field_t *field, const json_t *value, wrong_t *wrong)
{
    const char *kind = field->type == WEIR_INTEGER ? "an integer" : "a number";
    bool is_one = field->type == WEIR_INTEGER ? json_is_integer(value) : json_is_number(value);

    assert(field->type == WEIR_INTEGER || field->type == WEIR_NUMBER);
    if (field->max == 0) {
        if (!is_one)
            say(wrong, "must be %s", kind);
        return;
    }
    /* Integers are compared as integers: a double cannot represent all of them. */
    if (is_one && json_is_integer(value))
        is_one = json_integer_value(value) >= field->min && json_integer_value(value) <= field->max;
    else if (is_one)
        is_one = json_real_value(value) >= (double)field->min &&
                 json_real_value(value) <= (double)field->max;
    if (!is_one)
        say(wrong, "must be %s from %lld to %lld%s%s", kind, field->min, field->max,
            field->unit != NULL ? ", " : "", field->unit != NULL ? field->unit : "");
}

/* Checks a value, but not the content of an object or a list. */
static void check_value(const weir_field_t *field, const json_t *value, wrong_t *wrong)
{
    weir_str_t s = {json_string_value(value), json_string_length(value)};
    long long size;

    switch (field->type) {
    case WEIR_INTEGER:
    case WEIR_NUMBER:
        check_number(field, value, wrong);
        break;
    case WEIR_BOOLEAN:
        if (!json_is_boolean(value))
            say(wrong, "must be true or false");
        break;
    case WEIR_OBJECT:
        if (!json_is_object(value))
            say(wrong, "must be an object");
        break;
    case WEIR_LIST:
        size = (long long)json_array_size(value);
        if (!json_is_array(value))
            say(wrong, "must be an array");
        else if (field->max > 0 && (size < field->min || size > field->max))
            say(wrong, "must have %lld to %lld items", field->min, field->max);
        break;
    default:
        if (!json_is_string(value))
            say(wrong, "must be a string");
        else if (field->type == WEIR_ENUM)
            check_choice(field, s, wrong);
        else
            check_string(field, s, wrong);
        break;
    }
}

/* --- a body ------------------------------------------------------------------------------ */

typedef struct {
    weir_input_error_t *errors;
    int n;
    int version;
} check_t;

/* A place in the body (RFC 6901). It becomes a text only where there is an error. */
typedef struct pointer {
    const struct pointer *outer; /* NULL: the body */
    const char *name;            /* of the member; NULL: element i */
    size_t i;
} pointer_t;

/* Writes the text, and returns its length; a text that does not fit is cut. */
static size_t pointer_text(const pointer_t *at, char *text, size_t size)
{
    size_t len;
    int n;

    assert(size > 0);
    text[0] = '\0';
    if (at->outer == NULL)
        return 0;

    len = pointer_text(at->outer, text, size);
    if (at->name != NULL)
        n = snprintf(text + len, size - len, "/%s", at->name);
    else
        n = snprintf(text + len, size - len, "/%zu", at->i);
    len += n > 0 ? (size_t)n : 0;

    return len < size ? len : size - 1;
}

static void add(check_t *check, const pointer_t *at, const char *detail)
{
    char text[sizeof(((weir_input_error_t *)0)->pointer)];

    if (check->n == WEIR_INPUT_ERRORS_MAX)
        return;
    pointer_text(at, text, sizeof(text));
    check->errors[check->n++] = weir_input_error(text, detail);
}

static void check_object(check_t *check, const pointer_t *at, const weir_resource_t *resource,
                         const json_t *object);

/* The tables limit the depth of the recursion, not the body. */
static void check_field(check_t *check, const pointer_t *at, const weir_field_t *field,
                        const json_t *value)
{
    /* A list of objects is handled as a list of values that are objects. */
    const weir_field_t object = {.type = WEIR_OBJECT, .of = field->of};
    wrong_t wrong = {""};

    check_value(field, value, &wrong);
    if (wrong.text[0] != '\0') {
        add(check, at, wrong.text);
        return;
    }
    if (field->type == WEIR_OBJECT)
        check_object(check, at, field->of, value);
    for (size_t i = 0; field->type == WEIR_LIST && i < json_array_size(value); i++) {
        pointer_t inner = {at, NULL, i};

        check_field(check, &inner, field->of != NULL ? &object : field->each,
                    json_array_get(value, i));
    }
}

static void check_object(check_t *check, const pointer_t *at, const weir_resource_t *resource,
                         const json_t *object)
{
    for (size_t i = 0; i < resource->count; i++) {
        const weir_field_t *field = &resource->fields[i];
        const json_t *value = json_object_get(object, field->name);
        pointer_t inner = {at, field->name, 0};

        if (!weir_field_is_shown(field, check->version))
            continue;
        if (value != NULL)
            check_field(check, &inner, field, value);
        else if (!field->optional)
            add(check, &inner, "is required");
    }
}

static const weir_field_t *find_field(const weir_resource_t *resource, const char *name,
                                      int version)
{
    for (size_t i = 0; i < resource->count; i++) {
        const weir_field_t *field = &resource->fields[i];

        if (strcmp(field->name, name) == 0 && weir_field_is_shown(field, version))
            return field;
    }

    return NULL;
}

/*
 * Removes unknown members: a body is kept while its request waits, and unused memory should not be.
 */
static void drop_unknown(json_t *object, const weir_resource_t *resource, int version)
{
    const char *name;
    json_t *value;
    void *next;

    json_object_foreach_safe(object, next, name, value)
    {
        const weir_field_t *field = find_field(resource, name, version);

        if (field == NULL)
            json_object_del(object, name);
        else if (field->type == WEIR_OBJECT)
            drop_unknown(value, field->of, version);
        for (size_t i = 0; field != NULL && field->type == WEIR_LIST && field->of != NULL &&
                           i < json_array_size(value);
             i++)
            drop_unknown(json_array_get(value, i), field->of, version);
    }
}

int weir_input_read(weir_str_t body, const weir_resource_t *resource, int version, json_t **object,
                    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size)
{
    check_t check = {.errors = errors, .version = version};
    json_t *root = weir_input_object(body, why, why_size);

    assert(version > 0 && object != NULL);
    if (root == NULL)
        return -1;

    check_object(&check, &(pointer_t){NULL, NULL, 0}, resource, root);
    if (check.n > 0) {
        json_decref(root);
    } else {
        drop_unknown(root, resource, version);
        *object = root;
    }

    return check.n;
}
