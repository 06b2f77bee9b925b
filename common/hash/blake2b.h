/*
 * BLAKE2b (RFC 7693), with or without a key: the only cryptographic hash of the edge.  Nobody can
 * construct a text with the hash of another text; with a key, nobody without it can compute a hash
 * at all (RFC 7693 section 2.9: the hash is a MAC then).
 *
 * The functions allocate no memory.  Slightly more than a nanosecond per byte.
 */
#ifndef WEIR_BLAKE2B_H
#define WEIR_BLAKE2B_H

#include "common/text/str.h"

#include <stdint.h>

#define WEIR_BLAKE2B_MAX 64     /* bytes of a hash, and of a key */
#define WEIR_BLAKE2B_PURPOSE 16 /* bytes of a purpose */

typedef struct {
    uint64_t h[8];
    uint64_t count; /* bytes before those in block */
    uint8_t block[128];
    size_t filled;
    size_t len; /* of the hash */
} weir_blake2b_t;

/*
 * Begins a hash of len bytes (1 to 64); key may be empty, and has at most 64 bytes.  The same text
 * has different hashes for different purposes (section 2.8 of the BLAKE2 paper: personalization),
 * which costs no time; a purpose has at most 16 bytes.
 */
void weir_blake2b_begin(weir_blake2b_t *b, size_t len, weir_str_t key, weir_str_t purpose);
void weir_blake2b_add(weir_blake2b_t *b, weir_str_t text);
void weir_blake2b_end(weir_blake2b_t *b, uint8_t *hash);

/* begin, add and end in one call. */
void weir_blake2b(uint8_t *hash, size_t len, weir_str_t key, weir_str_t purpose, weir_str_t text);

#endif
