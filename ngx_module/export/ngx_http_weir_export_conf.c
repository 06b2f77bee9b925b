/* The arguments of weir_exporter. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/text/token.h"
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

#define NGX_HTTP_WEIR_EXPORT_BUFFER_MIN  (64 * 1024)
#define NGX_HTTP_WEIR_EXPORT_BUFFER_MAX  (1024 * 1024 * 1024)
#define NGX_HTTP_WEIR_EXPORT_SPANS_MAX   100000


typedef struct {
    ngx_str_t    name;                     /* with "=" */
    char      *(*handler)(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
                          ngx_str_t *value);
    const char  *form;                     /* what the value must be */
} ngx_http_weir_export_parameter_t;


static ngx_http_weir_exporter_t *ngx_http_weir_export_conf_create(
    ngx_conf_t *cf);
static char *ngx_http_weir_export_conf_parameter(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *arg);
static char *ngx_http_weir_export_conf_url(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex);
static char *ngx_http_weir_export_conf_path(ngx_http_weir_exporter_t *ex);
static char *ngx_http_weir_export_conf_head(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex);
static char *ngx_http_weir_export_conf_time(ngx_str_t *value, ngx_msec_t min,
    ngx_msec_t *time);
static char *ngx_http_weir_export_conf_attribute(ngx_http_weir_exporter_t *ex,
    const char *name, ngx_str_t *value);

