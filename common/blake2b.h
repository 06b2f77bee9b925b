/*
 * BLAKE2b (RFC 7693), with or without a key: the one cryptographic hash of the
 * edge.  Nobody can find a text with the hash of another; with a key nobody who
 * lacks it can tell a hash at all (RFC 7693 section 2.9: it is a MAC then).
 *
 * Nothing here allocates.  Little over a nanosecond a byte.
 */
#ifndef WEIR_BLAKE2B_H
#define WEIR_BLAKE2B_H

#include "common/str.h"

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
 * A hash of len bytes (1 to 64); key may be empty, and has 64 bytes at most.
 * The same text has another hash for another purpose (section 2.8 of the BLAKE2
 * paper: personalization), which costs nothing and has 16 bytes at most.
 */
void weir_blake2b_begin(weir_blake2b_t *b, size_t len, weir_str_t key, weir_str_t purpose);
void weir_blake2b_add(weir_blake2b_t *b, weir_str_t text);
void weir_blake2b_end(weir_blake2b_t *b, uint8_t *hash);

/* All in one. */
void weir_blake2b(uint8_t *hash, size_t len, weir_str_t key, weir_str_t purpose, weir_str_t text);

#endif
