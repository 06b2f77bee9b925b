/*
 * Whether a decoded entry is one that an edge would have stored.
 *
 * weir_entry_decode() finds accidents; the checks here are for entries that
 * somebody made on purpose.  Redis is a shared server: a writer can put anything
 * under a cache key, and what a response consists of goes to clients and, as
 * validators, to upstreams.  An entry that fails a check is no entry.
 *
 * Plain C, no allocation; used by the edge for each entry that Redis returns.
 */

#ifndef WEIR_CACHE_ENTRY_CHECK_H
#define WEIR_CACHE_ENTRY_CHECK_H

#include "cache/entry/entry.h"

/* Milliseconds by which the clocks of two edges may differ. */
#define WEIR_ENTRY_CLOCK_SKEW 60000

/*
 * Whether the name is a token and the value has neither control characters (but
 * tabs) nor line breaks: RFC 9110 sections 5.1 and 5.5.
 */
bool weir_entry_field_is_sound(weir_str_t name, weir_str_t value);

/*
 * Whether a field of that name is never stored: what belongs to one connection
 * (RFC 9111 section 3.1, RFC 9110 section 7.6.1) or frames the message, what the
 * entry says otherwise (Age), what is one client's (Set-Cookie), and what an
 * upstream tells the edge.
 */
bool weir_entry_field_is_barred(weir_str_t name);

/*
 * now is in milliseconds since the epoch.  Returns NULL, or what is wrong with
 * the entry (a constant string).
 */
const char *weir_entry_check(const weir_entry_t *entry, int64_t now);

#endif
