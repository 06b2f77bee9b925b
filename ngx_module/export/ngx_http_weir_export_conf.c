/* The arguments of weir_exporter. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/version.h"
#include "export/ngx_http_weir_export_private.h"


/*
 * Defaults, as of OpenTelemetry's BatchSpanProcessor (interval, batch), of its
 * OTLP exporters (timeout), and of its collector (retry).
 */
#define NGX_HTTP_WEIR_EXPORT_INTERVAL    5000
#define NGX_HTTP_WEIR_EXPORT_SPANS       512
#define NGX_HTTP_WEIR_EXPORT_TIMEOUT     10000
#define NGX_HTTP_WEIR_EXPORT_RETRY       300000
#define NGX_HTTP_WEIR_EXPORT_BUFFER      (4 * 1024 * 1024)


static ngx_http_weir_exporter_t *ngx_http_weir_export_conf_create(
    ngx_conf_t *cf);
static char *ngx_http_weir_export_conf_server(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex);
static char *ngx_http_weir_export_conf_path(ngx_http_weir_exporter_t *ex);
static char *ngx_http_weir_export_conf_metrics(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex);
static char *ngx_http_weir_export_conf_head(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *path, ngx_str_t *head);

char *
ngx_http_weir_export_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_export_main_conf_t *emcf = conf;

    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_weir_exporter_t  *ex;

    value = cf->args->elts;

    if (emcf->exporter) {
        return "is duplicate";
    }

    ex = ngx_http_weir_export_conf_create(cf);
    if (ex == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value[1].data, "otlp") == 0) {
        ex->format = WEIR_SPAN_FORMAT_PROTOBUF;

    } else if (ngx_strcmp(value[1].data, "zipkin") == 0) {
        ex->format = WEIR_SPAN_FORMAT_ZIPKIN;

    } else {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid protocol \"%V\" in \"weir_exporter\"; it"
                           " must be otlp or zipkin", &value[1]);
        return NGX_CONF_ERROR;
    }

    ex->server.url = value[2];

    if (ngx_strncmp(ex->server.url.data, "https://", 8) == 0) {
        ex->server.tls = ngx_http_weir_tls_create(cf);
        if (ex->server.tls == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 3; i < cf->args->nelts; i++) {
        if (ngx_http_weir_export_parameter(cf, ex, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    if (ngx_http_weir_export_conf_server(cf, ex) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_export_conf_head(cf, ex, &ex->path, &ex->head)
        != NGX_CONF_OK
        || ngx_http_weir_export_conf_metrics(cf, ex) != NGX_CONF_OK
        || ngx_http_weir_export_zone_add(cf, ex) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ex->resource.attributes.elts = ex->attributes.elts;
    ex->resource.attributes.n = ex->attributes.nelts;

    emcf->exporter = ex;

    ngx_http_weir_record_require(cf);

    return NGX_CONF_OK;
}


/* With all defaults; NULL: no memory. */

static ngx_http_weir_exporter_t *
ngx_http_weir_export_conf_create(ngx_conf_t *cf)
{
    ngx_str_t                  host;
    ngx_http_weir_exporter_t  *ex;

    static ngx_str_t  service = ngx_string("weir");
    static ngx_str_t  sdk = ngx_string("weir");
    static ngx_str_t  language = ngx_string("c");
    static ngx_str_t  version = ngx_string(WEIR_VERSION);

    ex = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_exporter_t));
    if (ex == NULL) {
        return NULL;
    }

    ex->interval = NGX_HTTP_WEIR_EXPORT_INTERVAL;
    ex->server.timeout = NGX_HTTP_WEIR_EXPORT_TIMEOUT;
    ex->retry = NGX_HTTP_WEIR_EXPORT_RETRY;
    ex->batch_spans = NGX_HTTP_WEIR_EXPORT_SPANS;
    ex->buffer = NGX_HTTP_WEIR_EXPORT_BUFFER;

    host = cf->cycle->hostname;

    if (ngx_array_init(&ex->attributes, cf->pool, 8, sizeof(weir_attribute_t))
        != NGX_OK
        || ngx_http_weir_export_parameter_attribute(ex, "service.name", &service)
           != NGX_CONF_OK
        || ngx_http_weir_export_parameter_attribute(ex, "host.name", &host)
           != NGX_CONF_OK
        || ngx_http_weir_export_parameter_attribute(ex, "telemetry.sdk.name", &sdk)
           != NGX_CONF_OK
        || ngx_http_weir_export_parameter_attribute(ex, "telemetry.sdk.language",
                                               &language)
           != NGX_CONF_OK
        || ngx_http_weir_export_parameter_attribute(ex, "telemetry.sdk.version",
                                               &version)
           != NGX_CONF_OK)
    {
        return NULL;
    }

    return ex;
}


/* The URL, and TLS; NGX_CONF_OK, or NGX_CONF_ERROR (logged). */

static char *
ngx_http_weir_export_conf_server(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex)
{
    char  *rv;

    rv = ngx_http_weir_client_url(cf, &ex->server);

    if (rv == NGX_CONF_OK) {
        rv = ngx_http_weir_export_conf_path(ex);
    }

    if (rv == NGX_CONF_ERROR && ex->server.tls) {
        /* OpenSSL has logged the file and the reason before this line */
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_exporter\" cannot use TLS with these"
                           " parameters");

    } else if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\" of \"weir_exporter\": %s",
                           &ex->server.url, rv);
        return NGX_CONF_ERROR;
    }

    return rv;
}


