/*
 * Amounts of money.  Counts are whole numbers and prices at most
 * WEIR_PRICE_MAX, so that no amount is infinite.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/cost/ngx_http_weir_cost.h"


#define NGX_HTTP_WEIR_COST_HOUR  (3600 * 1e9)                   /* ns */
#define NGX_HTTP_WEIR_COST_GIB   (1024.0 * 1024.0 * 1024.0)     /* bytes */


/* In the order of ngx_http_weir_cost_resource_e. */

ngx_str_t  ngx_http_weir_cost_resources[NGX_HTTP_WEIR_COST_RESOURCES] = {
    ngx_string("cpu"),
    ngx_string("egress"),
    ngx_string("redis"),
    ngx_string("redis_traffic"),
    ngx_string("upstream"),
    ngx_string("upstream_time")
};


void
ngx_http_weir_cost_sum(ngx_http_weir_cost_prices_t *prices, uint64_t *used,
    ngx_http_weir_cost_sum_t *sum)
{
    double      price, upstream;
    ngx_uint_t  i;

    sum->of[NGX_HTTP_WEIR_COST_CPU] =
                used[NGX_HTTP_WEIR_USAGE_CPU] / NGX_HTTP_WEIR_COST_HOUR;
    sum->of[NGX_HTTP_WEIR_COST_EGRESS] =
                used[NGX_HTTP_WEIR_USAGE_SENT] / NGX_HTTP_WEIR_COST_GIB;
    sum->of[NGX_HTTP_WEIR_COST_REDIS] =
                used[NGX_HTTP_WEIR_USAGE_COMMANDS] / 1e6;
    sum->of[NGX_HTTP_WEIR_COST_REDIS_TRAFFIC] =
                ((double) used[NGX_HTTP_WEIR_USAGE_REDIS_SENT]
                 + used[NGX_HTTP_WEIR_USAGE_REDIS_RECEIVED])
                / NGX_HTTP_WEIR_COST_GIB;
    sum->of[NGX_HTTP_WEIR_COST_UPSTREAM] =
                used[NGX_HTTP_WEIR_USAGE_TRIES] / 1e3;
    sum->of[NGX_HTTP_WEIR_COST_UPSTREAM_TIME] =
                used[NGX_HTTP_WEIR_USAGE_UPSTREAM] / NGX_HTTP_WEIR_COST_HOUR;

    sum->all = 0;

    for (i = 0; i < NGX_HTTP_WEIR_COST_RESOURCES; i++) {
        price = prices->price[i];
        sum->of[i] *= ngx_max(price, 0);
        sum->all += sum->of[i];
    }

    upstream = 0;

    if (used[NGX_HTTP_WEIR_USAGE_FETCHED]) {
        upstream = (sum->of[NGX_HTTP_WEIR_COST_UPSTREAM]
                    + sum->of[NGX_HTTP_WEIR_COST_UPSTREAM_TIME])
                   / used[NGX_HTTP_WEIR_USAGE_FETCHED];
    }

    sum->cached = used[NGX_HTTP_WEIR_USAGE_CACHED] * upstream;
    sum->collapsed = used[NGX_HTTP_WEIR_USAGE_COLLAPSED] * upstream;
}
