// needs: common/breaker/breaker.c common/breaker/tally.c
#include "common/breaker/breaker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The edge's defaults, and the way that counts in the window. */
static const weir_breaker_settings_t defaults = {
    .failures = 5, .ratio = 500, .min = 20, .probes = 1, .window = 10000, .open = 5000};
static const weir_breaker_settings_t window = {.counting = WEIR_BREAKER_COUNT_WINDOW,
                                               .failures = 5,
                                               .probes = 1,
                                               .window = 10000,
                                               .open = 5000};
static uint64_t generations;

static int report(weir_breaker_t *b, const weir_breaker_settings_t *s, uint64_t now,
                  weir_breaker_outcome_t outcome)
{
    uint64_t g;

    if (!weir_breaker_admit(b, s, now, ++generations, &g))
        return -1;
    return weir_breaker_report(b, s, now, ++generations, g, outcome);
}

static weir_breaker_t opened(const weir_breaker_settings_t *s, uint64_t now)
{
    weir_breaker_t b;

    weir_breaker_init(&b, now, ++generations);
    for (uint32_t i = 0; i < s->failures; i++)
        report(&b, s, now, WEIR_BREAKER_FAILURE);
    assert_int_equal(b.state, WEIR_BREAKER_OPEN);
    return b;
}

static void failures_in_a_row_open_it(void **state)
{
    weir_breaker_t b;

    (void)state;
    weir_breaker_init(&b, 1000, ++generations);
    for (int i = 0; i < 4; i++)
        assert_int_equal(report(&b, &defaults, 1000, WEIR_BREAKER_FAILURE), 0);
    /* a success ends the row; a call without a result does not */
    assert_int_equal(report(&b, &defaults, 1000, WEIR_BREAKER_SUCCESS), 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(report(&b, &defaults, 1000, WEIR_BREAKER_FAILURE), 0);
    assert_int_equal(report(&b, &defaults, 1000, WEIR_BREAKER_ABANDONED), 0);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 1000).row, 4);
    assert_int_equal(b.state, WEIR_BREAKER_CLOSED);
    assert_int_equal(report(&b, &defaults, 1000, WEIR_BREAKER_FAILURE), 1);
    assert_int_equal(b.rule, WEIR_BREAKER_BY_ROW);
    assert_int_equal(b.opened.row, 5);
    assert_int_equal(report(&b, &defaults, 5999, WEIR_BREAKER_SUCCESS), -1);
    assert_int_equal(weir_breaker_retry_after(&b, 1000), 5000);
    assert_int_equal(weir_breaker_retry_after(&b, 5999), 1);
}

static void few_failures_among_many_successes_do_not_open_it(void **state)
{
    weir_breaker_t b;

    (void)state;
    weir_breaker_init(&b, 0, ++generations);
    /* 0.5% of 100,000 calls, 1000 a second: 50 failures in each window */
    for (int i = 1; i <= 100000; i++)
        assert_int_equal(report(&b, &defaults, (uint64_t)i,
                                i % 200 ? WEIR_BREAKER_SUCCESS : WEIR_BREAKER_FAILURE),
                         0);
}

static void half_of_enough_calls_opens_it(void **state)
{
    weir_breaker_t b;

    (void)state;
    weir_breaker_init(&b, 0, ++generations);
    for (int i = 0; i < 19; i++)
        assert_int_equal(
            report(&b, &defaults, 0, i % 2 ? WEIR_BREAKER_FAILURE : WEIR_BREAKER_SUCCESS), 0);
    assert_int_equal(report(&b, &defaults, 0, WEIR_BREAKER_FAILURE), 1);
    assert_int_equal(b.rule, WEIR_BREAKER_BY_RATIO);
    assert_int_equal(b.opened.calls, 20);
    assert_int_equal(b.opened.failed, 10);

    /* less than half never does */
    weir_breaker_init(&b, 0, ++generations);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(
            report(&b, &defaults, 0, i % 5 < 2 ? WEIR_BREAKER_FAILURE : WEIR_BREAKER_SUCCESS), 0);
}

