/* MurmurHash3 (Austin Appleby, public domain), written for text in pieces; see murmur3.h. */

#include "common/flags/murmur3.h"

static uint32_t rotate(uint32_t x, int bits)
{
    return x << bits | x >> (32 - bits);
}

static uint32_t scramble(uint32_t k)
{
    return rotate(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

static uint32_t mix(uint32_t hash, uint32_t word)
{
    return rotate(hash ^ scramble(word), 13) * 5 + 0xe6546b64u;
}

/* Words that begin within a word of the text are put together of two. */
void weir_murmur3_add(weir_murmur3_t *m, weir_str_t text)
{
    unsigned shift = m->len % 4 * 8;
    const unsigned char *p = (const unsigned char *)text.data, *end = p + text.len;

    m->len += (uint32_t)text.len;

    for (; end - p >= 4; p += 4) {
        uint64_t word =
            (uint64_t)(p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24) << shift | m->rest;

        m->hash = mix(m->hash, (uint32_t)word);
        m->rest = (uint32_t)(word >> 32);
    }

    for (; p < end; p++) {
        m->rest |= (uint32_t)*p << shift;
        shift = (shift + 8) % 32;
        if (shift == 0) {
            m->hash = mix(m->hash, m->rest);
            m->rest = 0;
        }
    }
}

uint32_t weir_murmur3_end(const weir_murmur3_t *m)
{
    uint32_t h = m->hash ^ scramble(m->rest) ^ m->len;

    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;

    return h ^ h >> 16;
}
