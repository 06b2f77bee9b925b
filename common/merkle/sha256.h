/*
 * SHA-256 by OpenSSL, for hashes of a few hundred bytes: the context is kept, so a digest needs no
 * memory. A process without memory for the first one is aborted: a hash that could not be made must
 * not be taken for one.
 */
#ifndef WEIR_SHA256_H
#define WEIR_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define WEIR_SHA256_LEN 32

typedef struct {
    uint8_t bytes[WEIR_SHA256_LEN];
} weir_hash_t;

/* A part of what is hashed. */
typedef struct {
    const void *data; /* may be NULL if len is 0 */
    size_t len;
} weir_hash_part_t;

/* The digest of the parts, one behind the other. Not for two threads at a time. */
void weir_sha256(const weir_hash_part_t *parts, size_t n, weir_hash_t *out);

#endif
