/*
 * Tags: the names by which stored responses are invalidated together.
 *
 * A list of tags is separated by commas, spaces and tabs in any mixture, in
 * the Cache-Tag of a response as in the messages that name tags: a tag that
 * can be stored can be named.  Case matters.
 *
 * What is kept of a tag is a hash of 8 bytes (BLAKE2b), the same on all edges.
 * Clients choose keys, and what they invalidate must be their own: nobody can
 * find a key with the hash of another key or of a tag.
 *
 * Nothing here allocates.
 */

#ifndef WEIR_CACHE_TAGS_H
#define WEIR_CACHE_TAGS_H

#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_TAGS_MAX 64 /* of one response; one that has more isn't stored */
#define WEIR_TAG_MAX 128 /* bytes; a response with a longer one isn't stored */

/* The next tag of a list; *pos starts at 0.  False at the end. */
bool weir_tags_next(weir_str_t list, size_t *pos, weir_str_t *tag);

/* Never 0, nor 1. */
uint64_t weir_tag_hash(weir_str_t tag);

/* The same for a cache key: its text as weir_cache_key makes it. */
uint64_t weir_key_hash(weir_str_t key);

/*
 * Appends the hashes of a list's tags to block, 8 bytes each, little endian, of
 * which *n are there already.  block has room for WEIR_TAGS_MAX of them.
 * Returns NULL, or what is wrong with the list (a constant string).
 */
const char *weir_tags_read(weir_str_t list, char *block, size_t *n);

/* A hash of such a block; i < block.len / 8. */
uint64_t weir_tags_at(weir_str_t block, size_t i);

#endif
