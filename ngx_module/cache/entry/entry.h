/*
 * A cached response as one run of bytes, the same in Redis and in memory:
 *
 *     magic and version   8 bytes "WEIRCE\0\3"
 *     checksum            XXH3 (64 bits) of all that follows
 *     size                of the whole entry
 *     fixed fields        see weir_entry_t, little endian
 *     key, vary, tags, headers, body
 *
 * key is the cache key as text, so that two keys of one digest don't mix.
 * headers is a run of (uint16 name length, uint32 value length, name, value).
 *
 * A response that varies stands under the digest of key and vary; under the
 * key itself stands a pointer (WEIR_ENTRY_VARY_POINTER) whose vary is the list
 * of field names by which to find it.
 *
 * Whatever is not exactly such an entry is refused when it is read: nothing of
 * it has been trusted before the checksum and all lengths were found right.
 * The checksum finds accidents and foreign values; it is no signature: a writer
 * of Redis can write entries, which weir_entry_check() is for (entry_check.h),
 * and against which weir_cache_zone has secret_file (entry_mac.h).
 */

#ifndef WEIR_CACHE_ENTRY_H
#define WEIR_CACHE_ENTRY_H

#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ENTRY_VARY_POINTER    1u
#define WEIR_ENTRY_MUST_REVALIDATE 2u
#define WEIR_ENTRY_NO_CACHE        8u /* never without validation */
#define WEIR_ENTRY_VARIANT         4u /* stands under the digest of key and vary */

#define WEIR_ENTRY_HEADERS_MAX 128 /* fields in one entry */

typedef struct {
    uint32_t flags;  /* WEIR_ENTRY_* */
    uint32_t status; /* 0 in a pointer */
    int64_t stored;  /* when the response, or the pointer's, arrived; milliseconds since the epoch */
    uint32_t initial_age;            /* seconds, at that time */
    uint32_t lifetime;               /* seconds */
    uint32_t stale_while_revalidate; /* seconds after the lifetime */
    uint32_t stale_if_error;         /* seconds after the lifetime */

    /*
     * What the edge knew of invalidations when the upstream request started: the
     * era of the invalidation stream (0: none was known), the ID of the last
     * entry that had been applied, and the same in the order of that edge.  See
     * weir_stamp_t in invalidations.h.
     */
    uint64_t era;
    uint64_t position_ms;
    uint64_t position_seq;
    uint64_t origin;
    uint64_t local;

    weir_str_t key;
    weir_str_t vary; /* pointer: field names; else "name: value\n" of each of them */
    weir_str_t tags; /* hashes of 8 bytes each; see tags.h */
    weir_str_t headers;
    weir_str_t body;
} weir_entry_t;

/* Bytes of the entry before its body. */
size_t weir_entry_head_size(const weir_entry_t *entry);

/*
 * Writes all but the body of an entry; entry->body is not looked at.  buf has
 * room for weir_entry_head_size().  Returns where the body goes.
 */
char *weir_entry_begin(char *buf, const weir_entry_t *entry);

/* Changes entry->local of an entry that was begun and not yet finished. */
void weir_entry_set_local(char *buf, uint64_t local);

/* Completes an entry once its body is in place; size is that of the whole. */
void weir_entry_finish(char *buf, size_t size);

/*
 * Reads an entry; its strings point into data.  Returns NULL, or what is wrong
 * with it (a constant string), when *entry is unspecified.
 */
const char *weir_entry_decode(weir_str_t data, weir_entry_t *entry);

/*
 * The same for bytes that were decoded before and are kept where nobody else
 * writes: without the checksum, which costs a pass over the body.
 */
const char *weir_entry_view(weir_str_t data, weir_entry_t *entry);

/* When the entry was stored; data is known to be an entry. */
int64_t weir_entry_stored(const char *data);

/* Whether it is a pointer; data is known to be an entry. */
bool weir_entry_is_pointer(const char *data);

/* Bytes of one header line in the headers block. */
size_t weir_entry_header_size(weir_str_t name, weir_str_t value);

/* Appends one header line at p; returns the end.  Names of at most 65535 bytes. */
char *weir_entry_put_header(char *p, weir_str_t name, weir_str_t value);

/*
 * The next header line; *pos starts at 0.  False at the end.  A decoded entry's
 * block is known to be well-formed.
 */
bool weir_entry_next_header(weir_str_t headers, size_t *pos, weir_str_t *name, weir_str_t *value);

#endif