static void without_a_ratio_only_the_row_opens_it(void **state)
{
    weir_breaker_settings_t s = defaults;
    weir_breaker_t b;

    (void)state;
    s.ratio = 0;
    weir_breaker_init(&b, 0, ++generations);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(report(&b, &s, 0, i % 5 ? WEIR_BREAKER_FAILURE : WEIR_BREAKER_SUCCESS), 0);
}

static void a_row_that_takes_longer_than_the_window_does_not_open_it(void **state)
{
    weir_breaker_t b;

    (void)state;
    weir_breaker_init(&b, 0, ++generations);
    for (uint64_t now = 0; now < 300000; now += 3000)
        assert_int_equal(report(&b, &defaults, now, WEIR_BREAKER_FAILURE), 0);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 297000).row, 4);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 400000).row, 0);
}

/* A call whose header was good and whose body broke off. */
static int cut(weir_breaker_t *b, uint64_t now)
{
    uint64_t g;

    weir_breaker_admit(b, &defaults, now, ++generations, &g);
    weir_breaker_report(b, &defaults, now, ++generations, g, WEIR_BREAKER_SUCCESS);
    return weir_breaker_take_back(b, &defaults, now, ++generations, g, b->successes);
}

static void a_success_that_is_taken_back_ended_no_row(void **state)
{
    weir_breaker_t b;
    uint64_t g, success;

    (void)state;
    weir_breaker_init(&b, 0, ++generations);
    for (int i = 0; i < 4; i++)
        assert_int_equal(cut(&b, 0), 0);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 0).calls, 4);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 0).row, 4);
    assert_int_equal(cut(&b, 0), 1);
    assert_int_equal(b.rule, WEIR_BREAKER_BY_ROW);

    /* another success in between does end it */
    weir_breaker_init(&b, 0, ++generations);
    for (int i = 0; i < 4; i++)
        report(&b, &defaults, 0, WEIR_BREAKER_FAILURE);
    weir_breaker_admit(&b, &defaults, 0, ++generations, &g);
    weir_breaker_report(&b, &defaults, 0, ++generations, g, WEIR_BREAKER_SUCCESS);
    success = b.successes;
    report(&b, &defaults, 0, WEIR_BREAKER_SUCCESS);
    assert_int_equal(weir_breaker_take_back(&b, &defaults, 0, ++generations, g, success), 0);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 0).row, 1);

    /* what was in the window when it succeeded need not be when it fails */
    weir_breaker_init(&b, 0, ++generations);
    weir_breaker_admit(&b, &defaults, 0, ++generations, &g);
    weir_breaker_report(&b, &defaults, 0, ++generations, g, WEIR_BREAKER_SUCCESS);
    weir_breaker_take_back(&b, &defaults, 100000, ++generations, g, b.successes);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 100000).calls, 1);
    assert_int_equal(weir_breaker_counts(&b, &defaults, 100000).failed, 1);
}

static void in_the_window_the_last_failure_opens_it(void **state)
{
    weir_breaker_t b;

    (void)state;
    weir_breaker_init(&b, 1000, ++generations);
    for (int i = 0; i < 4; i++)
        assert_int_equal(report(&b, &window, 1000, WEIR_BREAKER_FAILURE), 0);
    assert_int_equal(report(&b, &window, 1000, WEIR_BREAKER_SUCCESS), 0);
    assert_int_equal(report(&b, &window, 1000, WEIR_BREAKER_ABANDONED), 0);
    assert_int_equal(b.state, WEIR_BREAKER_CLOSED);
    assert_int_equal(report(&b, &window, 1000, WEIR_BREAKER_FAILURE), 1);
    assert_int_equal(b.rule, WEIR_BREAKER_BY_WINDOW);
}

