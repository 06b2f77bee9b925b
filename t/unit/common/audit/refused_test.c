// needs: common/audit/refused.c
/* Refused requests, sampled: sums are right, and records are few. */
#include "common/audit/refused.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static weir_refused_flood_t *flood;

static bool note(const char *outcome, unsigned caller, int64_t now)
{
    weir_refused_t refused = {.object = "GET /x"};

    snprintf(refused.outcome, sizeof(refused.outcome), "%s", outcome);
    snprintf(refused.subject, sizeof(refused.subject), "sub:%u", caller);

    return weir_refused_note(flood, &refused, now);
}

static uint64_t sum(bool all, int64_t now, unsigned *records)
{
    const weir_refused_t *refused;
    uint64_t n, total = 0;

    while ((n = weir_refused_sum(flood, all, now, &refused)) > 0) {
        total += n;
        ++*records;
    }

    return total;
}

static void the_first_are_exact(void **state)
{
    unsigned exact = 0, sums = 0;

    (void)state;

    memset(flood, 0, sizeof(*flood));
    assert_false(weir_refused_is_open(flood));
    for (unsigned i = 0; i < 10000; i++)
        exact += note("expired", 1, 1000 + i / 1200);
    assert_int_equal(exact, WEIR_REFUSED_EXACT);
    assert_true(note("scope", 1, 1009));
    assert_true(note("expired", 2, 1009));
    assert_true(weir_refused_is_open(flood));
    assert_int_equal(sum(false, 1009, &sums), 0);
    assert_int_equal(sum(false, 1010, &sums), 10000 - WEIR_REFUSED_EXACT);
    assert_int_equal(sums, 1);
    assert_true(note("expired", 1, 1010));
    assert_int_equal(sum(false, 1030, &sums), 0);
    assert_false(weir_refused_is_open(flood));
}

static void many_callers_are_counted_together(void **state)
{
    unsigned exact = 0, sums = 0;

    (void)state;

    memset(flood, 0, sizeof(*flood));
    for (unsigned i = 0; i < 10000; i++)
        exact += note("expired", i, 1000);
    assert_int_equal(exact, WEIR_REFUSED_CALLERS);
    assert_int_equal(sum(true, 1000, &sums), 10000 - WEIR_REFUSED_CALLERS);
    assert_int_equal(sums, 1);
    assert_false(weir_refused_is_open(flood));
}

/* Also when windows end while others go on, and time goes back. */
static void the_sum_is_right(void **state)
{
    unsigned exact = 0, sums = 0, n = 0;
    uint64_t counted = 0;

    (void)state;

    memset(flood, 0, sizeof(*flood));
    for (int64_t now = 1000; now < 1200; now++) {
        for (unsigned i = 0; i < 97; i++, n++)
            exact += note(i % 2 ? "a" : "b", (unsigned)(i * i + (unsigned)now) % 150, now);
        counted += sum(false, now == 1100 ? 50 : now, &sums);
    }
    counted += sum(true, 1200, &sums);
    assert_int_equal(exact + counted, n);
}

static void texts_are_cut_at_characters(void **state)
{
    char out[5];

    (void)state;

    weir_refused_put(out, sizeof(out), "abcdef", 6);
    assert_string_equal(out, "abcd");
    weir_refused_put(out, sizeof(out), "abc\xc3\xa4", 5);
    assert_string_equal(out, "abc");
    weir_refused_put(out, sizeof(out), "", 0);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_are_exact),
        cmocka_unit_test(many_callers_are_counted_together),
        cmocka_unit_test(the_sum_is_right),
        cmocka_unit_test(texts_are_cut_at_characters),
    };
    int failed;

    flood = malloc(sizeof(*flood));
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(flood);

    return failed;
}
