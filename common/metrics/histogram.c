/*
 * Which bucket a value has is read from its bits: the exponent is the octave, and the mantissa is
 * compared with the boundaries 2^(k/64) within an octave. The seven highest bits of the mantissa
 * leave at most one boundary, so one comparison decides.
 *
 * Invariant: a page's pointer is stored after its memory (release), and is never changed again.
 */

#include "common/metrics/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/*
 * The mantissas of 2^(k/64), rounded down. None but the first is a rational number, so a value with
 * this mantissa is below the boundary, and the next one above.
 */
const uint64_t weir_histogram_boundary[WEIR_HISTOGRAM_OCTAVE + 1] = {
    0x0000000000000, 0x02c9a3e778060, 0x059b0d3158574, 0x0874518759bc8, 0x0b5586cf9890f,
    0x0e3ec32d3d1a2, 0x11301d0125b50, 0x1429aaea92ddf, 0x172b83c7d517a, 0x1a35beb6fcb75,
    0x1d4873168b9aa, 0x2063b88628cd6, 0x2387a6e756238, 0x26b4565e27cdd, 0x29e9df51fdee1,
    0x2d285a6e4030b, 0x306fe0a31b715, 0x33c08b26416ff, 0x371a7373aa9ca, 0x3a7db34e59ff6,
    0x3dea64c123422, 0x4160a21f72e29, 0x44e086061892d, 0x486a2b5c13cd0, 0x4bfdad5362a27,
    0x4f9b2769d2ca6, 0x5342b569d4f81, 0x56f4736b527da, 0x5ab07dd485429, 0x5e76f15ad2148,
    0x6247eb03a5584, 0x6623882552224, 0x6a09e667f3bcc, 0x6dfb23c651a2e, 0x71f75e8ec5f73,
    0x75feb564267c8, 0x7a11473eb0186, 0x7e2f336cf4e62, 0x82589994cce12, 0x868d99b4492ec,
    0x8ace5422aa0db, 0x8f1ae99157736, 0x93737b0cdc5e4, 0x97d829fde4e4f, 0x9c49182a3f090,
    0xa0c667b5de564, 0xa5503b23e255c, 0xa9e6b5579fdbf, 0xae89f995ad3ad, 0xb33a2b84f15fa,
    0xb7f76f2fb5e46, 0xbcc1e904bc1d2, 0xc199bdd85529c, 0xc67f12e57d14b, 0xcb720dcef9069,
    0xd072d4a07897b, 0xd5818dcfba487, 0xda9e603db3285, 0xdfc97337b9b5e, 0xe502ee78b3ff6,
    0xea4afa2a490d9, 0xefa1bee615a27, 0xf50765b6e4540, 0xfa7c1819e90d8, 0x10000000000000};

/* The last boundary that is not above the first mantissa with these seven bits. */
const uint8_t weir_histogram_guess[2 * WEIR_HISTOGRAM_OCTAVE] = {
    0,  0,  1,  2,  2,  3,  4,  4,  5,  6,  6,  7,  8,  8,  9,  10, 10, 11, 12, 12, 13, 14,
    14, 15, 15, 16, 17, 17, 18, 18, 19, 20, 20, 21, 21, 22, 22, 23, 24, 24, 25, 25, 26, 26,
    27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 32, 33, 33, 34, 34, 35, 35, 35, 36, 36, 37, 37,
    38, 38, 39, 39, 40, 40, 41, 41, 42, 42, 43, 43, 43, 44, 44, 45, 45, 46, 46, 47, 47, 47,
    48, 48, 49, 49, 50, 50, 50, 51, 51, 52, 52, 52, 53, 53, 54, 54, 54, 55, 55, 56, 56, 56,
    57, 57, 58, 58, 58, 59, 59, 59, 60, 60, 61, 61, 61, 62, 62, 62, 63, 63};

/* --- pages ----------------------------------------------------------------------------------- */

