/*
 * weir_metrics: Weir's version, the state of caches and breakers, and the series
 * of routes and upstreams for Prometheus, in its text format or as OpenMetrics.
 *
 * Counters are read without a lock, as by weir_status.  All labels come from
 * the configuration, so the number of series does not depend on clients.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/version.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/ngx_http_weir_metrics.h"
#include "metrics/ngx_http_weir_metrics_parts.h"
#include "metrics/series/ngx_http_weir_series.h"


static ngx_int_t ngx_http_weir_metrics_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_metrics_accepts(ngx_http_request_t *r,
    ngx_uint_t *openmetrics);
static ngx_buf_t *ngx_http_weir_metrics_document(ngx_http_request_t *r,
    ngx_uint_t openmetrics, ngx_uint_t complete);
static void ngx_http_weir_metrics_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics, ngx_uint_t complete);
static ngx_int_t ngx_http_weir_metrics_init_process(ngx_cycle_t *cycle);
static char *ngx_http_weir_metrics(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


static ngx_command_t  ngx_http_weir_metrics_commands[] = {

    { ngx_string("weir_metrics"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_metrics,
      0,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_metrics_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    NULL,                                  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_metrics_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_metrics_module_ctx,     /* module context */
    ngx_http_weir_metrics_commands,        /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_metrics_init_process,    /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static weir_metric_t  ngx_http_weir_metrics_build = {
    "weir_build", NULL, WEIR_METRIC_INFO, "The version of Weir."
};


static ngx_int_t
ngx_http_weir_metrics_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_buf_t                       *b;
    ngx_uint_t                       openmetrics;
    const char                      *type;
    ngx_http_weir_metrics_series_t  *series;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_weir_metrics_accepts(r, &openmetrics) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    series = ngx_http_weir_metrics_series_create(r, openmetrics);

    if (series == NULL && ngx_http_weir_series_zone(r)) {
        /* a document without them would look complete */
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b = ngx_http_weir_metrics_document(r, openmetrics, series == NULL);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    type = weir_exposition_media_type(openmetrics);

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = ngx_strchr(type, ';') - type;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_set(&r->headers_out.charset, "utf-8");

    return ngx_http_weir_metrics_parts_send(r, b,
                                            series
                                            ? ngx_http_weir_metrics_series_next
                                            : NULL,
                                            series);
}


/* Which format the request's Accept prefers; NGX_OK or NGX_ERROR. */

static ngx_int_t
ngx_http_weir_metrics_accepts(ngx_http_request_t *r, ngx_uint_t *openmetrics)
{
    ngx_array_t  *lines;

    static ngx_str_t  accept = ngx_string("Accept");

    lines = ngx_http_weir_header_lines(r, &r->headers_in.headers, &accept);
    if (lines == NULL) {
        return NGX_ERROR;
    }

    *openmetrics = weir_exposition_accepts_openmetrics(lines->elts,
                                                       lines->nelts);

    return NGX_OK;
}


/* All but the series; complete: with the end.  NULL: no memory. */

static ngx_buf_t *
ngx_http_weir_metrics_document(ngx_http_request_t *r, ngx_uint_t openmetrics,
    ngx_uint_t complete)
{
    ngx_buf_t                *b;
    weir_exposition_t         e;
    ngx_http_weir_metrics_t   metrics;

    if (ngx_http_weir_metrics_caches_read(r, &metrics) != NGX_OK
        || ngx_http_weir_metrics_breakers_read(r, &metrics) != NGX_OK
        || ngx_http_weir_metrics_tokens_read(r, &metrics) != NGX_OK
        || ngx_http_weir_metrics_limits_read(r, &metrics) != NGX_OK)
    {
        return NULL;
    }

    ngx_http_weir_metrics_exporter_read(r, &metrics);

    ngx_memzero(&e, sizeof(weir_exposition_t));
    e.openmetrics = openmetrics;

    ngx_http_weir_metrics_write(&e, &metrics, complete);

    b = ngx_create_temp_buf(r->pool, e.len);
    if (b == NULL) {
        return NULL;
    }

    e.buf = (char *) b->pos;
    e.cap = e.len;
    e.len = 0;

    ngx_http_weir_metrics_write(&e, &metrics, complete);
    ngx_http_weir_assert(e.len == e.cap);

    b->last = b->pos + e.len;

    return b;
}


static void
ngx_http_weir_metrics_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics, ngx_uint_t complete)
{
    weir_label_t  version;

    version.name = "version";
    version.value = WEIR_STR(WEIR_VERSION);

    weir_exposition_family(e, &ngx_http_weir_metrics_build);
    weir_exposition_sample(e, &ngx_http_weir_metrics_build, &version, 1, 1);

    ngx_http_weir_metrics_exporter_write(e, metrics);
    ngx_http_weir_metrics_caches_write(e, metrics);
    ngx_http_weir_metrics_breakers_write(e, metrics);
    ngx_http_weir_metrics_tokens_write(e, metrics);
    ngx_http_weir_metrics_limits_write(e, metrics);

    if (complete) {
        weir_exposition_end(e);
    }
}


static char *
ngx_http_weir_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_weir_metrics_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_weir_metrics_handler;

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->status = 1;

    ngx_http_weir_series_require(cf);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_metrics_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_export_set_source(&ngx_http_weir_metrics_otlp);

    return NGX_OK;
}
