#include "trace/late.h"

#include "common/hash/siphash.h"
#include "common/ids/random.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "metrics/series.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A trace that is not decided may have this many bytes of spans; so there is no key for traces. */
#define BYTES_PER_TRACE 256
#define TRACES_MIN 64

/* A trace: not decided (with held spans, or with lost ones only), or kept. */
typedef struct weir_held {
    TAILQ_ENTRY(weir_held) link; /* in the order of since_ms */
    struct weir_held *chain;     /* of the table */
    bool kept;
    uint64_t since_ms;
    STAILQ_HEAD(held_spans, weir_finished) spans;
    weir_late_missing_t missing;
} held_t;

TAILQ_HEAD(traces, weir_held);

/* Of traces of one kind. */
typedef struct {
    struct traces all; /* oldest first */
    size_t n;
} kind_t;

static struct {
    weir_late_settings_t settings;
    struct weir_finished_queue spans; /* held ones, oldest first */
    size_t bytes;                     /* of them */
    size_t max;                       /* traces of each kind */
    kind_t undecided, kept;
    held_t **table;
    size_t slots; /* a power of two */
    weir_siphash_key_t key;
    weir_series_t *sent, *expired, *evicted, *missing, *forgotten, *waiting, *held_bytes;
} late;

/* --- traces ---------------------------------------------------------------------------------- */

/*
 * Callers choose ids, so the hash has a key. Not inlined: of a constant length gcc 12 believes that
 * the loop over the last bytes, of which there are none, runs too far.
 */
__attribute__((noinline)) static uint64_t hash_of(weir_str_t id)
{
    uint64_t hash[2];

    weir_siphash128(late.key, id, hash);
    return hash[0];
}

static held_t **slot_of(const uint8_t id[WEIR_TRACE_ID_LEN])
{
    uint64_t hash = hash_of((weir_str_t){(const char *)id, WEIR_TRACE_ID_LEN});
    held_t **at = &late.table[hash & (late.slots - 1)];

    while (*at != NULL && memcmp((*at)->missing.trace_id, id, WEIR_TRACE_ID_LEN) != 0)
        at = &(*at)->chain;

    return at;
}

static void add_to(kind_t *kind, held_t *trace)
{
    trace->kept = kind == &late.kept;
    trace->since_ms = weir_clock_ms();
    TAILQ_INSERT_TAIL(&kind->all, trace, link);
    kind->n++;
}

static void remove_from(kind_t *kind, held_t *trace)
{
    assert(kind->n > 0 && trace->kept == (kind == &late.kept));
    TAILQ_REMOVE(&kind->all, trace, link);
    kind->n--;
}

static void count_held(void)
{
    weir_series_set(late.held_bytes, late.bytes);
}

static size_t cost(const weir_finished_t *span)
{
    return sizeof(*span) + span->len;
}

/* The span is not held any more; it is the first one of its trace. */
static void release(weir_finished_t *span)
{
    assert(STAILQ_FIRST(&span->held->spans) == span && late.bytes >= cost(span));
    STAILQ_REMOVE_HEAD(&span->held->spans, next);
    TAILQ_REMOVE(&late.spans, span, link);
    late.bytes -= cost(span);
    weir_series_subtract(late.waiting, 1);
}

/* Counts a span as lost, and frees it. */
static void lose(held_t *trace, weir_finished_t *span, weir_series_t *why)
{
    weir_late_missing_t *m = &trace->missing;

    if (m->spans++ == 0) {
        memcpy(m->parent_id, span->parent_id, sizeof(m->parent_id));
        m->start = span->start;
        m->end = span->end;
    }
    m->start = span->start < m->start ? span->start : m->start;
    m->end = span->end > m->end ? span->end : m->end;
    weir_series_add(why, 1);
    free(span);
}

static void forget(held_t *trace)
{
    kind_t *kind = trace->kept ? &late.kept : &late.undecided;
    held_t **at = slot_of(trace->missing.trace_id);
    weir_finished_t *span;

    while ((span = STAILQ_FIRST(&trace->spans)) != NULL) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): release() takes it from the queue */
        release(span);
        lose(trace, span, late.evicted);
    }
    assert(*at == trace);
    *at = trace->chain;
    remove_from(kind, trace);
    free(trace);
}

