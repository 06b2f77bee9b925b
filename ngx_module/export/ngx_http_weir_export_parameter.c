/* The parameters of weir_exporter. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/text/token.h"
#include "export/ngx_http_weir_export_private.h"


#define NGX_HTTP_WEIR_EXPORT_BUFFER_MIN  (64 * 1024)
#define NGX_HTTP_WEIR_EXPORT_BUFFER_MAX  (1024 * 1024 * 1024)
#define NGX_HTTP_WEIR_EXPORT_SPANS_MAX   100000


typedef struct {
    ngx_str_t    name;                     /* with "=" */
    char      *(*handler)(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
                          ngx_str_t *value);
    const char  *form;                     /* what the value must be */
} ngx_http_weir_export_parameter_t;


static char *ngx_http_weir_export_parameter_time(ngx_str_t *value, ngx_msec_t min,
    ngx_msec_t *time);

static char *ngx_http_weir_export_parameter_service(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_format(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_header(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_timeout(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_interval(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_metrics(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_retry(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_batch(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_buffer(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_gzip(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_parameter_resource(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);


static ngx_http_weir_export_parameter_t  ngx_http_weir_export_parameters[] = {

    { ngx_string("service_name="), ngx_http_weir_export_parameter_service,
      "a name" },

    { ngx_string("format="), ngx_http_weir_export_parameter_format,
      "protobuf or json, with otlp only" },

    { ngx_string("header="), ngx_http_weir_export_parameter_header,
      "as in \"header=Name: value\", and no field that Weir sets itself" },

    { ngx_string("timeout="), ngx_http_weir_export_parameter_timeout,
      "a time like 10s, at least 1ms" },

    { ngx_string("interval="), ngx_http_weir_export_parameter_interval,
      "a time like 5s, at least 1ms" },

    { ngx_string("metrics="), ngx_http_weir_export_parameter_metrics,
      "off, or a time like 60s, at least 1s, with otlp only" },

    { ngx_string("retry="), ngx_http_weir_export_parameter_retry,
      "a time like 5m, or 0" },

    { ngx_string("batch="), ngx_http_weir_export_parameter_batch,
      "a number of spans from 1 to 100000" },

    { ngx_string("buffer="), ngx_http_weir_export_parameter_buffer,
      "a size like 4m, from 64k to 1g" },

    { ngx_string("gzip="), ngx_http_weir_export_parameter_gzip,
      "on or off" },

    { ngx_string("resource="), ngx_http_weir_export_parameter_resource,
      "as in \"resource=key=value\"" },

    { ngx_null_string, NULL, NULL }
};


char *
ngx_http_weir_export_parameter(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *arg)
{
    char                              *rv;
    ngx_str_t                          value;
    ngx_http_weir_export_parameter_t  *p;

    if (ex->server.tls && ngx_http_weir_tls_parameter(ex->server.tls, arg) == NGX_OK) {
        return NGX_CONF_OK;
    }

    for (p = ngx_http_weir_export_parameters; p->handler; p++) {

        if (arg->len < p->name.len
            || ngx_strncmp(arg->data, p->name.data, p->name.len) != 0)
        {
            continue;
        }

        value.data = arg->data + p->name.len;
        value.len = arg->len - p->name.len;

        /* nginx reads quotes only at the start of an argument */

        rv = (value.len && value.data[0] != '"') ? p->handler(cf, ex, &value)
                                                 : "";

        if (rv != NGX_CONF_OK && rv != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" of \"%V\" in"
                               " \"weir_exporter\"; it must be %s",
                               &value, &p->name, p->form);
            return NGX_CONF_ERROR;
        }

        return rv;
    }

    if (ngx_strncmp(arg->data, "ssl_", 4) == 0 && ex->server.tls == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_exporter\": ssl_"
                           " parameters need a URL with https://", arg);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"weir_exporter\"; it takes"
                       " service_name=, format=, header=, timeout=, interval=,"
                       " metrics=, batch=, buffer=, retry=, gzip=, resource=%s",
                       arg,
                       ex->server.tls ? ", ssl_trusted_certificate=, ssl_name=,"
                                 " ssl_verify=, ssl_certificate=,"
                                 " ssl_certificate_key="
                               : "");

    return NGX_CONF_ERROR;
}


char *
ngx_http_weir_export_parameter_attribute(ngx_http_weir_exporter_t *ex,
    const char *name, ngx_str_t *value)
{
    ngx_uint_t         i;
    weir_attribute_t  *attribute;

    attribute = ex->attributes.elts;

    for (i = 0; i < ex->attributes.nelts; i++) {
        if (ngx_strcmp(attribute[i].name, name) == 0) {
            break;
        }
    }

    if (i == ex->attributes.nelts && ngx_array_push(&ex->attributes) == NULL) {
        return NGX_CONF_ERROR;
    }

    attribute = (weir_attribute_t *) ex->attributes.elts + i;

    ngx_memzero(attribute, sizeof(weir_attribute_t));
    attribute->name = name;
    attribute->type = WEIR_ATTRIBUTE_TEXT;
    attribute->value.text.data = (char *) value->data;
    attribute->value.text.len = value->len;

    return NGX_CONF_OK;
}


/* The parameters: NGX_CONF_OK, NGX_CONF_ERROR (logged), or "" if invalid. */

static char *
ngx_http_weir_export_parameter_service(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    return ngx_http_weir_export_parameter_attribute(ex, "service.name", value);
}


static char *
ngx_http_weir_export_parameter_format(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    if (ex->format == WEIR_SPAN_FORMAT_ZIPKIN) {
        return "";
    }

    if (ngx_strcmp(value->data, "json") == 0) {
        ex->format = WEIR_SPAN_FORMAT_JSON;
        return NGX_CONF_OK;
    }

    if (ngx_strcmp(value->data, "protobuf") == 0) {
        ex->format = WEIR_SPAN_FORMAT_PROTOBUF;
        return NGX_CONF_OK;
    }

    return "";
}


static char *
ngx_http_weir_export_parameter_header(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    u_char      *p, *colon, *last;
    size_t       len;
    ngx_uint_t   i;

    static ngx_str_t  own[] = {
        ngx_string("host"),
        ngx_string("connection"),
        ngx_string("content-type"),
        ngx_string("content-length"),
        ngx_string("content-encoding"),
        ngx_string("transfer-encoding"),
        ngx_string("expect")
    };

    last = value->data + value->len;
    colon = ngx_strlchr(value->data, last, ':');

    if (colon == NULL || colon == value->data) {
        return "";
    }

    for (p = value->data; p < colon; p++) {
        if (!weir_is_tchar(*p)) {
            return "";
        }
    }

    for (p = colon; p < last; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            return "";
        }
    }

    for (i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if ((size_t) (colon - value->data) == own[i].len
            && ngx_strncasecmp(value->data, own[i].data, own[i].len) == 0)
        {
            return "";
        }
    }

    len = ex->headers.len + value->len + 2;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    (void) ngx_sprintf(p, "%V%V" CRLF, &ex->headers, value);

    ex->headers.data = p;
    ex->headers.len = len;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_export_parameter_time(ngx_str_t *value, ngx_msec_t min,
    ngx_msec_t *time)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || (ngx_msec_t) n < min) {
        return "";
    }

    *time = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_export_parameter_timeout(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    return ngx_http_weir_export_parameter_time(value, 1, &ex->server.timeout);
}


static char *
ngx_http_weir_export_parameter_interval(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    return ngx_http_weir_export_parameter_time(value, 1, &ex->interval);
}


static char *
ngx_http_weir_export_parameter_metrics(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "off") == 0) {
        ex->metrics_interval = 0;
        return NGX_CONF_OK;
    }

    if (ex->format == WEIR_SPAN_FORMAT_ZIPKIN) {
        return "";
    }

    return ngx_http_weir_export_parameter_time(value, 1000,
                                               &ex->metrics_interval);
}


static char *
ngx_http_weir_export_parameter_retry(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    return ngx_http_weir_export_parameter_time(value, 0, &ex->retry);
}


static char *
ngx_http_weir_export_parameter_batch(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_WEIR_EXPORT_SPANS_MAX) {
        return "";
    }

    ex->batch_spans = n;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_export_parameter_buffer(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    off_t  n;

    n = ngx_parse_offset(value);

    if (n < NGX_HTTP_WEIR_EXPORT_BUFFER_MIN
        || n > NGX_HTTP_WEIR_EXPORT_BUFFER_MAX)
    {
        return "";
    }

    ex->buffer = ngx_align((size_t) n, ngx_pagesize);

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_export_parameter_gzip(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "on") == 0) {
        ex->gzip = 1;
        return NGX_CONF_OK;
    }

    return ngx_strcmp(value->data, "off") == 0 ? NGX_CONF_OK : "";
}


static char *
ngx_http_weir_export_parameter_resource(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    u_char     *equals;
    ngx_str_t   text;

    equals = ngx_strlchr(value->data, value->data + value->len, '=');

    if (equals == NULL || equals == value->data) {
        return "";
    }

    *equals = '\0';

    text.data = equals + 1;
    text.len = value->data + value->len - text.data;

    return ngx_http_weir_export_parameter_attribute(ex, (char *) value->data, &text);
}
