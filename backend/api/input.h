/*
 * What all bodies of requests share: one JSON object, and fields that may be
 * wrong.  Plain C over jansson, no libevent.
 */
#ifndef WEIR_INPUT_H
#define WEIR_INPUT_H

#include "common/str.h"

#include <jansson.h>
#include <stdbool.h>

/* Wrong fields that are named in one answer; what is wrong beyond them is not looked at. */
#define WEIR_INPUT_ERRORS_MAX 16

typedef struct {
    char pointer[40];   /* RFC 6901, "/items/3/quantity" */
    const char *detail; /* a constant, to follow the field's name: "must be a string" */
} weir_input_error_t;

/*
 * Reads a body that must be a JSON object; the caller releases it.  NULL when it is
 * none; then why says it in a sentence.
 */
json_t *weir_input_object(weir_str_t body, char *why, size_t why_size)
    __attribute__((warn_unused_result));

/*
 * A member that must be a string which check finds right.  NULL when it is, and
 * then *out is the string, object's own; else what is wrong.
 */
const char *weir_input_string(const json_t *object, const char *name,
                              const char *(*check)(weir_str_t), const char **out);

/* A member that must be an integer from min to max; else returns wrong, which says so. */
const char *weir_input_integer(const json_t *object, const char *name, long long min, long long max,
                               const char *wrong, long long *out);

/* A check: the string is a UUID in its textual form. */
const char *weir_uuid_check(weir_str_t s);

#endif
