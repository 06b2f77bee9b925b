/*
 * Tags: the names by which stored responses are invalidated together.
 *
 * Tags in a list are separated by commas, spaces and tabs in any mixture.
 * Cache-Tag of a response and invalidation messages have the same grammar, so
 * every tag that can be stored can be invalidated.  Case is significant.
 *
 * A tag is kept as a hash of 8 bytes (BLAKE2b), the same on all edges.  Clients
 * choose the text of keys, so the hash is a cryptographic one: a client cannot
 * construct a key with the hash of another key or of a tag, and cannot
 * invalidate other responses that way.
 *
 * The functions allocate no memory.
 */

#ifndef WEIR_CACHE_TAGS_H
#define WEIR_CACHE_TAGS_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_TAGS_MAX 64 /* a response with more tags is not stored */
#define WEIR_TAG_MAX 128 /* bytes; a response with a longer tag is not stored */

/* Reads the next tag of a list; *pos starts at 0.  Returns false at the end. */
bool weir_tags_next(weir_str_t list, size_t *pos, weir_str_t *tag);

/* Never returns 0 or 1. */
uint64_t weir_tag_hash(weir_str_t tag);

/* The same for a cache key; key is the text that weir_cache_key produces. */
uint64_t weir_key_hash(weir_str_t key);

/*
 * Appends the hashes of a list's tags to block, 8 bytes each, little endian.
 * *n is the number of hashes in block before and after.  block has room for
 * WEIR_TAGS_MAX of them.  Returns NULL on success, otherwise the fault as a
 * constant string.
 */
const char *weir_tags_read(weir_str_t list, char *block, size_t *n);

/* Hash number i of such a block; i < block.len / 8. */
uint64_t weir_tags_at(weir_str_t block, size_t i);

#endif
