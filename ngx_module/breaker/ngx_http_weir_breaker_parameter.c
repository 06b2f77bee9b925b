/* The parameters of weir_breaker. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir.h"


typedef struct {
    ngx_str_t     name;
    ngx_int_t   (*set)(ngx_conf_t *cf, ngx_http_weir_breaker_t *breaker,
                       ngx_str_t *value, uintptr_t offset);
    uintptr_t     offset;
    char         *allowed;
} ngx_http_weir_breaker_parameter_t;


static ngx_int_t ngx_http_weir_breaker_parameter_zone(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_key(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_number(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_time(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_slow(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_counting(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_ratio(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_share(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);
static ngx_int_t ngx_http_weir_breaker_parameter_on(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset);


static ngx_conf_bitmask_t  ngx_http_weir_breaker_on[] = {
    { ngx_string("error"), NGX_HTTP_WEIR_BREAKER_ON_ERROR },
    { ngx_string("timeout"), NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT },
    { ngx_string("http_429"), NGX_HTTP_WEIR_BREAKER_ON_429 },
    { ngx_string("http_500"), NGX_HTTP_WEIR_BREAKER_ON_500 },
    { ngx_string("http_502"), NGX_HTTP_WEIR_BREAKER_ON_502 },
    { ngx_string("http_503"), NGX_HTTP_WEIR_BREAKER_ON_503 },
    { ngx_string("http_504"), NGX_HTTP_WEIR_BREAKER_ON_504 },
    { ngx_string("http_5xx"), NGX_HTTP_WEIR_BREAKER_ON_500
                              |NGX_HTTP_WEIR_BREAKER_ON_502
                              |NGX_HTTP_WEIR_BREAKER_ON_503
                              |NGX_HTTP_WEIR_BREAKER_ON_504
                              |NGX_HTTP_WEIR_BREAKER_ON_5XX },
    { ngx_string("grpc_unknown"), NGX_HTTP_WEIR_BREAKER_ON_GRPC(2) },
    { ngx_string("grpc_deadline_exceeded"), NGX_HTTP_WEIR_BREAKER_ON_GRPC(4) },
    { ngx_string("grpc_resource_exhausted"), NGX_HTTP_WEIR_BREAKER_ON_GRPC(8) },
    { ngx_string("grpc_internal"), NGX_HTTP_WEIR_BREAKER_ON_GRPC(13) },
    { ngx_string("grpc_unavailable"), NGX_HTTP_WEIR_BREAKER_ON_GRPC(14) },
    { ngx_string("grpc_data_loss"), NGX_HTTP_WEIR_BREAKER_ON_GRPC(15) },
    { ngx_null_string, 0 }
};


#define setting(field)  offsetof(weir_breaker_settings_t, field)

#define NGX_HTTP_WEIR_BREAKER_NUMBER  "a number from 1 to 1000000"
#define NGX_HTTP_WEIR_BREAKER_TIME    "a time of at least 10ms, such as 10s"

static ngx_http_weir_breaker_parameter_t  ngx_http_weir_breaker_parameters[] = {
    { ngx_string("zone"), ngx_http_weir_breaker_parameter_zone, 0,
      "the name of a weir_breaker_zone" },
    { ngx_string("key"), ngx_http_weir_breaker_parameter_key, 0,
      "a string that is not empty" },
    { ngx_string("failures"), ngx_http_weir_breaker_parameter_number,
      setting(failures), NGX_HTTP_WEIR_BREAKER_NUMBER },
    { ngx_string("window"), ngx_http_weir_breaker_parameter_time,
      setting(window), NGX_HTTP_WEIR_BREAKER_TIME },
    { ngx_string("counting"), ngx_http_weir_breaker_parameter_counting, 0,
      "row or window" },
    { ngx_string("ratio"), ngx_http_weir_breaker_parameter_ratio,
      setting(ratio), "off or a share from 1% to 100%, such as 50%" },
    { ngx_string("min"), ngx_http_weir_breaker_parameter_number,
      setting(min), NGX_HTTP_WEIR_BREAKER_NUMBER },
    { ngx_string("open"), ngx_http_weir_breaker_parameter_time,
      setting(open), NGX_HTTP_WEIR_BREAKER_TIME },
    { ngx_string("max_open"), ngx_http_weir_breaker_parameter_time,
      setting(max_open), NGX_HTTP_WEIR_BREAKER_TIME },
    { ngx_string("ramp"), ngx_http_weir_breaker_parameter_time,
      setting(ramp), NGX_HTTP_WEIR_BREAKER_TIME },
    { ngx_string("probes"), ngx_http_weir_breaker_parameter_number,
      setting(probes), NGX_HTTP_WEIR_BREAKER_NUMBER },
    { ngx_string("slow"), ngx_http_weir_breaker_parameter_slow, 0,
      NGX_HTTP_WEIR_BREAKER_TIME },
    { ngx_string("slow_ratio"), ngx_http_weir_breaker_parameter_ratio,
      setting(slow_ratio), "off or a share from 1% to 100%, such as 50%" },
    { ngx_string("share"), ngx_http_weir_breaker_parameter_share, 0, "hint" },
    { ngx_string("on"), ngx_http_weir_breaker_parameter_on, 0,
      "a list with commas of error, timeout, http_429, http_500, http_502,"
      " http_503, http_504, http_5xx, grpc_unknown, grpc_deadline_exceeded,"
      " grpc_resource_exhausted, grpc_internal, grpc_unavailable,"
      " grpc_data_loss" },
    { ngx_null_string, NULL, 0, NULL }
};


ngx_int_t
ngx_http_weir_breaker_parameter_read(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *parameter, ngx_uint_t *given)
{
    size_t                              len;
    ngx_str_t                           value;
    ngx_uint_t                          bit;
    ngx_http_weir_breaker_parameter_t  *p;

    for (p = ngx_http_weir_breaker_parameters; p->name.len; p++) {

        len = p->name.len;

        if (parameter->len <= len || parameter->data[len] != '='
            || ngx_strncmp(parameter->data, p->name.data, len) != 0)
        {
            continue;
        }

        bit = (ngx_uint_t) 1 << (p - ngx_http_weir_breaker_parameters);

        if (*given & bit) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\" in"
                               " \"weir_breaker\"", parameter);
            return NGX_ERROR;
        }

        *given |= bit;

        value.data = parameter->data + len + 1;
        value.len = parameter->len - len - 1;

        switch (value.len ? p->set(cf, breaker, &value, p->offset) : NGX_ERROR)
        {
        case NGX_OK:
            return NGX_OK;

        case NGX_ABORT:
            return NGX_ERROR;

        default:
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"weir_breaker\";"
                               " %V must be %s", parameter, &p->name,
                               p->allowed);
            return NGX_ERROR;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"weir_breaker\"; it takes"
                       " zone=name, key=string, failures=number, window=time,"
                       " counting=row|window, ratio=percent%%|off, min=number,"
                       " open=time, max_open=time, probes=number, ramp=time,"
                       " slow=time, slow_ratio=percent%%|off, share=hint, on=list",
                       parameter);
    return NGX_ERROR;
}


/*
 * Setters of the parameters.  NGX_ERROR: the value is invalid; NGX_ABORT: an
 * error that was logged.
 */

