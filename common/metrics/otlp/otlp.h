/*
 * Metrics for a collector: an ExportMetricsServiceRequest of OTLP 1.x (opentelemetry-proto,
 * metrics/v1 and collector/metrics/v1), in protobuf or in JSON.
 *
 *     weir_otlp_begin()  weir_otlp_number() …  weir_otlp_histogram() …  weir_otlp_end()
 *
 * Counters become cumulative monotonic sums, gauges and infos gauges, histograms cumulative base-2
 * exponential histograms. Points of one metric follow each other.
 *
 * A name of Prometheus becomes one of OpenTelemetry: without the unit at its end, and with dots for
 * underscores, so a collector that translates it back has the name that weir_exposition writes.
 * Labels that stand for attributes of the conventions get their names.
 */
#ifndef WEIR_METRICS_OTLP_H
#define WEIR_METRICS_OTLP_H

#include "common/metrics/exemplars.h"
#include "common/metrics/exposition.h"
#include "common/metrics/histogram.h"
#include "common/trace/encode/out.h"
#include "common/trace/span.h"

/* Bytes that are kept free for the end of the request. */
#define WEIR_OTLP_END 64

typedef struct weir_otlp_format_s weir_otlp_format_t;

typedef struct {
    /* before weir_otlp_begin() */
    char *buf;
    size_t cap;
    uint64_t start; /* Unix time, ns: when counting began */
    uint64_t time;  /* of the values */
    uint64_t since; /* older exemplars are left out */

    /* read by the caller */
    uint32_t points; /* in the request */

    /* private */
    const weir_otlp_format_t *format;
    weir_out_t out;
    const weir_metric_t *metric; /* that is open; NULL: none */
    bool any;                    /* there was a metric before */
    bool more;                   /* the open metric has a point */
    size_t begin[4];             /* of the open messages: see protobuf.c */
} weir_otlp_t;

/*
 * Begins a request; format is PROTOBUF or JSON. False: cap has no room for the resource.
 */
bool weir_otlp_begin(weir_otlp_t *o, weir_span_format_t format,
                     const weir_span_resource_t *resource);

/*
 * Add a point. False: there is no room; the request has all points before, and may be ended. If it
 * has none, its point never fits.
 */
bool weir_otlp_number(weir_otlp_t *o, const weir_metric_t *metric, const weir_label_t *labels,
                      size_t n, uint64_t value);
bool weir_otlp_real(weir_otlp_t *o, const weir_metric_t *metric, const weir_label_t *labels,
                    size_t n, double value);

/* exemplars are those of the classic buckets, WEIR_EXEMPLARS_BUCKETS; NULL: none. */
bool weir_otlp_histogram(weir_otlp_t *o, const weir_metric_t *metric, const weir_label_t *labels,
                         size_t n, const weir_histogram_sum_t *sum,
                         const weir_exemplar_t *exemplars);

/* Ends the request; returns its length. */
size_t weir_otlp_end(weir_otlp_t *o);

#endif
