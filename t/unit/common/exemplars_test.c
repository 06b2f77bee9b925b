// needs: common/metrics/exemplars.c
#include "common/metrics/exemplars.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND ((uint64_t)1000000000)
#define START (1700000000 * SECOND)

static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                0.5,   0.75, 1,     2.5,  5,     7.5, 10};

/* The id tells value and time, so that what was mixed from two is found. */
static weir_exemplar_t exemplar_of(double value, uint64_t time)
{
    weir_exemplar_t exemplar = {.value = value, .time = time};

    memcpy(exemplar.trace_id, &value, 8);
    memcpy(exemplar.trace_id + 8, &time, 8);

    return exemplar;
}

static bool is_whole(const weir_exemplar_t *exemplar)
{
    return memcmp(exemplar->trace_id, &exemplar->value, 8) == 0 &&
           memcmp(exemplar->trace_id + 8, &exemplar->time, 8) == 0;
}

static void put(weir_exemplars_t *e, double value, uint64_t time)
{
    weir_exemplar_t exemplar = exemplar_of(value, time);

    weir_exemplars_put(e, bounds, &exemplar);
}

static void buckets(void **state)
{
    static const struct {
        double value;
        size_t bucket;
    } cases[] = {{0, 0}, {0.005, 0}, {0.0050001, 1}, {0.3, 7}, {10, 13}, {10.1, 14}, {1e9, 14}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_exemplars_t e = {0}, copy;

        put(&e, cases[i].value, START);
        assert_true(weir_exemplars_read(&e, &copy));
        for (size_t bucket = 0; bucket < WEIR_EXEMPLARS_BUCKETS; bucket++)
            assert_int_equal(copy.bucket[bucket].time, bucket == cases[i].bucket ? START : 0);
    }
}

static void the_newer_one_is_kept(void **state)
{
    weir_exemplars_t a = {0}, b = {0}, into = {0};

    (void)state;
    put(&a, 0.3, START);
    put(&a, 0.4, START + 1);
    put(&b, 0.35, START + 2);
    put(&b, 2, START);
    put(&a, 2, START + 3);
    weir_exemplars_merge(&into, &a);
    weir_exemplars_merge(&into, &b);
    assert_true(into.bucket[7].value == 0.35);
    assert_int_equal(into.bucket[10].time, START + 3);
}

/* The slowest of a span, of all that were put and of what was kept. */
static void assert_slowest(const weir_exemplars_t *e, const weir_exemplar_t *all, size_t count,
                           uint64_t now, uint64_t span)
{
    weir_exemplar_t found[WEIR_EXEMPLARS_SLOWEST];
    size_t n = 0, want = 0;
    bool taken[4096] = {false};

    weir_exemplars_slowest(e, now - span, found, &n);

    for (; want < WEIR_EXEMPLARS_SLOWEST; want++) {
        size_t most = count;

        for (size_t i = 0; i < count; i++) {
            if (!taken[i] && all[i].time >= now - span &&
                (most == count || all[i].value > all[most].value))
                most = i;
        }
        if (most == count)
            break;
        taken[most] = true;
        assert_true(want < n);
        assert_true(is_whole(&found[want]));
        assert_true(found[want].value == all[most].value);
    }
    assert_int_equal(n, want);
}

static void the_slowest_of_each_span(void **state)
{
    static weir_exemplar_t all[4000];

    (void)state;
    srand(7);
    for (int round = 0; round < 20; round++) {
        weir_exemplars_t e = {0};
        uint64_t now = START;

        for (size_t i = 0; i < 4000; i++) {
            now += SECOND / 10 * (1 + (uint64_t)rand() % 30);
            all[i] = exemplar_of(rand() / 1e9, now);
            weir_exemplars_put(&e, bounds, &all[i]);
            if (i % 16 == 0)
                assert_slowest(&e, all, i + 1, now, 3600 * SECOND);
        }
    }
}

/* Many that are each faster than the last: none can be dropped for a later one. */
static void falling(void **state)
{
    weir_exemplars_t e = {0};
    weir_exemplar_t found[WEIR_EXEMPLARS_SLOWEST];
    uint64_t now = START;
    size_t n = 0;

    (void)state;
    for (int i = 0; i < 100; i++, now += 20 * SECOND)
        put(&e, 100 - i, now);

    weir_exemplars_slowest(&e, now - 3600 * SECOND, found, &n);
    assert_int_equal(n, 3);
    assert_true(found[0].value == 100 && found[1].value == 99 && found[2].value == 98);

    n = 0;
    weir_exemplars_slowest(&e, now - 60 * SECOND, found, &n);
    assert_int_equal(n, 3);
    assert_true(found[0].value == 3 && found[1].value == 2 && found[2].value == 1);
}

static void an_hour_later(void **state)
{
    weir_exemplars_t e = {0};
    weir_exemplar_t found[WEIR_EXEMPLARS_SLOWEST];
    size_t n = 0;

    (void)state;
    for (unsigned i = 0; i < 40; i++)
        put(&e, 100, START + i * SECOND);
    put(&e, 1, START + 4000 * SECOND);
    weir_exemplars_slowest(&e, START + 400 * SECOND, found, &n);
    assert_int_equal(n, 1);
    assert_true(found[0].value == 1);
}

/* --- a reader beside the writer -------------------------------------------------------------- */

static weir_exemplars_t shared;
static int stop;

static void *write_all(void *data)
{
    (void)data;
    for (uint64_t i = 0; !__atomic_load_n(&stop, __ATOMIC_RELAXED); i++)
        put(&shared, (double)(i % 7919) / 500, START + i * SECOND);

    return NULL;
}

static void nothing_is_torn(void **state)
{
    pthread_t writer;
    unsigned whole = 0;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, write_all, NULL), 0);
    while (whole < 20000) {
        weir_exemplars_t copy;

        if (!weir_exemplars_read(&shared, &copy))
            continue;
        whole++;
        for (size_t i = 0; i < WEIR_EXEMPLARS_BUCKETS; i++)
            assert_true(copy.bucket[i].time == 0 || is_whole(&copy.bucket[i]));
        for (size_t i = 0; i < WEIR_EXEMPLARS_KEPT; i++)
            assert_true(copy.slowest[i].time == 0 || is_whole(&copy.slowest[i]));
    }
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    assert_int_equal(pthread_join(writer, NULL), 0);
}

static void the_next_writer_continues(void **state)
{
    weir_exemplars_t e = {0}, copy;

    (void)state;
    put(&e, 1, START);
    e.sequence++; /* a writer was killed */
    assert_false(weir_exemplars_read(&e, &copy));
    put(&e, 2, START + 1);
    assert_true(weir_exemplars_read(&e, &copy));
    assert_true(copy.bucket[9].value == 1 && copy.bucket[10].value == 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets),
        cmocka_unit_test(the_newer_one_is_kept),
        cmocka_unit_test(the_slowest_of_each_span),
        cmocka_unit_test(falling),
        cmocka_unit_test(an_hour_later),
        cmocka_unit_test(nothing_is_torn),
        cmocka_unit_test(the_next_writer_continues),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
