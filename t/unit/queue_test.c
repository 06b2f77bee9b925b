// needs: backend/events/queue.c
#include "events/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static unsigned released;

static void release(void *payload)
{
    (void)payload;
    released++;
}

static int64_t take(weir_queue_t *q, uint64_t now, weir_item_t **item)
{
    *item = weir_queue_take(q, now);
    return *item != NULL ? (*item)->position : 0;
}

static void events_of_one_aggregate_stand_in_line(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, release);
    weir_item_t *a, *b, *none;

    (void)state;
    assert_int_equal(weir_queue_add(q, 1, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 2, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 3, "b", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(take(q, 0, &a), 1);
    assert_int_equal(take(q, 0, &b), 3);
    assert_int_equal(take(q, 0, &none), 0);
    weir_queue_done(q, b);
    assert_int_equal(take(q, 0, &none), 0);
    weir_queue_retry(q, a, 500);
    assert_int_equal(take(q, 499, &none), 0);
    assert_int_equal(weir_queue_next(q), 500);
    assert_int_equal(take(q, 500, &a), 1);
    weir_queue_done(q, a);
    assert_int_equal(take(q, 500, &a), 2);
    weir_queue_done(q, a);
    assert_int_equal(weir_queue_count(q), 0);
    assert_int_equal(weir_queue_next(q), UINT64_MAX);
    weir_queue_free(q);
}

static void a_position_counts_once(void **state)
{
    weir_queue_t *q = weir_queue_new(5, 10, release);
    weir_item_t *i;

    (void)state;
    weir_queue_mark(q, 7);
    assert_int_equal(weir_queue_add(q, 5, "a", NULL), WEIR_QUEUE_KNOWN);
    assert_int_equal(weir_queue_add(q, 6, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 6, "a", NULL), WEIR_QUEUE_KNOWN);
    assert_int_equal(weir_queue_add(q, 7, "a", NULL), WEIR_QUEUE_KNOWN);
    assert_int_equal(weir_queue_unseen(q), 8);
    assert_int_equal(take(q, 0, &i), 6);
    weir_queue_done(q, i);
    weir_queue_handled(q, 7);
    assert_false(weir_queue_wants(q, 6));
    assert_true(weir_queue_wants(q, 8));
    weir_queue_free(q);
}

static void a_gap_is_refused_until_it_is_filled(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, release);

    (void)state;
    assert_int_equal(weir_queue_add(q, 2, "a", NULL), WEIR_QUEUE_GAP);
    assert_int_equal(weir_queue_add(q, 1, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 2, "a", NULL), WEIR_QUEUE_ADDED);
    weir_queue_free(q);
}

