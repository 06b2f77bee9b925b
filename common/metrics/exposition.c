/*
 * Metrics as text: Prometheus' text format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/) and OpenMetrics 1.0
 * (https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md).
 *
 * Where they differ: OpenMetrics names a counter's family without "_total" and an info's without
 * "_info", has lines with units and an end, and escapes quotes in help texts, of which we have
 * none.
 */

#include "common/metrics/exposition.h"

#include "common/text/hex.h"
#include "common/text/token.h"
#include "common/text/utf8.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

const char *weir_exposition_media_type(bool openmetrics)
{
    return openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8";
}

/* --- Accept ---------------------------------------------------------------------------------- */

static void skip_blanks(const char **p, const char *end)
{
    while (*p < end && (**p == ' ' || **p == '\t'))
        (*p)++;
}

/* The token, type/subtype or value at p; empty if there is none. */
static weir_str_t take_word(const char **p, const char *end)
{
    weir_str_t word = {*p, 0};

    while (*p < end && (weir_is_tchar(**p) || **p == '/'))
        (*p)++;
    word.len = (size_t)(*p - word.data);

    return word;
}

/* Skips the rest of a list's element, with its quoted strings, and the comma behind it. */
static void skip_element(const char **p, const char *end)
{
    bool quoted = false;

    for (; *p < end && (quoted || **p != ','); (*p)++) {
        if (**p == '"')
            quoted = !quoted;
        else if (quoted && **p == '\\' && *p + 1 < end)
            (*p)++;
    }
    if (*p < end)
        (*p)++;
}

/* A weight in thousandths (RFC 9110 section 12.4.2); what is none counts as 1. */
static int weight(weir_str_t text)
{
    int value, digit = 100;

    if (text.len == 0 || text.len > 5 || (text.data[0] != '0' && text.data[0] != '1'))
        return 1000;

    value = (text.data[0] - '0') * 1000;
    for (size_t i = 2; i < text.len; i++) {
        if (text.data[1] != '.' || text.data[i] < '0' || text.data[i] > '9')
            return 1000;
        value += (text.data[i] - '0') * digit;
        digit /= 10;
    }

    return value < 1000 ? value : 1000;
}

/* Reads the parameters of an element up to its end; returns its weight. */
static int take_weight(const char **p, const char *end)
{
    int q = 1000;

    for (;;) {
        weir_str_t name;

        skip_blanks(p, end);
        if (*p == end || **p != ';')
            break;
        (*p)++;
        skip_blanks(p, end);
        name = take_word(p, end);
        if (*p == end || **p != '=')
            continue;
        (*p)++;
        if (*p < end && **p == '"')
            break; /* a quoted value, which a weight is not */
        if (weir_str_caseeq(name, WEIR_STR("q")))
            q = weight(take_word(p, end));
        else
            take_word(p, end);
    }
    skip_element(p, end);

    return q;
}

bool weir_exposition_accepts_openmetrics(const weir_str_t *lines, size_t n)
{
    int openmetrics = 0, text = 0;

    for (size_t i = 0; i < n; i++) {
        const char *p = lines[i].data, *end = p + lines[i].len;

        while (p < end) {
            weir_str_t range;
            int q;

            skip_blanks(&p, end);
            range = take_word(&p, end);
            q = take_weight(&p, end);
            if (weir_str_caseeq(range, WEIR_STR("application/openmetrics-text")))
                openmetrics = q > openmetrics ? q : openmetrics;
            else if (weir_str_caseeq(range, WEIR_STR("text/plain")))
                text = q > text ? q : text;
        }
    }

    return openmetrics > 0 && openmetrics >= text;
}

/* --- output ---------------------------------------------------------------------------------- */

static void put(weir_exposition_t *e, const char *s, size_t n)
{
    if (e->len < e->cap) {
        size_t room = e->cap - e->len;

        memcpy(e->buf + e->len, s, n < room ? n : room);
    }
    e->len += n;
}

static void put_text(weir_exposition_t *e, const char *s)
{
    put(e, s, strlen(s));
}

static const char *suffix(const weir_metric_t *metric)
{
    switch (metric->type) {
    case WEIR_METRIC_COUNTER:
        return "_total";
    case WEIR_METRIC_INFO:
        return "_info";
    default:
        return "";
    }
}

/* "# WORD name value"; the text format knows a family by the name of its samples. */
static void comment(weir_exposition_t *e, const char *word, const weir_metric_t *metric,
                    const char *value)
{
    put_text(e, "# ");
    put_text(e, word);
    put_text(e, " ");
    put_text(e, metric->name);
    if (!e->openmetrics)
        put_text(e, suffix(metric));
    put_text(e, " ");
    put_text(e, value);
    put_text(e, "\n");
}

void weir_exposition_family(weir_exposition_t *e, const weir_metric_t *metric)
{
    static const char *const types[] = {"counter", "gauge", "info", "histogram"};

    if (e->sink != NULL)
        return;

    if (metric->type == WEIR_METRIC_INFO && !e->openmetrics)
        comment(e, "TYPE", metric, "gauge");
    else
        comment(e, "TYPE", metric, types[metric->type]);
    if (e->openmetrics && metric->unit != NULL)
        comment(e, "UNIT", metric, metric->unit);
    comment(e, "HELP", metric, metric->help);
}

/* The value of a label between quotes. */
static void put_value(weir_exposition_t *e, weir_str_t value)
{
    put_text(e, "\"");
    for (size_t i = 0, n; i < value.len; i += n) {
        const char *p = value.data + i;

        n = weir_utf8_sequence(p, value.len - i);
        if (n == 0) {
            put_text(e, WEIR_UTF8_REPLACEMENT);
            n = 1;
        } else if (*p == '\n') {
            put_text(e, "\\n");
        } else {
            if (*p == '"' || *p == '\\')
                put_text(e, "\\");
            put(e, p, n);
        }
    }
    put_text(e, "\"");
}

