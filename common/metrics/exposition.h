/*
 * Metrics as text for Prometheus, in one of two formats: the text format 0.0.4, and
 * OpenMetrics 1.0.
 *
 * The caller writes family after family: first weir_exposition_family(), then all samples of that
 * family, and at last weir_exposition_end(). Names, units and help texts come from tables in the
 * sources; only values of labels may be any bytes.
 */
#ifndef WEIR_EXPOSITION_H
#define WEIR_EXPOSITION_H

#include "common/metrics/exemplars.h"
#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

typedef enum {
    WEIR_METRIC_COUNTER, /* only grows, and begins at 0 again after a restart */
    WEIR_METRIC_GAUGE,
    WEIR_METRIC_INFO,     /* always 1; its labels are what it says */
    WEIR_METRIC_HISTOGRAM /* with classic buckets */
} weir_metric_type_t;

typedef struct {
    const char *name; /* of the family: a counter's without "_total", an info's without "_info" */
    const char *unit; /* the last word of name, "seconds" or "bytes"; NULL: a number */
    weir_metric_type_t type;
    const char *help; /* one sentence, without quotes and backslashes */
} weir_metric_t;

typedef struct {
    const char *name;
    weir_str_t value; /* bytes that are not UTF-8 are replaced by U+FFFD */
} weir_label_t;

/* Takes samples instead of the text; see weir_exposition_t. */
typedef struct {
    void (*number)(void *data, const weir_metric_t *metric, const weir_label_t *labels, size_t n,
                   uint64_t value);
    void (*real)(void *data, const weir_metric_t *metric, const weir_label_t *labels, size_t n,
                 double value);
    void *data;
} weir_exposition_sink_t;

/*
 * The output. Nothing is written beyond cap, and len counts all bytes: if len is greater than cap
 * at the end, the text is incomplete, and the caller begins again with that much room. buf may be
 * NULL if cap is 0.
 */
typedef struct {
    char *buf;
    size_t cap;
    size_t len;
    bool openmetrics;
    const weir_exposition_sink_t *sink; /* gets all samples but histograms; NULL: text is written */
} weir_exposition_t;

/* The value of Content-Type. */
const char *weir_exposition_media_type(bool openmetrics);

/*
 * True if OpenMetrics is acceptable, and text/plain is not preferred to it, by the values of the
 * lines of the request's Accept (RFC 9110 section 12.5.1); a scraper names OpenMetrics if it reads
 * it. Text that is no media range is skipped. No line: false.
 */
bool weir_exposition_accepts_openmetrics(const weir_str_t *lines, size_t n);

/* Begins a family: the lines with its type, unit and help. */
void weir_exposition_family(weir_exposition_t *e, const weir_metric_t *metric);

/* Writes a sample of that family, with n labels. */
void weir_exposition_sample(weir_exposition_t *e, const weir_metric_t *metric,
                            const weir_label_t *labels, size_t n, uint64_t value);

/* The same for milliseconds, which are written in seconds. */
void weir_exposition_sample_ms(weir_exposition_t *e, const weir_metric_t *metric,
                               const weir_label_t *labels, size_t n, uint64_t ms);

/* The same for seconds; not for infinity and NaN. */
void weir_exposition_sample_seconds(weir_exposition_t *e, const weir_metric_t *metric,
                                    const weir_label_t *labels, size_t n, double seconds);

/*
 * Writes the samples of a histogram: counts[i] values are up to bounds[i], in ascending order,
 * count in all, and sum is that of the values. n is at most WEIR_EXPOSITION_LABELS - 1.
 */
#define WEIR_EXPOSITION_LABELS 12

typedef struct {
    const double *bounds;
    const uint64_t *counts;
    size_t n;
    uint64_t count;
    double sum;
    const weir_exemplar_t *exemplars; /* n + 1, of which some may be none; NULL: none. The text
                                         format has no exemplars */
} weir_buckets_t;

void weir_exposition_histogram(weir_exposition_t *e, const weir_metric_t *metric,
                               const weir_label_t *labels, size_t n, const weir_buckets_t *buckets);

/* Ends the document. */
void weir_exposition_end(weir_exposition_t *e);

#endif
