// needs: common/metrics/histogram.c
#include "common/metrics/histogram.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- a generator with a fixed seed, and memory that can end ------------------------------------
 */

static uint64_t seed = 42;

static uint64_t random_bits(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

static double random_unit(void)
{
    return (double)(random_bits() >> 11) / (double)(1ULL << 53);
}

static size_t pages;
static size_t page_limit = SIZE_MAX;

static void *zeroed(void *data, size_t size)
{
    (void)data;
    if (pages == page_limit)
        return NULL;
    pages++;
    return calloc(1, size);
}

static const weir_histogram_memory_t memory = {zeroed, NULL};

static void release(weir_histogram_t *h)
{
    for (unsigned i = 0; i < WEIR_HISTOGRAM_OCTAVES; i++)
        free(h->page[i]);
    memset(h, 0, sizeof(*h));
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* --- buckets -----------------------------------------------------------------------------------
 */

/* The definition: the bucket of (2^(i/64), 2^((i+1)/64)] in long double. */
static int slow_bucket(double value)
{
    long double index = ceill(log2l((long double)value) * 64) - 1;

    return (int)index - WEIR_HISTOGRAM_FIRST_INDEX;
}

static void buckets_are_those_of_the_definition(void **state)
{
    (void)state;
    for (int i = 0; i < 200000; i++) {
        double value = exp2(random_unit() * 32 - 20);

        assert_int_equal(weir_histogram_bucket(value), slow_bucket(value));
    }
}

static void an_upper_bound_is_in_its_bucket(void **state)
{
    (void)state;
    for (int e = WEIR_HISTOGRAM_MIN_EXPONENT + 1; e <= WEIR_HISTOGRAM_MAX_EXPONENT; e++) {
        double bound = ldexp(1.0, e);
        int bucket = (e - WEIR_HISTOGRAM_MIN_EXPONENT) * WEIR_HISTOGRAM_OCTAVE;

        assert_int_equal(weir_histogram_bucket(bound), bucket - 1);
        assert_int_equal(weir_histogram_bucket(nextafter(bound, 1e9)), bucket);
        assert_int_equal(weir_histogram_bucket(nextafter(bound, 0.0)), bucket - 1);
    }
    for (int k = 1; k < WEIR_HISTOGRAM_OCTAVE; k++) {
        union {
            uint64_t bits;
            double value;
        } below = {(UINT64_C(1023) << 52) | weir_histogram_boundary[k]};

        /* the greatest double below 2^(k/64), and the next one above */
        assert_int_equal(weir_histogram_bucket(below.value) - 20 * 64, k - 1);
        assert_int_equal(weir_histogram_bucket(nextafter(below.value, 2.0)) - 20 * 64, k);
        assert_true(powl(below.value, 64) < powl(2, k) * (1 + 1e-15L));
    }
}

static void values_beyond_the_range_are_counted_apart(void **state)
{
    static const double small[] = {0.0, -0.0, -1.0, -INFINITY, 1e-310, 0x1p-20, 1e-9};
    static const double great[] = {4096.0000001, 1e300, INFINITY, NAN};
    weir_histogram_t h = {0};
    weir_histogram_sum_t sum = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(small) / sizeof(*small); i++)
        assert_true(weir_histogram_record(&h, small[i], &memory));
    for (size_t i = 0; i < sizeof(great) / sizeof(*great); i++)
        assert_true(weir_histogram_record(&h, great[i], &memory));
    weir_histogram_record(&h, 4096.0, &memory);
    weir_histogram_record(&h, nextafter(0x1p-20, 1.0), &memory);

    weir_histogram_merge(&sum, &h);
    assert_int_equal(sum.zero, sizeof(small) / sizeof(*small));
    assert_int_equal(sum.over, sizeof(great) / sizeof(*great));
    assert_int_equal(sum.bucket[0], 1);
    assert_int_equal(sum.bucket[WEIR_HISTOGRAM_BUCKETS - 1], 1);
    assert_int_equal(weir_histogram_count(&sum), 13);
    release(&h);
}

static void only_used_octaves_take_memory(void **state)
{
    weir_histogram_t h = {0};

    (void)state;
    pages = 0;
    for (int i = 0; i < 1000; i++)
        weir_histogram_record(&h, 0.0021 + random_unit() * 0.005, &memory); /* 2 to 7.2 ms */
    assert_int_equal(pages, 2);
    release(&h);
}

static void without_memory_nothing_is_counted(void **state)
{
    weir_histogram_t h = {0};
    weir_histogram_sum_t sum = {0};

    (void)state;
    pages = 0;
    page_limit = 1;
    assert_true(weir_histogram_record(&h, 1.5, &memory));
    assert_false(weir_histogram_record(&h, 3.0, &memory));
    assert_true(weir_histogram_record(&h, 1.25, &memory));
    page_limit = SIZE_MAX;

    weir_histogram_merge(&sum, &h);
    assert_int_equal(weir_histogram_count(&sum), 2);
    assert_true(sum.sum == 2.75);
    release(&h);
}

/* --- sums --------------------------------------------------------------------------------------
 */

static double logarithmic(void)
{
    return exp2(random_unit() * 24 - 16);
}

static double bimodal(void)
{
    return random_unit() < 0.9 ? 0.001 * (1 + random_unit()) : 0.4 + 0.2 * random_unit();
}

static double exponential(void)
{
    return -0.02 * log(1 - random_unit());
}

static double constant(void)
{
    return 0.0837;
}

static void quantiles_are_within_one_percent(void **state)
{
    static double (*const distributions[])(void) = {logarithmic, bimodal, exponential, constant};
    static const double q[] = {0.5, 0.9, 0.95, 0.99, 0.999};
    enum { N = 100000 };
    double *values = malloc(N * sizeof(*values)), found[5];

    (void)state;
    for (size_t d = 0; d < sizeof(distributions) / sizeof(*distributions); d++) {
        weir_histogram_t h = {0};
        weir_histogram_sum_t sum = {0};

        for (int i = 0; i < N; i++) {
            values[i] = distributions[d]();
            weir_histogram_record(&h, values[i], &memory);
        }
        qsort(values, N, sizeof(*values), compare);
        weir_histogram_merge(&sum, &h);
        weir_histogram_quantiles(&sum, q, found, 5);
        for (int i = 0; i < 5; i++) {
            double exact = values[(int)ceil(q[i] * N) - 1];

            assert_true(fabs(found[i] - exact) <= 0.01 * exact);
            assert_true(found[i] == weir_histogram_quantile(&sum, q[i]));
        }
        release(&h);
    }
    free(values);
}

/* Wherever the value is in its bucket, and however many there are. */
static void a_quantile_of_one_value_is_within_one_percent(void **state)
{
    weir_histogram_sum_t *sum = calloc(1, sizeof(*sum));

    (void)state;
    for (int i = 0; i < 2000; i++) {
        double value = exp2(random_unit() * 32 - 20);
        int bucket = weir_histogram_bucket(value);

        sum->bucket[bucket] = 1 + random_bits() % 1000;
        for (int q = 0; q <= 8; q++)
            assert_true(fabs(weir_histogram_quantile(sum, q / 8.0) - value) <= 0.01 * value);
        sum->bucket[bucket] = 0;
    }
    free(sum);
}

static void quantiles_of_little(void **state)
{
    weir_histogram_sum_t *sum = calloc(1, sizeof(*sum));

    (void)state;
    assert_true(isnan(weir_histogram_quantile(sum, 0.5)));
    sum->zero = 1;
    assert_true(weir_histogram_quantile(sum, 0.0) == 0.0);
    assert_true(weir_histogram_quantile(sum, 1.0) == 0.0);
    sum->over = 1;
    assert_true(weir_histogram_quantile(sum, 0.5) == 0.0);
    assert_true(weir_histogram_quantile(sum, 0.51) == 4096.0);
    sum->bucket[20 * 64 + 63] = 2; /* up to 2 s */
    assert_true(weir_histogram_quantile(sum, 0.75) < 2.0);
    assert_true(weir_histogram_quantile(sum, 0.75) > 1.99);
    free(sum);
}

static void random_parts_merge_to_the_whole(void **state)
{
    weir_histogram_t part[5] = {0}, whole = {0};
    weir_histogram_sum_t *merged = calloc(1, sizeof(*merged)), *one = calloc(1, sizeof(*one));

    (void)state;
    for (int i = 0; i < 50000; i++) {
        double value = exp2(random_unit() * 40 - 24);

        weir_histogram_record(&part[random_bits() % 5], value, &memory);
        weir_histogram_record(&whole, value, &memory);
    }
    for (int i = 0; i < 5; i++)
        weir_histogram_merge(merged, &part[i]);
    weir_histogram_merge(one, &whole);
    assert_true(fabs(merged->sum - one->sum) <= 1e-9 * one->sum);
    merged->sum = one->sum;
    assert_memory_equal(merged, one, sizeof(*one));

    /* and without four of them the fifth is left */
    for (int i = 0; i < 4; i++)
        weir_histogram_subtract(merged, &part[i]);
    memset(one, 0, sizeof(*one));
    weir_histogram_merge(one, &part[4]);
    assert_true(fabs(merged->sum - one->sum) <= 1e-9 * whole.sum);
    merged->sum = one->sum;
    assert_memory_equal(merged, one, sizeof(*one));

    for (int i = 0; i < 5; i++)
        release(&part[i]);
    release(&whole);
    free(merged);
    free(one);
}

static void advancing_gives_the_difference(void **state)
{
    weir_histogram_t h = {0}, before = {0};
    weir_histogram_sum_t *now = calloc(1, sizeof(*now));

    (void)state;
    for (int round = 1; round <= 10; round++) {
        for (int i = 0; i < round * 10; i++)
            weir_histogram_record(&h, logarithmic(), &memory);
        memset(now, 0, sizeof(*now));
        weir_histogram_merge(now, &h);
        weir_histogram_advance(&before, now, &memory);
        assert_int_equal(weir_histogram_count(now), round * 10);
    }
    memset(now, 0, sizeof(*now));
    weir_histogram_merge(now, &h);
    weir_histogram_subtract(now, &before);
    assert_int_equal(weir_histogram_count(now), 0);
    assert_true(now->sum == 0.0);

    release(&h);
    release(&before);
    free(now);
}

static void without_memory_a_difference_comes_later(void **state)
{
    weir_histogram_t h = {0}, before = {0};
    weir_histogram_sum_t *now = calloc(1, sizeof(*now));

    (void)state;
    weir_histogram_record(&h, 1.5, &memory);
    weir_histogram_merge(now, &h);
    page_limit = pages;
    weir_histogram_advance(&before, now, &memory);
    page_limit = SIZE_MAX;
    assert_int_equal(weir_histogram_count(now), 0);

    memset(now, 0, sizeof(*now));
    weir_histogram_merge(now, &h);
    weir_histogram_advance(&before, now, &memory);
    assert_int_equal(weir_histogram_count(now), 1);

    release(&h);
    release(&before);
    free(now);
}

static void classic_bounds_are_the_nearest_boundaries(void **state)
{
    static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                    0.5,   0.75, 1,     2.5,  5,     7.5, 10};
    enum { N = sizeof(bounds) / sizeof(*bounds), VALUES = 100000 };
    weir_histogram_t h = {0};
    weir_histogram_sum_t *sum = calloc(1, sizeof(*sum));
    uint64_t counts[N], low[N] = {0}, high[N] = {0};

    (void)state;
    for (int i = 0; i < VALUES; i++) {
        double value = exp2(random_unit() * 20 - 12);

        weir_histogram_record(&h, value, &memory);
        for (int b = 0; b < N; b++) {
            low[b] += value <= bounds[b] / 1.0055;
            high[b] += value <= bounds[b] * 1.0055;
        }
    }
    weir_histogram_merge(sum, &h);
    weir_histogram_cumulative(sum, bounds, counts, N);
    for (int b = 0; b < N; b++)
        assert_in_range(counts[b], low[b], high[b]);

    /* 1 and 0.5 are boundaries themselves */
    memset(sum, 0, sizeof(*sum));
    sum->bucket[20 * 64 - 1] = 3;
    sum->bucket[20 * 64] = 5;
    sum->zero = 1;
    sum->over = 1;
    weir_histogram_cumulative(sum, bounds, counts, N);
    assert_int_equal(counts[7], 1);
    assert_int_equal(counts[9], 4);
    assert_int_equal(counts[13], 9);

    release(&h);
    free(sum);
}

