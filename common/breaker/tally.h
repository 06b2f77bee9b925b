/*
 * The calls of a breaker's window, counted in ten buckets: the window slides in steps of a tenth of
 * its length.  A call belongs to the bucket of the time at which its result was reported.
 *
 * May be in shared memory; the caller holds its lock.  Times are milliseconds.
 */

#ifndef WEIR_TALLY_H
#define WEIR_TALLY_H

#include <stdint.h>

#define WEIR_TALLY_BUCKETS 10

/* Numbers of calls. */
typedef struct {
    uint32_t calls;    /* succeeded or failed */
    uint32_t failed;   /* of them, failed */
    uint32_t slow;     /* of them, succeeded late, or timed out */
    uint32_t timeouts; /* of the failed ones */
    uint32_t row;      /* failures since the last success */
} weir_tally_counts_t;

typedef struct {
    uint64_t step;     /* number of the newest bucket: time / bucket width */
    uint32_t has_rows; /* bool, set by who counts in row: a bucket may have one */
    weir_tally_counts_t bucket[WEIR_TALLY_BUCKETS];
} weir_tally_t;

/*
 * Clears the buckets that have left the window since the last call.  width is that of a bucket, at
 * least 1.  After a change to a wider one the same time has a lower number, and all is cleared.
 */
void weir_tally_slide(weir_tally_t *tally, uint64_t now, uint64_t width);

/* The bucket of the last weir_tally_slide(). */
static inline weir_tally_counts_t *weir_tally_now(weir_tally_t *tally)
{
    return &tally->bucket[tally->step % WEIR_TALLY_BUCKETS];
}

/* Ends the row of failures; returns how many it had. */
uint32_t weir_tally_end_row(weir_tally_t *tally);

/* The sum of all buckets. */
weir_tally_counts_t weir_tally_sum(const weir_tally_t *tally);

/* Forgets all calls. */
void weir_tally_clear(weir_tally_t *tally);

#endif
