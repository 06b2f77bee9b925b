// needs: ngx_module/cache/policy/range.c
#include "cache/policy/range.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static weir_str_t str(const char *text)
{
    return (weir_str_t){text, strlen(text)};
}

static void content_ranges_are_read(void **state)
{
    static const struct {
        const char *value;
        int64_t first, last, total; /* first -1: refused */
    } rows[] = {
        {"bytes 0-0/1", 0, 0, 1},
        {"bytes 4-8/9", 4, 8, 9},
        {"BYTES 0-3/100", 0, 3, 100},
        {"bytes 0-3/999999999999999999", 0, 3, 999999999999999999},
        {"", -1, 0, 0},
        {"bytes", -1, 0, 0},
        {"bytes ", -1, 0, 0},
        {"bytes 4-8/*", -1, 0, 0},
        {"bytes */9", -1, 0, 0},
        {"bytes 4-8/8", -1, 0, 0},
        {"bytes 8-4/9", -1, 0, 0},
        {"bytes 4-8", -1, 0, 0},
        {"bytes 4-/9", -1, 0, 0},
        {"bytes -8/9", -1, 0, 0},
        {"bytes 4-8/9 ", -1, 0, 0},
        {"bytes  4-8/9", -1, 0, 0},
        {"bytes=4-8/9", -1, 0, 0},
        {"lines 4-8/9", -1, 0, 0},
        {"bytes 4-8/9999999999999999999", -1, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_range_t r;
        bool read = weir_content_range_parse(str(rows[i].value), &r);

        if (read != (rows[i].first != -1) ||
            (read &&
             (r.first != rows[i].first || r.last != rows[i].last || r.total != rows[i].total)))
            fail_msg("\"%s\": %d", rows[i].value, read);
    }
}

static void ranges_are_read(void **state)
{
    static const struct {
        const char *value;
        int64_t total, first, last; /* first -1: refused */
    } rows[] = {
        {"bytes=0-0", 10, 0, 0},
        {"bytes=0-9", 10, 0, 9},
        {"bytes=0-", 10, 0, 9},
        {"bytes=9-", 10, 9, 9},
        {"bytes=4-90", 10, 4, 9},
        {"bytes=-1", 10, 9, 9},
        {"bytes=-10", 10, 0, 9},
        {"bytes=-90", 10, 0, 9},
        {"Bytes=1-2", 10, 1, 2},
        {"bytes=10-", 10, -1, 0},
        {"bytes=10-11", 10, -1, 0},
        {"bytes=2-1", 10, -1, 0},
        {"bytes=-0", 10, -1, 0},
        {"bytes=-", 10, -1, 0},
        {"bytes=", 10, -1, 0},
        {"bytes=x-", 10, -1, 0},
        {"bytes=1", 10, -1, 0},
        {"bytes=0-1,3-4", 10, -1, 0},
        {"bytes=0-1,", 10, -1, 0},
        {"bytes= 0-1", 10, -1, 0},
        {"bytes=0 -1", 10, -1, 0},
        {"bytes=0-1 ", 10, -1, 0},
        {"bytes 0-1", 10, -1, 0},
        {"lines=0-1", 10, -1, 0},
        {"bytes=0-9999999999999999999", 10, -1, 0},
        {"bytes=0-0", 0, -1, 0},
        {"bytes=-1", 0, -1, 0},
        {"", 10, -1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_range_t r;
        bool read = weir_range_parse(str(rows[i].value), rows[i].total, &r);

        if (read != (rows[i].first != -1) ||
            (read && (r.first != rows[i].first || r.last != rows[i].last)))
            fail_msg("\"%s\" of %lld: %d", rows[i].value, (long long)rows[i].total, read);
    }
}

/* Copies without a byte behind them, so that a sanitizer sees a read past the end. */
static void prefixes_are_refused_or_read(void **state)
{
    static const char *rows[] = {"bytes=123-456", "bytes=-456", "bytes 123-456/7890"};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t n = 0; n <= strlen(rows[i]); n++) {
            char *exact = n ? strndup(rows[i], n) : NULL;
            char *copy = n ? malloc(n) : NULL;
            weir_range_t r;

            if (n)
                memcpy(copy, exact, n);
            if (weir_range_parse((weir_str_t){copy, n}, 1000, &r) ||
                weir_content_range_parse((weir_str_t){copy, n}, &r))
                assert_true(r.first >= 0 && r.first <= r.last && r.last < r.total);
            free(copy);
            free(exact);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(content_ranges_are_read),
        cmocka_unit_test(ranges_are_read),
        cmocka_unit_test(prefixes_are_refused_or_read),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
