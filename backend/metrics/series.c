/*
 * Series are in a table by hash, and in a list for each family in the order in which they came, so
 * that the text has the same order in every scrape. Their number depends on the code and the
 * configuration alone; beyond SERIES_MAX the code has a fault, and further ones share one series
 * of their family without labels.
 */
#include "metrics/series.h"

#include "common/metrics/histogram.h"
#include "common/text/str.h"
#include "log/alloc.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define BUCKETS 1024
#define SERIES_MAX 16384
#define TEXT_FIRST 16384

struct weir_series {
    STAILQ_ENTRY(weir_series) of_family;
    SLIST_ENTRY(weir_series) of_bucket;
    weir_family_id_t family;
    char *values[WEIR_FAMILY_LABELS_MAX]; /* NULL: without that label */
    uint64_t value;
    double amount; /* if has_amount, instead of value */
    bool has_amount;
    weir_histogram_t *histogram; /* of such a family; NULL: nothing was observed */
};

typedef struct collector {
    LIST_ENTRY(collector) link;
    void (*fn)(void *arg);
    void *arg;
} collector_t;

STAILQ_HEAD(family, weir_series);

/* Bounds of classic buckets: those of the semantic conventions, and for numbers powers of two. */
static const double seconds_bounds[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1,
                                        0.25,  0.5,    0.75,  1,    2.5,   5,    7.5,   10};
static const double number_bounds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256};
#define BOUNDS_MAX (sizeof(seconds_bounds) / sizeof(seconds_bounds[0]))

static struct family families[WEIR_FAMILIES];
static SLIST_HEAD(bucket, weir_series) buckets[BUCKETS];
static LIST_HEAD(collector_list, collector) collectors;
static size_t count;

/* --- finding ------------------------------------------------------------------------------ */

static unsigned labels_of(weir_family_id_t family)
{
    unsigned n = 0;

    assert(family < WEIR_FAMILIES && weir_families[family].metric.name != NULL);
    while (weir_families[family].labels[n] != NULL)
        n++;
    return n;
}

static unsigned bucket_of(weir_family_id_t family, unsigned n, const char *const *values)
{
    unsigned h = 2166136261u ^ (unsigned)family; /* FNV-1a */

    for (unsigned i = 0; i < n; i++) {
        for (const char *p = values[i] != NULL ? values[i] : ""; *p != '\0'; p++)
            h = (h ^ (unsigned char)*p) * 16777619u;
        h = (h ^ 0xff) * 16777619u;
    }
    return h % BUCKETS;
}

static bool is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool has(const weir_series_t *s, weir_family_id_t family, unsigned n,
                const char *const *values)
{
    if (s->family != family)
        return false;
    for (unsigned i = 0; i < n; i++) {
        if (!is_same(s->values[i], values[i]))
            return false;
    }
    return true;
}

weir_series_t *weir_series(weir_family_id_t family, const char *const *values)
{
    static const char *const none[WEIR_FAMILY_LABELS_MAX];
    unsigned n = labels_of(family), bucket;
    weir_series_t *s;

    if (count >= SERIES_MAX || n == 0)
        values = none;
    assert(values != NULL);
    bucket = bucket_of(family, n, values);
    SLIST_FOREACH(s, &buckets[bucket], of_bucket)
    {
        if (has(s, family, n, values))
            return s;
    }

    s = weir_alloc(sizeof(*s));
    s->family = family;
    for (unsigned i = 0; i < n; i++)
        s->values[i] = values[i] != NULL ? weir_alloc_text(values[i]) : NULL;
    if (families[family].stqh_last == NULL)
        STAILQ_INIT(&families[family]);
    STAILQ_INSERT_TAIL(&families[family], s, of_family);
    SLIST_INSERT_HEAD(&buckets[bucket], s, of_bucket);
    count++;

    return s;
}

/* --- counting ------------------------------------------------------------------------------- */

static weir_metric_type_t type_of(const weir_series_t *s)
{
    return weir_families[s->family].metric.type;
}

void weir_series_add(weir_series_t *s, uint64_t n)
{
    assert(type_of(s) == WEIR_METRIC_COUNTER || type_of(s) == WEIR_METRIC_GAUGE);
    s->value += n;
}

void weir_series_subtract(weir_series_t *s, uint64_t n)
{
    assert(type_of(s) == WEIR_METRIC_GAUGE && s->value >= n);
    s->value -= n;
}

void weir_series_set(weir_series_t *s, uint64_t value)
{
    assert(type_of(s) != WEIR_METRIC_HISTOGRAM);
    s->value = value;
}

