// needs: ngx_module/cache/policy/cache_control.c
/*
 * Targeted Cache-Control (RFC 9213) from any bytes, a line for each line of the
 * input.
 */
#include "cache/policy/cache_control.h"
#include "cache_control_checks.h"
#include "budget.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {2000, 120, 16, 2};

#define LINES_MAX 32

static void run(const uint8_t *data, size_t size)
{
    /* of its own: a read past the end of a line, or of the last, must be seen */
    char *copy = malloc(size ? size : 1);
    const char *p = copy, *end = p + size;
    weir_str_t lines[LINES_MAX];
    weir_cache_control_t cc;
    size_t n = 0;

    assert(copy != NULL);
    if (size != 0)
        memcpy(copy, data, size);

    while (p < end && n < LINES_MAX) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));

        lines[n] = (weir_str_t){p, (size_t)((newline ? newline : end) - p)};
        p += lines[n++].len + 1;
    }

    if (!weir_cache_control_parse_targeted(&cc, lines, n)) {
        /* what is to be ignored has said nothing */
        assert(cc.flags == 0 && cc.max_age == -1 && cc.s_maxage == -1 && cc.max_stale == -1);
        assert(cc.no_cache_fields.len == 0 && cc.private_fields.len == 0);
    }

    check_parsed(&cc, copy, copy + size);

    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
