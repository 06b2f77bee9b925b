/*
 * See exemplars.h. Of the slowest ones, one that has WEIR_EXEMPLARS_SLOWEST slower ones behind it
 * in time is removed: no span that ends now or later can have it among its slowest. What remains is
 * about three times the logarithm of the number of values; if that is too much, the fastest one
 * that no span has among its slowest at that time is removed.
 */

#include "common/metrics/exemplars.h"

#include <assert.h>
#include <string.h>

#define SECOND ((uint64_t)1000000000)
#define STEP (10 * SECOND)
#define READS 16

static const uint64_t spans[] = {60 * SECOND, 900 * SECOND, 3600 * SECOND};

#define SPANS (sizeof(spans) / sizeof(spans[0]))
#define HOUR spans[SPANS - 1]
#define WORDS (sizeof(weir_exemplar_t) / sizeof(uint64_t))

static_assert(sizeof(weir_exemplar_t) % sizeof(uint64_t) == 0, "copied by words");
static_assert(sizeof(weir_exemplars_t) <= 1024, "a chunk of nginx's slab allocator");

/* --- writing --------------------------------------------------------------------------------- */

static void begin_writing(weir_exemplars_t *e)
{
    /* odd already: the last writer was killed */
    __atomic_store_n(&e->sequence, e->sequence | 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static void end_writing(weir_exemplars_t *e)
{
    __atomic_store_n(&e->sequence, e->sequence + 1, __ATOMIC_RELEASE);
}

static void store(weir_exemplar_t *shared, const weir_exemplar_t *exemplar)
{
    uint64_t words[WORDS], *to = (uint64_t *)shared;

    memcpy(words, exemplar, sizeof(words));
    for (size_t i = 0; i < WORDS; i++)
        __atomic_store_n(&to[i], words[i], __ATOMIC_RELAXED);
}

/* How many later ones are slower. */
static unsigned slower_behind(const weir_exemplars_t *e, const weir_exemplar_t *exemplar)
{
    unsigned n = 0;

    for (size_t i = 0; i < WEIR_EXEMPLARS_KEPT; i++)
        n += e->slowest[i].time > exemplar->time && e->slowest[i].value >= exemplar->value;

    return n;
}

/* In an order by value; of equal ones the later one is first. */
static bool is_before(const weir_exemplar_t *a, const weir_exemplar_t *b)
{
    return a->value > b->value || (a->value == b->value && a->time > b->time);
}

/* True if the exemplar is among the slowest of a span that ends now. */
static bool is_shown(const weir_exemplars_t *e, const weir_exemplar_t *exemplar, uint64_t now)
{
    for (size_t span = 0; span < SPANS; span++) {
        unsigned n = 0;

        if (exemplar->time + spans[span] < now)
            continue;
        for (size_t i = 0; i < WEIR_EXEMPLARS_KEPT; i++)
            n += e->slowest[i].time + spans[span] >= now && is_before(&e->slowest[i], exemplar);
        if (n < WEIR_EXEMPLARS_SLOWEST)
            return true;
    }

    return false;
}

/*
 * The place of a new one. The spans show 9 at most, so there is one; unless many have one value and
 * one time: WEIR_EXEMPLARS_KEPT then.
 */
static size_t choose_place(const weir_exemplars_t *e, uint64_t now)
{
    size_t fastest = WEIR_EXEMPLARS_KEPT;

    for (size_t i = 0; i < WEIR_EXEMPLARS_KEPT; i++) {
        const weir_exemplar_t *at = &e->slowest[i];

        if (at->time == 0 || at->time + HOUR < now ||
            slower_behind(e, at) >= WEIR_EXEMPLARS_SLOWEST)
            return i;
    }

    for (size_t i = 0; i < WEIR_EXEMPLARS_KEPT; i++) {
        if ((fastest == WEIR_EXEMPLARS_KEPT || e->slowest[i].value < e->slowest[fastest].value) &&
            !is_shown(e, &e->slowest[i], now))
            fastest = i;
    }

    return fastest;
}

/* Most are not: this is all that happens to a request of many. */
static bool is_slow_in_step(const weir_exemplars_t *e, const weir_exemplar_t *exemplar)
{
    uint64_t step = exemplar->time - exemplar->time % STEP;
    unsigned n = 0;

    for (size_t i = 0; i < WEIR_EXEMPLARS_KEPT; i++)
        n += e->slowest[i].time >= step && e->slowest[i].value >= exemplar->value;

    return n < WEIR_EXEMPLARS_SLOWEST;
}

void weir_exemplars_put(weir_exemplars_t *e, const double *bounds, const weir_exemplar_t *exemplar)
{
    size_t bucket = 0, place = WEIR_EXEMPLARS_KEPT;

    while (bucket < WEIR_EXEMPLARS_BUCKETS - 1 && exemplar->value > bounds[bucket])
        bucket++;

    if (is_slow_in_step(e, exemplar))
        place = choose_place(e, exemplar->time);

    begin_writing(e);
    store(&e->bucket[bucket], exemplar);
    if (place < WEIR_EXEMPLARS_KEPT)
        store(&e->slowest[place], exemplar);
    end_writing(e);
}

/* --- reading --------------------------------------------------------------------------------- */

bool weir_exemplars_read(const weir_exemplars_t *e, weir_exemplars_t *copy)
{
    const uint64_t *from = (const uint64_t *)e->bucket;
    uint64_t *to = (uint64_t *)copy->bucket;
    size_t words = (sizeof(*e) - offsetof(weir_exemplars_t, bucket)) / sizeof(uint64_t);

    for (int i = 0; i < READS; i++) {
        copy->sequence = __atomic_load_n(&e->sequence, __ATOMIC_ACQUIRE);
        if (copy->sequence & 1)
            continue;

        for (size_t word = 0; word < words; word++)
            to[word] = __atomic_load_n(&from[word], __ATOMIC_RELAXED);

        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&e->sequence, __ATOMIC_RELAXED) == copy->sequence)
            return true;
    }

    return false;
}

void weir_exemplars_merge(weir_exemplars_t *into, const weir_exemplars_t *copy)
{
    for (size_t i = 0; i < WEIR_EXEMPLARS_BUCKETS; i++) {
        if (copy->bucket[i].time > into->bucket[i].time)
            into->bucket[i] = copy->bucket[i];
    }
}

static void insert(const weir_exemplar_t *exemplar, weir_exemplar_t *found, size_t *n)
{
    size_t i;

    if (*n == WEIR_EXEMPLARS_SLOWEST) {
        if (found[*n - 1].value >= exemplar->value)
            return;
        --*n;
    }

    for (i = (*n)++; i > 0 && found[i - 1].value < exemplar->value; i--)
        found[i] = found[i - 1];
    found[i] = *exemplar;
}

void weir_exemplars_slowest(const weir_exemplars_t *copy, uint64_t since, weir_exemplar_t *found,
                            size_t *n)
{
    for (size_t i = 0; i < WEIR_EXEMPLARS_KEPT; i++) {
        if (copy->slowest[i].time != 0 && copy->slowest[i].time >= since)
            insert(&copy->slowest[i], found, n);
    }
}
