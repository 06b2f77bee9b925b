/*
 * What requests and answers of the API hold, as data: a resource is a table of fields, which says
 * of each what it holds, which version brought it, which advises against it and what takes its
 * place. A new version is new rows, not new code.  All that is said of a field comes from its row:
 *
 *   representation.h   what is answered, and the header that names deprecated fields
 *   input.h            what a request's body may hold, and what is wrong with it
 *   openapi.h          the OpenAPI document
 *
 * The fields of a version are never taken out of the table: `weirctl schema check`
 * (schema/schema.h) compares the documents of two releases.
 */
#ifndef WEIR_FIELDS_H
#define WEIR_FIELDS_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_VALUES_MAX 16 /* of one resource */

typedef enum {
    WEIR_STRING,
    WEIR_LINE, /* a string to be shown: no control characters, and something visible */
    WEIR_EMAIL,
    WEIR_UUID,
    WEIR_TIME,     /* RFC 3339 with a time */
    WEIR_DATE,     /* RFC 3339, full-date */
    WEIR_CURRENCY, /* ISO 4217, three letters */
    WEIR_ENUM,     /* a string, one of `choices` */
    WEIR_INTEGER,
    WEIR_NUMBER,
    WEIR_BOOLEAN,
    WEIR_OBJECT, /* which `of` describes */
    WEIR_LIST,   /* of objects, which `of` describes, or of values, each as `each` */
} weir_type_t;

typedef struct weir_resource weir_resource_t;
typedef struct weir_field weir_field_t;

struct weir_field {
    const char *name;
    weir_type_t type;
    int value;               /* place in the array of values */
    int since;               /* first version that has it */
    int deprecated;          /* first version that advises against it, 0: none */
    int removed;             /* first version without it, 0: none */
    const char *replaced_by; /* the field to use instead, or NULL */
    const weir_resource_t *of;
    const weir_field_t *each;   /* type and limits of a list's values; its name is not used */
    const char *const *choices; /* ends with NULL */
    const char *about;          /* a sentence for the reader of the document, or NULL */
    const char *unit;   /* for who sent a wrong number: "in minor units of the currency"; or NULL */
    long long min, max; /* of a number, a string's characters, a list's elements; max 0: not said */
    int optional;       /* it may be missing */
};

struct weir_resource {
    const char *name; /* in the OpenAPI document: "Thing" */
    const weir_field_t *fields;
    size_t count;
};

/* A resource of a table of fields, named TYPE in the document. */
#define WEIR_RESOURCE(type, table)                                                                 \
    {                                                                                              \
        .name = type, .fields = table, .count = sizeof(table) / sizeof((table)[0])                 \
    }

/* Whether the version has the field. */
static inline bool weir_field_is_shown(const weir_field_t *field, int version)
{
    return version >= field->since && (field->removed == 0 || version < field->removed);
}

/* Whether the version has it, but advises against it. */
static inline bool weir_field_is_deprecated(const weir_field_t *field, int version)
{
    return weir_field_is_shown(field, version) && field->deprecated != 0 &&
           version >= field->deprecated;
}

#endif
