/*
 * What bodies of requests hold: one JSON object with the fields of a table (fields.h).  Members
 * that are not in the table are accepted and dropped.  Plain C over jansson, no libevent.
 */
#ifndef WEIR_INPUT_H
#define WEIR_INPUT_H

#include "api/fields.h"
#include "common/text/str.h"

#include <jansson.h>

/* Wrong fields that are named in one answer; what is wrong beyond them is not looked at. */
#define WEIR_INPUT_ERRORS_MAX 16

typedef struct {
    char pointer[96]; /* RFC 6901, "/items/3/quantity" */
    char detail[160]; /* to follow the field's name: "must be a string" */
} weir_input_error_t;

/* An error; pointer and detail are cut where they have no room. */
weir_input_error_t weir_input_error(const char *pointer, const char *detail);

/*
 * Reads a body that must be a JSON object; the caller releases it.  NULL when it is
 * none; then why says it in a sentence.
 */
json_t *weir_input_object(weir_str_t body, char *why, size_t why_size)
    __attribute__((warn_unused_result));

/*
 * Reads a body that must be a JSON object with the fields that the resource has in that version.
 * Returns the number of fields that are wrong, with what is wrong in errors; 0 when all is well:
 * *object is the body, the caller's to release, and every field of it that is not optional is
 * there.  -1 when the body is no JSON object; then why says it.
 */
int weir_input_read(weir_str_t body, const weir_resource_t *resource, int version, json_t **object,
                    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size)
    __attribute__((warn_unused_result));

#endif