static ngx_int_t
ngx_http_weir_breaker_parameter_zone(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    breaker->zone = ngx_shared_memory_add(cf, value, 0,
                                          &ngx_http_weir_breaker_module);

    return breaker->zone ? NGX_OK : NGX_ABORT;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_key(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    ngx_str_t  name;

    if (ngx_http_weir_late_variable(value, &name)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "variable \"$%V\" in \"key=\" of \"weir_breaker\""
                           " has no value yet when the breaker is asked,"
                           " which is before the upstream is asked", &name);
        return NGX_ABORT;
    }

    breaker->key = ngx_http_weir_compile(cf, value);

    return breaker->key ? NGX_OK : NGX_ABORT;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_number(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > 1000000) {
        return NGX_ERROR;
    }

    *(uint32_t *) ((char *) &breaker->settings + offset) = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_time(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n < WEIR_BREAKER_BUCKETS) {
        return NGX_ERROR;
    }

    *(uint64_t *) ((char *) &breaker->settings + offset) = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_slow(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    ngx_int_t  n;

    n = ngx_parse_time(value, 0);

    if (n == NGX_ERROR || n < WEIR_BREAKER_BUCKETS) {
        return NGX_ERROR;
    }

    breaker->slow = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_counting(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    if (ngx_strcmp(value->data, "row") == 0) {
        breaker->settings.counting = WEIR_BREAKER_COUNT_ROW;
        return NGX_OK;
    }

    if (ngx_strcmp(value->data, "window") == 0) {
        breaker->settings.counting = WEIR_BREAKER_COUNT_WINDOW;
        return NGX_OK;
    }

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_ratio(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    uint32_t   *ratio;
    ngx_int_t   n;

    ratio = (uint32_t *) ((char *) &breaker->settings + offset);

    if (ngx_strcmp(value->data, "off") == 0) {
        *ratio = 0;
        return NGX_OK;
    }

    if (value->data[value->len - 1] != '%') {
        return NGX_ERROR;
    }

    n = ngx_atoi(value->data, value->len - 1);

    if (n < 1 || n > 100) {
        return NGX_ERROR;
    }

    *ratio = n * 10;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_share(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    if (ngx_strcmp(value->data, "hint") != 0) {
        return NGX_ERROR;
    }

    breaker->settings.hint = 1;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_breaker_parameter_on(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value, uintptr_t offset)
{
    u_char              *p, *last, *comma;
    ngx_conf_bitmask_t  *on;

    breaker->on = 0;
    last = value->data + value->len;

    for (p = value->data; p <= last; p = comma + 1) {

        comma = ngx_strlchr(p, last, ',');
        if (comma == NULL) {
            comma = last;
        }

        for (on = ngx_http_weir_breaker_on; on->name.len; on++) {
            if (on->name.len == (size_t) (comma - p)
                && ngx_strncmp(on->name.data, p, on->name.len) == 0)
            {
                breaker->on |= on->mask;
                break;
            }
        }

        if (on->name.len == 0) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}
