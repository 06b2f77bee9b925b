/*
 * Histograms of the last minute, quarter of an hour, and hour, with counts of causes beside them.
 *
 * Time is divided in steps of 10 seconds, with numbers that all windows of a process group share.
 * The owner pushes what was counted in each step. A window keeps the last 6 steps, the last 15
 * minutes and the last 12 spans of five minutes, each as a packed histogram: only octaves that have
 * values, 260 bytes each. So a route with a typical spread takes 20 KiB for an hour.
 *
 * What is read for a span is at least that long, and at most as much longer as the last step,
 * minute or five minutes that it begins with.
 */
#ifndef WEIR_WINDOW_H
#define WEIR_WINDOW_H

#include "common/metrics/histogram.h"

#define WEIR_WINDOW_STEP 10 /* seconds */
#define WEIR_WINDOW_CAUSES 24

typedef enum {
    WEIR_WINDOW_MINUTE,
    WEIR_WINDOW_QUARTER, /* 15 minutes */
    WEIR_WINDOW_HOUR,
    WEIR_WINDOW_SPANS
} weir_window_span_t;

/* What was counted during some time. */
typedef struct {
    weir_histogram_sum_t durations;
    uint64_t cause[WEIR_WINDOW_CAUSES]; /* of values in the tail; what they are is the caller's */
} weir_window_sum_t;

/* A sum without empty octaves; private to window.c. */
typedef struct weir_window_packed_s weir_window_packed_t;

#define WEIR_WINDOW_STEPS 6    /* of a minute */
#define WEIR_WINDOW_MINUTES 15 /* kept */
#define WEIR_WINDOW_FIVES 12   /* kept */

/* Begins with all members 0. In a ring, slot n % size has the step, minute or five minutes n. */
typedef struct {
    uint64_t next;                                 /* number of the step that was not pushed yet */
    weir_window_packed_t *step[WEIR_WINDOW_STEPS]; /* NULL: nothing was counted */
    weir_window_packed_t *minute[WEIR_WINDOW_MINUTES];
    weir_window_packed_t *five[WEIR_WINDOW_FIVES];
} weir_window_t;

typedef struct {
    void *(*zeroed)(void *data, size_t size); /* NULL: no memory */
    void (*release)(void *data, void *memory);
    void *data;
} weir_window_memory_t;

/*
 * Ends step number n, and what is missing before it, in which nothing was counted. A step that was
 * pushed before is ignored. scratch is used for adding up. Without memory a step counts as empty;
 * false then.
 */
bool weir_window_push(weir_window_t *w, uint64_t n, const weir_window_sum_t *counted,
                      weir_window_sum_t *scratch, const weir_window_memory_t *memory);

/* Adds what the span before the last push has; the owner pushes every step. */
void weir_window_read(const weir_window_t *w, weir_window_span_t span, weir_window_sum_t *into);

/*
 * Adds what the whole minute has that ended `ago` minutes before the last one that has ended;
 * nothing from WEIR_WINDOW_MINUTES on.
 */
void weir_window_minute(const weir_window_t *w, unsigned ago, weir_window_sum_t *into);

/* Adds sums. */
void weir_window_add(weir_window_sum_t *into, const weir_window_sum_t *sum);

#endif
