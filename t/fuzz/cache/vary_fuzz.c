// needs: ngx_module/cache/policy/vary.c
/*
 * Vary on any bytes: the input's lines are those of Vary; each is also a value
 * to normalize.
 */
#include "cache/policy/vary.h"
#include "budget.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {4000, 1000, 4096, 16};

#define LINES_MAX 32

static char *allocate(size_t size)
{
    char *p = malloc(size ? size : 1);

    assert(p != NULL);
    return p;
}

/*
 * Normalized once is normalized for good, but for what became short enough to
 * be sorted only when its spaces had gone.
 */
static void check_normalize(weir_str_t name, weir_str_t value)
{
    char *out = allocate(value.len), *again;
    size_t n = weir_vary_normalize_field(name, value, out);

    assert(n <= value.len);

    if (value.len <= WEIR_VARY_SORTED_MAX || n > WEIR_VARY_SORTED_MAX) {
        again = allocate(n);
        assert(weir_vary_normalize_field(name, (weir_str_t){out, n}, again) == n);
        assert(n == 0 || memcmp(out, again, n) == 0);
        free(again);
    }

    free(out);
}

static void check_fields(const weir_str_t *lines, size_t n)
{
    size_t room = WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1), len, len_again, pos = 0,
           count = 0;
    char *buf = allocate(room), *again = allocate(room);
    weir_str_t name, last = {NULL, 0}, list;

    if (weir_vary_fields(lines, n, buf, &len)) {
        assert(len <= room);
        list = (weir_str_t){buf, len};

        while (weir_vary_next(list, &pos, &name)) {
            assert(name.len > 0 && name.len <= WEIR_VARY_NAME_MAX);
            assert(!weir_str_eq(name, WEIR_STR("*")) && !weir_str_eq(name, last));
            last = name;
            count++;
        }
        assert(count <= WEIR_VARY_FIELDS_MAX);

        /* the list of the list is the list */
        assert(weir_vary_fields(&list, 1, again, &len_again));
        assert(len_again == len && memcmp(buf, again, len) == 0);
    }

    free(again);
    free(buf);
}

static void run(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    weir_str_t lines[LINES_MAX];
    size_t n = 0;

    while (p < end && n < LINES_MAX) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));

        lines[n].data = p;
        lines[n].len = (size_t)((newline ? newline : end) - p);
        p += lines[n].len + 1;
        check_normalize(WEIR_STR("x"), lines[n]);
        check_normalize(WEIR_STR("accept"), lines[n]);
        check_normalize(WEIR_STR("accept-language"), lines[n]);
        n++;
    }

    check_fields(lines, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
