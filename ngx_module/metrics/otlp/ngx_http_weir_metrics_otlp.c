/*
 * The metrics that weir_exporter sends: those of routes and upstreams, and of the
 * exporter itself.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/ngx_http_weir_metrics.h"


static void *ngx_http_weir_metrics_otlp_begin(void);
static ngx_int_t ngx_http_weir_metrics_otlp_next(void *position,
    weir_otlp_t *otlp);
static void ngx_http_weir_metrics_otlp_number(void *data,
    const weir_metric_t *metric, const weir_label_t *labels, size_t n,
    uint64_t value);
static void ngx_http_weir_metrics_otlp_real(void *data,
    const weir_metric_t *metric, const weir_label_t *labels, size_t n,
    double value);


const ngx_http_weir_export_source_t  ngx_http_weir_metrics_otlp = {
    ngx_http_weir_metrics_otlp_begin,
    ngx_http_weir_metrics_otlp_next
};


/* One document is under way at a time. */
typedef struct {
    ngx_http_weir_metrics_series_t  *series;   /* NULL: the zone is off */
    ngx_uint_t                       begun;    /* bool: the exporter's are sent */
} ngx_http_weir_metrics_otlp_t;

static ngx_http_weir_metrics_otlp_t  ngx_http_weir_metrics_otlp_position;


static void *
ngx_http_weir_metrics_otlp_begin(void)
{
    ngx_http_weir_metrics_otlp_t  *position;

    position = &ngx_http_weir_metrics_otlp_position;
    position->begun = 0;

    ngx_http_weir_metrics_series_begin(&position->series);

    return position;
}


static ngx_int_t
ngx_http_weir_metrics_otlp_next(void *data, weir_otlp_t *otlp)
{
    weir_exposition_t              e;
    weir_exposition_sink_t         sink;
    ngx_http_weir_metrics_t        metrics;
    ngx_http_weir_metrics_otlp_t  *position;

    position = data;

    sink.number = ngx_http_weir_metrics_otlp_number;
    sink.real = ngx_http_weir_metrics_otlp_real;
    sink.data = otlp;

    if (!position->begun) {
        position->begun = 1;

        ngx_memzero(&e, sizeof(weir_exposition_t));
        e.sink = &sink;

        metrics.exports = 1;
        ngx_http_weir_export_cycle_counts(&metrics.exporter);
        ngx_http_weir_metrics_exporter_write(&e, &metrics);
    }

    return position->series ? ngx_http_weir_metrics_series_add(position->series,
                                                               otlp, &sink)
                            : NGX_OK;
}


static void
ngx_http_weir_metrics_otlp_number(void *data, const weir_metric_t *metric,
    const weir_label_t *labels, size_t n, uint64_t value)
{
    (void) weir_otlp_number(data, metric, labels, n, value);
}


static void
ngx_http_weir_metrics_otlp_real(void *data, const weir_metric_t *metric,
    const weir_label_t *labels, size_t n, double value)
{
    (void) weir_otlp_real(data, metric, labels, n, value);
}
