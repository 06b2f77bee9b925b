// needs: ngx_module/auth/turn/fair.c
#include "auth/turn/fair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define FLOOD 0
#define OTHER 1

static weir_fair_t fair;
static weir_fair_item_t items[4 * WEIR_FAIR_MAX];

static int set_up(void **state)
{
    (void)state;
    weir_fair_init(&fair, 42);
    memset(items, 0, sizeof(items));

    return 0;
}

static weir_fair_item_t *add(size_t item, uint32_t source)
{
    uint8_t key[WEIR_FAIR_KEY] = {0};

    memcpy(key, &source, sizeof(source));

    return weir_fair_add(&fair, &items[item], key);
}

static void assert_next(size_t item)
{
    assert_ptr_equal(weir_fair_next(&fair), &items[item]);
}

static void the_items_of_a_source_keep_their_order(void **state)
{
    (void)state;
    assert_null(weir_fair_next(&fair));
    for (size_t i = 0; i < 10; i++)
        assert_null(add(i, FLOOD));
    for (size_t i = 0; i < 10; i++)
        assert_next(i);
    assert_null(weir_fair_next(&fair));
    assert_int_equal(fair.n, 0);
}

static void sources_take_turns(void **state)
{
    (void)state;
    for (size_t i = 0; i < 6; i++)
        (void)add(i, FLOOD);
    (void)add(6, OTHER);
    (void)add(7, OTHER);
    (void)add(8, 2);

    assert_next(0);
    assert_next(6);
    assert_next(8);
    assert_next(1);
    assert_next(7);
    assert_next(2);
    assert_next(3);
}

/* One that comes late waits for one item of each source, however many they have. */
static void a_late_source_waits_for_one_item_of_the_others(void **state)
{
    (void)state;
    for (size_t i = 0; i < 900; i++)
        (void)add(i, (uint32_t)(i % 3));
    (void)add(900, 7);

    for (size_t i = 0; i < 3; i++)
        assert_next(i);
    assert_next(900);
}

static void a_full_queue_has_room_for_a_source_with_few(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_FAIR_MAX; i++)
        assert_null(add(i, FLOOD));

    /* the flood itself finds no place any more */
    assert_ptr_equal(add(WEIR_FAIR_MAX, FLOOD), &items[WEIR_FAIR_MAX]);
    assert_null(items[WEIR_FAIR_MAX].source);

    /* the newest of the flood leaves for another one */
    assert_ptr_equal(add(WEIR_FAIR_MAX + 1, OTHER), &items[WEIR_FAIR_MAX - 1]);
    assert_null(items[WEIR_FAIR_MAX - 1].source);
    assert_ptr_equal(add(WEIR_FAIR_MAX + 2, OTHER), &items[WEIR_FAIR_MAX - 2]);
    assert_int_equal(fair.n, WEIR_FAIR_MAX);

    assert_next(0);
    assert_next(WEIR_FAIR_MAX + 1);
    assert_next(1);
    assert_next(WEIR_FAIR_MAX + 2);
    assert_next(2);
    assert_next(3);
}

/* As many sources as items: a newcomer is no better than they are. */
static void a_queue_full_of_sources_refuses_another(void **state)
{
    (void)state;
    for (size_t i = 0; i < WEIR_FAIR_MAX; i++)
        assert_null(add(i, (uint32_t)i));
    assert_ptr_equal(add(WEIR_FAIR_MAX, 5000), &items[WEIR_FAIR_MAX]);
    for (size_t i = 0; i < WEIR_FAIR_MAX; i++)
        assert_next(i);
    assert_null(weir_fair_next(&fair));
}

static void items_leave_from_anywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < 5; i++)
        (void)add(i, FLOOD);
    (void)add(5, OTHER);

    weir_fair_remove(&fair, &items[2]);
    weir_fair_remove(&fair, &items[0]);
    weir_fair_remove(&fair, &items[4]);
    weir_fair_remove(&fair, &items[5]);
    weir_fair_remove(&fair, &items[5]);
    assert_int_equal(fair.n, 2);
    assert_next(1);
    assert_null(add(0, OTHER));
    assert_next(3);
    assert_next(0);
    assert_null(weir_fair_next(&fair));
}

/* A simple model: each item is in the queue or not; all come out once. */
static void nothing_is_lost_in_a_long_run(void **state)
{
    static bool queued[4 * WEIR_FAIR_MAX];
    size_t n = 0;

    (void)state;
    srandom(7);
    memset(queued, 0, sizeof(queued));
    for (int step = 0; step < 200000; step++) {
        size_t i = (size_t)random() % (4 * WEIR_FAIR_MAX);
        weir_fair_item_t *item;

        if (random() % 3 == 0) {
            item = weir_fair_next(&fair);
            assert_true((item != NULL) == (n > 0));
            if (item != NULL) {
                assert_true(queued[item - items]);
                queued[item - items] = false;
                n--;
            }
        } else if (queued[i]) {
            weir_fair_remove(&fair, &items[i]);
            queued[i] = false;
            n--;
        } else {
            item = add(i, (uint32_t)random() % 50);
            queued[i] = true;
            n++;
            if (item != NULL) {
                assert_int_equal(n, WEIR_FAIR_MAX + 1);
                queued[item - items] = false;
                n--;
            }
        }
        assert_int_equal(fair.n, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_items_of_a_source_keep_their_order, set_up),
        cmocka_unit_test_setup(sources_take_turns, set_up),
        cmocka_unit_test_setup(a_late_source_waits_for_one_item_of_the_others, set_up),
        cmocka_unit_test_setup(a_full_queue_has_room_for_a_source_with_few, set_up),
        cmocka_unit_test_setup(a_queue_full_of_sources_refuses_another, set_up),
        cmocka_unit_test_setup(items_leave_from_anywhere, set_up),
        cmocka_unit_test_setup(nothing_is_lost_in_a_long_run, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
