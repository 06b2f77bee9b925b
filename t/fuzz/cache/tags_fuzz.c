// needs: ngx_module/cache/policy/tags.c common/hash/blake2b.c
/*
 * Lists of tags from any bytes, a list for each line: what is read of a
 * response must be what a message with the same text names.
 */
#include "cache/policy/tags.h"
#include "budget.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {20000, 2500, 1024, 1};

/* The list as it is read for a message: each tag once more, by its own. */
static size_t check_walk(weir_str_t list)
{
    weir_str_t tag, again;
    size_t pos = 0, n = 0, last = 0, single;

    while (weir_tags_next(list, &pos, &tag)) {
        assert(tag.len > 0 && pos > last && pos <= list.len);
        assert(tag.data >= list.data && tag.data + tag.len == list.data + pos);
        last = pos;

        for (size_t i = 0; i < tag.len; i++)
            assert(tag.data[i] != ',' && tag.data[i] != ' ' && tag.data[i] != '\t');

        single = 0;
        assert(weir_tags_next(tag, &single, &again) && weir_str_eq(again, tag));
        assert(!weir_tags_next(tag, &single, &again));

        assert(weir_tag_hash(tag) > 1 && weir_key_hash(tag) > 1);
        assert(weir_tag_hash(tag) == weir_tag_hash(again.len ? again : tag));
        n++;
    }

    /* the end stays the end */
    assert(!weir_tags_next(list, &pos, &tag));

    return n;
}

static void run(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    char *block = malloc(WEIR_TAGS_MAX * 8);
    size_t n = 0;

    assert(block != NULL);

    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        weir_str_t list = {p, (size_t)((newline ? newline : end) - p)}, tag;
        size_t walked = check_walk(list), first = n, pos = 0;
        const char *wrong = weir_tags_read(list, block, &n);

        assert(n <= WEIR_TAGS_MAX);

        if (wrong == NULL) {
            assert(n - first == walked);

            for (size_t i = first; weir_tags_next(list, &pos, &tag); i++) {
                assert(tag.len <= WEIR_TAG_MAX);
                assert(weir_tags_at((weir_str_t){block, n * 8}, i) == weir_tag_hash(tag));
            }
        }

        p += list.len + 1;
    }

    free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
