// needs: common/metrics/window.c common/metrics/histogram.c
#include "common/metrics/window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static long blocks; /* not released */
static long block_limit = INT32_MAX;

static void *zeroed(void *data, size_t size)
{
    (void)data;
    if (blocks >= block_limit)
        return NULL;
    blocks++;
    return calloc(1, size);
}

static void release(void *data, void *block)
{
    (void)data;
    blocks--;
    free(block);
}

static const weir_window_memory_t memory = {zeroed, release, NULL};
static weir_window_sum_t counted, scratch, found;

/* A step with n values in one bucket and as many with cause 3. */
static bool push(weir_window_t *w, uint64_t step, uint64_t n)
{
    memset(&counted, 0, sizeof(counted));
    counted.durations.bucket[700] = n;
    counted.durations.sum = (double)n;
    counted.cause[3] = n;

    return weir_window_push(w, step, &counted, &scratch, &memory);
}

static uint64_t total(const weir_window_t *w, weir_window_span_t span)
{
    memset(&found, 0, sizeof(found));
    weir_window_read(w, span, &found);
    assert_int_equal(weir_histogram_count(&found.durations), found.durations.bucket[700]);
    assert_int_equal(found.cause[3], found.durations.bucket[700]);
    assert_true(found.durations.sum == (double)found.cause[3]);

    return found.cause[3];
}

static void clear(weir_window_t *w)
{
    memset(&counted, 0, sizeof(counted));
    weir_window_push(w, w->next + 1000, &counted, &scratch, &memory);
    assert_int_equal(blocks, 0);
}

static void spans_have_their_length(void **state)
{
    weir_window_t w = {0};

    (void)state;
    for (uint64_t step = 0; step < 2000; step++) {
        uint64_t done = step + 1, minute = total(&w, WEIR_WINDOW_MINUTE);

        assert_int_equal(minute, step < 6 ? step : 6);
        assert_true(push(&w, step, 1));

        /* at least the span, at most a minute or five minutes more; all that there is before */
        assert_int_equal(total(&w, WEIR_WINDOW_QUARTER), done < 90 ? done : 90 + done % 6);
        assert_int_equal(total(&w, WEIR_WINDOW_HOUR), done < 360 ? done : 360 + done % 30);
    }
    clear(&w);
}

static void every_value_is_in_a_span_once(void **state)
{
    weir_window_t w = {0};
    uint64_t pushed[3000];

    (void)state;
    for (uint64_t step = 0; step < 3000; step++) {
        uint64_t sum = 0, n = step + 1;

        pushed[step] = (step * 7919) % 13;
        assert_true(push(&w, step, pushed[step]));
        for (uint64_t i = n < 360 + n % 30 ? 0 : n - 360 - n % 30; i < n; i++)
            sum += pushed[i];
        assert_int_equal(total(&w, WEIR_WINDOW_HOUR), sum);
    }
    clear(&w);
}

static void steps_that_were_not_pushed_are_empty(void **state)
{
    weir_window_t w = {0};

    (void)state;
    push(&w, 0, 5);
    push(&w, 4, 7);
    assert_int_equal(total(&w, WEIR_WINDOW_MINUTE), 12);
    push(&w, 8, 1);
    assert_int_equal(total(&w, WEIR_WINDOW_MINUTE), 8);
    assert_int_equal(total(&w, WEIR_WINDOW_QUARTER), 13);
    push(&w, 8, 100); /* again: ignored */
    push(&w, 3, 100);
    assert_int_equal(total(&w, WEIR_WINDOW_QUARTER), 13);

    push(&w, 1000000, 2); /* after months */
    assert_int_equal(total(&w, WEIR_WINDOW_HOUR), 2);
    clear(&w);
}

static uint64_t minute(const weir_window_t *w, unsigned ago)
{
    memset(&found, 0, sizeof(found));
    weir_window_minute(w, ago, &found);

    return weir_histogram_count(&found.durations);
}

static void whole_minutes_are_read_one_by_one(void **state)
{
    weir_window_t w = {0};

    (void)state;
    assert_int_equal(minute(&w, 0), 0);
    for (uint64_t step = 600; step < 600 + 40 * WEIR_WINDOW_STEPS + 3; step++)
        push(&w, step, step / WEIR_WINDOW_STEPS);
    for (unsigned ago = 0; ago < WEIR_WINDOW_MINUTES; ago++)
        assert_int_equal(minute(&w, ago), (uint64_t)WEIR_WINDOW_STEPS * (139 - ago));
    assert_int_equal(minute(&w, WEIR_WINDOW_MINUTES), 0);
    clear(&w);
    assert_int_equal(minute(&w, 0), 0);
}

static void octaves_are_packed_and_unpacked(void **state)
{
    weir_window_t w = {0};
    weir_window_sum_t *wanted = calloc(1, sizeof(*wanted));

    (void)state;
    for (uint64_t step = 0; step < 30; step++) {
        memset(&counted, 0, sizeof(counted));
        for (unsigned i = 0; i < 40; i++)
            counted.durations.bucket[(step * 131 + i * i * 17) % WEIR_HISTOGRAM_BUCKETS] += i;
        counted.durations.zero = step;
        counted.durations.over = 1;
        counted.durations.sum = 0.5;
        counted.cause[step % WEIR_WINDOW_CAUSES] = step;
        weir_window_add(wanted, &counted);
        assert_true(weir_window_push(&w, step, &counted, &scratch, &memory));
    }
    memset(&found, 0, sizeof(found));
    weir_window_read(&w, WEIR_WINDOW_HOUR, &found);
    assert_memory_equal(&found, wanted, sizeof(found));
    free(wanted);
    clear(&w);
}

static void without_memory_a_step_is_empty(void **state)
{
    weir_window_t w = {0};

    (void)state;
    push(&w, 0, 5);
    block_limit = blocks;
    assert_false(push(&w, 1, 7));
    block_limit = INT32_MAX;
    assert_true(push(&w, 2, 9));
    assert_int_equal(total(&w, WEIR_WINDOW_HOUR), 14);
    clear(&w);
}

static void a_count_that_does_not_fit_stays_at_the_greatest(void **state)
{
    weir_window_t w = {0};

    (void)state;
    push(&w, 0, UINT64_C(1) << 40);
    memset(&found, 0, sizeof(found));
    weir_window_read(&w, WEIR_WINDOW_MINUTE, &found);
    assert_int_equal(found.durations.bucket[700], UINT32_MAX);
    clear(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_have_their_length),
        cmocka_unit_test(every_value_is_in_a_span_once),
        cmocka_unit_test(steps_that_were_not_pushed_are_empty),
        cmocka_unit_test(whole_minutes_are_read_one_by_one),
        cmocka_unit_test(octaves_are_packed_and_unpacked),
        cmocka_unit_test(without_memory_a_step_is_empty),
        cmocka_unit_test(a_count_that_does_not_fit_stays_at_the_greatest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
