/*
 * MurmurHash3, 32 bits (x86), seed 0, of text that comes in pieces: by it flagd and OpenFeature's
 * providers choose the variant of a fractional rule.
 */
#ifndef WEIR_MURMUR3_H
#define WEIR_MURMUR3_H

#include "common/text/str.h"

#include <stdint.h>

typedef struct {
    uint32_t hash;
    uint32_t len;  /* bytes */
    uint32_t rest; /* the last len % 4 bytes, little-endian */
} weir_murmur3_t;

/* Begins with a zeroed struct. */
void weir_murmur3_add(weir_murmur3_t *m, weir_str_t text);

/* The hash of all text that was added. */
uint32_t weir_murmur3_end(const weir_murmur3_t *m);

#endif
