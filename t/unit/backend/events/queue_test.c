// needs: backend/events/worker/queue/queue.c backend/events/worker/queue/positions.c
// needs: backend/events/worker/queue/delays.c backend/log/alloc.c backend/log/log.c
// needs: common/problem.c
#include "events/worker/queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static unsigned released;

static void release(void *payload)
{
    (void)payload;
    released++;
}

static weir_item_t *take_any(weir_queue_t *q, uint64_t now)
{
    weir_item_t *item = weir_queue_take(q, now, WEIR_QUEUE_FAILED);

    return item != NULL ? item : weir_queue_take(q, now, WEIR_QUEUE_FRESH);
}

static uint64_t next_any(const weir_queue_t *q)
{
    uint64_t fresh = weir_queue_next(q, WEIR_QUEUE_FRESH);
    uint64_t failed = weir_queue_next(q, WEIR_QUEUE_FAILED);

    return fresh < failed ? fresh : failed;
}

static int64_t take(weir_queue_t *q, uint64_t now, weir_item_t **item)
{
    *item = take_any(q, now);
    return *item != NULL ? (*item)->position : 0;
}

static void events_of_one_aggregate_stand_in_line(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, 100, release);
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
    assert_int_equal(next_any(q), 500);
    assert_int_equal(take(q, 500, &a), 1);
    weir_queue_done(q, a);
    assert_int_equal(take(q, 500, &a), 2);
    weir_queue_done(q, a);
    assert_int_equal(weir_queue_count(q), 0);
    assert_int_equal(next_any(q), UINT64_MAX);
    weir_queue_free(q);
}

static void what_failed_and_what_is_fresh_are_taken_apart(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, 100, release);
    weir_item_t *i;

    (void)state;
    for (int64_t p = 1; p <= 4; p++) {
        char aggregate[2] = {(char)('a' + p), '\0'};

        assert_int_equal(weir_queue_add(q, p, aggregate, NULL), WEIR_QUEUE_ADDED);
    }
    assert_int_equal(weir_queue_add(q, 5, "b", NULL), WEIR_QUEUE_ADDED); /* behind 1 */
    i = weir_queue_take(q, 0, WEIR_QUEUE_FRESH);
    assert_int_equal(i->position, 1);
    weir_queue_fail(q, i, 10);
    i = weir_queue_take(q, 0, WEIR_QUEUE_FRESH);
    assert_int_equal(i->position, 2);
    weir_queue_retry(q, i, 10); /* put back, not failed */
    i = weir_queue_take_newest(q, 0);
    weir_queue_return(q, i);
    assert_true(weir_queue_newest(q, 0) > 0);
    assert_null(weir_queue_take(q, 5, WEIR_QUEUE_FAILED));
    i = weir_queue_take_newest(q, 10);
    assert_int_equal(i->position, 4);
    weir_queue_done(q, i);
    assert_int_equal(weir_queue_take(q, 10, WEIR_QUEUE_FRESH)->position, 2);
    assert_int_equal(weir_queue_next(q, WEIR_QUEUE_FAILED), 10);
    i = weir_queue_take(q, 10, WEIR_QUEUE_FAILED);
    assert_int_equal(i->position, 1);
    assert_int_equal(weir_queue_kind(i), WEIR_QUEUE_FAILED);
    weir_queue_retry(q, i, 20); /* put back, still one that failed */
    i = weir_queue_take(q, 20, WEIR_QUEUE_FAILED);
    weir_queue_done(q, i);
    /* what comes behind it in its line is fresh, and the newest */
    i = weir_queue_take_newest(q, 20);
    assert_int_equal(i->position, 5);
    assert_int_equal(weir_queue_kind(i), WEIR_QUEUE_FRESH);
    weir_queue_free(q);
}

