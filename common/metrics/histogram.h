/*
 * Base-2 exponential histograms of durations in seconds, as OpenTelemetry
 * (https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram) and
 * Prometheus' native histograms (the schema is the scale) define them.
 *
 * The scale is 6: each octave (2^e, 2^(e+1)] has 64 buckets, and the bucket with the index i holds
 * the values in (2^(i/64), 2^((i+1)/64)]. A bucket is 1.09% wide, so a value that is taken from the
 * middle of its bucket is wrong by at most 0.55%.
 *
 * Values from 2^-20 s (0.95 µs) to 2^12 s (4096 s) have buckets. Smaller ones, and 0, are counted
 * in zero, greater ones in over.
 *
 * There are two forms:
 *
 *   - weir_histogram_t is recorded into. It has a page for each octave that was used, so a typical
 *     one takes 2 KiB. One process writes it, and others may read it at any time from shared
 * memory: each count is stored whole, a page is complete before its pointer is stored, and nothing
 * is locked. Counts that a reader finds may be of slightly different times; none ever decreases.
 *   - weir_histogram_sum_t has all buckets side by side (16 KiB): what histograms are added up in,
 *     and what quantiles are taken from.
 */
#ifndef WEIR_HISTOGRAM_H
#define WEIR_HISTOGRAM_H

#include "common/count.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_HISTOGRAM_SCALE 6
#define WEIR_HISTOGRAM_OCTAVE 64          /* buckets, 2^WEIR_HISTOGRAM_SCALE */
#define WEIR_HISTOGRAM_MIN_EXPONENT (-20) /* of the smallest value in a bucket */
#define WEIR_HISTOGRAM_MAX_EXPONENT 12    /* of the greatest value in a bucket */
#define WEIR_HISTOGRAM_OCTAVES 32
#define WEIR_HISTOGRAM_BUCKETS 2048

/* The OTLP index of the first bucket; that of bucket i is i more. */
#define WEIR_HISTOGRAM_FIRST_INDEX (WEIR_HISTOGRAM_MIN_EXPONENT * WEIR_HISTOGRAM_OCTAVE)

/* Counts of one octave; 512 bytes. */
typedef struct {
    uint64_t bucket[WEIR_HISTOGRAM_OCTAVE];
} weir_histogram_page_t;

/* Begins with all members 0. */
typedef struct {
    double sum;    /* of all values, seconds */
    uint64_t zero; /* values up to 2^WEIR_HISTOGRAM_MIN_EXPONENT */
    uint64_t over; /* values above 2^WEIR_HISTOGRAM_MAX_EXPONENT */
    weir_histogram_page_t *page[WEIR_HISTOGRAM_OCTAVES]; /* NULL: no value */
} weir_histogram_t;

typedef struct {
    double sum;
    uint64_t zero;
    uint64_t over;
    uint64_t bucket[WEIR_HISTOGRAM_BUCKETS];
} weir_histogram_sum_t;

/*
 * Where pages are taken from: size bytes that are all 0, or NULL without memory. Pages are never
 * given back by the functions of this file.
 */
typedef struct {
    void *(*zeroed)(void *data, size_t size);
    void *data;
} weir_histogram_memory_t;

/* The boundaries within an octave; see histogram.c. */
extern const uint64_t weir_histogram_boundary[WEIR_HISTOGRAM_OCTAVE + 1];
extern const uint8_t weir_histogram_guess[2 * WEIR_HISTOGRAM_OCTAVE];

/*
 * The bits of the value just below, which has the same bucket if there is one: upper bounds belong
 * to their bucket. Its exponent is the octave.
 */
static inline uint64_t weir_histogram_below(double value)
{
    union {
        double value;
        uint64_t bits;
    } u = {value};

    return u.bits - 1;
}

/* The octave: WEIR_HISTOGRAM_OCTAVES or more for values without a bucket, which 0 and NaN are. */
static inline unsigned weir_histogram_octave(uint64_t below)
{
    return (unsigned)(below >> 52) - (1023 + WEIR_HISTOGRAM_MIN_EXPONENT);
}

/* The bucket within the octave. */
static inline unsigned weir_histogram_step(uint64_t below)
{
    uint64_t mantissa = below & 0xfffffffffffff;
    size_t guess = weir_histogram_guess[mantissa >> 45];

    return (unsigned)(guess + (mantissa >= weir_histogram_boundary[guess + 1]));
}

