/*
 * Checks bodies of requests: one JSON object with the fields of a table (fields.h). Members that
 * are not in the table are accepted and dropped. Plain C with jansson, no libevent.
 */
#ifndef WEIR_INPUT_H
#define WEIR_INPUT_H

#include "api/fields.h"
#include "common/text/str.h"

#include <jansson.h>

/* The most wrong fields in one answer; further ones are not reported. */
#define WEIR_INPUT_ERRORS_MAX 16

typedef struct {
    char pointer[96]; /* RFC 6901, "/items/3/quantity" */
    char detail[160]; /* follows the field's name: "must be a string" */
} weir_input_error_t;

/* An error; pointer and detail are truncated if they are too long. */
weir_input_error_t weir_input_error(const char *pointer, const char *detail);

/*
 * Parses a body that must be a JSON object, which the caller releases. Returns NULL, with a
 * sentence in why, when it is not.
 */
json_t *weir_input_object(weir_str_t body, char *why, size_t why_size)
    __attribute__((warn_unused_result));

/*
 * Parses a body that must be a JSON object with the fields of the resource in that version. Returns
 * the number of wrong fields, described in errors. Returns 0 on success: *object is the body, which
 * the caller releases, and has every field that is not optional. Returns -1, with a sentence in
 * why, when the body is not a JSON object.
 */
int weir_input_read(weir_str_t body, const weir_resource_t *resource, int version, json_t **object,
                    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size)
    __attribute__((warn_unused_result));

#endif
