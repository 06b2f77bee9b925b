// needs: backend/events/dependency.c backend/log/log.c common/problem.c common/breaker.c
#include "events/dependency.h"
#include "log/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void failures_while_it_is_closed_are_the_events_own(void **state)
{
    weir_dependency_t d;
    uint64_t call[8], wait = 0;

    (void)state;
    weir_log_init(WEIR_LOG_ERROR, "test");
    weir_dependency_init(&d, "smtp", 1000);
    for (int i = 0; i < 8; i++)
        assert_true(weir_dependency_admit(&d, 1000, &call[i], &wait));
    for (int i = 0; i < 5; i++)
        assert_true(weir_dependency_report(&d, 1000, call[i], WEIR_BREAKER_FAILURE, "no"));
    /* the others were under way when it opened */
    for (int i = 5; i < 8; i++)
        assert_false(weir_dependency_report(&d, 1001, call[i], WEIR_BREAKER_FAILURE, "no"));
    assert_false(weir_dependency_admit(&d, 1002, &call[0], &wait));
    assert_int_equal(wait, 4998);
}

static void a_probe_that_fails_is_not(void **state)
{
    weir_dependency_t d;
    uint64_t call, wait;

    (void)state;
    weir_log_init(WEIR_LOG_ERROR, "test");
    weir_dependency_init(&d, "smtp", 0);
    for (int i = 0; i < 5; i++) {
        assert_true(weir_dependency_admit(&d, 0, &call, &wait));
        weir_dependency_report(&d, 0, call, WEIR_BREAKER_FAILURE, "no");
    }
    assert_true(weir_dependency_admit(&d, 5000, &call, &wait));
    assert_false(weir_dependency_report(&d, 5001, call, WEIR_BREAKER_FAILURE, "no"));
    assert_false(weir_dependency_admit(&d, 5002, &call, &wait));
    assert_true(weir_dependency_admit(&d, 10001, &call, &wait));
    weir_dependency_report(&d, 10002, call, WEIR_BREAKER_SUCCESS, NULL);
    assert_true(weir_dependency_admit(&d, 10002, &call, &wait));
    assert_true(weir_dependency_report(&d, 10002, call, WEIR_BREAKER_FAILURE, "no"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_while_it_is_closed_are_the_events_own),
        cmocka_unit_test(a_probe_that_fails_is_not),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
