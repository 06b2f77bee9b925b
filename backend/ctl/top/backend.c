#include "ctl/top/backend.h"

#include "ctl/top/metrics.h"
#include "log/alloc.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MAX 64

/* --- groups and outbox ----------------------------------------------------------------------- */

static void set_number(json_t *object, const char *name, double value)
{
    json_object_set_new(object, name,
                        value == floor(value) && fabs(value) < 1e15
                            ? json_integer((json_int_t)value)
                            : json_real(value));
}

/* Sets the member to the value of the metric without labels. */
static void set_metric(json_t *object, const char *name, const json_t *metrics, const char *metric)
{
    const json_t *sample = json_array_get(weir_top_samples(metrics, metric), 0);

    if (sample != NULL)
        set_number(object, name, weir_top_value(sample));
}

/* The element whose member has the text, or a new one behind the others. */
static json_t *row_of(json_t *rows, const char *name, const char *text)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        if (strcmp(json_string_value(json_object_get(row, name)), text) == 0)
            return row;
    }
    row = weir_alloc_check(json_pack("{s:s}", name, text));
    json_array_append_new(rows, row);

    return row;
}

static json_t *groups_of(const json_t *metrics)
{
    static const struct {
        const char *name, *metric;
    } columns[] = {
        {"lag", "weir_group_lag_events"},          {"oldest_s", "weir_group_oldest_age_seconds"},
        {"retries", "weir_group_retries_pending"}, {"dead", "weir_group_dead_letters"},
        {"paused", "weir_group_paused"},
    };
    json_t *rows = weir_alloc_check(json_array()), *sample;
    size_t i;

    for (size_t k = 0; k < sizeof(columns) / sizeof(columns[0]); k++) {
        json_array_foreach(weir_top_samples(metrics, columns[k].metric), i, sample)
        {
            set_number(row_of(rows, "group", weir_top_label(sample, "group")), columns[k].name,
                       weir_top_value(sample));
        }
    }

    return rows;
}

/* --- histograms ------------------------------------------------------------------------------ */

typedef struct {
    double le;    /* seconds; the last is infinite */
    double count; /* of all up to le */
} bucket_t;

typedef struct {
    bucket_t buckets[BUCKETS_MAX];
    size_t n;
} histogram_t;

/* Adds the values of the name's buckets, times sign; series of other labels are added up. */
static void add_buckets(histogram_t *h, const json_t *samples, const char *label, const char *name,
                        double sign)
{
    json_t *sample;
    size_t i;

    json_array_foreach(samples, i, sample)
    {
        const char *text = weir_top_label(sample, "le");
        double le = strcmp(text, "+Inf") == 0 ? INFINITY : strtod(text, NULL);
        size_t at = 0;

        if (strcmp(weir_top_label(sample, label), name) != 0)
            continue;
        while (at < h->n && h->buckets[at].le < le)
            at++;
        if (at == h->n || h->buckets[at].le != le) {
            if (h->n == BUCKETS_MAX)
                continue;
            memmove(&h->buckets[at + 1], &h->buckets[at], (h->n - at) * sizeof(h->buckets[0]));
            h->buckets[at] = (bucket_t){le, 0};
            h->n++;
        }
        h->buckets[at].count += sign * weir_top_value(sample);
    }
}

/* As histogram_quantile() of Prometheus: linear in a bucket; the last bound above all. Seconds. */
static double quantile(const histogram_t *h, double q)
{
    double all = h->buckets[h->n - 1].count, rank = q * all, below = 0, from = 0;

    for (size_t i = 0; i < h->n; i++) {
        double count = h->buckets[i].count;

        if (count >= rank && count > below) {
            if (isinf(h->buckets[i].le))
                return from;
            return from + (h->buckets[i].le - from) * (rank - below) / (count - below);
        }
        below = count;
        from = h->buckets[i].le;
    }

    return from;
}

/* Adds a row for each value of the label. */
static void add_waits(json_t *rows, const char *what, const json_t *metrics, const json_t *earlier,
                      const char *metric, const char *label)
{
    char bucket[128];
    json_t *seen = weir_alloc_check(json_object()), *sample;
    const json_t *samples;
    size_t i;

    snprintf(bucket, sizeof(bucket), "%s_bucket", metric);
    samples = weir_top_samples(metrics, bucket);
    json_array_foreach(samples, i, sample)
    {
        const char *name = weir_top_label(sample, label);
        histogram_t h = {.n = 0};

        if (json_object_get(seen, name) != NULL)
            continue;
        json_object_set_new(seen, name, json_true());
        add_buckets(&h, samples, label, name, 1);
        add_buckets(&h, weir_top_samples(earlier, bucket), label, name, -1);
        if (h.n == 0 || h.buckets[h.n - 1].count < 1)
            continue;
        json_array_append_new(
            rows, weir_alloc_check(json_pack("{s:s,s:s,s:I,s:f,s:f}", "what", what, "name", name,
                                             "count", (json_int_t)h.buckets[h.n - 1].count,
                                             "p50_ms", quantile(&h, 0.5) * 1000, "p99_ms",
                                             quantile(&h, 0.99) * 1000)));
    }
    json_decref(seen);
}

static int by_p99(const void *a, const void *b)
{
    double x = json_number_value(json_object_get(*(json_t *const *)a, "p99_ms"));
    double y = json_number_value(json_object_get(*(json_t *const *)b, "p99_ms"));

    return (x < y) - (x > y);
}

static json_t *sorted(json_t *rows)
{
    size_t n = json_array_size(rows);
    void **list = weir_alloc_array(n, sizeof(*list)); /* of json_t */
    json_t *result = weir_alloc_check(json_array());

    for (size_t i = 0; i < n; i++)
        list[i] = json_array_get(rows, i);
    qsort(list, n, sizeof(*list), by_p99);
    for (size_t i = 0; i < n; i++)
        json_array_append(result, list[i]);
    free(list);
    json_decref(rows);

    return result;
}

json_t *weir_top_backend(const json_t *metrics, const json_t *earlier)
{
    json_t *outbox = weir_alloc_check(json_object()), *waits = weir_alloc_check(json_array());

    set_metric(outbox, "waiting", metrics, "weir_outbox_waiting_events");
    set_metric(outbox, "oldest_s", metrics, "weir_outbox_oldest_age_seconds");
    add_waits(waits, "batch", metrics, earlier, "weir_batch_wait_seconds", "db_query_summary");
    add_waits(waits, "statement", metrics, earlier, "db_client_operation_duration_seconds",
              "db_query_summary");
    add_waits(waits, "commit", metrics, earlier, "weir_db_commit_seconds", "db_query_summary");
    add_waits(waits, "handler", metrics, earlier, "messaging_process_duration_seconds",
              "messaging_consumer_group_name");

    return weir_alloc_check(json_pack("{s:o,s:o,s:o}", "outbox", outbox, "groups",
                                      groups_of(metrics), "waits", sorted(waits)));
}
