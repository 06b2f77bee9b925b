// needs: backend/events/made.c
#include "events/made.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define ID "01900000-0000-7000-8000-000000000001"
#define OTHER "01900000-0000-7000-8000-000000000002"

static void what_was_noted_is_found_once(void **state)
{
    weir_made_t m = {0};

    (void)state;
    assert_false(weir_made_take(&m, ID, 1000));
    weir_made_note(&m, ID, 1000);
    assert_false(weir_made_take(&m, OTHER, 1000));
    assert_true(weir_made_take(&m, ID, 1000));
    assert_false(weir_made_take(&m, ID, 1000));
}

static void it_is_forgotten_after_a_while(void **state)
{
    weir_made_t m = {0};

    (void)state;
    weir_made_note(&m, ID, 1000);
    weir_made_note(&m, OTHER, 1001);
    assert_false(weir_made_take(&m, ID, 1000 + WEIR_MADE_KEEP));
    assert_true(weir_made_take(&m, OTHER, 1000 + WEIR_MADE_KEEP));
}

static void the_oldest_give_way(void **state)
{
    weir_made_t m = {0};
    char id[16];

    (void)state;
    for (int i = 0; i <= WEIR_MADE_MAX; i++) {
        snprintf(id, sizeof(id), "%d", i);
        weir_made_note(&m, id, 1000);
    }
    assert_false(weir_made_take(&m, "0", 1000));
    assert_true(weir_made_take(&m, "1", 1000));
    snprintf(id, sizeof(id), "%d", WEIR_MADE_MAX);
    assert_true(weir_made_take(&m, id, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_noted_is_found_once),
        cmocka_unit_test(it_is_forgotten_after_a_while),
        cmocka_unit_test(the_oldest_give_way),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
