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

void weir_murmur3_add(weir_murmur3_t *m, weir_str_t text)
{
    for (size_t i = 0; i < text.len; i++) {
        m->rest |= (uint32_t)(unsigned char)text.data[i] << (m->len % 4 * 8);
        if (++m->len % 4 == 0) {
            m->hash = rotate(m->hash ^ scramble(m->rest), 13) * 5 + 0xe6546b64u;
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
