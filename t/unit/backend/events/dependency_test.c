// needs: backend/events/dependency.c backend/log/log.c common/problem.c
// needs: common/breaker/breaker.c common/breaker/tally.c
#include "events/dependency.h"
#include "log/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static weir_dependency_t fresh_start(void)
{
    weir_dependency_t d;

    weir_log_init(WEIR_LOG_ERROR, "test");
    weir_dependency_init(&d, "smtp");
    return d;
}

/* One call from its beginning to its end; true when it was an attempt. */
static bool call(weir_dependency_t *d, uint64_t now, bool fresh, weir_call_result_t result)
{
    weir_call_t c;

    assert_true(weir_dependency_admits(d, now, fresh));
    c = weir_dependency_begin(d, fresh);
    return weir_dependency_end(d, now, &c, result, "no");
}

static void five_different_events_open_it_for_all(void **state)
{
    weir_dependency_t d = fresh_start();
    weir_call_t c[8];

    (void)state;
    for (int i = 0; i < 8; i++)
        c[i] = weir_dependency_begin(&d, true);
    for (int i = 0; i < 5; i++)
        assert_true(weir_dependency_end(&d, 1000, &c[i], WEIR_CALL_FAILED, "no"));
    /* the others were under way when it opened */
    for (int i = 5; i < 8; i++)
        assert_false(weir_dependency_end(&d, 1001, &c[i], WEIR_CALL_FAILED, "no"));
    assert_false(weir_dependency_admits(&d, 1002, true));
    assert_false(weir_dependency_admits(&d, 1002, false));
    assert_int_equal(weir_dependency_next(&d), 1500);
    assert_true(weir_dependency_admits(&d, 1500, true));
}

static void events_that_failed_before_stop_no_fresh_one(void **state)
{
    weir_dependency_t d = fresh_start();

    (void)state;
    for (int i = 0; i < 4; i++) /* a few that the dependency does not answer */
        assert_true(call(&d, 0, true, WEIR_CALL_FAILED));
    assert_true(call(&d, 0, false, WEIR_CALL_FAILED));
    for (uint64_t now = 1; now < 100000; now += 100) {
        assert_true(weir_dependency_admits(&d, now, true));
        if (weir_dependency_admits(&d, now, false))
            assert_false(call(&d, now, false, WEIR_CALL_FAILED)); /* not known */
    }
    assert_false(call(&d, 100000, true, WEIR_CALL_ANSWERED));
    assert_true(call(&d, 100000, false, WEIR_CALL_FAILED)); /* its own: others are answered */
}

static void what_the_dependency_never_heard_of_is_no_attempt(void **state)
{
    weir_dependency_t d = fresh_start();

    (void)state;
    for (int i = 0; i < 5; i++) /* of one event even */
        assert_false(call(&d, 0, i == 0, WEIR_CALL_UNREACHED));
    assert_false(weir_dependency_admits(&d, 1, true));
    assert_false(weir_dependency_admits(&d, 1, false));
}

static void probes_are_fresh_ones_and_few(void **state)
{
    weir_dependency_t d = fresh_start();
    weir_call_t c[3];

    (void)state;
    for (int i = 0; i < 5; i++)
        call(&d, 0, true, WEIR_CALL_FAILED);
    assert_true(weir_dependency_admits(&d, 500, true));
    assert_true(weir_dependency_probes(&d));
    for (int i = 0; i < 3; i++) {
        assert_true(weir_dependency_admits(&d, 500, true));
        c[i] = weir_dependency_begin(&d, true);
    }
    assert_false(weir_dependency_admits(&d, 500, true));
    assert_false(weir_dependency_admits(&d, 500, false));
    assert_false(weir_dependency_end(&d, 600, &c[0], WEIR_CALL_FAILED, "no"));
    assert_false(weir_dependency_end(&d, 600, &c[1], WEIR_CALL_ABANDONED, NULL));
    assert_true(weir_dependency_admits(&d, 600, true)); /* in the place of the abandoned one */
    assert_false(weir_dependency_end(&d, 600, &c[2], WEIR_CALL_FAILED, "no"));
    assert_int_equal(weir_dependency_next(&d), 1600); /* twice as long */

    /* A slow one that failed before does not hold up the fresh one that comes later. */
    assert_true(weir_dependency_admits(&d, 1600, false));
    c[0] = weir_dependency_begin(&d, false);
    assert_false(weir_dependency_admits(&d, 1700, false));
    assert_true(weir_dependency_admits(&d, 1700, true));
    assert_false(call(&d, 1700, true, WEIR_CALL_ANSWERED));
    assert_true(weir_dependency_admits(&d, 1700, false));
    /* Overdue, and its own fault: another was answered meanwhile. */
    assert_true(weir_dependency_end(&d, 9000, &c[0], WEIR_CALL_FAILED, "no"));
}

static void rests_grow_to_five_seconds_and_any_answer_ends_them(void **state)
{
    weir_dependency_t d = fresh_start();
    weir_call_t late = weir_dependency_begin(&d, true);
    uint64_t now = 0, rests[] = {500, 1000, 2000, 4000, 5000, 5000};

    (void)state;
    for (int i = 0; i < 5; i++)
        call(&d, now, true, WEIR_CALL_FAILED);
    for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
        assert_int_equal(weir_dependency_next(&d), now + rests[i]);
        now += rests[i];
        call(&d, now, true, WEIR_CALL_FAILED);
    }
    assert_false(weir_dependency_end(&d, now, &late, WEIR_CALL_ANSWERED, NULL));
    assert_true(weir_dependency_admits(&d, now, true));
    assert_true(weir_dependency_admits(&d, now, false));
    for (int i = 0; i < 4; i++)
        assert_true(call(&d, now, true, WEIR_CALL_FAILED));
    assert_true(weir_dependency_admits(&d, now, false)); /* the earlier failures are forgotten */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_different_events_open_it_for_all),
        cmocka_unit_test(events_that_failed_before_stop_no_fresh_one),
        cmocka_unit_test(what_the_dependency_never_heard_of_is_no_attempt),
        cmocka_unit_test(probes_are_fresh_ones_and_few),
        cmocka_unit_test(rests_grow_to_five_seconds_and_any_answer_ends_them),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