static void a_position_counts_once(void **state)
{
    weir_queue_t *q = weir_queue_new(5, 10, 100, release);
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
    weir_queue_t *q = weir_queue_new(0, 10, 100, release);

    (void)state;
    assert_int_equal(weir_queue_add(q, 2, "a", NULL), WEIR_QUEUE_GAP);
    assert_int_equal(weir_queue_add(q, 1, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 2, "a", NULL), WEIR_QUEUE_ADDED);
    weir_queue_free(q);
}

static void a_delay_from_before_holds_up_its_line_only(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, 100, release);
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
    weir_queue_t *q = weir_queue_new(0, 2, 100, release);
    weir_item_t *i;
    int64_t from, to;

    (void)state;
    for (int64_t p = 1; p <= 6; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL),
                         p <= 2 ? WEIR_QUEUE_ADDED : WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 7, "b", NULL), WEIR_QUEUE_ADDED);
    assert_null(weir_queue_reread(q, &from, &to));

    assert_int_equal(take(q, 0, &i), 1);
    weir_queue_done(q, i);
    /* there is room in the line, but not for what comes out of turn */
    assert_int_equal(weir_queue_add(q, 8, "a", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(take(q, 0, &i), 7);
    weir_queue_done(q, i);
    assert_int_equal(take(q, 0, &i), 2);
    weir_queue_done(q, i);

    assert_string_equal(weir_queue_reread(q, &from, &to), "a");
    assert_int_equal(from, 3);
    assert_int_equal(weir_queue_add(q, 9, "a", NULL), WEIR_QUEUE_PARKED);
    for (int64_t p = 3; p <= 5; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL),
                         p <= 4 ? WEIR_QUEUE_ADDED : WEIR_QUEUE_PARKED);
    assert_null(weir_queue_reread(q, &from, &to));
    for (int64_t p = 3; p <= 4; p++) {
        assert_int_equal(take(q, 0, &i), p);
        weir_queue_done(q, i);
    }
    assert_string_equal(weir_queue_reread(q, &from, &to), "a");
    assert_int_equal(from, 5);
    assert_int_equal(weir_queue_add(q, 5, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_unseen(q), 10);
    weir_queue_free(q);
}

/* What is read again may have been asked for before the last event of the line was there. */
static void what_comes_while_a_line_is_read_again_stays_behind_it(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 3, 100, release);
    weir_item_t *i;
    int64_t from, to;

    (void)state;
    for (int64_t p = 1; p <= 5; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL),
                         p <= 3 ? WEIR_QUEUE_ADDED : WEIR_QUEUE_PARKED);
    for (int64_t p = 1; p <= 3; p++) {
        assert_int_equal(take(q, 0, &i), p);
        weir_queue_done(q, i);
    }
    assert_string_equal(weir_queue_reread(q, &from, &to), "a");
    assert_int_equal(from, 4);
    assert_int_equal(to, 5);
    assert_int_equal(weir_queue_add(q, 6, "a", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 4, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 5, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 7, "a", NULL), WEIR_QUEUE_PARKED);
    for (int64_t p = 4; p <= 5; p++) {
        assert_int_equal(take(q, 0, &i), p);
        weir_queue_done(q, i);
    }
    assert_int_equal(take(q, 0, &i), 0);
    assert_string_equal(weir_queue_reread(q, &from, &to), "a");
    assert_int_equal(from, 6);
    for (int64_t p = 6; p <= 7; p++)
        assert_int_equal(weir_queue_add(q, p, "a", NULL), WEIR_QUEUE_ADDED);
    assert_null(weir_queue_reread(q, &from, &to));
    weir_queue_free(q);
}