/* A line without its end; ending is that of the sample's name. */
static void unended(weir_exposition_t *e, const weir_metric_t *metric, const char *ending,
                    const weir_label_t *labels, size_t n, const char *value)
{
    put_text(e, metric->name);
    put_text(e, ending);
    for (size_t i = 0; i < n; i++) {
        put_text(e, i == 0 ? "{" : ",");
        put_text(e, labels[i].name);
        put_text(e, "=");
        put_value(e, labels[i].value);
    }
    put_text(e, n > 0 ? "} " : " ");
    put_text(e, value);
}

static void line(weir_exposition_t *e, const weir_metric_t *metric, const char *ending,
                 const weir_label_t *labels, size_t n, const char *value)
{
    unended(e, metric, ending, labels, n, value);
    put_text(e, "\n");
}

static void sample(weir_exposition_t *e, const weir_metric_t *metric, const weir_label_t *labels,
                   size_t n, const char *value)
{
    line(e, metric, suffix(metric), labels, n, value);
}

void weir_exposition_sample(weir_exposition_t *e, const weir_metric_t *metric,
                            const weir_label_t *labels, size_t n, uint64_t value)
{
    char text[24];

    if (e->sink != NULL) {
        e->sink->number(e->sink->data, metric, labels, n, value);
        return;
    }

    snprintf(text, sizeof(text), "%" PRIu64, value);
    sample(e, metric, labels, n, text);
}

void weir_exposition_sample_ms(weir_exposition_t *e, const weir_metric_t *metric,
                               const weir_label_t *labels, size_t n, uint64_t ms)
{
    char text[28];

    if (e->sink != NULL) {
        e->sink->real(e->sink->data, metric, labels, n, (double)ms / 1000);
        return;
    }

    snprintf(text, sizeof(text), "%" PRIu64 ".%03u", ms / 1000, (unsigned)(ms % 1000));
    sample(e, metric, labels, n, text);
}

/* The shortest decimal text that is exact to 15 digits. */
static void print_double(char *text, size_t size, double value)
{
    snprintf(text, size, "%.15g", value);
}

void weir_exposition_sample_seconds(weir_exposition_t *e, const weir_metric_t *metric,
                                    const weir_label_t *labels, size_t n, double seconds)
{
    char text[32];

    if (e->sink != NULL) {
        e->sink->real(e->sink->data, metric, labels, n, seconds);
        return;
    }

    print_double(text, sizeof(text), seconds);
    sample(e, metric, labels, n, text);
}

/* A bound as the value of "le"; OpenMetrics wants a point in it. */
static void print_bound(char *text, size_t size, double bound, bool openmetrics)
{
    print_double(text, size, bound);
    if (openmetrics && strpbrk(text, ".e") == NULL)
        strncat(text, ".0", size - strlen(text) - 1);
}

/*
 * The exemplar of bucket i, with the name that OpenMetrics and OpenTelemetry have for the id: 40 of
 * the 128 characters that are allowed.
 */
static void put_exemplar(weir_exposition_t *e, const weir_buckets_t *buckets, size_t i)
{
    const weir_exemplar_t *exemplar;
    char id[2 * sizeof(exemplar->trace_id)], text[32];

    if (!e->openmetrics || buckets->exemplars == NULL || buckets->exemplars[i].time == 0)
        return;

    exemplar = &buckets->exemplars[i];
    put_text(e, " # {trace_id=\"");
    weir_hex(id, exemplar->trace_id, sizeof(exemplar->trace_id));
    put(e, id, sizeof(id));
    put_text(e, "\"} ");
    print_double(text, sizeof(text), exemplar->value);
    put_text(e, text);
    snprintf(text, sizeof(text), " %" PRIu64 ".%03u", exemplar->time / 1000000000,
             (unsigned)(exemplar->time / 1000000 % 1000));
    put_text(e, text);
}

static void bucket(weir_exposition_t *e, const weir_metric_t *metric, const weir_label_t *labels,
                   size_t n, const weir_buckets_t *buckets, size_t i, const char *count)
{
    unended(e, metric, "_bucket", labels, n, count);
    put_exemplar(e, buckets, i);
    put_text(e, "\n");
}

void weir_exposition_histogram(weir_exposition_t *e, const weir_metric_t *metric,
                               const weir_label_t *labels, size_t n, const weir_buckets_t *buckets)
{
    weir_label_t all[WEIR_EXPOSITION_LABELS];
    char bound[32], value[32];

    assert(n < WEIR_EXPOSITION_LABELS && e->sink == NULL);

    for (size_t i = 0; i < n; i++)
        all[i] = labels[i];
    all[n].name = "le";

    for (size_t i = 0; i < buckets->n; i++) {
        print_bound(bound, sizeof(bound), buckets->bounds[i], e->openmetrics);
        all[n].value = weir_str(bound);
        snprintf(value, sizeof(value), "%" PRIu64, buckets->counts[i]);
        bucket(e, metric, all, n + 1, buckets, i, value);
    }

    all[n].value = WEIR_STR("+Inf");
    snprintf(value, sizeof(value), "%" PRIu64, buckets->count);
    bucket(e, metric, all, n + 1, buckets, buckets->n, value);
    line(e, metric, "_count", labels, n, value);
    print_double(value, sizeof(value), buckets->sum);
    line(e, metric, "_sum", labels, n, value);
}

void weir_exposition_end(weir_exposition_t *e)
{
    if (e->openmetrics && e->sink == NULL)
        put_text(e, "# EOF\n");
}
