/*
 * Decides whether an edge can have stored a decoded entry.
 *
 * weir_entry_decode() detects accidental damage; the checks here are against
 * entries that were forged.  Redis is a shared server: a client that may write
 * there can put any value under a cache key.  Header fields and body of an
 * entry are sent to clients, and its validators to upstreams.  An entry that
 * fails a check is treated as a miss.
 *
 * Plain C, no allocation.  The edge calls weir_entry_check() for each entry
 * that Redis returns.
 */

#ifndef WEIR_CACHE_ENTRY_CHECK_H
#define WEIR_CACHE_ENTRY_CHECK_H

#include "cache/entry.h"

/* Greatest difference between the clocks of two edges, ms. */
#define WEIR_ENTRY_CLOCK_SKEW 60000

/*
 * True if the name is a token and the value has no line break and no control
 * character other than tab (RFC 9110 sections 5.1 and 5.5).
 */
bool weir_entry_field_is_sound(weir_str_t name, weir_str_t value);

/*
 * True if a field of that name is never stored.  Such fields belong to one
 * connection (RFC 9111 section 3.1, RFC 9110 section 7.6.1), frame the message,
 * repeat a field of the entry (Age), belong to one client (Set-Cookie), or are
 * instructions of an upstream to the edge.
 */
bool weir_entry_field_is_barred(weir_str_t name);

/*
 * Checks an entry; now is in ms since the epoch.  Returns NULL if the entry is
 * sound, otherwise the fault as a constant string.
 */
const char *weir_entry_check(const weir_entry_t *entry, int64_t now);

#endif
