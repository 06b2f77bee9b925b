#include "events/worker/queue/positions.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static bool get(const weir_positions_t *q, const uint64_t *bits, int64_t position)
{
    uint64_t n = (uint64_t)(position - q->base);

    return position >= q->base && n / 64 < q->words && (bits[n / 64] >> (n % 64) & 1);
}

static void grow(weir_positions_t *q, int64_t position)
{
    size_t need = (size_t)(position - q->base) / 64 + 1;
    size_t words = q->words;

    assert(position >= q->base);
    while (words < need)
        words = words > 0 ? words * 2 : 16;
    if (words == q->words)
        return;
    q->seen = weir_alloc_resize(q->seen, words, sizeof(uint64_t));
    q->parked = weir_alloc_resize(q->parked, words, sizeof(uint64_t));
    memset(q->seen + q->words, 0, (words - q->words) * sizeof(uint64_t));
    memset(q->parked + q->words, 0, (words - q->words) * sizeof(uint64_t));
    q->words = words;
}

static void set(weir_positions_t *q, uint64_t *const *bits, int64_t position, bool value)
{
    uint64_t n = (uint64_t)(position - q->base);

    if (position < q->base)
        return;
    grow(q, position);
    if (value)
        (*bits)[n / 64] |= UINT64_C(1) << (n % 64);
    else
        (*bits)[n / 64] &= ~(UINT64_C(1) << (n % 64));
}

/* Moves unseen to the first position that was never seen. */
static void advance(weir_positions_t *q)
{
    if (q->unseen <= q->low)
        q->unseen = q->low + 1;
    while (get(q, q->seen, q->unseen) || get(q, q->parked, q->unseen))
        q->unseen++;
    assert(q->base % 64 == 0 && q->unseen > q->low);
}

void weir_positions_init(weir_positions_t *q, int64_t handled)
{
    *q = (weir_positions_t){.low = handled, .unseen = handled + 1, .base = (handled + 1) / 64 * 64};
}

void weir_positions_clear(weir_positions_t *q)
{
    free(q->seen);
    free(q->parked);
}

bool weir_positions_wants(const weir_positions_t *q, int64_t position)
{
    return position > q->low && !get(q, q->seen, position);
}

void weir_positions_see(weir_positions_t *q, int64_t position)
{
    assert(position > q->low);
    set(q, &q->parked, position, false);
    set(q, &q->seen, position, true);
    advance(q);
}

void weir_positions_park(weir_positions_t *q, int64_t position)
{
    set(q, &q->seen, position, false);
    set(q, &q->parked, position, true);
    advance(q);
}

bool weir_positions_is_parked(const weir_positions_t *q, int64_t position)
{
    return get(q, q->parked, position);
}

void weir_positions_handled(weir_positions_t *q, int64_t handled)
{
    size_t gone;

    if (handled <= q->low)
        return;
    q->low = handled;
    advance(q);
    gone = (size_t)(handled + 1 - q->base) / 64;
    if (gone == 0)
        return;
    if (gone < q->words) {
        memmove(q->seen, q->seen + gone, (q->words - gone) * sizeof(uint64_t));
        memmove(q->parked, q->parked + gone, (q->words - gone) * sizeof(uint64_t));
        memset(q->seen + (q->words - gone), 0, gone * sizeof(uint64_t));
        memset(q->parked + (q->words - gone), 0, gone * sizeof(uint64_t));
    } else if (q->words > 0) {
        memset(q->seen, 0, q->words * sizeof(uint64_t));
        memset(q->parked, 0, q->words * sizeof(uint64_t));
    }
    q->base += (int64_t)gone * 64;
}
