/*
 * The header tracestate (W3C Trace Context Level 2, section 3.3): what other systems keep in a
 * trace, passed on unchanged and in order.
 */
#ifndef WEIR_TRACESTATE_H
#define WEIR_TRACESTATE_H

#include "common/text/str.h"

#include <stdbool.h>

#define WEIR_TRACESTATE_MEMBERS 32 /* section 3.3.1.1 */
#define WEIR_TRACESTATE_LEN 512    /* bytes that are passed on (section 3.3.1.5) */
#define WEIR_TRACESTATE_LONG 128   /* longer members are removed first, if there are more */
#define WEIR_TRACESTATE_VALUE 256  /* section 3.3.1.3.2 */

/* What weir_tracestate_format() may write: a member of our own, and that of others. */
#define WEIR_TRACESTATE_ROOM (WEIR_TRACESTATE_LEN + WEIR_TRACESTATE_VALUE + 16)

/* Points into the lines that were read. */
typedef struct {
    weir_str_t key;
    weir_str_t value;
} weir_tracestate_member_t;

typedef struct {
    weir_tracestate_member_t members[WEIR_TRACESTATE_MEMBERS];
    size_t n;
} weir_tracestate_t;

/*
 * Reads all lines of the header, which are one list (RFC 9110 section 5.3). Returns 0, or -1 if a
 * member is malformed or there are more than 32: the whole header must be ignored then (section
 * 3.3.1.6), and out is empty. Empty members are skipped; of two members with one key the first is
 * kept, which is the newer one.
 */
int weir_tracestate_parse(const weir_str_t *lines, size_t n, weir_tracestate_t *out);

/* The value of that member; len is 0 without one. */
weir_str_t weir_tracestate_get(const weir_tracestate_t *state, weir_str_t key);

/*
 * Puts a member before all others, in place of one with that key; the last one is removed if there
 * are 32 others. The texts are not copied.
 */
void weir_tracestate_put(weir_tracestate_t *state, weir_str_t key, weir_str_t value);

/*
 * Writes the header's value: the member key=value first (section 3.5), none if value is empty, then
 * the other members without that key. Members that do not fit into WEIR_TRACESTATE_LEN bytes are
 * removed, first the long ones, then the last ones. Returns the length; 0: send no header.
 */
size_t weir_tracestate_format(const weir_tracestate_t *state, weir_str_t key, weir_str_t value,
                              char out[WEIR_TRACESTATE_ROOM]);

#endif
