/* What requests of a route use and cost, in weir_status. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/cost/ngx_http_weir_cost.h"


/* Bytes of an amount as text, with its NUL. */
#define NGX_HTTP_WEIR_COST_AMOUNT_LEN  32


static char *ngx_http_weir_cost_status_amount(char *text, double amount);


u_char *
ngx_http_weir_cost_status(ngx_http_weir_cost_index_t *index,
    ngx_http_weir_cost_prices_t *prices, ngx_str_t *route, u_char *p,
    u_char *last)
{
    char                          thousand[NGX_HTTP_WEIR_COST_AMOUNT_LEN];
    char                          cached[NGX_HTTP_WEIR_COST_AMOUNT_LEN];
    char                          collapsed[NGX_HTTP_WEIR_COST_AMOUNT_LEN];
    uint64_t                      used[NGX_HTTP_WEIR_USAGE_VALUES];
    ngx_http_weir_cost_sum_t      sum;
    ngx_http_weir_usage_group_t  *group;

    group = ngx_http_weir_cost_index_find(index, route);

    if (group == NULL) {
        return p;
    }

    ngx_memzero(used, sizeof(used));
    ngx_http_weir_usage_read(group, used);

    p = ngx_slprintf(p, last, ",\"usage\":{\"requests\":%uL,"
                     "\"cpu_ms\":%uL.%03uL,\"sent_bytes\":%uL,"
                     "\"redis\":{\"commands\":%uL,\"sent_bytes\":%uL,"
                     "\"received_bytes\":%uL},\"upstream\":{\"requests\":%uL,"
                     "\"ms\":%uL},\"saved\":{\"cache\":%uL,"
                     "\"collapsing\":%uL}}",
                     used[NGX_HTTP_WEIR_USAGE_REQUESTS],
                     used[NGX_HTTP_WEIR_USAGE_CPU] / 1000000,
                     used[NGX_HTTP_WEIR_USAGE_CPU] / 1000 % 1000,
                     used[NGX_HTTP_WEIR_USAGE_SENT],
                     used[NGX_HTTP_WEIR_USAGE_COMMANDS],
                     used[NGX_HTTP_WEIR_USAGE_REDIS_SENT],
                     used[NGX_HTTP_WEIR_USAGE_REDIS_RECEIVED],
                     used[NGX_HTTP_WEIR_USAGE_TRIES],
                     used[NGX_HTTP_WEIR_USAGE_UPSTREAM] / 1000000,
                     used[NGX_HTTP_WEIR_USAGE_CACHED],
                     used[NGX_HTTP_WEIR_USAGE_COLLAPSED]);

    if (prices->currency.len == 0 || used[NGX_HTTP_WEIR_USAGE_REQUESTS] == 0) {
        return p;
    }

    ngx_http_weir_cost_sum(prices, used, &sum);

    return ngx_slprintf(p, last, ",\"cost\":{\"currency\":\"%V\","
                        "\"per_thousand_requests\":%s,"
                        "\"saved_by_cache\":%s,\"saved_by_collapsing\":%s}",
                        &prices->currency,
                        ngx_http_weir_cost_status_amount(thousand, sum.all * 1000
                                       / used[NGX_HTTP_WEIR_USAGE_REQUESTS]),
                        ngx_http_weir_cost_status_amount(cached, sum.cached),
                        ngx_http_weir_cost_status_amount(collapsed,
                                                         sum.collapsed));
}


/* nginx's printf has no numbers beyond 64 bits, and none that are very small. */

static char *
ngx_http_weir_cost_status_amount(char *text, double amount)
{
    (void) snprintf(text, NGX_HTTP_WEIR_COST_AMOUNT_LEN, "%.9g", amount);

    return text;
}
