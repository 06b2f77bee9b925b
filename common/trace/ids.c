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

uint64_t weir_trace_ids_draw(void)
{
    uint64_t n;

    if (!seeded)
        weir_trace_ids_seed();

    do
        n = next();
    while (n == 0);

    return n;
}

void weir_trace_ids_span(uint8_t id[WEIR_SPAN_ID_LEN])
{
    uint64_t n = weir_trace_ids_draw();

    memcpy(id, &n, sizeof(n));
}

void weir_trace_ids_complete(uint64_t drawn, weir_context_t *context)
{
    uint64_t first = weir_trace_ids_draw();

    memcpy(context->trace_id, &first, sizeof(first));
    memcpy(context->trace_id + sizeof(first), &drawn, sizeof(drawn));
    weir_trace_ids_span(context->span_id);
    context->flags = WEIR_CONTEXT_RANDOM;
}