static void a_delay_from_before_holds_up_its_line_only(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, release);
    weir_item_t *i;

    (void)state;
    weir_queue_delay(q, 1, 1000);
    assert_int_equal(weir_queue_add(q, 1, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 2, "b", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 3, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(take(q, 0, &i), 2);
    weir_queue_done(q, i);
    assert_int_equal(take(q, 999, &i), 0);
    assert_int_equal(take(q, 1000, &i), 1);
    weir_queue_done(q, i);
    assert_int_equal(take(q, 1000, &i), 3);
    weir_queue_done(q, i);
    weir_queue_free(q);
}

static void a_long_line_is_parked_and_read_again_in_order(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 2, release);
    weir_item_t *i;
    int64_t from;

    (void)state;
    for (int64_t p = 1; p <= 6; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL),
                         p <= 2 ? WEIR_QUEUE_ADDED : WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 7, "b", NULL), WEIR_QUEUE_ADDED);
    assert_null(weir_queue_reread(q, &from));

    assert_int_equal(take(q, 0, &i), 1);
    weir_queue_done(q, i);
    /* there is room in the line, but not for what comes out of turn */
    assert_int_equal(weir_queue_add(q, 8, "a", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(take(q, 0, &i), 7);
    weir_queue_done(q, i);
    assert_int_equal(take(q, 0, &i), 2);
    weir_queue_done(q, i);

    assert_string_equal(weir_queue_reread(q, &from), "a");
    assert_int_equal(from, 3);
    assert_int_equal(weir_queue_add(q, 9, "a", NULL), WEIR_QUEUE_PARKED);
    for (int64_t p = 3; p <= 5; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL),
                         p <= 4 ? WEIR_QUEUE_ADDED : WEIR_QUEUE_PARKED);
    assert_null(weir_queue_reread(q, &from));
    for (int64_t p = 3; p <= 4; p++) {
        assert_int_equal(take(q, 0, &i), p);
        weir_queue_done(q, i);
    }
    assert_string_equal(weir_queue_reread(q, &from), "a");
    assert_int_equal(from, 5);
    assert_int_equal(weir_queue_add(q, 5, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_unseen(q), 10);
    weir_queue_free(q);
}

/* What is read again may have been asked for before the last event of the line was there. */
static void what_comes_while_a_line_is_read_again_stays_behind_it(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 3, release);
    weir_item_t *i;
    int64_t from;

    (void)state;
    for (int64_t p = 1; p <= 5; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL),
                         p <= 3 ? WEIR_QUEUE_ADDED : WEIR_QUEUE_PARKED);
    for (int64_t p = 1; p <= 3; p++) {
        assert_int_equal(take(q, 0, &i), p);
        weir_queue_done(q, i);
    }
    assert_string_equal(weir_queue_reread(q, &from), "a");
    assert_int_equal(from, 4);
    assert_int_equal(weir_queue_add(q, 6, "a", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 4, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 5, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 7, "a", NULL), WEIR_QUEUE_PARKED);
    for (int64_t p = 4; p <= 5; p++) {
        assert_int_equal(take(q, 0, &i), p);
        weir_queue_done(q, i);
    }
    assert_int_equal(take(q, 0, &i), 0);
    assert_string_equal(weir_queue_reread(q, &from), "a");
    assert_int_equal(from, 6);
    for (int64_t p = 6; p <= 7; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL), WEIR_QUEUE_ADDED);
    assert_null(weir_queue_reread(q, &from));
    weir_queue_free(q);
}

static void every_payload_is_released_and_the_window_moves(void **state)
{
    weir_queue_t *q = weir_queue_new(1000, 10, release);
    weir_item_t *i;
    char aggregate[16];

    (void)state;
    released = 0;
    for (int64_t p = 1001; p <= 51000; p++) {
        snprintf(aggregate, sizeof(aggregate), "%d", (int)(p % 777));
        assert_int_equal(weir_queue_add(q, p, aggregate, NULL), WEIR_QUEUE_ADDED);
        assert_int_equal(take(q, 0, &i), p);
        weir_queue_done(q, i);
        if (p % 100 == 0)
            weir_queue_handled(q, p - 50);
        assert_int_equal(weir_queue_unseen(q), p + 1);
    }
    assert_int_equal(released, 50000);
    weir_queue_free(q);
}

static void beyond_the_window_nothing_is_taken(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, release);

    (void)state;
    for (int64_t p = 2; p < WEIR_QUEUE_WINDOW; p++)
        weir_queue_mark(q, p);
    assert_int_equal(weir_queue_add(q, 1, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, WEIR_QUEUE_WINDOW, "b", NULL), WEIR_QUEUE_GAP);
    weir_queue_handled(q, 1);
    assert_int_equal(weir_queue_add(q, WEIR_QUEUE_WINDOW, "b", NULL), WEIR_QUEUE_ADDED);
    weir_queue_free(q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_of_one_aggregate_stand_in_line),
        cmocka_unit_test(a_position_counts_once),
        cmocka_unit_test(a_gap_is_refused_until_it_is_filled),
        cmocka_unit_test(a_delay_from_before_holds_up_its_line_only),
        cmocka_unit_test(a_long_line_is_parked_and_read_again_in_order),
        cmocka_unit_test(what_comes_while_a_line_is_read_again_stays_behind_it),
        cmocka_unit_test(every_payload_is_released_and_the_window_moves),
        cmocka_unit_test(beyond_the_window_nothing_is_taken),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
