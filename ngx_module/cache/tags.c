/* Lists of tags and their hashes; see tags.h. */

#include "cache/tags.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

static const uint64_t key_seed = 0x6b65793a6b65793aULL;

static bool separates(char c)
{
    return c == ',' || c == ' ' || c == '\t';
}

bool weir_tags_next(weir_str_t list, size_t *pos, weir_str_t *tag)
{
    size_t start = *pos, end;

    while (start < list.len && separates(list.data[start]))
        start++;

    for (end = start; end < list.len && !separates(list.data[end]); end++)
        ;

    *pos = end;
    *tag = (weir_str_t){list.data + start, end - start};

    return end != start;
}

/* The two lowest are taken by those who mark free places. */
static uint64_t usable(uint64_t hash)
{
    return hash > 1 ? hash : 2;
}

uint64_t weir_tag_hash(weir_str_t tag)
{
    return usable(XXH3_64bits(tag.data, tag.len));
}

uint64_t weir_key_hash(weir_str_t key)
{
    return usable(XXH3_64bits_withSeed(key.data, key.len, key_seed));
}

const char *weir_tags_read(weir_str_t list, char *block, size_t *n)
{
    weir_str_t tag;
    size_t pos = 0;

    while (weir_tags_next(list, &pos, &tag)) {
        uint64_t hash;

        if (tag.len > WEIR_TAG_MAX)
            return "a tag of more than 128 bytes";

        if (*n == WEIR_TAGS_MAX)
            return "more than 64 tags";

        hash = weir_tag_hash(tag);

        for (int i = 0; i < 8; i++)
            block[*n * 8 + i] = (char)(hash >> (8 * i));

        (*n)++;
    }

    return NULL;
}

uint64_t weir_tags_at(weir_str_t block, size_t i)
{
    uint64_t hash = 0;

    for (int k = 7; k >= 0; k--)
        hash = hash << 8 | (unsigned char)block.data[i * 8 + (size_t)k];

    return hash;
}
