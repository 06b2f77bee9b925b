/* Lists of tags and their hashes; see tags.h. */

#include "cache/policy/tags.h"

#include "common/hash/blake2b.h"
#include "common/text/bytes.h"

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

/* The two lowest values mark free places in tables. */
static uint64_t usable(uint64_t hash)
{
    return hash > 1 ? hash : 2;
}

static uint64_t hash_of(weir_str_t purpose, weir_str_t text)
{
    uint8_t hash[8];

    weir_blake2b(hash, sizeof(hash), WEIR_STR(""), purpose, text);

    return usable(weir_get64(hash));
}

uint64_t weir_tag_hash(weir_str_t tag)
{
    return hash_of(WEIR_STR("weir tag"), tag);
}

uint64_t weir_key_hash(weir_str_t key)
{
    return hash_of(WEIR_STR("weir key"), key);
}

const char *weir_tags_read(weir_str_t list, char *block, size_t *n)
{
    weir_str_t tag;
    size_t pos = 0;

    while (weir_tags_next(list, &pos, &tag)) {
        if (tag.len > WEIR_TAG_MAX)
            return "a tag of more than 128 bytes";

        if (*n == WEIR_TAGS_MAX)
            return "more than 64 tags";

        weir_put64(block + *n * 8, weir_tag_hash(tag));
        (*n)++;
    }

    return NULL;
}

uint64_t weir_tags_at(weir_str_t block, size_t i)
{
    return weir_get64(block.data + i * 8);
}