static void failures_leave_with_the_window(void **state)
{
    weir_breaker_t b;

    (void)state;
    weir_breaker_init(&b, 0, ++generations);
    /* one every three seconds: never five in ten */
    for (uint64_t now = 0; now < 300000; now += 3000)
        assert_int_equal(report(&b, &window, now, WEIR_BREAKER_FAILURE), 0);
    /* a pause longer than the window forgets all */
    assert_int_equal(report(&b, &window, 400000, WEIR_BREAKER_FAILURE), 0);
    assert_int_equal(weir_tally_now(&b.tally)->failed, 1);
}

static void one_probe_decides(void **state)
{
    weir_breaker_t b = opened(&defaults, 1000);
    uint64_t g, other;

    (void)state;
    assert_int_equal(weir_breaker_state(&b, &defaults, 6000), WEIR_BREAKER_HALF_OPEN);
    assert_int_equal(weir_breaker_admit(&b, &defaults, 6000, ++generations, &g), 1);
    assert_int_equal(weir_breaker_admit(&b, &defaults, 6000, ++generations, &other), 0);
    assert_int_equal(
        weir_breaker_report(&b, &defaults, 6001, ++generations, g, WEIR_BREAKER_SUCCESS), 1);
    assert_int_equal(b.state, WEIR_BREAKER_CLOSED);

    b = opened(&defaults, 1000);
    assert_int_equal(report(&b, &defaults, 6000, WEIR_BREAKER_FAILURE), 1);
    assert_int_equal(b.state, WEIR_BREAKER_OPEN);
    assert_int_equal(b.rule, WEIR_BREAKER_BY_PROBE);
    assert_int_equal(report(&b, &defaults, 10999, WEIR_BREAKER_SUCCESS), -1);
}