/* The page of an octave, which is created if it is missing; NULL: no memory. */
static weir_histogram_page_t *page_with_memory(weir_histogram_t *h, unsigned octave,
                                               const weir_histogram_memory_t *memory)
{
    weir_histogram_page_t *page;

    assert(octave < WEIR_HISTOGRAM_OCTAVES);

    page = h->page[octave];
    if (page == NULL) {
        page = memory->zeroed(memory->data, sizeof(weir_histogram_page_t));
        if (page != NULL)
            __atomic_store_n(&h->page[octave], page, __ATOMIC_RELEASE);
    }

    return page;
}

bool weir_histogram_record_first(weir_histogram_t *h, double value,
                                 const weir_histogram_memory_t *memory)
{
    unsigned octave = weir_histogram_octave(weir_histogram_below(value));

    if (octave < WEIR_HISTOGRAM_OCTAVES)
        return page_with_memory(h, octave, memory) != NULL &&
               weir_histogram_record(h, value, memory);

    weir_count_add(weir_histogram_bucket(value) < 0 ? &h->zero : &h->over, 1);

    if (value > 0.0) /* a clock that was set back, or NaN, changes no sum */
        weir_count_add_double(&h->sum, value);

    return true;
}

static const weir_histogram_page_t *page_of(const weir_histogram_t *h, unsigned octave)
{
    return __atomic_load_n(&h->page[octave], __ATOMIC_ACQUIRE);
}

static uint64_t read_count(const uint64_t *count)
{
    return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static double read_sum(const weir_histogram_t *h)
{
    double sum;

    __atomic_load(&h->sum, &sum, __ATOMIC_RELAXED);

    return sum;
}

static void write_count(uint64_t *count, uint64_t value)
{
    __atomic_store_n(count, value, __ATOMIC_RELAXED);
}

static uint64_t above(uint64_t now, uint64_t earlier)
{
    return now > earlier ? now - earlier : 0;
}

void weir_histogram_merge(weir_histogram_sum_t *into, const weir_histogram_t *h)
{
    into->sum += read_sum(h);
    into->zero += read_count(&h->zero);
    into->over += read_count(&h->over);

    for (unsigned octave = 0; octave < WEIR_HISTOGRAM_OCTAVES; octave++) {
        const weir_histogram_page_t *page = page_of(h, octave);
        uint64_t *bucket = &into->bucket[(size_t)octave * WEIR_HISTOGRAM_OCTAVE];

        for (unsigned i = 0; page != NULL && i < WEIR_HISTOGRAM_OCTAVE; i++)
            bucket[i] += read_count(&page->bucket[i]);
    }
}

void weir_histogram_subtract(weir_histogram_sum_t *from, const weir_histogram_t *earlier)
{
    double sum = read_sum(earlier);

    from->sum = from->sum > sum ? from->sum - sum : 0.0;
    from->zero = above(from->zero, read_count(&earlier->zero));
    from->over = above(from->over, read_count(&earlier->over));

    for (unsigned octave = 0; octave < WEIR_HISTOGRAM_OCTAVES; octave++) {
        const weir_histogram_page_t *page = page_of(earlier, octave);
        uint64_t *bucket = &from->bucket[(size_t)octave * WEIR_HISTOGRAM_OCTAVE];

        for (unsigned i = 0; page != NULL && i < WEIR_HISTOGRAM_OCTAVE; i++)
            bucket[i] = above(bucket[i], read_count(&page->bucket[i]));
    }
}

static bool is_used(const uint64_t *bucket)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < WEIR_HISTOGRAM_OCTAVE; i++)
        any |= bucket[i];

    return any != 0;
}

/* Stores the new value and returns the difference to the old one. */
static uint64_t replace(uint64_t *count, uint64_t now)
{
    uint64_t was = *count;

    write_count(count, now > was ? now : was);

    return above(now, was);
}

void weir_histogram_advance(weir_histogram_t *h, weir_histogram_sum_t *now,
                            const weir_histogram_memory_t *memory)
{
    double was = h->sum;

    if (now->sum > was)
        __atomic_store(&h->sum, &now->sum, __ATOMIC_RELAXED);
    now->sum = now->sum > was ? now->sum - was : 0.0;
    now->zero = replace(&h->zero, now->zero);
    now->over = replace(&h->over, now->over);

    for (unsigned octave = 0; octave < WEIR_HISTOGRAM_OCTAVES; octave++) {
        uint64_t *bucket = &now->bucket[(size_t)octave * WEIR_HISTOGRAM_OCTAVE];
        weir_histogram_page_t *page;

        if (!is_used(bucket))
            continue;
        page = page_with_memory(h, octave, memory);
        for (unsigned i = 0; i < WEIR_HISTOGRAM_OCTAVE; i++)
            bucket[i] = page != NULL ? replace(&page->bucket[i], bucket[i]) : 0;
    }
}

