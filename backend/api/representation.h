/*
 * Representations of the API's versions as data: a resource is a table of
 * fields, which says of each what it holds, which version brought it, which
 * advises against it and what takes its place.  A new version is new rows, not
 * new code: what is answered, the header that names deprecated fields, and the
 * OpenAPI document (openapi.h) all come from these tables.
 *
 * The fields of a version are never taken out of the table: `weirctl schema
 * check` (schema.h) compares the documents of two releases.
 *
 * Plain C over jansson, no libevent.
 */
#ifndef WEIR_REPRESENTATION_H
#define WEIR_REPRESENTATION_H

#include "common/str.h"

#define WEIR_VALUES_MAX 16 /* of one resource */

typedef enum {
    WEIR_STRING,
    WEIR_EMAIL,
    WEIR_UUID,
    WEIR_TIME,     /* RFC 3339 with a time */
    WEIR_DATE,     /* RFC 3339, full-date */
    WEIR_CURRENCY, /* ISO 4217, three letters */
    WEIR_INTEGER,
    WEIR_LIST, /* of objects, which `of` describes */
} weir_type_t;

typedef struct weir_resource weir_resource_t;

typedef struct {
    const char *name;
    weir_type_t type;
    int value;               /* place in the array of values */
    int since;               /* first version that has it */
    int deprecated;          /* first version that advises against it, 0: none */
    int removed;             /* first version without it, 0: none */
    const char *replaced_by; /* the field to use instead, or NULL */
    const weir_resource_t *of;
    const char *about; /* a sentence for the reader of the document, or NULL */
    long long min,
        max;      /* of an integer, a string's characters, a list's elements; max 0: not said */
    int optional; /* it may be missing */
} weir_field_t;

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
int weir_field_is_shown(const weir_field_t *field, int version);
/* Whether the version has it, but advises against it. */
int weir_field_is_deprecated(const weir_field_t *field, int version);

/*
 * Writes the JSON object of the fields that the version has, in the table's order.
 * values holds at each field's place
 *   a string's bytes,
 *   an integer's digits,
 *   a list as the JSON text [[value, …], …], in which each element's values stand
 *   at the places that its own table says (lists in lists there are none),
 *   or, where data is NULL, nothing: the field is left out.
 *
 * As weir_problem_json(): returns the whole length, writes no more than cap.
 */
size_t weir_represent(char *buf, size_t cap, const weir_resource_t *resource,
                      const weir_str_t *values, int version);

/*
 * Writes the names of the fields that the version has but advises against, with
 * ", " between them and those of a list's elements as "items.price", as a string;
 * an empty one when there are none.  Names that have no room are left out.
 */
void weir_deprecated_fields(char *buf, size_t cap, const weir_resource_t *resource, int version);

#endif
