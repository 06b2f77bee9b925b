/*
 * The content of the API's requests and answers, as data. A resource is a table of fields. The row
 * of a field has its type, the version that added it, the version that deprecates it, and its
 * replacement. A new version needs new rows, not new code. All uses of a field are derived from its
 * row:
 *
 *   representation.h   the answer, and the header field that lists deprecated fields
 *   input.h            the check of a request's body
 *   openapi.h          the OpenAPI document
 *
 * Fields of a version are never removed from the table: `weirctl schema check` (schema/schema.h)
 * compares the documents of two releases.
 */
#ifndef WEIR_FIELDS_H
#define WEIR_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_VALUES_MAX 16 /* of one resource */

typedef enum {
    WEIR_STRING,
    WEIR_LINE, /* a string to display: no control characters, at least one visible character */
    WEIR_EMAIL,
    WEIR_UUID,
    WEIR_TIME,     /* RFC 3339 with a time */
    WEIR_DATE,     /* RFC 3339, full-date */
    WEIR_CURRENCY, /* ISO 4217, three letters */
    WEIR_ENUM,     /* a string, one of `choices` */
    WEIR_INTEGER,
    WEIR_NUMBER,
    WEIR_BOOLEAN,
    WEIR_OBJECT, /* described by `of` */
    WEIR_LIST,   /* of objects, described by `of`, or of values, described by `each` */
} weir_type_t;

typedef struct weir_resource weir_resource_t;
typedef struct weir_field weir_field_t;

struct weir_field {
    const char *name;
    weir_type_t type;
    int value;               /* index in the array of values */
    int since;               /* first version that has the field */
    int deprecated;          /* first version that deprecates it; 0: none */
    int removed;             /* first version without it; 0: none */
    const char *replaced_by; /* the field to use instead, or NULL */
    const weir_resource_t *of;
    const weir_field_t *each;   /* type and limits of a list's values; its name is not used */
    const char *const *choices; /* ends with NULL */
    const char *about;          /* a sentence for the reader of the document, or NULL */
    const char
        *unit; /* for the message about a wrong number: "in minor units of the currency"; or NULL */
    long long min, max; /* limits of a number, of a string's characters, of a list's elements; max
                           0: no limits */
    int optional;       /* it may be missing */
};

struct weir_resource {
    const char *name; /* in the OpenAPI document: "Thing" */
    const weir_field_t *fields;
    size_t count;
};

/*
 * The resource of a table of fields; its name in the document is TYPE. Versions 14 and 19 of
 * clang-format disagree about the braces.
 */
/* clang-format off */
#define WEIR_RESOURCE(type, table) \
    {.name = type, .fields = table, .count = sizeof(table) / sizeof((table)[0])}
/* clang-format on */

/* True when the version has the field. */
static inline bool weir_field_is_shown(const weir_field_t *field, int version)
{
    return version >= field->since && (field->removed == 0 || version < field->removed);
}

/* True when the version has the field and deprecates it. */
static inline bool weir_field_is_deprecated(const weir_field_t *field, int version)
{
    return weir_field_is_shown(field, version) && field->deprecated != 0 &&
           version >= field->deprecated;
}

#endif
