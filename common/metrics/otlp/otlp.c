/* See otlp.h. What is the same in both formats: names, buckets, and room. */

#include "common/metrics/otlp/format.h"
#include "common/metrics/otlp/json.h"
#include "common/metrics/otlp/protobuf.h"

#include <assert.h>

/* --- names ----------------------------------------------------------------------------------- */

#define NAME_MAX 128

/* "weir_cache_entries" becomes "weir.cache.entries", "…_seconds" loses its end. */
static weir_str_t name_of(const weir_metric_t *metric, char *buf)
{
    size_t len = strlen(metric->name);

    if (metric->unit != NULL)
        len -= strlen(metric->unit) + 1;

    assert(len < NAME_MAX);
    for (size_t i = 0; i < len; i++)
        buf[i] = metric->name[i] == '_' ? '.' : metric->name[i];

    return (weir_str_t){buf, len};
}

/* In the Unified Code for Units of Measure; without a unit: a number. */
static const char *unit_of(const weir_metric_t *metric)
{
    if (metric->unit == NULL)
        return "";

    return strcmp(metric->unit, "seconds") == 0 ? "s" : "By";
}

static int64_t number_in(weir_str_t text)
{
    int64_t number = 0;

    for (size_t i = 0; i < text.len && i < 9; i++)
        number = 10 * number + (text.data[i] - '0');

    return number;
}

/* The attribute of a label; those that are missing here have the name of the label. */
static weir_otlp_attribute_t attribute_of(const weir_label_t *label)
{
    static const struct {
        const char *label, *name;
        bool is_number;
    } names[] = {
        {"http_request_method", "http.request.method", false},
        {"http_response_status_code", "http.response.status_code", true},
        {"http_route", "http.route", false},
        {"url_scheme", "url.scheme", false},
        {"error_type", "error.type", false},
        {"server_address", "server.address", false},
        {"server_port", "server.port", true},
        {"weir_version", "weir.version", false},
        {"weir_cache_status", "weir.cache.status", false},
    };
    weir_otlp_attribute_t attribute = {.name = label->name, .text = label->value};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(label->name, names[i].label) != 0)
            continue;
        attribute.name = names[i].name;
        attribute.is_number = names[i].is_number;
        if (attribute.is_number)
            attribute.number = number_in(label->value);
    }

    return attribute;
}

static void fill_point(weir_otlp_point_t *point, const weir_label_t *labels, size_t n)
{
    assert(n <= WEIR_EXPOSITION_LABELS);
    for (size_t i = 0; i < n; i++)
        point->attribute[i] = attribute_of(&labels[i]);
    point->n = n;
}

/* --- room ------------------------------------------------------------------------------------ */

bool weir_otlp_begin(weir_otlp_t *o, weir_span_format_t format,
                     const weir_span_resource_t *resource)
{
    assert(o->cap > WEIR_OTLP_END);
    o->format =
        format == WEIR_SPAN_FORMAT_JSON ? &weir_otlp_format_json : &weir_otlp_format_protobuf;
    o->out = (weir_out_t){o->buf, o->cap - WEIR_OTLP_END, 0, false};
    o->metric = NULL;
    o->any = false;
    o->points = 0;
    o->format->begin(o, resource);

    return !o->out.full;
}

static void close_metric(weir_otlp_t *o)
{
    if (o->metric == NULL)
        return;

    o->out.cap = o->cap;
    o->format->close(o);
    o->out.cap = o->cap - WEIR_OTLP_END;
    o->metric = NULL;
}

/* Returns what is restored if the point does not fit. */
static weir_otlp_t begin_point(weir_otlp_t *o, const weir_metric_t *metric)
{
    char buf[NAME_MAX];
    weir_otlp_t before;

    assert(metric != NULL);
    if (o->metric != metric)
        close_metric(o);

    before = *o;

    if (o->metric == NULL) {
        o->metric = metric;
        o->more = false;
        o->format->open(o, metric, name_of(metric, buf), unit_of(metric));
        o->any = true;
    }

    return before;
}

static bool end_point(weir_otlp_t *o, const weir_otlp_t *before)
{
    if (o->out.full || o->out.len > o->out.cap) {
        *o = *before;
        return false;
    }

    o->more = true;
    o->points++;

    return true;
}

size_t weir_otlp_end(weir_otlp_t *o)
{
    close_metric(o);
    o->out.cap = o->cap;
    o->format->end(o);
    assert(!o->out.full && o->out.len <= o->cap);

    return o->out.len;
}

/* --- points ---------------------------------------------------------------------------------- */

bool weir_otlp_number(weir_otlp_t *o, const weir_metric_t *metric, const weir_label_t *labels,
                      size_t n, uint64_t value)
{
    weir_otlp_t before = begin_point(o, metric);
    weir_otlp_point_t point;

    fill_point(&point, labels, n);
    o->format->number(o, &point, value);

    return end_point(o, &before);
}

bool weir_otlp_real(weir_otlp_t *o, const weir_metric_t *metric, const weir_label_t *labels,
                    size_t n, double value)
{
    weir_otlp_t before = begin_point(o, metric);
    weir_otlp_point_t point;

    fill_point(&point, labels, n);
    o->format->real(o, &point, value);

    return end_point(o, &before);
}

/* The buckets that have values; a bucket for greater values is behind the last one. */
static void fill_buckets(weir_otlp_exponential_t *h, const weir_histogram_sum_t *sum)
{
    uint64_t counts[WEIR_HISTOGRAM_BUCKETS + 1];
    size_t first = 0, last, n, shift = 0;

    for (;; shift++) {
        assert(shift <= WEIR_HISTOGRAM_SCALE);
        n = WEIR_HISTOGRAM_BUCKETS >> shift;
        weir_histogram_downscale(sum, (unsigned)shift, counts);
        counts[n] = sum->over;

        for (first = 0; first <= n && counts[first] == 0; first++)
            ;
        for (last = n; last > first && counts[last] == 0; last--)
            ;
        if (first > n || last - first < WEIR_OTLP_BUCKETS)
            break;
    }

    h->scale = WEIR_HISTOGRAM_SCALE - (int)shift;
    h->buckets = first > n ? 0 : last - first + 1;
    h->offset = first > n ? 0 : (WEIR_HISTOGRAM_FIRST_INDEX >> shift) + (int)first;
    for (size_t i = 0; i < h->buckets; i++)
        h->bucket[i] = counts[first + i];
}

bool weir_otlp_histogram(weir_otlp_t *o, const weir_metric_t *metric, const weir_label_t *labels,
                         size_t n, const weir_histogram_sum_t *sum,
                         const weir_exemplar_t *exemplars)
{
    weir_otlp_t before = begin_point(o, metric);
    weir_otlp_point_t point;
    weir_otlp_exponential_t h;

    fill_point(&point, labels, n);
    fill_buckets(&h, sum);
    h.sum = sum->sum;
    h.zero = sum->zero;
    h.count = weir_histogram_count(sum);

    h.exemplar_count = 0;
    for (size_t i = 0; exemplars != NULL && i < WEIR_EXEMPLARS_BUCKETS; i++) {
        if (exemplars[i].time > o->since)
            h.exemplars[h.exemplar_count++] = &exemplars[i];
    }

    o->format->histogram(o, &point, &h);

    return end_point(o, &before);
}
