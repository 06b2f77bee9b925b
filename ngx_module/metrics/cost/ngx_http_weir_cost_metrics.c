/* What requests use and cost, in weir_metrics. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/cost/ngx_http_weir_cost.h"


/* The families, in the order of the document. */
typedef enum {
    NGX_HTTP_WEIR_COST_WORKER_CPU = 0,
    NGX_HTTP_WEIR_COST_COMMANDS,
    NGX_HTTP_WEIR_COST_REDIS_SENT,
    NGX_HTTP_WEIR_COST_REDIS_RECEIVED,
    NGX_HTTP_WEIR_COST_ROUTE_CPU,
    NGX_HTTP_WEIR_COST_ROUTE_COMMANDS,
    NGX_HTTP_WEIR_COST_ROUTE_REDIS_SENT,
    NGX_HTTP_WEIR_COST_ROUTE_REDIS_RECEIVED,
    NGX_HTTP_WEIR_COST_SAVED_REQUESTS,

    /* with prices only */
    NGX_HTTP_WEIR_COST_AMOUNT,
    NGX_HTTP_WEIR_COST_PER_THOUSAND,
    NGX_HTTP_WEIR_COST_SAVED,
    NGX_HTTP_WEIR_COST_FAMILIES
} ngx_http_weir_cost_family_e;


static ngx_uint_t ngx_http_weir_cost_has_sample(
    ngx_http_weir_cost_position_t *position);
static void ngx_http_weir_cost_used(ngx_http_weir_cost_position_t *position,
    weir_exposition_t *e, weir_label_t *labels, ngx_uint_t n, uint64_t *used);
static void ngx_http_weir_cost_amounts(ngx_http_weir_cost_position_t *position,
    weir_exposition_t *e, weir_label_t *labels, uint64_t *used);


/* In the order of ngx_http_weir_cost_family_e. */

static weir_metric_t
    ngx_http_weir_cost_families[NGX_HTTP_WEIR_COST_FAMILIES] =
{
    { "weir_worker_cpu_seconds", "seconds", WEIR_METRIC_COUNTER,
      "Time of the processor that workers have used." },
    { "weir_redis_commands", NULL, WEIR_METRIC_COUNTER,
      "Commands to Redis." },
    { "weir_redis_sent_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes of commands to Redis." },
    { "weir_redis_received_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes of the replies of Redis." },
    { "weir_route_cpu_seconds", "seconds", WEIR_METRIC_COUNTER,
      "Time of the processor that requests of the route have used." },
    { "weir_route_redis_commands", NULL, WEIR_METRIC_COUNTER,
      "Commands to Redis for requests of the route." },
    { "weir_route_redis_sent_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes of commands to Redis for requests of the route." },
    { "weir_route_redis_received_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes of the replies of Redis to these." },
    { "weir_upstream_requests_saved", NULL, WEIR_METRIC_COUNTER,
      "Requests that were answered without asking an upstream." },
    { "weir_cost", NULL, WEIR_METRIC_COUNTER,
      "What requests of the route have cost, by the prices of weir_cost." },
    { "weir_cost_per_thousand_requests", NULL, WEIR_METRIC_GAUGE,
      "The mean cost of a thousand requests, since counters began." },
    { "weir_cost_saved", NULL, WEIR_METRIC_GAUGE,
      "What requests to upstreams would have cost that were not needed." }
};


/* The values of the families without prices. */

static ngx_http_weir_usage_value_e  ngx_http_weir_cost_values[] = {
    NGX_HTTP_WEIR_USAGE_CPU,
    NGX_HTTP_WEIR_USAGE_COMMANDS,
    NGX_HTTP_WEIR_USAGE_REDIS_SENT,
    NGX_HTTP_WEIR_USAGE_REDIS_RECEIVED,
    NGX_HTTP_WEIR_USAGE_CPU,
    NGX_HTTP_WEIR_USAGE_COMMANDS,
    NGX_HTTP_WEIR_USAGE_REDIS_SENT,
    NGX_HTTP_WEIR_USAGE_REDIS_RECEIVED
};


void
ngx_http_weir_cost_write(ngx_http_weir_cost_position_t *position,
    weir_exposition_t *e)
{
    uint64_t                      used[NGX_HTTP_WEIR_USAGE_VALUES];
    weir_label_t                  labels[3];
    ngx_http_weir_usage_group_t  *group;

    if (!position->begun) {
        weir_exposition_family(e,
                              &ngx_http_weir_cost_families[position->family]);
        return;
    }

    group = position->group;

    if (group == NULL) {
        return;
    }

    ngx_memzero(used, sizeof(used));
    ngx_http_weir_usage_read(group, used);

    labels[0].name = "http_route";
    labels[0].value.data = (char *) group->name.data;
    labels[0].value.len = group->name.len;

    if (position->family < NGX_HTTP_WEIR_COST_AMOUNT) {
        ngx_http_weir_cost_used(position, e, labels, group->name.len != 0,
                                used);

    } else {
        ngx_http_weir_cost_amounts(position, e, labels, used);
    }
}