/*
 * The bucket of a value in (2^WEIR_HISTOGRAM_MIN_EXPONENT, 2^WEIR_HISTOGRAM_MAX_EXPONENT]; for
 * smaller values less than 0, for greater ones at least WEIR_HISTOGRAM_BUCKETS. NaN is greater.
 */
static inline int weir_histogram_bucket(double value)
{
    uint64_t below = weir_histogram_below(value);

    if (!(value > 0.0))
        return value <= 0.0 ? -1 : WEIR_HISTOGRAM_BUCKETS;

    return (int)weir_histogram_octave(below) * WEIR_HISTOGRAM_OCTAVE +
           (int)weir_histogram_step(below);
}

/* weir_histogram_record() of a value that has no page yet, or no bucket. */
bool weir_histogram_record_first(weir_histogram_t *h, double value,
                                 const weir_histogram_memory_t *memory);

/* True if the value has a bucket and a page, so that it is counted in a few instructions. */
static inline bool weir_histogram_has(const weir_histogram_t *h, double value)
{
    unsigned octave = weir_histogram_octave(weir_histogram_below(value));

    return octave < WEIR_HISTOGRAM_OCTAVES && h->page[octave] != NULL;
}

/* Counts a value that it has. */
static inline void weir_histogram_count_in(weir_histogram_t *h, double value)
{
    uint64_t below = weir_histogram_below(value);

    weir_count_add(&h->page[weir_histogram_octave(below)]->bucket[weir_histogram_step(below)], 1);
    weir_count_add_double(&h->sum, value);
}

/* Counts a value, in seconds. False without memory for its page: nothing was changed. */
static inline bool weir_histogram_record(weir_histogram_t *h, double value,
                                         const weir_histogram_memory_t *memory)
{
    if (!weir_histogram_has(h, value))
        return weir_histogram_record_first(h, value, memory);

    weir_histogram_count_in(h, value);

    return true;
}

/* Adds what the histogram has now. */
void weir_histogram_merge(weir_histogram_sum_t *into, const weir_histogram_t *h);

/*
 * Subtracts what was merged before. A count that is smaller becomes 0: the earlier one was read
 * while it was written.
 */
void weir_histogram_subtract(weir_histogram_sum_t *from, const weir_histogram_t *earlier);

/*
 * Makes h, which only the caller writes, equal to now, and now the difference to what h was. An
 * octave for which there is no memory keeps its value in h, and has no difference yet.
 */
void weir_histogram_advance(weir_histogram_t *h, weir_histogram_sum_t *now,
                            const weir_histogram_memory_t *memory);

/* The number of all values. */
uint64_t weir_histogram_count(const weir_histogram_sum_t *sum);

/*
 * The q-quantile (0 to 1) in seconds, within 1% of the value with the rank q * count, rounded up;
 * NaN without values. Within a bucket values are taken to be spread evenly on a logarithmic scale.
 * Values below the first bucket count as 0, those above the last as
 * 2^WEIR_HISTOGRAM_MAX_EXPONENT.
 */
double weir_histogram_quantile(const weir_histogram_sum_t *sum, double q);

/* The same for n quantiles in ascending order, in one pass. */
void weir_histogram_quantiles(const weir_histogram_sum_t *sum, const double *q, double *values,
                              size_t n);

/*
 * The numbers of values up to each of n bounds in ascending order, for a classic histogram. A bound
 * that is no boundary of a bucket counts as the nearest boundary, which differs by at most 0.55%:
 * counts of different histograms add up, and none is an estimate.
 */
void weir_histogram_cumulative(const weir_histogram_sum_t *sum, const double *bounds,
                               uint64_t *counts, size_t n);

/*
 * Down-scaling, which is exact: bucket i of scale 6 is in bucket i >> shift of scale 6 - shift
 * (shift 0 to 6). counts has WEIR_HISTOGRAM_BUCKETS >> shift buckets, the first with the index
 * WEIR_HISTOGRAM_FIRST_INDEX >> shift.
 */
void weir_histogram_downscale(const weir_histogram_sum_t *sum, unsigned shift, uint64_t *counts);

#endif