static void as_many_probes_as_set(void **state)
{
    weir_breaker_settings_t s = {.failures = 2, .probes = 3, .window = 1000, .open = 100};
    weir_breaker_t b = opened(&s, 0);
    uint64_t g;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(weir_breaker_admit(&b, &s, 100, ++generations, &g), 1);
    assert_int_equal(weir_breaker_admit(&b, &s, 100, ++generations, &g), 0);
    /* one was abandoned by its client: its place is free again, once */
    weir_breaker_report(&b, &s, 101, ++generations, g, WEIR_BREAKER_ABANDONED);
    assert_int_equal(weir_breaker_admit(&b, &s, 101, ++generations, &g), 1);
    assert_int_equal(weir_breaker_admit(&b, &s, 101, ++generations, &g), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(weir_breaker_report(&b, &s, 102, ++generations, g, WEIR_BREAKER_SUCCESS),
                         0);
    assert_int_equal(weir_breaker_report(&b, &s, 102, ++generations, g, WEIR_BREAKER_SUCCESS), 1);
    assert_int_equal(b.state, WEIR_BREAKER_CLOSED);
}

static void a_lost_probe_is_replaced(void **state)
{
    weir_breaker_t b = opened(&defaults, 0);
    uint64_t lost, g;

    (void)state;
    assert_int_equal(weir_breaker_admit(&b, &defaults, 5000, ++generations, &lost), 1);
    assert_int_equal(weir_breaker_admit(&b, &defaults, 9999, ++generations, &g), 0);
    assert_int_equal(weir_breaker_admit(&b, &defaults, 10000, ++generations, &g), 1);
    /* a lost one that was abandoned makes no room for a third */
    assert_int_equal(
        weir_breaker_report(&b, &defaults, 10001, ++generations, lost, WEIR_BREAKER_ABANDONED), 0);
    assert_int_equal(weir_breaker_admit(&b, &defaults, 10001, ++generations, &g), 0);
    assert_int_equal(b.state, WEIR_BREAKER_HALF_OPEN);
    /* its late success is one: the dependency only takes longer than the breaker is open */
    assert_int_equal(
        weir_breaker_report(&b, &defaults, 10002, ++generations, lost, WEIR_BREAKER_SUCCESS), 1);
    assert_int_equal(b.state, WEIR_BREAKER_CLOSED);
}

static void overdue_results_do_not_count(void **state)
{
    weir_breaker_t b;
    uint64_t early, g;

    (void)state;
    weir_breaker_init(&b, 0, ++generations);
    weir_breaker_admit(&b, &defaults, 0, ++generations, &early);
    for (int i = 0; i < 5; i++)
        report(&b, &defaults, 0, WEIR_BREAKER_FAILURE);
    assert_int_equal(
        weir_breaker_report(&b, &defaults, 1, ++generations, early, WEIR_BREAKER_SUCCESS), 0);
    weir_breaker_admit(&b, &defaults, 5000, ++generations, &g);
    assert_int_equal(
        weir_breaker_report(&b, &defaults, 5001, ++generations, early, WEIR_BREAKER_SUCCESS), 0);
    assert_int_equal(b.state, WEIR_BREAKER_HALF_OPEN);
}

static void in_the_window_with_a_ratio_many_successes_keep_it_closed(void **state)
{
    weir_breaker_settings_t s = window;
    weir_breaker_t b;

    (void)state;
    s.ratio = 500;
    weir_breaker_init(&b, 0, ++generations);
    for (int i = 0; i < 10; i++)
        report(&b, &s, 0, WEIR_BREAKER_SUCCESS);
    for (int i = 0; i < 9; i++)
        assert_int_equal(report(&b, &s, 0, WEIR_BREAKER_FAILURE), 0);
    assert_int_equal(report(&b, &s, 0, WEIR_BREAKER_FAILURE), 1);
}

static void a_clock_that_lags_does_no_harm(void **state)
{
    weir_breaker_t b = opened(&defaults, 100000);

    (void)state;
    assert_int_equal(report(&b, &defaults, 90000, WEIR_BREAKER_SUCCESS), -1);
    assert_int_equal(weir_breaker_retry_after(&b, 90000), 5000);
}

static void a_longer_window_counts_from_its_own_beginning(void **state)
{
    weir_breaker_settings_t longer = window;
    weir_breaker_t b;

    (void)state;
    longer.window = 600000;
    weir_breaker_init(&b, 86400000, ++generations);
    for (int i = 0; i < 4; i++)
        report(&b, &window, 86400000, WEIR_BREAKER_FAILURE);
    report(&b, &longer, 86400001, WEIR_BREAKER_SUCCESS);
    assert_int_equal(weir_breaker_counts(&b, &longer, 86400001).failed, 0);
    report(&b, &longer, 86400001, WEIR_BREAKER_FAILURE);
    /* ... and what was counted leaves the window as ever */
    assert_int_equal(weir_breaker_counts(&b, &longer, 86400001).failed, 1);
    assert_int_equal(weir_breaker_counts(&b, &longer, 87100000).failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_in_a_row_open_it),
        cmocka_unit_test(few_failures_among_many_successes_do_not_open_it),
        cmocka_unit_test(half_of_enough_calls_opens_it),
        cmocka_unit_test(without_a_ratio_only_the_row_opens_it),
        cmocka_unit_test(a_row_that_takes_longer_than_the_window_does_not_open_it),
        cmocka_unit_test(a_success_that_is_taken_back_ended_no_row),
        cmocka_unit_test(in_the_window_the_last_failure_opens_it),
        cmocka_unit_test(failures_leave_with_the_window),
        cmocka_unit_test(one_probe_decides),
        cmocka_unit_test(as_many_probes_as_set),
        cmocka_unit_test(a_lost_probe_is_replaced),
        cmocka_unit_test(overdue_results_do_not_count),
        cmocka_unit_test(in_the_window_with_a_ratio_many_successes_keep_it_closed),
        cmocka_unit_test(a_clock_that_lags_does_no_harm),
        cmocka_unit_test(a_longer_window_counts_from_its_own_beginning),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
