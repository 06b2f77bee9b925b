/*
 * A limit that follows what an upstream can work on.
 *
 * Durations are looked at in windows. The base is the low quantile of a window in which requests
 * did not queue inside the upstream; what the quantile of a later window is above it, is how long
 * each request of that window has waited there, and with the rate of completions, how many wait
 * there all the time (Little's law). If that is more than a few, the limit is lowered by as many;
 * if not, it rises when it is reached. A quantile of 20% does not see bursts, after which the queue
 * is empty again.
 *
 * Nothing is refused in order to measure: the limit is lowered only if it is reached and requests
 * queue, and the base is found in the first requests, for which there is no limit. Smaller values
 * replace it at once. If the durations did not fall when the limit was lowered, but the rate did,
 * the upstream has become slower for each request: that is the new base, and the old limit is back.
 *
 * Durations are microseconds, times milliseconds.
 */
#ifndef WEIR_ADAPTIVE_H
#define WEIR_ADAPTIVE_H

#include <stdbool.h>
#include <stdint.h>

#define WEIR_ADAPTIVE_SAMPLES 64 /* of a window that are kept */

typedef struct {
    uint32_t min, max; /* bounds of the limit */
    double limit;
    double base;      /* us; 0: not known yet */
    double queued;    /* requests that queued inside the upstream, in the last window */
    double ceiling;   /* the limit does not rise above it within this window */
    bool first;       /* the base is that of the first samples */
    bool over;        /* in the last window, too, requests queued */
    bool reached;     /* a request found no slot in this window */
    uint64_t begin;   /* ms: of this window; 0: no sample yet */
    uint64_t settled; /* ms: requests that began under an earlier limit have ended by then */
    uint32_t n;       /* samples of the window */
    double sum;       /* us */
    uint32_t peak;    /* requests at work at most */
    uint64_t random;
    uint32_t samples[WEIR_ADAPTIVE_SAMPLES]; /* us, a random choice of the window's */
    bool lowered;                            /* the window before was the reason to lower it: */
    double was_limit, was_low, was_rate;
} weir_adaptive_t;

void weir_adaptive_init(weir_adaptive_t *a, uint32_t min, uint32_t max, uint64_t seed);

/* A request was answered, with in_use at work before. */
void weir_adaptive_sample(weir_adaptive_t *a, uint32_t us, uint32_t in_use, uint64_t now);

/* A request finds the limit reached; it may have risen afterwards. */
void weir_adaptive_reached(weir_adaptive_t *a, uint32_t in_use);

static inline uint32_t weir_adaptive_limit(const weir_adaptive_t *a)
{
    return (uint32_t)a->limit;
}

#endif
