// needs: ngx_module/cache/invalidation/invalidations.c ngx_module/redis/follow/position.c
// needs: ngx_module/cache/invalidation/invalidations_apply.c ngx_module/cache/policy/tags.c
// needs: ngx_module/cache/invalidation/invalidations_make.c
// needs: ngx_module/cache/invalidation/invalidations_client.c common/hash/blake2b.c
/*
 * Messages of the invalidation stream with any bytes: the input's lines are
 * fields and values in turn; an empty field ends the message.
 */
#include "cache/invalidation/invalidations.h"
#include "cache/policy/tags.h"
#include "budget.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {60000, 600, 0, 0};

static weir_str_t line(const char **p, const char *end)
{
    const char *start = *p, *newline = start < end ? memchr(start, '\n', end - start) : NULL;
    weir_str_t s = {start, (size_t)((newline ? newline : end) - start)};

    *p = newline ? newline + 1 : end;
    return s;
}

static void run(const uint8_t *data, size_t size)
{
    static char memory[8192];
    const char *p = (const char *)data, *end = p + size;
    weir_invalidations_t *inv;
    weir_position_t position = {0, 0}, read;
    weir_str_t fields[32], key = {"key", 3};
    weir_stamp_t stamp;
    char block[WEIR_TAGS_MAX * 8];
    size_t n = 0, ntags = 0;

    memset(memory, 0, sizeof(memory));
    inv = weir_invalidations_init(memory, sizeof(memory), 0x1122334455667788);
    weir_invalidations_begin(inv, 1, position);

    while (p < end) {
        fields[n] = line(&p, end);

        if (fields[n].len != 0 && n < 31) {
            n++;
            continue;
        }

        weir_position_parse(fields[0], &read);
        ntags = 0;
        (void)weir_tags_read(n > 1 ? fields[1] : key, block, &ntags);
        assert(ntags <= WEIR_TAGS_MAX);

        weir_invalidations_stamp(inv, &stamp);
        position.ms++;
        (void)weir_invalidations_apply(inv, position, fields, n);
        assert(inv->position.ms == position.ms && inv->changing == 0);

        /* whatever came, it touches nothing that starts afterwards */
        weir_invalidations_check(inv, &stamp, key, (weir_str_t){block, ntags * 8});
        weir_invalidations_stamp(inv, &stamp);
        assert(weir_invalidations_check(inv, &stamp, key, (weir_str_t){block, ntags * 8}) ==
               WEIR_VALID);
        n = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
