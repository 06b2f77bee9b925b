/*
 * SipHash-1-3 (Aumasson and Bernstein, 2012), also used by the tables of Rust and Python: a fast
 * hash with a secret key, for tables whose keys clients choose.  Without the key nobody can
 * construct texts that share a place.
 */
#ifndef WEIR_SIPHASH_H
#define WEIR_SIPHASH_H

#include "common/text/bytes.h"
#include "common/text/str.h"

#include <stdint.h>

/* Two random words; the owner of the table keeps them secret. */
typedef struct {
    uint64_t k0, k1;
} weir_siphash_key_t;

#define WEIR_SIP_ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

static inline void weir_siphash_rounds(uint64_t v[4], int n)
{
    while (n-- > 0) {
        v[0] += v[1];
        v[1] = WEIR_SIP_ROTATE(v[1], 13) ^ v[0];
        v[0] = WEIR_SIP_ROTATE(v[0], 32);
        v[2] += v[3];
        v[3] = WEIR_SIP_ROTATE(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = WEIR_SIP_ROTATE(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = WEIR_SIP_ROTATE(v[1], 17) ^ v[2];
        v[2] = WEIR_SIP_ROTATE(v[2], 32);
    }
}

/* 128 bits; the first word alone differs from SipHash's 64-bit value. */
static inline void weir_siphash128(weir_siphash_key_t key, weir_str_t text, uint64_t hash[2])
{
    uint64_t v[4] = {key.k0 ^ 0x736f6d6570736575, key.k1 ^ 0x646f72616e646f6d ^ 0xee,
                     key.k0 ^ 0x6c7967656e657261, key.k1 ^ 0x7465646279746573};
    const unsigned char *p = (const unsigned char *)text.data;
    uint64_t m, last = (uint64_t)text.len << 56;
    size_t i;

    for (i = 0; i + 8 <= text.len; i += 8) {
        m = weir_get64(p + i);
        v[3] ^= m;
        weir_siphash_rounds(v, 1);
        v[0] ^= m;
    }

    for (int k = 0; i < text.len; i++, k += 8)
        last |= (uint64_t)p[i] << k;
    v[3] ^= last;
    weir_siphash_rounds(v, 1);
    v[0] ^= last;

    v[2] ^= 0xee;
    weir_siphash_rounds(v, 3);
    hash[0] = v[0] ^ v[1] ^ v[2] ^ v[3];
    v[1] ^= 0xdd;
    weir_siphash_rounds(v, 3);
    hash[1] = v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* Hash of one word. */
static inline uint64_t weir_siphash_word(weir_siphash_key_t key, uint64_t word)
{
    uint64_t hash[2];
    char text[8];

    weir_put64(text, word);
    weir_siphash128(key, (weir_str_t){text, sizeof(text)}, hash);

    return hash[0];
}

#endif