static void downscaling_is_exact(void **state)
{
    enum { N = 20000 };
    weir_histogram_t h = {0};
    weir_histogram_sum_t *sum = calloc(1, sizeof(*sum));
    uint64_t *scaled = calloc(WEIR_HISTOGRAM_BUCKETS, sizeof(*scaled));
    double *values = malloc(N * sizeof(*values));

    (void)state;
    for (int i = 0; i < N; i++) {
        values[i] = exp2(random_unit() * 32 - 20);
        weir_histogram_record(&h, values[i], &memory);
    }
    weir_histogram_merge(sum, &h);
    for (unsigned shift = 0; shift <= WEIR_HISTOGRAM_SCALE; shift++) {
        uint64_t *wanted = calloc(WEIR_HISTOGRAM_BUCKETS, sizeof(*wanted));
        long double scale = 64 >> shift;

        for (int i = 0; i < N; i++)
            wanted[(int)(ceill(log2l(values[i]) * scale) - 1) + 20 * (int)scale]++;
        weir_histogram_downscale(sum, shift, scaled);
        assert_memory_equal(scaled, wanted, (WEIR_HISTOGRAM_BUCKETS >> shift) * sizeof(*wanted));
        free(wanted);
    }

    release(&h);
    free(sum);
    free(scaled);
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_those_of_the_definition),
        cmocka_unit_test(an_upper_bound_is_in_its_bucket),
        cmocka_unit_test(values_beyond_the_range_are_counted_apart),
        cmocka_unit_test(only_used_octaves_take_memory),
        cmocka_unit_test(without_memory_nothing_is_counted),
        cmocka_unit_test(quantiles_are_within_one_percent),
        cmocka_unit_test(a_quantile_of_one_value_is_within_one_percent),
        cmocka_unit_test(quantiles_of_little),
        cmocka_unit_test(random_parts_merge_to_the_whole),
        cmocka_unit_test(advancing_gives_the_difference),
        cmocka_unit_test(without_memory_a_difference_comes_later),
        cmocka_unit_test(classic_bounds_are_the_nearest_boundaries),
        cmocka_unit_test(downscaling_is_exact),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
