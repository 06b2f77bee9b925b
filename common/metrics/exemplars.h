/*
 * Exemplars of a histogram of durations: ids of traces that are kept. For each classic bucket the
 * last one, and the slowest ones of the last minute, quarter of an hour and hour.
 *
 * One process writes, without a lock; others read from shared memory at any time. A sequence number
 * is odd while something is written: what was read is whole if the number was even, and is the same
 * afterwards. A writer that was killed leaves it odd, and the next writer continues.
 *
 * Invariant of the slowest ones: an exemplar that is among the WEIR_EXEMPLARS_SLOWEST slowest of a
 * span up to now is there, except that only so many of each 10 seconds are taken.
 */
#ifndef WEIR_EXEMPLARS_H
#define WEIR_EXEMPLARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_EXEMPLARS_BUCKETS 15 /* the classic buckets, with that up to infinity */
#define WEIR_EXEMPLARS_SLOWEST 3  /* of a span */
#define WEIR_EXEMPLARS_KEPT 16    /* for all spans, and for what will be in them */

typedef struct {
    uint8_t trace_id[16];
    double value;  /* seconds */
    uint64_t time; /* Unix time of the value, ns; 0: there is no exemplar */
} weir_exemplar_t;

/* 1000 bytes. Begins with all members 0. */
typedef struct {
    uint64_t sequence;
    weir_exemplar_t bucket[WEIR_EXEMPLARS_BUCKETS];
    weir_exemplar_t slowest[WEIR_EXEMPLARS_KEPT]; /* in no order */
} weir_exemplars_t;

/*
 * Puts an exemplar that is newer than all others. bounds are the WEIR_EXEMPLARS_BUCKETS - 1 bounds
 * of the classic buckets in ascending order, in seconds.
 */
void weir_exemplars_put(weir_exemplars_t *e, const double *bounds, const weir_exemplar_t *exemplar);

/*
 * Reads what another process may be writing. False if it was written each time: copy has nothing
 * that can be used.
 */
bool weir_exemplars_read(const weir_exemplars_t *e, weir_exemplars_t *copy);

/* Merges the buckets of one copy into another: of each bucket the newer one remains. */
void weir_exemplars_merge(weir_exemplars_t *into, const weir_exemplars_t *copy);

/*
 * The slowest ones from a time on (Unix time, ns), the slowest first. They are merged into found,
 * of which *n are used; it has WEIR_EXEMPLARS_SLOWEST elements.
 */
void weir_exemplars_slowest(const weir_exemplars_t *copy, uint64_t since, weir_exemplar_t *found,
                            size_t *n);

#endif
