/*
 * A cached response as one run of bytes, the same in Redis and in memory:
 *
 *     magic and version   8 bytes "WEIRCE\0\3"
 *     checksum            XXH3 (64 bits) of all bytes that follow
 *     size                of the whole entry
 *     fixed fields        see weir_entry_t, little endian
 *     key, vary, tags, headers, body
 *
 * key is the cache key as text, so that two keys with the same digest are kept
 * apart.  headers is a run of (uint16 name length, uint32 value length, name,
 * value).
 *
 * A response with Vary is stored under the digest of key and vary.  A pointer
 * (WEIR_ENTRY_VARY_POINTER) is stored under the digest of the key alone; its
 * vary is the list of field names that select the variant.
 *
 * The decoder refuses every value that is not exactly such an entry, and uses
 * no field before the checksum and all lengths are verified.  The checksum
 * detects accidental damage and foreign values; it is no signature.  A client
 * that can write to Redis can write valid entries: weir_entry_check()
 * (entry_check.h) limits what such an entry can contain, and secret_file of
 * weir_cache_zone (entry_mac.h) refuses it.
 */

#ifndef WEIR_CACHE_ENTRY_H
#define WEIR_CACHE_ENTRY_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ENTRY_VARY_POINTER 1u
#define WEIR_ENTRY_MUST_REVALIDATE 2u
#define WEIR_ENTRY_NO_CACHE 8u /* each use needs validation */
#define WEIR_ENTRY_VARIANT 4u  /* stored under the digest of key and vary */

#define WEIR_ENTRY_HEADERS_MAX 128 /* header lines in one entry */

typedef struct {
    uint32_t flags;  /* WEIR_ENTRY_* */
    uint32_t status; /* HTTP status; 0 in a pointer */
    int64_t stored;  /* arrival of the response (pointer: of its response); ms since the epoch */
    uint32_t initial_age;            /* seconds, at the time stored */
    uint32_t lifetime;               /* seconds */
    uint32_t stale_while_revalidate; /* seconds after the lifetime */
    uint32_t stale_if_error;         /* seconds after the lifetime */

    /*
     * The stamp: what the edge had applied of the invalidations when the
     * upstream request started.  era is the era of the invalidation stream (0:
     * none was known), position the ID of the last stream entry that had been
     * applied, origin and local the same in the order of that edge.  See
     * weir_stamp_t in invalidations.h.
     */
    uint64_t era;
    uint64_t position_ms;
    uint64_t position_seq;
    uint64_t origin;
    uint64_t local;

    weir_str_t key;
    weir_str_t vary; /* pointer: field names; others: "name: value\n" for each of them */
    weir_str_t tags; /* hashes of 8 bytes each; see tags.h */
    weir_str_t headers;
    weir_str_t body;
} weir_entry_t;

/* Number of bytes before the body. */
size_t weir_entry_head_size(const weir_entry_t *entry);

/*
 * Writes an entry without its body; entry->body is not read.  buf must have
 * room for weir_entry_head_size() bytes.  Returns the address at which the body
 * begins.
 */
char *weir_entry_begin(char *buf, const weir_entry_t *entry);

/* Changes the field local of an entry between weir_entry_begin() and weir_entry_finish(). */
void weir_entry_set_local(char *buf, uint64_t local);

/* Completes an entry after its body was written; size is the size of the whole entry in bytes. */
void weir_entry_finish(char *buf, size_t size);

/*
 * Reads an entry; the strings of *entry point into data.  Returns NULL on
 * success.  Otherwise returns the fault as a constant string, and *entry is
 * unspecified.
 */
const char *weir_entry_decode(weir_str_t data, weir_entry_t *entry);

/*
 * The same without the checksum, which costs a pass over the body: for bytes
 * that were decoded before and that no other process can change since.
 */
const char *weir_entry_view(weir_str_t data, weir_entry_t *entry);

/* Time at which the entry was stored, ms since the epoch; data must be a decoded entry. */
int64_t weir_entry_stored(const char *data);

/* True for a pointer; data must be a decoded entry. */
bool weir_entry_is_pointer(const char *data);

/* Number of bytes that one header line takes in the headers block. */
size_t weir_entry_header_size(weir_str_t name, weir_str_t value);

/* Appends one header line at p; returns the end.  A name has at most 65535 bytes. */
char *weir_entry_put_header(char *p, weir_str_t name, weir_str_t value);

/*
 * Reads the next header line; *pos starts at 0.  Returns false at the end.  The
 * block must be that of a decoded entry, which is well-formed.
 */
bool weir_entry_next_header(weir_str_t headers, size_t *pos, weir_str_t *name, weir_str_t *value);

#endif
