/* weir_cost: the operator's prices. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/cost/ngx_http_weir_cost.h"
#include "metrics/series/ngx_http_weir_series.h"


static char *ngx_http_weir_cost(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_cost_set(ngx_conf_t *cf,
    ngx_http_weir_cost_prices_t *prices, ngx_str_t *name, ngx_str_t *value);
static void *ngx_http_weir_cost_create_main_conf(ngx_conf_t *cf);


static ngx_command_t  ngx_http_weir_cost_commands[] = {

    { ngx_string("weir_cost"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_weir_cost,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_cost_module_ctx = {
    NULL,                                  /* preconfiguration */
    NULL,                                  /* postconfiguration */

    ngx_http_weir_cost_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    NULL,                                  /* create location configuration */
    NULL                                   /* merge location configuration */
};


ngx_module_t  ngx_http_weir_cost_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_cost_module_ctx,        /* module context */
    ngx_http_weir_cost_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_weir_cost_create_main_conf(ngx_conf_t *cf)
{
    ngx_uint_t                    i;
    ngx_http_weir_cost_prices_t  *prices;

    prices = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_cost_prices_t));
    if (prices == NULL) {
        return NULL;
    }

    for (i = 0; i < NGX_HTTP_WEIR_COST_RESOURCES; i++) {
        prices->price[i] = -1;
    }

    return prices;
}


ngx_http_weir_cost_prices_t *
ngx_http_weir_cost_prices(ngx_http_request_t *r)
{
    return ngx_http_get_module_main_conf(r, ngx_http_weir_cost_module);
}


ngx_http_weir_cost_prices_t *
ngx_http_weir_cost_cycle_prices(void)
{
    return ngx_http_cycle_get_module_main_conf(ngx_cycle,
                                               ngx_http_weir_cost_module);
}


static char *
ngx_http_weir_cost(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_cost_prices_t *prices = conf;

    u_char      *p, *last;
    ngx_str_t   *value, name, price;
    ngx_uint_t   i;

    if (prices->currency.len) {
        return "is duplicate";
    }

    value = cf->args->elts;

    for (i = 1; i < cf->args->nelts; i++) {
        last = value[i].data + value[i].len;
        p = ngx_strlchr(value[i].data, last, '=');

        name.data = value[i].data;
        name.len = (p ? p : last) - name.data;
        price.data = p ? p + 1 : last;
        price.len = last - price.data;

        if (ngx_http_weir_cost_set(cf, prices, &name, &price) != NGX_CONF_OK) {
            return NGX_CONF_ERROR;
        }
    }

    if (prices->currency.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_cost\" must have the parameter"
                           " \"currency\", like currency=EUR");
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 2) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"weir_cost\" must have a price, like cpu=0.04");
        return NGX_CONF_ERROR;
    }

    ngx_http_weir_series_require(cf);

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_cost_set(ngx_conf_t *cf, ngx_http_weir_cost_prices_t *prices,
    ngx_str_t *name, ngx_str_t *value)
{
    ngx_str_t   *resource;
    weir_str_t   text;
    ngx_uint_t   i, set;

    text.data = (char *) value->data;
    text.len = value->len;

    if (name->len == sizeof("currency") - 1
        && ngx_strncmp(name->data, "currency", name->len) == 0)
    {
        if (!weir_currency_is_valid(text)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid currency \"%V\" in \"weir_cost\"; it"
                               " must be three capital letters, like EUR",
                               value);
            return NGX_CONF_ERROR;
        }

        set = prices->currency.len != 0;
        prices->currency = *value;

    } else {
        resource = ngx_http_weir_cost_resources;

        for (i = 0; i < NGX_HTTP_WEIR_COST_RESOURCES; i++) {
            if (resource[i].len == name->len
                && ngx_strncmp(resource[i].data, name->data, name->len) == 0)
            {
                break;
            }
        }

        if (i == NGX_HTTP_WEIR_COST_RESOURCES) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"weir_cost\"; it"
                               " must be currency, cpu, egress, redis,"
                               " redis_traffic, upstream or upstream_time",
                               name);
            return NGX_CONF_ERROR;
        }

        set = prices->price[i] >= 0;

        if (!weir_price_read(text, &prices->price[i])) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid price \"%V\" of \"%V\" in"
                               " \"weir_cost\"; it must be like 0.04, and at"
                               " most 1000000000", value, name);
            return NGX_CONF_ERROR;
        }
    }

    if (set) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate parameter \"%V\" in \"weir_cost\"",
                           name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}