static char *ngx_http_weir_export_conf_service(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_format(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_header(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_timeout(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_interval(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_retry(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_batch(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_buffer(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_gzip(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);
static char *ngx_http_weir_export_conf_resource(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value);


static ngx_http_weir_export_parameter_t  ngx_http_weir_export_parameters[] = {

    { ngx_string("service_name="), ngx_http_weir_export_conf_service,
      "a name" },

    { ngx_string("format="), ngx_http_weir_export_conf_format,
      "protobuf or json, with otlp only" },

    { ngx_string("header="), ngx_http_weir_export_conf_header,
      "as in \"header=Name: value\", and no field that Weir sets itself" },

    { ngx_string("timeout="), ngx_http_weir_export_conf_timeout,
      "a time like 10s, at least 1ms" },

    { ngx_string("interval="), ngx_http_weir_export_conf_interval,
      "a time like 5s, at least 1ms" },

    { ngx_string("retry="), ngx_http_weir_export_conf_retry,
      "a time like 5m, or 0" },

    { ngx_string("batch="), ngx_http_weir_export_conf_batch,
      "a number of spans from 1 to 100000" },

    { ngx_string("buffer="), ngx_http_weir_export_conf_buffer,
      "a size like 4m, from 64k to 1g" },

    { ngx_string("gzip="), ngx_http_weir_export_conf_gzip,
      "on or off" },

    { ngx_string("resource="), ngx_http_weir_export_conf_resource,
      "as in \"resource=key=value\"" },

    { ngx_null_string, NULL, NULL }
};


char *
ngx_http_weir_export_conf(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_export_main_conf_t *emcf = conf;

    char                      *rv;
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

    ex->url = value[2];

    if (ngx_strncmp(ex->url.data, "https://", 8) == 0) {
        ex->tls = ngx_http_weir_tls_create(cf);
        if (ex->tls == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 3; i < cf->args->nelts; i++) {
        if (ngx_http_weir_export_conf_parameter(cf, ex, &value[i])
            != NGX_CONF_OK)
        {
            return NGX_CONF_ERROR;
        }
    }

    rv = ngx_http_weir_export_conf_url(cf, ex);

    if (rv == NGX_CONF_ERROR) {
        if (ex->tls) {
            /* OpenSSL has logged the file and the reason before this line */
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"weir_exporter\" cannot use TLS with these"
                               " parameters");
        }

        return NGX_CONF_ERROR;
    }

    if (rv != NGX_CONF_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid URL \"%V\" of \"weir_exporter\": %s",
                           &ex->url, rv);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_export_conf_head(cf, ex) != NGX_CONF_OK
        || ngx_http_weir_export_zone_add(cf, ex) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ex->resource.attributes.elts = ex->attributes.elts;
    ex->resource.attributes.n = ex->attributes.nelts;

    emcf->exporter = ex;

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
    ex->timeout = NGX_HTTP_WEIR_EXPORT_TIMEOUT;
    ex->retry = NGX_HTTP_WEIR_EXPORT_RETRY;
    ex->batch_spans = NGX_HTTP_WEIR_EXPORT_SPANS;
    ex->buffer = NGX_HTTP_WEIR_EXPORT_BUFFER;

    host = cf->cycle->hostname;

    if (ngx_array_init(&ex->attributes, cf->pool, 8, sizeof(weir_attribute_t))
        != NGX_OK
        || ngx_http_weir_export_conf_attribute(ex, "service.name", &service)
           != NGX_CONF_OK
        || ngx_http_weir_export_conf_attribute(ex, "host.name", &host)
           != NGX_CONF_OK
        || ngx_http_weir_export_conf_attribute(ex, "telemetry.sdk.name", &sdk)
           != NGX_CONF_OK
        || ngx_http_weir_export_conf_attribute(ex, "telemetry.sdk.language",
                                               &language)
           != NGX_CONF_OK
        || ngx_http_weir_export_conf_attribute(ex, "telemetry.sdk.version",
                                               &version)
           != NGX_CONF_OK)
    {
        return NULL;
    }

    return ex;
}


/* Replaces the attribute of that name, or adds it. */

static char *
ngx_http_weir_export_conf_attribute(ngx_http_weir_exporter_t *ex,
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

    attribute->name = name;
    attribute->type = WEIR_ATTRIBUTE_TEXT;
    attribute->value.text.data = (char *) value->data;
    attribute->value.text.len = value->len;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_export_conf_parameter(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *arg)
{
    char                              *rv;
    ngx_str_t                          value;
    ngx_http_weir_export_parameter_t  *p;

    if (ex->tls && ngx_http_weir_tls_parameter(ex->tls, arg) == NGX_OK) {
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

    if (ngx_strncmp(arg->data, "ssl_", 4) == 0 && ex->tls == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_exporter\": ssl_"
                           " parameters need a URL with https://", arg);
        return NGX_CONF_ERROR;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"weir_exporter\"; it takes"
                       " service_name=, format=, header=, timeout=, interval=,"
                       " batch=, buffer=, retry=, gzip=, resource=%s",
                       arg,
                       ex->tls ? ", ssl_trusted_certificate=, ssl_name=,"
                                 " ssl_verify=, ssl_certificate=,"
                                 " ssl_certificate_key="
                               : "");

    return NGX_CONF_ERROR;
}


/* As ngx_http_weir_tls_init(). */

static char *
ngx_http_weir_export_conf_url(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex)
{
    u_char      *p, *slash, *end;
    char        *rv;
    ngx_url_t   *u;
    ngx_str_t    authority;

    p = ex->url.data;
    end = p + ex->url.len;

    if (ex->tls) {
        p += sizeof("https://") - 1;

    } else if (ngx_strncmp(p, "http://", 7) == 0) {
        p += sizeof("http://") - 1;

    } else {
        return "it must start with http:// or https://";
    }

    u = &ex->parsed;
    u->url.data = p;
    u->url.len = end - p;
    u->default_port = ex->tls ? 443 : 80;
    u->uri_part = 1;
    u->no_resolve = 1;

    for (slash = p; slash < end && *slash != '/'; slash++) {
        if (*slash == '@') {
            return "it must have no user; use header= for credentials";
        }
    }

    if (ngx_parse_url(cf->pool, u) != NGX_OK) {
        return u->err ? u->err : "it has no host";
    }

    rv = ngx_http_weir_export_conf_path(ex);
    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (u->family == AF_UNIX) {
        ngx_str_set(&authority, "localhost");

    } else {
        authority.data = p;
        authority.len = slash - p;
    }

    ex->host = authority;

    if (ex->tls) {
        return ngx_http_weir_tls_init(cf, ex->tls, u->family == AF_UNIX
                                                   ? &authority : &u->host);
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_export_conf_path(ngx_http_weir_exporter_t *ex)
{
    u_char  *p;

    ex->path = ex->parsed.uri;

    if (ex->path.len == 0
        || (ex->path.len == 1 && ex->path.data[0] == '/'))
    {
        if (ex->format == WEIR_SPAN_FORMAT_ZIPKIN) {
            ngx_str_set(&ex->path, "/api/v2/spans");

        } else {
            ngx_str_set(&ex->path, "/v1/traces");
        }
    }

    if (ex->path.data[0] != '/') {
        return "its path must start with a slash";
    }

    for (p = ex->path.data; p < ex->path.data + ex->path.len; p++) {
        if (*p <= 0x20 || *p >= 0x7f || *p == '#') {
            return "its path has a character that must be percent-encoded";
        }
    }

    return NGX_CONF_OK;
}


/* What is the same in each request. */

static char *
ngx_http_weir_export_conf_head(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex)
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

    len = sizeof(form) + ex->path.len + ex->host.len + ngx_strlen(type)
          + ex->headers.len;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    ex->head.data = p;
    ex->head.len = ngx_snprintf(p, len, (char *) form, &ex->path, &ex->host,
                                type, &ex->headers)
                   - p;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_weir_export_conf_complete(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex)
{
    ngx_int_t                  rc;
    ngx_url_t                 *u;
    ngx_http_core_loc_conf_t  *clcf;

    u = &ex->parsed;

    if (u->naddrs) {
        /* an address, or a path of a unix socket */
        return NGX_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver && clcf->resolver->connections.nelts) {
        ex->resolver = clcf->resolver;
        ex->resolver_timeout = (clcf->resolver_timeout
                                == NGX_CONF_UNSET_MSEC)
                               ? 30000 : clcf->resolver_timeout;
    }

    rc = ngx_inet_resolve_host(cf->pool, u);

    if (rc == NGX_OK || ex->resolver) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"weir_exporter\" cannot resolve the name in \"%V\": %s",
                  &ex->url, u->err ? u->err : "no memory");

    return NGX_ERROR;
}


/* The parameters: NGX_CONF_OK, NGX_CONF_ERROR (logged), or "" if invalid. */

static char *
ngx_http_weir_export_conf_service(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    return ngx_http_weir_export_conf_attribute(ex, "service.name", value);
}


static char *
ngx_http_weir_export_conf_format(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
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
ngx_http_weir_export_conf_header(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
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
ngx_http_weir_export_conf_time(ngx_str_t *value, ngx_msec_t min,
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
ngx_http_weir_export_conf_timeout(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    return ngx_http_weir_export_conf_time(value, 1, &ex->timeout);
}


static char *
ngx_http_weir_export_conf_interval(ngx_conf_t *cf,
    ngx_http_weir_exporter_t *ex, ngx_str_t *value)
{
    return ngx_http_weir_export_conf_time(value, 1, &ex->interval);
}


static char *
ngx_http_weir_export_conf_retry(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    return ngx_http_weir_export_conf_time(value, 0, &ex->retry);
}


static char *
ngx_http_weir_export_conf_batch(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
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
ngx_http_weir_export_conf_buffer(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
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
ngx_http_weir_export_conf_gzip(ngx_conf_t *cf, ngx_http_weir_exporter_t *ex,
    ngx_str_t *value)
{
    if (ngx_strcmp(value->data, "on") == 0) {
        ex->gzip = 1;
        return NGX_CONF_OK;
    }

    return ngx_strcmp(value->data, "off") == 0 ? NGX_CONF_OK : "";
}


static char *
ngx_http_weir_export_conf_resource(ngx_conf_t *cf,
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

    return ngx_http_weir_export_conf_attribute(ex, (char *) value->data, &text);
}
