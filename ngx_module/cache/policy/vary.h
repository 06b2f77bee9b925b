/*
 * Vary: the request headers on which a stored response depends, and their
 * comparison with those of another request (RFC 9111 section 4.1, RFC 9110
 * section 12.5.5).
 *
 * The functions allocate no memory.
 */

#ifndef WEIR_CACHE_VARY_H
#define WEIR_CACHE_VARY_H

#include "common/text/str.h"

#include <stdbool.h>

#define WEIR_VARY_FIELDS_MAX 16   /* a response that names more is not stored */
#define WEIR_VARY_MEMBERS_MAX 32  /* members of a value; a longer list is not sorted */
#define WEIR_VARY_SORTED_MAX 2048 /* bytes of a value; a longer value is not sorted */
#define WEIR_VARY_NAME_MAX 64     /* bytes; a response that names a longer one is not stored */

/*
 * Writes the field names of all Vary lines in lower case, sorted, without
 * duplicates, joined by commas.  Two responses that vary by the same fields
 * give the same text.
 *
 * lines are the values of the header's lines.  buf must have room for
 * WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1) bytes.  *len is 0 if there is
 * no name.  Returns false if a line has "*", an invalid field name, too many
 * names, or a name that is too long: no later request can be known to match
 * then.
 */
bool weir_vary_fields(const weir_str_t *lines, size_t n, char *buf, size_t *len);

/* Reads the next name of such a list; *pos starts at 0.  Returns false at the end. */
bool weir_vary_next(weir_str_t fields, size_t *pos, weir_str_t *name);

/*
 * Writes a header value in the form in which values are compared: no spaces
 * around commas and at the ends, other runs of spaces as one space, no empty
 * list elements.  A value with a quoted-string is copied unchanged.  out must
 * have room for value.len bytes.  Returns the length.
 */
size_t weir_vary_normalize(weir_str_t value, char *out);

/*
 * True if the field (name in lower case) is a list whose grammar is known here:
 * its lines may be joined by commas, and its value normalized.  Values of all
 * other fields are compared byte by byte and line by line, because a comma or a
 * space may be significant there, as in Origin.
 */
bool weir_vary_is_list(weir_str_t name);

/*
 * Writes the value of a field (name in lower case) in the form in which it is
 * compared.  The value of a field that is no list is copied unchanged.  The
 * value of Accept, Accept-Charset, Accept-Encoding and Accept-Language is
 * normalized and its members are sorted: weights express the preference (RFC
 * 9110 section 12.4.2), so order is not significant.  Spaces around semicolons
 * are dropped.  Case is folded, except for Accept, whose parameters may be
 * case-sensitive.  A value with more than WEIR_VARY_MEMBERS_MAX members or more
 * than WEIR_VARY_SORTED_MAX bytes is not sorted, because comparing long members
 * with a common prefix costs their length each time.
 */
size_t weir_vary_normalize_field(weir_str_t name, weir_str_t value, char *out);

#endif
