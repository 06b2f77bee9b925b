/*
 * Percentiles in weir_metrics, as gauges: the bounds of the histograms are too
 * wide for routes that are faster than the first one.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/ngx_http_weir_metrics.h"
#include "metrics/series/ngx_http_weir_series.h"


/* Of each span. */
#define NGX_HTTP_WEIR_METRICS_PERCENTILES  5


void
ngx_http_weir_metrics_percentiles_write(weir_exposition_t *e,
    weir_metric_t *metric, ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_view_t *view)
{
    u_char        port[NGX_INT_T_LEN];
    double        values[NGX_HTTP_WEIR_METRICS_PERCENTILES];
    ngx_uint_t    i, n, span;
    weir_label_t  labels[4];

    /* in the order of weir_window_span_t */
    static const char  *spans[] = { "1m", "15m", "1h" };

    static const char    *names[] = { "50", "90", "95", "99", "99.9" };
    static const double   q[] = { 0.5, 0.9, 0.95, 0.99, 0.999 };

    static weir_window_sum_t  sums[WEIR_WINDOW_SPANS];

    ngx_memzero(sums, sizeof(sums));
    ngx_http_weir_series_windows_read(zone, view, sums);

    labels[0].name = view->group->kind == NGX_HTTP_WEIR_SERIES_ROUTE
                     ? "http_route" : "server_address";
    labels[0].value = ngx_http_weir_metrics_text(&view->group->name);
    n = 1;

    if (view->version.len) {
        labels[n].name = "weir_version";
        labels[n++].value = ngx_http_weir_metrics_text(&view->version);
    }

    if (view->group->port) {
        labels[n].name = "server_port";
        labels[n].value.data = (char *) port;
        labels[n++].value.len = ngx_sprintf(port, "%ui",
                                            (ngx_uint_t) view->group->port)
                                - port;
    }

    for (span = 0; span < WEIR_WINDOW_SPANS; span++) {

        if (weir_histogram_count(&sums[span].durations) == 0) {
            continue;
        }

        weir_histogram_quantiles(&sums[span].durations, q, values,
                                 NGX_HTTP_WEIR_METRICS_PERCENTILES);

        labels[n].name = "window";
        labels[n].value = weir_str(spans[span]);
        labels[n + 1].name = "percentile";

        for (i = 0; i < NGX_HTTP_WEIR_METRICS_PERCENTILES; i++) {
            labels[n + 1].value = weir_str(names[i]);
            weir_exposition_sample_seconds(e, metric, labels, n + 2,
                                           values[i]);
        }
    }
}
