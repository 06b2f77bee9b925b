/*
 * Formats of strings.  Each check returns NULL, or what is wrong, as a constant that follows the
 * field's name: "must be a UUID".  Any bytes may be given.  Plain C.
 */
#ifndef WEIR_FORMATS_H
#define WEIR_FORMATS_H

#include "common/text/str.h"

#define WEIR_EMAIL_MAX 254 /* bytes; RFC 5321 section 4.5.3.1.3 less the brackets */

/* An e-mail address that one can send to. */
const char *weir_format_email(weir_str_t s);
/* A UUID in its textual form. */
const char *weir_format_uuid(weir_str_t s);
/* A date and a time with its offset, of RFC 3339, which PostgreSQL takes, too. */
const char *weir_format_time(weir_str_t s);
/* A full-date of RFC 3339. */
const char *weir_format_date(weir_str_t s);
/* A code of a currency that ISO 4217 has in use for payments. */
const char *weir_format_currency(weir_str_t s);
/* UTF-8 that can be shown in a line: no control characters, and something visible. */
const char *weir_format_line(weir_str_t s);

/* The number of characters (code points) of valid UTF-8. */
size_t weir_format_characters(weir_str_t s);

#endif