void weir_series_set_amount(weir_series_t *s, double amount)
{
    assert(type_of(s) != WEIR_METRIC_HISTOGRAM);
    s->amount = amount;
    s->has_amount = true;
}

uint64_t weir_series_value(const weir_series_t *s)
{
    return s->value;
}

static bool is_in_seconds(const weir_series_t *s)
{
    const char *unit = weir_families[s->family].metric.unit;

    return unit != NULL && strcmp(unit, "seconds") == 0;
}

static void *zeroed(void *data, size_t size)
{
    (void)data;
    return weir_alloc(size);
}

void weir_series_observe(weir_series_t *s, uint64_t value)
{
    static const weir_histogram_memory_t memory = {zeroed, NULL};

    assert(type_of(s) == WEIR_METRIC_HISTOGRAM);
    if (s->histogram == NULL)
        s->histogram = weir_alloc(sizeof(*s->histogram));
    (void)weir_histogram_record(
        s->histogram, is_in_seconds(s) ? (double)value / 1000000 : (double)value, &memory);
}

/* --- collectors ------------------------------------------------------------------------------ */

void weir_series_collect(void (*fn)(void *arg), void *arg)
{
    collector_t *c = weir_alloc(sizeof(*c));

    assert(fn != NULL);
    *c = (collector_t){.fn = fn, .arg = arg};
    LIST_INSERT_HEAD(&collectors, c, link);
}

void weir_series_forget(void (*fn)(void *arg), void *arg)
{
    collector_t *c, *next;

    for (c = LIST_FIRST(&collectors); c != NULL; c = next) {
        next = LIST_NEXT(c, link);
        if (c->fn != fn || c->arg != arg)
            continue;
        LIST_REMOVE(c, link);
        free(c);
    }
}

/* --- the text --------------------------------------------------------------------------------- */

static void put_histogram(weir_exposition_t *e, const weir_series_t *s, const weir_label_t *labels,
                          size_t n)
{
    bool seconds = is_in_seconds(s);
    uint64_t counts[BOUNDS_MAX];
    weir_histogram_sum_t sum = {.sum = 0};
    weir_buckets_t classic = {
        .bounds = seconds ? seconds_bounds : number_bounds,
        .counts = counts,
        .n = seconds ? BOUNDS_MAX : sizeof(number_bounds) / sizeof(number_bounds[0]),
    };

    if (s->histogram != NULL)
        weir_histogram_merge(&sum, s->histogram);
    weir_histogram_cumulative(&sum, classic.bounds, counts, classic.n);
    classic.count = weir_histogram_count(&sum);
    classic.sum = sum.sum;
    weir_exposition_histogram(e, &weir_families[s->family].metric, labels, n, &classic);
}

static void put_series(weir_exposition_t *e, const weir_series_t *s)
{
    const weir_family_t *family = &weir_families[s->family];
    const weir_metric_t *metric = &family->metric;
    weir_label_t labels[WEIR_FAMILY_LABELS_MAX];
    size_t n = 0;

    for (unsigned i = 0; family->labels[i] != NULL; i++) {
        if (s->values[i] != NULL)
            labels[n++] = (weir_label_t){family->labels[i], weir_str(s->values[i])};
    }
    if (metric->type == WEIR_METRIC_HISTOGRAM)
        put_histogram(e, s, labels, n);
    else if (s->has_amount)
        weir_exposition_sample_seconds(e, metric, labels, n, s->amount);
    else if (is_in_seconds(s))
        weir_exposition_sample_ms(e, metric, labels, n, s->value);
    else
        weir_exposition_sample(e, metric, labels, n, s->value);
}

static void put_all(weir_exposition_t *e)
{
    for (int i = 0; i < WEIR_FAMILIES; i++) {
        const weir_series_t *s;

        if (families[i].stqh_last == NULL)
            continue; /* the process has no series of that family */
        weir_exposition_family(e, &weir_families[i].metric);
        STAILQ_FOREACH(s, &families[i], of_family)
        put_series(e, s);
    }
    weir_exposition_end(e);
}

char *weir_series_text(bool openmetrics, size_t *len)
{
    static size_t last = TEXT_FIRST; /* the room that the last text needed */
    weir_exposition_t e = {.openmetrics = openmetrics};
    const collector_t *c;

    LIST_FOREACH(c, &collectors, link)
    c->fn(c->arg);
    do {
        free(e.buf);
        e.cap = e.len > 0 ? e.len : last + last / 4;
        e.buf = weir_alloc(e.cap);
        e.len = 0;
        put_all(&e);
    } while (e.len > e.cap);
    last = e.len;
    *len = e.len;

    return e.buf;
}