ngx_uint_t
ngx_http_weir_cost_advance(ngx_http_weir_cost_position_t *position)
{
    if (!position->begun) {
        position->begun = 1;
        position->group = ngx_http_weir_usage_load(position->sh->groups);

    } else if (position->group) {
        position->group = position->group->next;
    }

    while (position->group && !ngx_http_weir_cost_has_sample(position)) {
        position->group = position->group->next;
    }

    if (position->group == NULL) {
        position->family++;
        position->begun = 0;
    }

    return position->family < (position->prices->currency.len
                               ? NGX_HTTP_WEIR_COST_FAMILIES
                               : NGX_HTTP_WEIR_COST_AMOUNT);
}


/* The first families have what processes have used, all others that of routes. */

static ngx_uint_t
ngx_http_weir_cost_has_sample(ngx_http_weir_cost_position_t *position)
{
    return (position->family < NGX_HTTP_WEIR_COST_ROUTE_CPU)
           == (position->group->name.len == 0);
}


/* Labels has room for another one. */

static void
ngx_http_weir_cost_used(ngx_http_weir_cost_position_t *position,
    weir_exposition_t *e, weir_label_t *labels, ngx_uint_t n, uint64_t *used)
{
    uint64_t        value;
    weir_metric_t  *metric;

    metric = &ngx_http_weir_cost_families[position->family];

    if (position->family == NGX_HTTP_WEIR_COST_SAVED_REQUESTS) {
        if (used[NGX_HTTP_WEIR_USAGE_CACHED]
            || used[NGX_HTTP_WEIR_USAGE_COLLAPSED])
        {
            labels[n].name = "by";
            labels[n].value = weir_str("cache");
            weir_exposition_sample(e, metric, labels, n + 1,
                                   used[NGX_HTTP_WEIR_USAGE_CACHED]);

            labels[n].value = weir_str("collapsing");
            weir_exposition_sample(e, metric, labels, n + 1,
                                   used[NGX_HTTP_WEIR_USAGE_COLLAPSED]);
        }

        return;
    }

    value = used[ngx_http_weir_cost_values[position->family]];

    if (value == 0 && n) {
        /* the route does not use it */
        return;
    }

    if (metric->unit && ngx_strcmp(metric->unit, "seconds") == 0) {
        weir_exposition_sample_seconds(e, metric, labels, n, value * 1e-9);

    } else {
        weir_exposition_sample(e, metric, labels, n, value);
    }
}


/* Labels has the route, and room for two more. */

static void
ngx_http_weir_cost_amounts(ngx_http_weir_cost_position_t *position,
    weir_exposition_t *e, weir_label_t *labels, uint64_t *used)
{
    ngx_uint_t                    i;
    weir_metric_t                *metric;
    ngx_http_weir_cost_sum_t      sum;
    ngx_http_weir_cost_prices_t  *prices;

    prices = position->prices;
    metric = &ngx_http_weir_cost_families[position->family];

    ngx_http_weir_cost_sum(prices, used, &sum);

    labels[1].name = "currency";
    labels[1].value.data = (char *) prices->currency.data;
    labels[1].value.len = prices->currency.len;

    switch (position->family) {

    case NGX_HTTP_WEIR_COST_AMOUNT:
        labels[2].name = "resource";

        for (i = 0; i < NGX_HTTP_WEIR_COST_RESOURCES; i++) {
            if (prices->price[i] >= 0) {
                labels[2].value.data =
                                 (char *) ngx_http_weir_cost_resources[i].data;
                labels[2].value.len = ngx_http_weir_cost_resources[i].len;
                weir_exposition_sample_seconds(e, metric, labels, 3,
                                               sum.of[i]);
            }
        }

        break;

    case NGX_HTTP_WEIR_COST_PER_THOUSAND:
        if (used[NGX_HTTP_WEIR_USAGE_REQUESTS]) {
            weir_exposition_sample_seconds(e, metric, labels, 2,
                                           sum.all * 1000
                                       / used[NGX_HTTP_WEIR_USAGE_REQUESTS]);
        }

        break;

    default:
        if (sum.cached == 0 && sum.collapsed == 0) {
            break;
        }

        labels[2].name = "by";
        labels[2].value = weir_str("cache");
        weir_exposition_sample_seconds(e, metric, labels, 3, sum.cached);

        labels[2].value = weir_str("collapsing");
        weir_exposition_sample_seconds(e, metric, labels, 3, sum.collapsed);
        break;
    }
}
