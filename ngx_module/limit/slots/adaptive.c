#include "limit/slots/adaptive.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUANTILE 0.2

/* A window has at least so many samples, and ms. */
#define WINDOW_SAMPLES 400
#define WINDOW_TIME 100

/* The first window has as many, which began when nothing was queued. */
#define FIRST_SAMPLES 20

/* Share of the requests at work that may queue inside the upstream, and requests at least. */
#define QUEUE_SHARE 0.1
#define QUEUE_LEAST 2

void weir_adaptive_init(weir_adaptive_t *a, uint32_t min, uint32_t max, uint64_t seed)
{
    memset(a, 0, sizeof(*a));
    a->min = min;
    a->max = max;
    a->limit = min;
    a->ceiling = max;
    a->random = seed | 1;
}

static double bounded(const weir_adaptive_t *a, double limit)
{
    return limit < a->min ? a->min : limit > a->max ? a->max : limit;
}

/* xorshift64 (Marsaglia, 2003) */
static uint64_t next_random(weir_adaptive_t *a)
{
    a->random ^= a->random << 13;
    a->random ^= a->random >> 7;
    a->random ^= a->random << 17;

    return a->random;
}

static int compare(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

    return (a > b) - (a < b);
}

static double low_quantile(weir_adaptive_t *a)
{
    uint32_t n = a->n < WEIR_ADAPTIVE_SAMPLES ? a->n : WEIR_ADAPTIVE_SAMPLES;

    qsort(a->samples, n, sizeof(a->samples[0]), compare);

    return a->samples[(uint32_t)(n * QUANTILE)];
}

static double allowed(double at_work)
{
    return fmax(QUEUE_LEAST, QUEUE_SHARE * at_work);
}

/*
 * Whether the limit was lowered, and only the rate has fallen, by as much: nothing queued. A rate
 * that has fallen by more has another cause.
 */
static bool is_slower(const weir_adaptive_t *a, double low, double rate)
{
    return low - a->base > (a->was_low - a->base) / 2 && rate < 0.85 * a->was_rate &&
           rate > 0.85 * a->was_rate * a->limit / a->was_limit;
}

/* The window is over: what follows from it for the limit. */
static void conclude(weir_adaptive_t *a, uint64_t now)
{
    double low = low_quantile(a), mean = a->sum / a->n;
    double rate = a->n / (1000.0 * (double)(now - a->begin)), at_work = rate * mean;
    bool over;

    if (a->base == 0) {
        /* of few samples, most of them short: only for the case that the next ones queue */
        a->base = low;
        a->first = true;
        a->begin = 0;
        return;
    }

    if (a->first && !a->reached)
        a->base = low;
    else if (low < a->base)
        a->base += (low - a->base) * 0.3;
    else if (!a->reached)
        a->base += (low - a->base) * 0.1;

    if (a->lowered && is_slower(a, low, rate)) {
        a->base = low;
        a->limit = a->was_limit;
    }
    a->lowered = a->first = false;

    a->queued = rate * (low - a->base);

    over = a->reached && a->queued > 1.5 * allowed(at_work);

    if (over && a->over) {
        a->was_limit = a->limit;
        a->was_low = low;
        a->was_rate = rate;
        a->lowered = true;
        a->limit = bounded(a, fmax(fmin(at_work, a->limit) - a->queued + allowed(at_work),
                                   a->limit * (a->queued > at_work / 2 ? 0.5 : 0.8)));
    } else if (!a->reached && a->peak < a->limit / 2) {
        a->limit = bounded(a, fmax(0.9 * a->limit, 2.0 * a->peak));
    }

    a->over = over;
    if (!a->reached && a->queued <= 3 * allowed(at_work))
        a->ceiling = bounded(a, 2 * a->limit); /* room for a burst */
    else if (a->queued <= allowed(at_work))
        a->ceiling = bounded(a, 1.05 * a->limit + 1);
    else
        a->ceiling = a->limit;

    a->settled = now + (uint64_t)(mean / 1000) + 1;
}

static void begin_window(weir_adaptive_t *a, uint64_t now)
{
    a->begin = now;
    a->n = 0;
    a->sum = 0;
    a->peak = 0;
    a->reached = false;
}

void weir_adaptive_sample(weir_adaptive_t *a, uint32_t us, uint32_t in_use, uint64_t now)
{
    uint64_t place;

    if (now < a->settled)
        return;

    if (a->begin == 0 || a->begin < a->settled)
        begin_window(a, now);

    place = a->n < WEIR_ADAPTIVE_SAMPLES ? a->n : next_random(a) % (a->n + 1);
    if (place < WEIR_ADAPTIVE_SAMPLES)
        a->samples[place] = us;

    a->n++;
    a->sum += us;
    if (in_use > a->peak)
        a->peak = in_use;

    if (a->base == 0 ? a->n == FIRST_SAMPLES
                     : a->n >= WINDOW_SAMPLES && now >= a->begin + WINDOW_TIME)
        conclude(a, now);
}

void weir_adaptive_reached(weir_adaptive_t *a, uint32_t in_use)
{
    if (in_use + 1 > a->peak)
        a->peak = in_use + 1;

    if (a->limit + 1 <= a->ceiling)
        a->limit += 1;
    else
        a->reached = true;
}
