/*
 * New ids of traces and spans: from a generator in the process's memory (xoshiro256** 1.0 by David
 * Blackman and Sebastiano Vigna, 2018, public domain), because one is needed for every request. It
 * is seeded by the kernel. The ids must be unique and uniformly distributed; they are no secrets.
 *
 * Of a trace's id, the last 8 bytes are drawn. The first 8 are the next term of a sequence that
 * begins at random and has 2^64 different terms, with a distance that spreads them evenly (2^64
 * divided by the golden ratio): so a process never makes an id twice.
 *
 * The id of the first span of a new trace is the sum of both, and that of its first child again so
 * far from it: within a trace, all others are drawn.
 */
#ifndef WEIR_TRACE_IDS_H
#define WEIR_TRACE_IDS_H

#include "common/trace/context.h"

#include <stdbool.h>
#include <string.h>

#define WEIR_TRACE_IDS_DISTANCE UINT64_C(0x9e3779b97f4a7c15)

/* Private to this header and ids.c. */
typedef struct {
    uint64_t drawn[4]; /* the generator's state */
    uint64_t first;    /* the first 8 bytes of the last trace's id */
    bool seeded;
} weir_trace_ids_t;

extern weir_trace_ids_t weir_trace_ids;

/*
 * Seeds the generator of this process again: to be called after fork(), so that two processes do
 * not make the same ids. Without a call, the first id seeds it.
 */
void weir_trace_ids_seed(void);

static inline uint64_t weir_trace_ids_rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

/*
 * The last 8 bytes of a new trace's id, in their order, or a span id; not 0. A trace of which only
 * the randomness is needed yet (sampling.h) may be completed later.
 */
static inline uint64_t weir_trace_ids_draw(void)
{
    uint64_t *state = weir_trace_ids.drawn, result, t;

    if (!weir_trace_ids.seeded)
        weir_trace_ids_seed();

    do {
        result = weir_trace_ids_rotate(state[1] * 5, 7) * 9;
        t = state[1] << 17;
        state[2] ^= state[0];
        state[3] ^= state[1];
        state[1] ^= state[2];
        state[0] ^= state[3];
        state[2] ^= t;
        state[3] = weir_trace_ids_rotate(state[3], 45);
    } while (result == 0);

    return result;
}

/* A new span id, never all zero. */
static inline void weir_trace_ids_span(uint8_t id[WEIR_SPAN_ID_LEN])
{
    uint64_t n = weir_trace_ids_draw();

    memcpy(id, &n, sizeof(n));
}

/* The id of the first span that begins below another one, never all zero. */
static inline void weir_trace_ids_child(const uint8_t parent[WEIR_SPAN_ID_LEN],
                                        uint8_t id[WEIR_SPAN_ID_LEN])
{
    uint64_t n;

    memcpy(&n, parent, sizeof(n));
    n += UINT64_C(0xd1b54a32d192ed03);
    if (n == 0)
        n = weir_trace_ids_draw();
    memcpy(id, &n, sizeof(n));
}

/* A new trace: both ids, and the flag RANDOM; drawn is the result of weir_trace_ids_draw(). */
static inline void weir_trace_ids_complete(uint64_t drawn, weir_context_t *context)
{
    uint64_t span;

    weir_trace_ids.first += WEIR_TRACE_IDS_DISTANCE;
    memcpy(context->trace_id, &weir_trace_ids.first, sizeof(weir_trace_ids.first));
    memcpy(context->trace_id + sizeof(weir_trace_ids.first), &drawn, sizeof(drawn));
    span = weir_trace_ids.first + drawn;
    if (span == 0)
        span = weir_trace_ids_draw();
    memcpy(context->span_id, &span, sizeof(span));
    context->flags = WEIR_CONTEXT_RANDOM;
}

static inline void weir_trace_ids_new(weir_context_t *context)
{
    weir_trace_ids_complete(weir_trace_ids_draw(), context);
}

#endif
