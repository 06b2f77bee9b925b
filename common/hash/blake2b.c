/* BLAKE2b as RFC 7693 section 3 describes it; see blake2b.h. */

#include "common/hash/blake2b.h"

#include "common/text/bytes.h"

static const uint64_t iv[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t sigma[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

static inline uint64_t rotate(uint64_t x, int n)
{
    return x >> n | x << (64 - n);
}

#define MIX(a, b, c, d, x, y)                                                                      \
    do {                                                                                           \
        v[a] += v[b] + (x);                                                                        \
        v[d] = rotate(v[d] ^ v[a], 32);                                                            \
        v[c] += v[d];                                                                              \
        v[b] = rotate(v[b] ^ v[c], 24);                                                            \
        v[a] += v[b] + (y);                                                                        \
        v[d] = rotate(v[d] ^ v[a], 16);                                                            \
        v[c] += v[d];                                                                              \
        v[b] = rotate(v[b] ^ v[c], 63);                                                            \
    } while (0)

/* The block is complete, or the last one; count includes its bytes. */
static void compress(weir_blake2b_t *b, const uint8_t *block, uint64_t last)
{
    uint64_t v[16], m[16];

    for (int i = 0; i < 16; i++)
        m[i] = weir_get64(block + 8 * i);

    for (int i = 0; i < 8; i++) {
        v[i] = b->h[i];
        v[i + 8] = iv[i];
    }

    v[12] ^= b->count;
    v[14] ^= last;

#pragma GCC unroll 12
    for (int r = 0; r < 12; r++) {
        const uint8_t *s = sigma[r];

        MIX(0, 4, 8, 12, m[s[0]], m[s[1]]);
        MIX(1, 5, 9, 13, m[s[2]], m[s[3]]);
        MIX(2, 6, 10, 14, m[s[4]], m[s[5]]);
        MIX(3, 7, 11, 15, m[s[6]], m[s[7]]);
        MIX(0, 5, 10, 15, m[s[8]], m[s[9]]);
        MIX(1, 6, 11, 12, m[s[10]], m[s[11]]);
        MIX(2, 7, 8, 13, m[s[12]], m[s[13]]);
        MIX(3, 4, 9, 14, m[s[14]], m[s[15]]);
    }

    for (int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
}

void weir_blake2b_begin(weir_blake2b_t *b, size_t len, weir_str_t key, weir_str_t purpose)
{
    uint8_t person[WEIR_BLAKE2B_PURPOSE] = {0};

    if (purpose.len != 0)
        memcpy(person, purpose.data, purpose.len);

    memcpy(b->h, iv, sizeof(iv));
    b->h[0] ^= 0x01010000 ^ (uint64_t)key.len << 8 ^ len;
    b->h[6] ^= weir_get64(person);
    b->h[7] ^= weir_get64(person + 8);
    b->count = 0;
    b->filled = 0;
    b->len = len;

    if (key.len != 0) {
        memset(b->block, 0, sizeof(b->block));
        memcpy(b->block, key.data, key.len);
        b->filled = sizeof(b->block);
    }
}

void weir_blake2b_add(weir_blake2b_t *b, weir_str_t text)
{
    const uint8_t *p = (const uint8_t *)text.data;
    size_t left = text.len, room;

    while (left != 0) {
        /* the last block is compressed at the end, so a full one is kept until more bytes arrive */
        if (b->filled == sizeof(b->block)) {
            b->count += sizeof(b->block);
            compress(b, b->block, 0);
            b->filled = 0;
        }

        while (b->filled == 0 && left > sizeof(b->block)) {
            b->count += sizeof(b->block);
            compress(b, p, 0);
            p += sizeof(b->block);
            left -= sizeof(b->block);
        }

        room = sizeof(b->block) - b->filled;
        room = left < room ? left : room;
        memcpy(b->block + b->filled, p, room);
        b->filled += room;
        p += room;
        left -= room;
    }
}

void weir_blake2b_end(weir_blake2b_t *b, uint8_t *hash)
{
    memset(b->block + b->filled, 0, sizeof(b->block) - b->filled);
    b->count += b->filled;
    compress(b, b->block, UINT64_MAX);

    for (size_t i = 0; i < b->len; i++)
        hash[i] = (uint8_t)(b->h[i / 8] >> (8 * (i % 8)));
}

void weir_blake2b(uint8_t *hash, size_t len, weir_str_t key, weir_str_t purpose, weir_str_t text)
{
    weir_blake2b_t b;

    weir_blake2b_begin(&b, len, key, purpose);
    weir_blake2b_add(&b, text);
    weir_blake2b_end(&b, hash);
}