/* Forgets those that are too old, and the oldest one if there is no room for another. */
static void make_room(kind_t *kind)
{
    uint64_t now = weir_clock_ms();
    held_t *oldest;

    while ((oldest = TAILQ_FIRST(&kind->all)) != NULL &&
           (kind->n >= late.max || now - oldest->since_ms > late.settings.remember_ms)) {
        if (kind == &late.kept && kind->n >= late.max)
            weir_series_add(late.forgotten, 1);
        forget(oldest);
    }
}

static held_t *find_or_add(kind_t *kind, const uint8_t id[WEIR_TRACE_ID_LEN])
{
    held_t *trace = *slot_of(id), **at;

    if (trace != NULL)
        return trace;
    make_room(kind);
    trace = weir_alloc(sizeof(*trace));
    *trace = (held_t){.spans = STAILQ_HEAD_INITIALIZER(trace->spans)};
    memcpy(trace->missing.trace_id, id, WEIR_TRACE_ID_LEN);
    at = slot_of(id);
    *at = trace;
    add_to(kind, trace);

    return trace;
}

/* --- spans ----------------------------------------------------------------------------------- */

static void pass_on(weir_finished_t *span)
{
    weir_series_add(late.sent, 1);
    late.settings.keep(span);
}

/* The oldest span of all is the oldest of its trace. */
static void drop_oldest(weir_series_t *why)
{
    weir_finished_t *span = TAILQ_FIRST(&late.spans);
    held_t *trace = span->held;

    release(span);
    lose(trace, span, why);
}

static void drop_old(uint64_t now, size_t room)
{
    while (!TAILQ_EMPTY(&late.spans) &&
           now - TAILQ_FIRST(&late.spans)->since_ms > late.settings.hold_ms)
        drop_oldest(late.expired);
    while (!TAILQ_EMPTY(&late.spans) && late.bytes + room > late.settings.bytes)
        drop_oldest(late.evicted);
}

void weir_late_add(weir_finished_t *span)
{
    held_t *trace = find_or_add(&late.undecided, span->trace_id);

    if (trace->kept) {
        pass_on(span);
        return;
    }
    if (cost(span) > late.settings.bytes) {
        lose(trace, span, late.evicted);
        return;
    }
    span->since_ms = weir_clock_ms();
    span->held = trace;
    drop_old(span->since_ms, cost(span));
    STAILQ_INSERT_TAIL(&trace->spans, span, next);
    TAILQ_INSERT_TAIL(&late.spans, span, link);
    late.bytes += cost(span);
    weir_series_add(late.waiting, 1);
    count_held();
}

void weir_late_keep(const uint8_t trace_id[WEIR_TRACE_ID_LEN])
{
    held_t *trace = find_or_add(&late.kept, trace_id);
    weir_finished_t *span;

    if (trace->kept)
        return;
    make_room(&late.kept);
    remove_from(&late.undecided, trace);
    add_to(&late.kept, trace);
    while ((span = STAILQ_FIRST(&trace->spans)) != NULL) {
        release(span);
        pass_on(span);
    }
    count_held();
    if (trace->missing.spans > 0) {
        weir_series_add(late.missing, trace->missing.spans);
        late.settings.missing(&trace->missing);
    }
}

/* --- start ----------------------------------------------------------------------------------- */

static weir_series_t *series(weir_family_id_t family, const char *value)
{
    return weir_series(family, &value);
}

void weir_late_start(const weir_late_settings_t *settings)
{
    assert(late.table == NULL && settings->bytes > 0 && settings->keep != NULL);
    late.settings = *settings;
    late.max = settings->bytes / BYTES_PER_TRACE;
    if (late.max < TRACES_MIN)
        late.max = TRACES_MIN;
    for (late.slots = TRACES_MIN; late.slots < 2 * late.max; late.slots *= 2)
        ;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the array is one of pointers */
    late.table = weir_alloc_array(late.slots, sizeof(*late.table));
    weir_random(&late.key, sizeof(late.key));
    TAILQ_INIT(&late.spans);
    TAILQ_INIT(&late.undecided.all);
    TAILQ_INIT(&late.kept.all);
    late.sent = series(WEIR_LATE_SPANS, "kept");
    late.expired = series(WEIR_LATE_SPANS, "expired");
    late.evicted = series(WEIR_LATE_SPANS, "evicted");
    late.forgotten = weir_series(WEIR_LATE_IDS_FORGOTTEN, NULL);
    late.missing = weir_series(WEIR_LATE_SPANS_MISSING, NULL);
    late.waiting = weir_series(WEIR_LATE_SPANS_HELD, NULL);
    late.held_bytes = weir_series(WEIR_LATE_BYTES_HELD, NULL);
}