static char *
ngx_http_weir_export_conf_path(ngx_http_weir_exporter_t *ex)
{
    char  *fault;

    ex->path = ex->server.parsed.uri;

    if (ex->path.len == 0
        || (ex->path.len == 1 && ex->path.data[0] == '/'))
    {
        if (ex->format == WEIR_SPAN_FORMAT_ZIPKIN) {
            ngx_str_set(&ex->path, "/api/v2/spans");

        } else {
            ngx_str_set(&ex->path, "/v1/traces");
        }
    }

    fault = ngx_http_weir_client_path(&ex->path);

    return fault ? fault : NGX_CONF_OK;
}


/* Metrics go to the path beside that of spans. */

static char *
ngx_http_weir_export_conf_metrics(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex)
{
    size_t     len;
    ngx_str_t *path;

    static ngx_str_t  traces = ngx_string("/v1/traces");
    static ngx_str_t  metrics = ngx_string("/v1/metrics");

    if (ex->metrics_interval == 0) {
        return NGX_CONF_OK;
    }

    if (ex->path.len < traces.len
        || ngx_strncmp(ex->path.data + ex->path.len - traces.len, traces.data,
                       traces.len)
           != 0)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"metrics=\" of \"weir_exporter\" needs a URL"
                           " without a path, or with one that ends with"
                           " /v1/traces; \"%V\" has another one", &ex->server.url);
        return NGX_CONF_ERROR;
    }

    path = &ex->metrics_path;
    len = ex->path.len - traces.len;

    path->len = len + metrics.len;
    path->data = ngx_pnalloc(cf->pool, path->len);
    if (path->data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(ngx_cpymem(path->data, ex->path.data, len), metrics.data,
               metrics.len);

    return ngx_http_weir_export_conf_head(cf, ex, path, &ex->metrics_head);
}


/* What is the same in each request. */

static char *
ngx_http_weir_export_conf_head(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *path, ngx_str_t *head)
{
    size_t       len;
    u_char      *p;
    const char  *type;

    static u_char  form[] = "POST %V HTTP/1.1" CRLF
                            "Host: %V" CRLF
                            "User-Agent: weir/" WEIR_VERSION CRLF
                            "Content-Type: %s" CRLF
                            "%V";

    type = weir_span_media_type(ex->format);

    len = sizeof(form) + path->len + ex->server.host.len + ngx_strlen(type)
          + ex->headers.len;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    head->data = p;
    head->len = ngx_snprintf(p, len, (char *) form, path, &ex->server.host, type,
                             &ex->headers)
                - p;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_weir_export_conf_complete(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex)
{
    return ngx_http_weir_client_resolve(cf, &ex->server, "weir_exporter");
}