/* Only one event may wait in memory; of those aggregates that wait, too, the names stay. */
static void what_waits_beyond_the_limit_is_set_aside(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, 1, release);
    weir_item_t *i;
    int64_t from, to;

    (void)state;
    released = 0;
    assert_int_equal(weir_queue_add(q, 1, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 2, "b", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 3, "b", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(take(q, 0, &i), 1);
    weir_queue_retry(q, i, 500);
    assert_int_equal(take(q, 0, &i), 2);
    weir_queue_retry(q, i, 400);
    assert_int_equal(released, 2);
    assert_int_equal(weir_queue_count(q), 1);
    assert_int_equal(weir_queue_aside(q), 1);

    /* neither line grows while it waits, and others pass by */
    assert_int_equal(weir_queue_add(q, 4, "a", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 5, "b", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 2, "b", NULL), WEIR_QUEUE_PARKED); /* delivered again */
    assert_int_equal(weir_queue_add(q, 6, "c", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_unseen(q), 7);
    assert_int_equal(take(q, 399, &i), 6);
    weir_queue_done(q, i);
    assert_null(weir_queue_reread(q, &from, &to));
    assert_int_equal(next_any(q), 400);

    /* its time has come: it is read again, in its order */
    assert_int_equal(take(q, 400, &i), 0);
    assert_int_equal(next_any(q), 500);
    assert_string_equal(weir_queue_reread(q, &from, &to), "b");
    assert_int_equal(from, 2);
    assert_int_equal(to, 5);
    for (int64_t p = 2; p <= 5; p++) {
        if (p != 4)
            assert_int_equal(weir_queue_add(q, p, "b", NULL), WEIR_QUEUE_ADDED);
    }
    assert_int_equal(weir_queue_aside(q), 0);
    for (int64_t p = 2; p <= 5; p++) {
        if (p == 4)
            continue;
        assert_int_equal(take(q, 400, &i), p);
        weir_queue_done(q, i);
    }
    assert_int_equal(take(q, 499, &i), 0);
    assert_int_equal(take(q, 500, &i), 1);
    weir_queue_done(q, i);
    assert_string_equal(weir_queue_reread(q, &from, &to), "a");
    assert_int_equal(from, 4);
    assert_int_equal(to, 4);
    weir_queue_free(q);
}

static void delays_from_before_are_set_aside_too(void **state)
{
    weir_queue_t *q = weir_queue_new(0, 10, 1, release);
    weir_item_t *i;
    int64_t from, to;

    (void)state;
    weir_queue_delay(q, 3, 900); /* out of order */
    weir_queue_delay(q, 1, 700);
    weir_queue_delay(q, 2, 800);
    assert_int_equal(weir_queue_add(q, 1, "a", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_add(q, 2, "b", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 3, "c", NULL), WEIR_QUEUE_PARKED);
    assert_int_equal(weir_queue_add(q, 4, "d", NULL), WEIR_QUEUE_ADDED);
    assert_int_equal(weir_queue_aside(q), 2);
    assert_int_equal(take(q, 699, &i), 4);
    weir_queue_done(q, i);
    assert_int_equal(take(q, 900, &i), 1);
    weir_queue_done(q, i);
    assert_int_equal(take(q, 900, &i), 0);
    for (int64_t p = 2; p <= 3; p++) {
        assert_string_equal(weir_queue_reread(q, &from, &to), p == 2 ? "b" : "c");
        assert_int_equal(from, p);
        assert_int_equal(to, p);
        assert_int_equal(weir_queue_add(q, p, p == 2 ? "b" : "c", NULL), WEIR_QUEUE_ADDED);
        assert_int_equal(take(q, 900, &i), p);
        weir_queue_done(q, i);
    }
    assert_int_equal(weir_queue_aside(q), 0);
    weir_queue_free(q);
}

/*
 * A worker in small: a log is read as far as there is room, what is taken is done or put back, what
 * was let go is read again, also while new events come.  Each event must be done once, in the order
 * of its aggregate, and memory stay within its limit.
 */
enum { EVENTS = 20000, AGGREGATES = 300, ROOM = 40, WAITS = 10, LINE = 4 };

static void name_of(char name[16], int aggregate)
{
    snprintf(name, 16, "%d", aggregate);
}

static void at_random_all_is_done_once_and_in_order(void **state)
{
    static int aggregate[EVENTS + 1];
    static bool done[EVENTS + 1];
    int64_t next[AGGREGATES] = {0}; /* the last position of an aggregate that was done */
    weir_queue_t *q = weir_queue_new(0, LINE, WAITS, release);
    int64_t read = 0, from = 0, to = 0, handled = 0;
    unsigned seed = 20261125, finished = 0;
    uint64_t now = 0;
    char name[16];

    (void)state;
    for (int n = 1; n <= EVENTS; n++)
        aggregate[n] = rand_r(&seed) % 4 == 0 ? 0 : rand_r(&seed) % AGGREGATES;
    while (finished < EVENTS) {
        const char *parked = weir_queue_count(q) < ROOM ? weir_queue_reread(q, &from, &to) : NULL;
        weir_item_t *item;
        int known = parked != NULL ? atoi(parked) : 0, added = 0;

        assert_true(++now < 100 * EVENTS);
        /* new events, some of them between a question for parked ones and its answer */
        for (unsigned n = rand_r(&seed) % 4; n > 0 && read < EVENTS; n--) {
            if (weir_queue_count(q) >= ROOM)
                break;
            read++;
            name_of(name, aggregate[read]);
            assert_int_not_equal(weir_queue_add(q, read, name, NULL), WEIR_QUEUE_GAP);
        }
        for (int64_t p = from; parked != NULL && p <= to && added <= LINE; p++) {
            if (aggregate[p] != known)
                continue;
            name_of(name, known);
            weir_queue_add(q, p, name, NULL);
            added++;
        }
        assert_true(weir_queue_count(q) <= ROOM + LINE);
        for (unsigned n = rand_r(&seed) % 4; n > 0 && (item = take_any(q, now)) != NULL; n--) {
            int64_t p = item->position;
            int a = aggregate[p];

            if (rand_r(&seed) % 3 == 0) {
                uint64_t at = now + rand_r(&seed) % 100;

                if (rand_r(&seed) % 2 == 0)
                    weir_queue_fail(q, item, at);
                else
                    weir_queue_retry(q, item, at);
                continue;
            }
            for (int64_t before = next[a] + 1; before < p; before++)
                assert_int_not_equal(aggregate[before], a);
            assert_false(done[p]);
            done[p] = true;
            next[a] = p;
            finished++;
            weir_queue_done(q, item);
        }
        while (handled < EVENTS && done[handled + 1])
            handled++;
        weir_queue_handled(q, handled);
    }
    assert_int_equal(weir_queue_count(q), 0);
    assert_int_equal(weir_queue_aside(q), 0);
    assert_int_equal(next_any(q), UINT64_MAX);
    weir_queue_free(q);
}

static void every_payload_is_released_and_the_window_moves(void **state)
{
    weir_queue_t *q = weir_queue_new(1000, 10, 100, release);
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
    weir_queue_t *q = weir_queue_new(0, 10, 100, release);

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
        cmocka_unit_test(what_failed_and_what_is_fresh_are_taken_apart),
        cmocka_unit_test(a_position_counts_once),
        cmocka_unit_test(a_gap_is_refused_until_it_is_filled),
        cmocka_unit_test(a_delay_from_before_holds_up_its_line_only),
        cmocka_unit_test(a_long_line_is_parked_and_read_again_in_order),
        cmocka_unit_test(what_comes_while_a_line_is_read_again_stays_behind_it),
        cmocka_unit_test(what_waits_beyond_the_limit_is_set_aside),
        cmocka_unit_test(delays_from_before_are_set_aside_too),
        cmocka_unit_test(at_random_all_is_done_once_and_in_order),
        cmocka_unit_test(every_payload_is_released_and_the_window_moves),
        cmocka_unit_test(beyond_the_window_nothing_is_taken),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
