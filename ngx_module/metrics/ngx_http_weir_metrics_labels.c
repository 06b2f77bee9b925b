/*
 * The labels of a series: attributes of OpenTelemetry's conventions for HTTP
 * metrics (https://opentelemetry.io/docs/specs/semconv/http/http-metrics/).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/request/ngx_http_weir_cache_request.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/ngx_http_weir_metrics_labels.h"


/* Bytes of a label's value at most; names of the configuration are shorter. */
#define NGX_HTTP_WEIR_METRICS_LABEL  255


static void ngx_http_weir_metrics_labels_failure(
    ngx_http_weir_series_t *series, ngx_uint_t bad,
    ngx_http_weir_metrics_labels_t *labels);
static void ngx_http_weir_metrics_labels_add(
    ngx_http_weir_metrics_labels_t *labels, char *name, ngx_str_t *value);


void
ngx_http_weir_metrics_labels(ngx_http_weir_series_t *series,
    ngx_http_weir_metrics_labels_t *labels)
{
    ngx_str_t                      port;
    ngx_str_t                     *version;
    ngx_http_weir_series_group_t  *group;

    static ngx_str_t  scheme[] = { ngx_string("http"), ngx_string("https") };

    group = series->view->group;
    version = &series->view->version;
    labels->n = 0;

    ngx_http_weir_metrics_labels_add(labels, "http_request_method",
                                   ngx_http_weir_series_table_method(series->method));
    ngx_http_weir_metrics_labels_add(labels, "url_scheme",
                                       &scheme[series->secure]);

    if (group->kind == NGX_HTTP_WEIR_SERIES_UPSTREAM) {
        ngx_http_weir_metrics_labels_add(labels, "server_address",
                                           &group->name);
        if (group->port) {
            port.data = labels->port;
            port.len = ngx_sprintf(port.data, "%ui", (ngx_uint_t) group->port)
                       - port.data;
            ngx_http_weir_metrics_labels_add(labels, "server_port", &port);
        }

        ngx_http_weir_metrics_labels_failure(series, 400, labels);
        ngx_http_weir_metrics_labels_add(labels, "http_route",
                                           &series->route->name);
        return;
    }

    ngx_http_weir_metrics_labels_failure(series, 500, labels);
    ngx_http_weir_metrics_labels_add(labels, "http_route", &group->name);

    if (version->len) {
        ngx_http_weir_metrics_labels_add(labels, "weir_version", version);
    }

    if (series->cache != NGX_HTTP_WEIR_CACHE_NONE) {
        ngx_http_weir_metrics_labels_add(labels, "weir_cache_status",
                             ngx_http_weir_cache_status_name(series->cache));
    }
}


/*
 * The status that was sent or received; and error.type, which the conventions
 * have for a status from 500 on of a server, from 400 on for a client, and if
 * there is none.
 */

static void
ngx_http_weir_metrics_labels_failure(ngx_http_weir_series_t *series,
    ngx_uint_t bad, ngx_http_weir_metrics_labels_t *labels)
{
    ngx_str_t  status;

    static ngx_str_t  timeout = ngx_string("timeout");
    static ngx_str_t  other = ngx_string("_OTHER");

    if (series->failed) {
        ngx_http_weir_metrics_labels_add(labels, "error_type",
                              series->status == NGX_HTTP_GATEWAY_TIME_OUT
                              ? &timeout : &other);
        return;
    }

    if (series->status == 0) {
        return;
    }

    status.data = labels->status;
    status.len = ngx_sprintf(status.data, "%ui", (ngx_uint_t) series->status)
                 - status.data;

    ngx_http_weir_metrics_labels_add(labels, "http_response_status_code",
                                       &status);

    if (series->status >= bad) {
        ngx_http_weir_metrics_labels_add(labels, "error_type", &status);
    }
}


static void
ngx_http_weir_metrics_labels_add(ngx_http_weir_metrics_labels_t *labels,
    char *name, ngx_str_t *value)
{
    weir_label_t  *label;

    ngx_http_weir_assert(labels->n < WEIR_EXPOSITION_LABELS - 1);

    label = &labels->label[labels->n++];
    label->name = name;
    label->value.data = (char *) value->data;
    label->value.len = ngx_min(value->len, NGX_HTTP_WEIR_METRICS_LABEL);
}
