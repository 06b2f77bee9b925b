/* What both formats of OTLP metrics provide to otlp.c. */
#ifndef WEIR_METRICS_FORMAT_H
#define WEIR_METRICS_FORMAT_H

#include "common/metrics/otlp/otlp.h"

#define WEIR_OTLP_CUMULATIVE 2 /* AggregationTemporality */

/* An attribute of a point: with text, or a number. */
typedef struct {
    const char *name;
    weir_str_t text;
    int64_t number;
    bool is_number;
} weir_otlp_attribute_t;

/* A point without its value. */
typedef struct {
    weir_otlp_attribute_t attribute[WEIR_EXPOSITION_LABELS];
    size_t n;
} weir_otlp_point_t;

/* Values up to this one, in seconds, are in no bucket: 2^WEIR_HISTOGRAM_MIN_EXPONENT. */
#define WEIR_OTLP_ZERO 0x1p-20

/* Buckets of a histogram, at most so many, as OpenTelemetry's SDKs have by default. */
#define WEIR_OTLP_BUCKETS 160

typedef struct {
    double sum;
    uint64_t count;
    uint64_t zero;
    int scale;
    int offset; /* index of the first bucket */
    uint64_t bucket[WEIR_OTLP_BUCKETS];
    size_t buckets;
    const weir_exemplar_t *exemplars[WEIR_EXEMPLARS_BUCKETS];
    size_t exemplar_count;
} weir_otlp_exponential_t;

struct weir_otlp_format_s {
    void (*begin)(weir_otlp_t *o, const weir_span_resource_t *resource);
    void (*open)(weir_otlp_t *o, const weir_metric_t *metric, weir_str_t name, const char *unit);
    void (*number)(weir_otlp_t *o, const weir_otlp_point_t *point, uint64_t value);
    void (*real)(weir_otlp_t *o, const weir_otlp_point_t *point, double value);
    void (*histogram)(weir_otlp_t *o, const weir_otlp_point_t *point,
                      const weir_otlp_exponential_t *h);
    void (*close)(weir_otlp_t *o);
    void (*end)(weir_otlp_t *o);
};

#endif
