/* The exporter in weir_metrics; nothing if the configuration has none. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/ngx_http_weir_metrics.h"


static void ngx_http_weir_metrics_exporter_points(weir_exposition_t *e,
    ngx_http_weir_export_counts_t *n);


static weir_metric_t  ngx_http_weir_metrics_spans_ended = {
    "weir_exporter_spans_ended", NULL, WEIR_METRIC_COUNTER,
    "Spans that ended and were to be exported."
};

static weir_metric_t  ngx_http_weir_metrics_spans = {
    "weir_exporter_spans", NULL, WEIR_METRIC_COUNTER,
    "Spans that were sent or dropped, by result."
};

static weir_metric_t  ngx_http_weir_metrics_queued = {
    "weir_exporter_queued_spans", NULL, WEIR_METRIC_GAUGE,
    "Spans that wait to be sent."
};

static weir_metric_t  ngx_http_weir_metrics_queued_bytes = {
    "weir_exporter_queued_bytes", "bytes", WEIR_METRIC_GAUGE,
    "Bytes in shared memory that waiting spans take."
};

static weir_metric_t  ngx_http_weir_metrics_failures = {
    "weir_exporter_failures", NULL, WEIR_METRIC_COUNTER,
    "Requests to the collector that failed or were refused."
};

static weir_metric_t  ngx_http_weir_metrics_ids = {
    "weir_trace_ids", NULL, WEIR_METRIC_COUNTER,
    "Ids of traces that were kept late, by what became of them."
};


static weir_metric_t  ngx_http_weir_metrics_points = {
    "weir_exporter_points", NULL, WEIR_METRIC_COUNTER,
    "Points of metrics that were sent or dropped, by result."
};


void
ngx_http_weir_metrics_exporter_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics)
{
    metrics->exports = ngx_http_weir_export_enabled(r);

    if (metrics->exports) {
        ngx_http_weir_export_counts(r, &metrics->exporter);
    }
}


static void
ngx_http_weir_metrics_exporter_points(weir_exposition_t *e,
    ngx_http_weir_export_counts_t *n)
{
    ngx_uint_t    i;
    weir_label_t  label;

    struct {
        weir_str_t   result;
        uint64_t     value;
    } results[] = {
        { WEIR_STR("sent"), n->points_sent },
        { WEIR_STR("refused"), n->points_refused },
        { WEIR_STR("unsent"), n->points_unsent }
    };

    weir_exposition_family(e, &ngx_http_weir_metrics_points);

    label.name = "result";

    for (i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        label.value = results[i].result;
        weir_exposition_sample(e, &ngx_http_weir_metrics_points, &label, 1,
                               results[i].value);
    }
}


void
ngx_http_weir_metrics_exporter_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                      i;
    weir_label_t                    label;
    ngx_http_weir_export_counts_t  *n;

    if (!metrics->exports) {
        return;
    }

    n = &metrics->exporter;

    struct {
        weir_str_t   result;
        uint64_t     value;
    } results[] = {
        { WEIR_STR("sent"), n->sent },
        { WEIR_STR("full"), n->dropped_full },
        { WEIR_STR("refused"), n->dropped_refused },
        { WEIR_STR("unsent"), n->dropped_unsent },
        { WEIR_STR("corrupt"), n->dropped_corrupt }
    };

    weir_exposition_family(e, &ngx_http_weir_metrics_spans_ended);
    weir_exposition_sample(e, &ngx_http_weir_metrics_spans_ended, NULL, 0,
                           n->ended);

    weir_exposition_family(e, &ngx_http_weir_metrics_spans);

    label.name = "result";

    for (i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        label.value = results[i].result;
        weir_exposition_sample(e, &ngx_http_weir_metrics_spans, &label, 1,
                               results[i].value);
    }

    ngx_http_weir_metrics_exporter_points(e, n);

    weir_exposition_family(e, &ngx_http_weir_metrics_queued);
    weir_exposition_sample(e, &ngx_http_weir_metrics_queued, NULL, 0,
                           n->queued);

    weir_exposition_family(e, &ngx_http_weir_metrics_queued_bytes);
    weir_exposition_sample(e, &ngx_http_weir_metrics_queued_bytes, NULL, 0,
                           n->queued_bytes);

    weir_exposition_family(e, &ngx_http_weir_metrics_failures);
    weir_exposition_sample(e, &ngx_http_weir_metrics_failures, NULL, 0,
                           n->failures);

    weir_exposition_family(e, &ngx_http_weir_metrics_ids);

    label.value = WEIR_STR("published");
    weir_exposition_sample(e, &ngx_http_weir_metrics_ids, &label, 1,
                           n->ids_published);

    label.value = WEIR_STR("dropped");
    weir_exposition_sample(e, &ngx_http_weir_metrics_ids, &label, 1,
                           n->ids_dropped);
}
