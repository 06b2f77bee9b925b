/*
 * Representations of the API's versions as data: one table of fields says which
 * version has which; a new version is new rows, not new code.
 */
#ifndef WEIR_REPRESENTATION_H
#define WEIR_REPRESENTATION_H

#include "common/str.h"

#include "http/http.h"

#define WEIR_VERSION_FIRST 1
#define WEIR_VERSION_DEFAULT 2
#define WEIR_VERSION_LAST 3

typedef struct {
    const char *name;
    int value;      /* place in the array of values */
    int since;      /* first version that has it */
    int deprecated; /* first version that advises against it, 0: none */
    int removed;    /* first version without it, 0: none */
} weir_field_t;

/*
 * The version that the request asks for in API-Version (the edge sets it), the
 * default without that header.  0 when it is none of ours, and then the request has
 * been answered with a 400.
 */
int weir_version_of(weir_http_request_t *request);

/*
 * Writes the JSON object of the fields that the version has, all strings, in the
 * table's order.  As weir_problem_json(): returns the whole length, writes no
 * more than cap.
 */
size_t weir_represent(char *buf, size_t cap, const weir_field_t *fields, size_t count,
                      const weir_str_t *values, int version);

/*
 * Adds to the answer what belongs to a representation of that version: Vary, and
 * the fields that the version has but advises against, in Weir-Deprecated-Fields.
 */
void weir_describe_version(weir_http_request_t *request, const weir_field_t *fields, size_t count,
                           int version);

#endif
