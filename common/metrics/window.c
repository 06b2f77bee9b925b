/*
 * Three rings: steps, minutes, five minutes. When the last step of a minute is pushed, its six
 * steps are added up as a minute; the same for the last minute of five.
 *
 * Invariant: with n the number of the next step, a ring has what ended last, and a slot that is not
 * NULL belongs to the last turn of its ring: slots that are skipped are emptied.
 */

#include "common/metrics/window.h"

#include <assert.h>
#include <string.h>

#define STEPS_OF_FIVE ((uint64_t)5 * WEIR_WINDOW_STEPS)

struct weir_window_packed_s {
    double sum;
    uint64_t zero;
    uint64_t over;
    uint32_t cause[WEIR_WINDOW_CAUSES]; /* counts beyond 2^32 - 1 stay there */
    uint32_t octaves;                   /* bit n: octave n is in counts */
    uint32_t counts[];                  /* WEIR_HISTOGRAM_OCTAVE for each bit, the lowest first */
};

/* --- packed ---------------------------------------------------------------------------------- */

static uint32_t saturated(uint64_t n)
{
    return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static uint32_t octaves_of(const weir_histogram_sum_t *sum)
{
    uint32_t octaves = 0;

    for (unsigned octave = 0; octave < WEIR_HISTOGRAM_OCTAVES; octave++) {
        const uint64_t *bucket = &sum->bucket[(size_t)octave * WEIR_HISTOGRAM_OCTAVE];
        uint64_t any = 0;

        for (unsigned i = 0; i < WEIR_HISTOGRAM_OCTAVE; i++)
            any |= bucket[i];
        octaves |= (uint32_t)(any != 0) << octave;
    }

    return octaves;
}

static void pack_counts(weir_window_packed_t *packed, const weir_histogram_sum_t *sum)
{
    uint32_t *counts = packed->counts;

    for (unsigned octave = 0; octave < WEIR_HISTOGRAM_OCTAVES; octave++) {
        const uint64_t *bucket = &sum->bucket[(size_t)octave * WEIR_HISTOGRAM_OCTAVE];

        if (!(packed->octaves >> octave & 1))
            continue;
        for (unsigned i = 0; i < WEIR_HISTOGRAM_OCTAVE; i++)
            *counts++ = saturated(bucket[i]);
    }
}

/* NULL if nothing was counted, or there is no memory; *failed becomes true then. */
static weir_window_packed_t *pack(const weir_window_sum_t *from, const weir_window_memory_t *memory,
                                  bool *failed)
{
    const weir_histogram_sum_t *sum = &from->durations;
    uint32_t octaves = octaves_of(sum);
    weir_window_packed_t *packed;

    if (octaves == 0 && sum->zero == 0 && sum->over == 0)
        return NULL;

    packed = memory->zeroed(memory->data, sizeof(weir_window_packed_t) +
                                              (size_t)__builtin_popcount(octaves) *
                                                  WEIR_HISTOGRAM_OCTAVE * sizeof(uint32_t));
    if (packed == NULL) {
        *failed = true;
        return NULL;
    }

    packed->sum = sum->sum;
    packed->zero = sum->zero;
    packed->over = sum->over;
    packed->octaves = octaves;
    for (unsigned i = 0; i < WEIR_WINDOW_CAUSES; i++)
        packed->cause[i] = saturated(from->cause[i]);

    pack_counts(packed, sum);

    return packed;
}

static void unpack(weir_window_sum_t *into, const weir_window_packed_t *packed)
{
    const uint32_t *counts;

    if (packed == NULL)
        return;

    into->durations.sum += packed->sum;
    into->durations.zero += packed->zero;
    into->durations.over += packed->over;
    for (unsigned i = 0; i < WEIR_WINDOW_CAUSES; i++)
        into->cause[i] += packed->cause[i];

    counts = packed->counts;
    for (unsigned octave = 0; octave < WEIR_HISTOGRAM_OCTAVES; octave++) {
        uint64_t *bucket = &into->durations.bucket[(size_t)octave * WEIR_HISTOGRAM_OCTAVE];

        if (!(packed->octaves >> octave & 1))
            continue;
        for (unsigned i = 0; i < WEIR_HISTOGRAM_OCTAVE; i++)
            bucket[i] += *counts++;
    }
}

/* --- rings ----------------------------------------------------------------------------------- */

static void put(weir_window_packed_t **slot, weir_window_packed_t *packed,
                const weir_window_memory_t *memory)
{
    weir_window_packed_t *old = *slot;

    *slot = packed;
    if (old != NULL)
        memory->release(memory->data, old);
}

/* Adds the last `last` ones of those before number n. */
static void add_last(weir_window_sum_t *into, weir_window_packed_t *const *ring, unsigned size,
                     uint64_t n, unsigned last)
{
    assert(last <= size);

    for (uint64_t i = 1; i <= last && i <= n; i++)
        unpack(into, ring[(n - i) % size]);
}

/* Ends the step w->next, of which packed is what was counted. */
static void end_step(weir_window_t *w, weir_window_packed_t *packed, weir_window_sum_t *scratch,
                     const weir_window_memory_t *memory, bool *failed)
{
    uint64_t minute, five;

    put(&w->step[w->next % WEIR_WINDOW_STEPS], packed, memory);
    w->next++;

    if (w->next % WEIR_WINDOW_STEPS != 0)
        return;
    memset(scratch, 0, sizeof(*scratch));
    add_last(scratch, w->step, WEIR_WINDOW_STEPS, w->next, WEIR_WINDOW_STEPS);
    minute = w->next / WEIR_WINDOW_STEPS - 1;
    put(&w->minute[minute % WEIR_WINDOW_MINUTES], pack(scratch, memory, failed), memory);

    if (w->next % STEPS_OF_FIVE != 0)
        return;
    memset(scratch, 0, sizeof(*scratch));
    add_last(scratch, w->minute, WEIR_WINDOW_MINUTES, minute + 1, 5);
    five = w->next / STEPS_OF_FIVE - 1;
    put(&w->five[five % WEIR_WINDOW_FIVES], pack(scratch, memory, failed), memory);
}

/*
 * Ends all steps before step n without counts; after more than an hour nothing is left, and before
 * the first push nothing was there.
 */
static void skip_to(weir_window_t *w, uint64_t n, weir_window_sum_t *scratch,
                    const weir_window_memory_t *memory, bool *failed)
{
    uint64_t kept = WEIR_WINDOW_FIVES * STEPS_OF_FIVE;

    if (w->next == 0 || (n > w->next && n - w->next > kept)) {
        for (unsigned i = 0; i < WEIR_WINDOW_STEPS; i++)
            put(&w->step[i], NULL, memory);
        for (unsigned i = 0; i < WEIR_WINDOW_MINUTES; i++)
            put(&w->minute[i], NULL, memory);
        for (unsigned i = 0; i < WEIR_WINDOW_FIVES; i++)
            put(&w->five[i], NULL, memory);
        w->next = n;
    }

    while (w->next < n)
        end_step(w, NULL, scratch, memory, failed);
}

bool weir_window_push(weir_window_t *w, uint64_t n, const weir_window_sum_t *counted,
                      weir_window_sum_t *scratch, const weir_window_memory_t *memory)
{
    bool failed = false;

    assert(counted != scratch);

    if (n < w->next)
        return true;

    skip_to(w, n, scratch, memory, &failed);
    end_step(w, pack(counted, memory, &failed), scratch, memory, &failed);

    return !failed;
}

void weir_window_read(const weir_window_t *w, weir_window_span_t span, weir_window_sum_t *into)
{
    uint64_t minute = w->next / WEIR_WINDOW_STEPS, five = w->next / STEPS_OF_FIVE;
    unsigned steps = WEIR_WINDOW_STEPS, minutes = 0, fives = 0;

    if (span != WEIR_WINDOW_MINUTE) {
        steps = w->next % WEIR_WINDOW_STEPS; /* since the last minute that is in the next ring */
        minutes = WEIR_WINDOW_MINUTES;
    }
    if (span == WEIR_WINDOW_HOUR) {
        minutes = minute % 5;
        fives = WEIR_WINDOW_FIVES;
    }

    add_last(into, w->step, WEIR_WINDOW_STEPS, w->next, steps);
    add_last(into, w->minute, WEIR_WINDOW_MINUTES, minute, minutes);
    add_last(into, w->five, WEIR_WINDOW_FIVES, five, fives);
}

void weir_window_minute(const weir_window_t *w, unsigned ago, weir_window_sum_t *into)
{
    uint64_t minutes = w->next / WEIR_WINDOW_STEPS;

    if (ago < WEIR_WINDOW_MINUTES && ago < minutes)
        unpack(into, w->minute[(minutes - 1 - ago) % WEIR_WINDOW_MINUTES]);
}

void weir_window_add(weir_window_sum_t *into, const weir_window_sum_t *sum)
{
    into->durations.sum += sum->durations.sum;
    into->durations.zero += sum->durations.zero;
    into->durations.over += sum->durations.over;
    for (unsigned i = 0; i < WEIR_HISTOGRAM_BUCKETS; i++)
        into->durations.bucket[i] += sum->durations.bucket[i];
    for (unsigned i = 0; i < WEIR_WINDOW_CAUSES; i++)
        into->cause[i] += sum->cause[i];
}
