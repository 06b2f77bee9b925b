/* The parameters of weir_limit. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "limit/ngx_http_weir_limit.h"


/* Slots of a key. */
#define NGX_HTTP_WEIR_LIMIT_SLOTS_MAX  100000

/* A request waits a minute at most. */
#define NGX_HTTP_WEIR_LIMIT_WAIT_MAX   60000


typedef struct {
    ngx_str_t     name;
    ngx_int_t   (*set)(ngx_conf_t *cf, ngx_http_weir_limit_t *limit,
                       ngx_str_t *value);
    char         *allowed;
    ngx_uint_t    repeated;                /* bool: may be given several times */
} ngx_http_weir_limit_parameter_t;


static ngx_int_t ngx_http_weir_limit_parameter_zone(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_weir_limit_parameter_key(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_weir_limit_parameter_concurrent(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_weir_limit_parameter_min(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_weir_limit_parameter_max(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_weir_limit_parameter_slots(ngx_str_t *value,
    uint32_t *slots);
static ngx_int_t ngx_http_weir_limit_parameter_queue(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_weir_limit_parameter_wait(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);
static ngx_int_t ngx_http_weir_limit_parameter_reserve(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value);


static ngx_http_weir_limit_parameter_t  ngx_http_weir_limit_parameters[] = {
    { ngx_string("zone"), ngx_http_weir_limit_parameter_zone,
      "the name of a weir_limit_zone", 0 },
    { ngx_string("key"), ngx_http_weir_limit_parameter_key,
      "a string that is not empty", 0 },
    { ngx_string("concurrent"), ngx_http_weir_limit_parameter_concurrent,
      "auto or a number from 1 to 100000", 0 },
    { ngx_string("min"), ngx_http_weir_limit_parameter_min,
      "a number from 1 to 100000", 0 },
    { ngx_string("max"), ngx_http_weir_limit_parameter_max,
      "a number from 1 to 100000", 0 },
    { ngx_string("queue"), ngx_http_weir_limit_parameter_queue,
      "a number from 0 to 1000", 0 },
    { ngx_string("wait"), ngx_http_weir_limit_parameter_wait,
      "a time from 1ms to 1m, such as 100ms", 0 },
    { ngx_string("reserve"), ngx_http_weir_limit_parameter_reserve,
      "the name of a route and a number from 1 to 100000, such as"
      " checkout:40, for at most 8 different routes", 1 },
    { ngx_null_string, NULL, NULL, 0 }
};


ngx_int_t
ngx_http_weir_limit_parameter_read(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *parameter, ngx_uint_t *given)
{
    size_t                            len;
    ngx_str_t                         value;
    ngx_uint_t                        bit;
    ngx_http_weir_limit_parameter_t  *p;

    for (p = ngx_http_weir_limit_parameters; p->name.len; p++) {

        len = p->name.len;

        if (parameter->len <= len || parameter->data[len] != '='
            || ngx_strncmp(parameter->data, p->name.data, len) != 0)
        {
            continue;
        }

        bit = (ngx_uint_t) 1 << (p - ngx_http_weir_limit_parameters);

        if ((*given & bit) && !p->repeated) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "duplicate parameter \"%V\" in \"weir_limit\"",
                               parameter);
            return NGX_ERROR;
        }

        *given |= bit;

        value.data = parameter->data + len + 1;
        value.len = parameter->len - len - 1;

        switch (value.len ? p->set(cf, limit, &value) : NGX_ERROR) {

        case NGX_OK:
            return NGX_OK;

        case NGX_ABORT:
            return NGX_ERROR;

        default:
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"weir_limit\";"
                               " %V must be %s", parameter, &p->name,
                               p->allowed);
            return NGX_ERROR;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"weir_limit\"; it takes"
                       " zone=name, concurrent=number|auto, min=number,"
                       " max=number, queue=number, wait=time,"
                       " reserve=route:number, key=string",
                       parameter);

    return NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_limit_parameter_zone(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    /* the weir_limit_zone may follow; its existence is checked at the end */

    limit->zone = ngx_shared_memory_add(cf, value, 0,
                                        &ngx_http_weir_limit_module);

    return limit->zone ? NGX_OK : NGX_ABORT;
}


static ngx_int_t
ngx_http_weir_limit_parameter_key(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    ngx_str_t  late;

    if (ngx_http_weir_late_variable(value, &late)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid parameter \"key=%V\" in \"weir_limit\":"
                           " \"$%V\" has no value before the request is passed",
                           value, &late);
        return NGX_ABORT;
    }

    limit->key = ngx_http_weir_compile(cf, value);

    return limit->key ? NGX_OK : NGX_ABORT;
}


static ngx_int_t
ngx_http_weir_limit_parameter_concurrent(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    if (value->len == 4 && ngx_strncmp(value->data, "auto", 4) == 0) {
        limit->adaptive = 1;
        return NGX_OK;
    }

    return ngx_http_weir_limit_parameter_slots(value,
                                               &limit->settings.concurrent);
}


static ngx_int_t
ngx_http_weir_limit_parameter_min(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    return ngx_http_weir_limit_parameter_slots(value, &limit->settings.min);
}


static ngx_int_t
ngx_http_weir_limit_parameter_max(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    return ngx_http_weir_limit_parameter_slots(value, &limit->settings.max);
}


static ngx_int_t
ngx_http_weir_limit_parameter_slots(ngx_str_t *value, uint32_t *slots)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 1 || n > NGX_HTTP_WEIR_LIMIT_SLOTS_MAX) {
        return NGX_ERROR;
    }

    *slots = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_limit_parameter_queue(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    ngx_int_t  n;

    n = ngx_atoi(value->data, value->len);

    if (n < 0 || n > WEIR_SLOTS_QUEUE_MAX) {
        return NGX_ERROR;
    }

    limit->settings.queue = n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_limit_parameter_wait(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    ngx_int_t  ms;

    ms = ngx_parse_time(value, 0);

    if (ms < 1 || ms > NGX_HTTP_WEIR_LIMIT_WAIT_MAX) {
        return NGX_ERROR;
    }

    limit->settings.wait = ms;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_limit_parameter_reserve(ngx_conf_t *cf,
    ngx_http_weir_limit_t *limit, ngx_str_t *value)
{
    u_char     *colon, *last;
    ngx_int_t   n;
    ngx_str_t   name;
    uint32_t    i, flow;

    last = value->data + value->len;

    for (colon = last - 1; colon > value->data && *colon != ':'; colon--) {
        /* void */
    }

    name.data = value->data;
    name.len = colon - value->data;

    n = ngx_atoi(colon + 1, last - colon - 1);

    if (name.len == 0 || n < 1 || n > NGX_HTTP_WEIR_LIMIT_SLOTS_MAX
        || limit->settings.nflows == WEIR_SLOTS_FLOWS)
    {
        return NGX_ERROR;
    }

    flow = ngx_http_weir_limit_key_flow(&name);

    for (i = 0; i < limit->settings.nflows; i++) {
        if (limit->settings.flows[i].name == flow) {
            return NGX_ERROR;
        }
    }

    limit->flows[i] = name;
    limit->settings.flows[i].name = flow;
    limit->settings.flows[i].reserve = n;
    limit->settings.nflows++;

    return NGX_OK;
}
