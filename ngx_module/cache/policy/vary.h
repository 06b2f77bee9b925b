/*
 * Vary: which request headers a stored response depends on, and whether a
 * request has them alike (RFC 9111 section 4.1, RFC 9110 section 12.5.5).
 *
 * Nothing here allocates.
 */

#ifndef WEIR_CACHE_VARY_H
#define WEIR_CACHE_VARY_H

#include "common/str.h"

#include <stdbool.h>

#define WEIR_VARY_FIELDS_MAX 16  /* a response that names more isn't stored */
#define WEIR_VARY_MEMBERS_MAX 32 /* that are sorted */
#define WEIR_VARY_SORTED_MAX 2048 /* bytes of a value that is sorted */
#define WEIR_VARY_NAME_MAX 64    /* nor one that names a longer one; bytes */

/*
 * The field names of all Vary lines, in lower case, sorted, each once, joined
 * by commas: two responses that vary by the same fields have the same text.
 *
 * lines are the values of the header's lines.  Writes to buf, which has room
 * for WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1) bytes; *len becomes 0
 * when there is no name.  Returns false when a line has "*", something that is
 * no field name, or too many or too long names: no request can be known to
 * match then.
 */
bool weir_vary_fields(const weir_str_t *lines, size_t n, char *buf, size_t *len);

/* The next name of such a list; *pos starts at 0.  False at the end. */
bool weir_vary_next(weir_str_t fields, size_t *pos, weir_str_t *name);

/*
 * Writes a header's value in the form in which values are compared: spaces
 * around commas and at the ends left out, other runs of spaces as one, empty
 * list elements dropped; a value with a quoted-string stays as it is.  out has
 * room for value.len bytes; returns the length.
 */
size_t weir_vary_normalize(weir_str_t value, char *out);

/*
 * Whether a field, in lower case, is a list whose grammar is known here: its
 * lines may be joined by commas, and its value normalized.  Values of all other
 * fields are compared byte by byte, and line by line: a comma or a space may
 * mean something there, as in Origin.
 */
bool weir_vary_is_list(weir_str_t name);

/*
 * The value of a field, in lower case, as it is compared: one that is no list as
 * it is; of Accept, Accept-Charset, Accept-Encoding and Accept-Language
 * normalized, and the members have no
 * order, as weights tell what is preferred (RFC 9110 section 12.4.2), spaces
 * around semicolons mean nothing, and but for Accept, whose parameters may, case doesn't count.
 * Of a value with more than WEIR_VARY_MEMBERS_MAX members, or of more than
 * WEIR_VARY_SORTED_MAX bytes, the order stays: comparing long members that are
 * alike costs their length each time.
 */
size_t weir_vary_normalize_field(weir_str_t name, weir_str_t value, char *out);

#endif