/* --- sums ------------------------------------------------------------------------------------ */

uint64_t weir_histogram_count(const weir_histogram_sum_t *sum)
{
    uint64_t count = sum->zero + sum->over;

    for (unsigned i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
        count += sum->bucket[i];

    return count;
}

/* 2^((index of the bucket + part) / 64): part 0 is the lower bound, 1 the upper one. */
static double value_at(unsigned bucket, double part)
{
    return exp2((double)WEIR_HISTOGRAM_MIN_EXPONENT + (bucket + part) / WEIR_HISTOGRAM_OCTAVE);
}

/*
 * Where in its bucket the value with that rank (1 to n) is, of n values: each is in the middle of
 * its n-th part. Not nearer than a tenth to a bound: all values of a bucket may be at the other
 * one, and 0.9 buckets are 0.98%.
 */
static double part_of_bucket(double rank, double n)
{
    return fmin(fmax((rank - 0.5) / n, 0.1), 0.9);
}

/* From 1 on; what is a whole number but for rounding is that number. */
static double rank_of(double q, uint64_t count)
{
    return fmax(1.0, ceil(q * (double)count - 1e-6));
}

void weir_histogram_quantiles(const weir_histogram_sum_t *sum, const double *q, double *values,
                              size_t n)
{
    uint64_t count = weir_histogram_count(sum), below = sum->zero;
    unsigned bucket = 0;
    double last = 0.0;

    for (size_t i = 0; i < n; i++) {
        double rank = rank_of(q[i], count);

        assert(q[i] >= last && q[i] <= 1.0);
        last = q[i];

        if (count == 0) {
            values[i] = NAN;
            continue;
        }
        if (rank <= (double)sum->zero) {
            values[i] = 0.0;
            continue;
        }
        while (bucket < WEIR_HISTOGRAM_BUCKETS &&
               (sum->bucket[bucket] == 0 || (double)(below + sum->bucket[bucket]) < rank))
            below += sum->bucket[bucket++];

        values[i] = bucket == WEIR_HISTOGRAM_BUCKETS
                        ? value_at(WEIR_HISTOGRAM_BUCKETS, 0.0)
                        : value_at(bucket, part_of_bucket(rank - (double)below,
                                                          (double)sum->bucket[bucket]));
    }
}

double weir_histogram_quantile(const weir_histogram_sum_t *sum, double q)
{
    double value;

    weir_histogram_quantiles(sum, &q, &value, 1);

    return value;
}

/* The number of buckets below the boundary that is nearest to the bound. */
static unsigned buckets_up_to(double bound)
{
    double index;

    if (!(bound > 0.0))
        return 0;

    index = (log2(bound) - WEIR_HISTOGRAM_MIN_EXPONENT) * WEIR_HISTOGRAM_OCTAVE;
    if (index <= 0.0)
        return 0;

    return index >= WEIR_HISTOGRAM_BUCKETS ? WEIR_HISTOGRAM_BUCKETS : (unsigned)lround(index);
}

void weir_histogram_cumulative(const weir_histogram_sum_t *sum, const double *bounds,
                               uint64_t *counts, size_t n)
{
    uint64_t below = sum->zero;
    unsigned bucket = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned end = buckets_up_to(bounds[i]);

        assert(end >= bucket); /* the bounds ascend */

        for (; bucket < end; bucket++)
            below += sum->bucket[bucket];
        counts[i] = below;
    }
}

void weir_histogram_downscale(const weir_histogram_sum_t *sum, unsigned shift, uint64_t *counts)
{
    assert(shift <= WEIR_HISTOGRAM_SCALE);

    memset(counts, 0, (WEIR_HISTOGRAM_BUCKETS >> shift) * sizeof(*counts));
    for (unsigned i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
        counts[i >> shift] += sum->bucket[i];
}
