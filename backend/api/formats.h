/*
 * Formats of strings. Each check returns NULL, or a constant message that follows the field's name:
 * "must be a UUID". Any bytes are allowed as input. Plain C.
 */
#ifndef WEIR_FORMATS_H
#define WEIR_FORMATS_H

#include "common/text/str.h"

#define WEIR_EMAIL_MAX 254 /* bytes; RFC 5321 section 4.5.3.1.3 less the brackets */

/* An e-mail address to which mail can be sent. */
const char *weir_format_email(weir_str_t s);
/* A UUID in its textual form. */
const char *weir_format_uuid(weir_str_t s);
/* A date and a time with its offset, by RFC 3339, which PostgreSQL also accepts. */
const char *weir_format_time(weir_str_t s);
/* A full-date of RFC 3339. */
const char *weir_format_date(weir_str_t s);
/* The code of a currency that ISO 4217 lists for payments. */
const char *weir_format_currency(weir_str_t s);
/* UTF-8 for display in a line: no control characters, at least one visible character. */
const char *weir_format_line(weir_str_t s);

/* The number of characters (code points) of valid UTF-8. */
size_t weir_format_characters(weir_str_t s);

#endif
