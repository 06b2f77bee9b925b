#include "common/trace/ids.h"

#include "common/ids/random.h"

#include <assert.h>
#include <stdbool.h>

static uint64_t state[4];
static bool seeded;

void weir_trace_ids_seed(void)
{
    weir_random(state, sizeof(state));
    state[0] |= 1; /* a state of zeros would stay so */
    seeded = true;
}

static uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

/* xoshiro256** 1.0 by David Blackman and Sebastiano Vigna, 2018 (public domain). */
static uint64_t next(void)
{
    uint64_t result = rotate(state[1] * 5, 7) * 9, t = state[1] << 17;

    assert(seeded);
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= t;
    state[3] = rotate(state[3], 45);

    return result;
}

void weir_trace_ids_span(uint8_t id[WEIR_SPAN_ID_LEN])
{
    uint64_t n;

    if (!seeded)
        weir_trace_ids_seed();

    do
        n = next();
    while (n == 0);
    memcpy(id, &n, sizeof(n));
}

void weir_trace_ids_new(weir_context_t *context)
{
    weir_trace_ids_span(context->trace_id);
    weir_trace_ids_span(context->trace_id + WEIR_SPAN_ID_LEN);
    weir_trace_ids_span(context->span_id);
    context->flags = WEIR_CONTEXT_RANDOM;
}
