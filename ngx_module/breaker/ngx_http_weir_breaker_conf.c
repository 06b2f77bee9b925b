/* The breaker's configuration: what weir_breaker takes, and its defaults. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"


static ngx_int_t ngx_http_weir_breaker_parameter(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_weir_breaker_parse_ratio(ngx_str_t *value);
static ngx_int_t ngx_http_weir_breaker_parse_on(
    ngx_http_weir_breaker_t *breaker, ngx_str_t *value);


static ngx_conf_bitmask_t  ngx_http_weir_breaker_on[] = {
    { ngx_string("error"), NGX_HTTP_WEIR_BREAKER_ON_ERROR },
    { ngx_string("timeout"), NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT },
    { ngx_string("http_429"), NGX_HTTP_WEIR_BREAKER_ON_429 },
    { ngx_string("http_500"), NGX_HTTP_WEIR_BREAKER_ON_500 },
    { ngx_string("http_502"), NGX_HTTP_WEIR_BREAKER_ON_502 },
    { ngx_string("http_503"), NGX_HTTP_WEIR_BREAKER_ON_503 },
    { ngx_string("http_504"), NGX_HTTP_WEIR_BREAKER_ON_504 },
    { ngx_null_string, 0 }
};


void *
ngx_http_weir_breaker_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_breaker_loc_conf_t  *blcf;

    blcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_loc_conf_t));
    if (blcf == NULL) {
        return NULL;
    }

    blcf->breaker = NGX_CONF_UNSET_PTR;

    return blcf;
}


char *
ngx_http_weir_breaker_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_weir_breaker_loc_conf_t  *prev = parent;
    ngx_http_weir_breaker_loc_conf_t  *conf = child;

    ngx_conf_merge_ptr_value(conf->breaker, prev->breaker, NULL);

    return NGX_CONF_OK;
}


char *
ngx_http_weir_breaker_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_breaker_loc_conf_t  *blcf = conf;

    u_char                   *p;
    ngx_str_t                *value, name, argument;
    ngx_uint_t                i;
    ngx_http_weir_breaker_t  *breaker;

    if (blcf->breaker != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        blcf->breaker = NULL;
        return NGX_CONF_OK;
    }

    breaker = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_t));
    if (breaker == NULL) {
        return NGX_CONF_ERROR;
    }

    breaker->settings.counting = WEIR_BREAKER_COUNT_WINDOW;
    breaker->settings.failures = 5;
    breaker->settings.window = 10000;
    breaker->settings.open = 5000;
    breaker->settings.probes = 1;
    breaker->on = NGX_HTTP_WEIR_BREAKER_ON_ERROR
                  |NGX_HTTP_WEIR_BREAKER_ON_TIMEOUT
                  |NGX_HTTP_WEIR_BREAKER_ON_500
                  |NGX_HTTP_WEIR_BREAKER_ON_502
                  |NGX_HTTP_WEIR_BREAKER_ON_503
                  |NGX_HTTP_WEIR_BREAKER_ON_504;

    for (i = 1; i < cf->args->nelts; i++) {

        p = (u_char *) ngx_strchr(value[i].data, '=');

        if (p) {
            name.data = value[i].data;
            name.len = p - value[i].data;
            argument.data = p + 1;
            argument.len = value[i].data + value[i].len - argument.data;

            switch (ngx_http_weir_breaker_parameter(cf, breaker, &name,
                                                    &argument))
            {
            case NGX_OK:
                continue;
            case NGX_ABORT:
                return NGX_CONF_ERROR;
            default:
                break;
            }
        }

        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"%V\" in \"weir_breaker\"; it"
                           " takes zone=name, key=string, failures=number,"
                           " window=time, open=time, probes=number,"
                           " ratio=percent%%, slow=time, on=list", &value[i]);
        return NGX_CONF_ERROR;
    }

    if (breaker->zone == NULL) {
        return "must have zone=name, or be \"off\"";
    }

    blcf->breaker = breaker;

    return NGX_CONF_OK;
}


/* NGX_ERROR: the value is wrong; NGX_ABORT: an error that has been logged. */

static ngx_int_t
ngx_http_weir_breaker_parameter(ngx_conf_t *cf,
    ngx_http_weir_breaker_t *breaker, ngx_str_t *name, ngx_str_t *value)
{
    ngx_int_t                          n;
    ngx_http_compile_complex_value_t   ccv;

#define is(text)  (name->len == sizeof(text) - 1                              \
                   && ngx_strncmp(name->data, text, sizeof(text) - 1) == 0)

    if (value->len == 0) {
        return NGX_ERROR;
    }

    if (is("zone")) {
        breaker->zone = ngx_shared_memory_add(cf, value, 0,
                                              &ngx_http_weir_breaker_module);
        return breaker->zone ? NGX_OK : NGX_ABORT;
    }

    if (is("key")) {
        breaker->key = ngx_palloc(cf->pool, sizeof(ngx_http_complex_value_t));
        if (breaker->key == NULL) {
            return NGX_ABORT;
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));
        ccv.cf = cf;
        ccv.value = value;
        ccv.complex_value = breaker->key;

        return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_OK
                                                              : NGX_ABORT;
    }

    if (is("failures") || is("probes")) {
        n = ngx_atoi(value->data, value->len);

        if (n < 1 || n > 1000000) {
            return NGX_ERROR;
        }

        if (is("failures")) {
            breaker->settings.failures = n;
        } else {
            breaker->settings.probes = n;
        }

        return NGX_OK;
    }

    if (is("window") || is("open") || is("slow")) {
        n = ngx_parse_time(value, 0);

        if (n == NGX_ERROR || n < WEIR_BREAKER_BUCKETS) {
            return NGX_ERROR;
        }

        if (is("window")) {
            breaker->settings.window = n;
        } else if (is("open")) {
            breaker->settings.open = n;
        } else {
            breaker->slow = n;
        }

        return NGX_OK;
    }

    if (is("ratio")) {
        n = ngx_http_weir_breaker_parse_ratio(value);
        breaker->settings.ratio = n;
        return n == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (is("on")) {
        return ngx_http_weir_breaker_parse_on(breaker, value);
    }

#undef is

    return NGX_ERROR;
}


/* "50%" as 500, or NGX_ERROR */

static ngx_int_t
ngx_http_weir_breaker_parse_ratio(ngx_str_t *value)
{
    ngx_int_t  n;

    if (value->data[value->len - 1] != '%') {
        return NGX_ERROR;
    }

    n = ngx_atoi(value->data, value->len - 1);

    return (n >= 1 && n <= 100) ? n * 10 : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_breaker_parse_on(ngx_http_weir_breaker_t *breaker,
    ngx_str_t *value)
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
