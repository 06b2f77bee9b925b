/*
 * What a signup's body may hold.  Plain C over jansson, no libevent.
 */
#ifndef WEIR_SIGNUP_INPUT_H
#define WEIR_SIGNUP_INPUT_H

#include "api/input.h"

#define WEIR_EMAIL_MAX 254        /* bytes; RFC 5321 section 4.5.3.1.3 less the brackets */
#define WEIR_DISPLAY_NAME_MAX 100 /* characters */

typedef struct {
    json_t *root; /* owns the strings */
    const char *email;
    const char *display_name;
} weir_signup_input_t;

/*
 * Reads the body.  Returns the number of fields that are wrong, with what is
 * wrong in errors; 0 when all is well: input is filled in, and its root the
 * caller's to release.  -1 when the body is no JSON object; then why says it.
 */
int weir_signup_read(weir_str_t body, weir_signup_input_t *input,
                     weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX], char *why, size_t why_size);

/* NULL if s is an e-mail address that we can send to, else what is wrong. */
const char *weir_email_check(weir_str_t s);

/* NULL if s, which is UTF-8, can be shown as a name, else what is wrong. */
const char *weir_display_name_check(weir_str_t s);

#endif
