/*
 * What requests use (usage/), in weir_metrics and weir_status; and with the
 * operator's prices (weir_cost) what they cost.
 *
 *     module   the directive
 *     metrics  the families
 *     status   a route's members in weir_status
 *     index    finds what a route has used
 *     sum      amounts of money
 */

#ifndef _NGX_HTTP_WEIR_COST_H_INCLUDED_
#define _NGX_HTTP_WEIR_COST_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/metrics/exposition.h"
#include "common/metrics/price.h"
#include "usage/ngx_http_weir_usage.h"


/* What has a price; ngx_http_weir_cost_resources has names and units. */
typedef enum {
    NGX_HTTP_WEIR_COST_CPU = 0,
    NGX_HTTP_WEIR_COST_EGRESS,
    NGX_HTTP_WEIR_COST_REDIS,
    NGX_HTTP_WEIR_COST_REDIS_TRAFFIC,
    NGX_HTTP_WEIR_COST_UPSTREAM,
    NGX_HTTP_WEIR_COST_UPSTREAM_TIME,
    NGX_HTTP_WEIR_COST_RESOURCES
} ngx_http_weir_cost_resource_e;


extern ngx_str_t  ngx_http_weir_cost_resources[NGX_HTTP_WEIR_COST_RESOURCES];


/* Of a configuration. */
typedef struct {
    ngx_str_t                      currency;  /* len 0: no prices */
    double                         price[NGX_HTTP_WEIR_COST_RESOURCES];
                                              /* negative: none */
} ngx_http_weir_cost_prices_t;


/* In the currency; of a resource without a price 0. */
typedef struct {
    double                         of[NGX_HTTP_WEIR_COST_RESOURCES];
    double                         all;
    double                         cached;    /* saved by the cache */
    double                         collapsed; /* saved by waiting for another
                                                 request's response */
} ngx_http_weir_cost_sum_t;


/* The next thing to write. */
typedef struct {
    ngx_http_weir_usage_sh_t      *sh;
    ngx_http_weir_cost_prices_t   *prices;
    ngx_uint_t                     family;
    ngx_uint_t                     begun;     /* bool: its lines are written */
    ngx_http_weir_usage_group_t   *group;
} ngx_http_weir_cost_position_t;


/* What routes have used, in the order of their names. */
typedef struct {
    ngx_http_weir_usage_group_t  **groups;
    ngx_uint_t                     n;
} ngx_http_weir_cost_index_t;


extern ngx_module_t  ngx_http_weir_cost_module;


/* module: those of the request's configuration, and of the newest one. */
ngx_http_weir_cost_prices_t *ngx_http_weir_cost_prices(ngx_http_request_t *r);
ngx_http_weir_cost_prices_t *ngx_http_weir_cost_cycle_prices(void);

/*
 * sum: of a route's usage, NGX_HTTP_WEIR_USAGE_VALUES elements.  A request that
 * was answered from the cache has saved what the route's requests that asked an
 * upstream have paid for upstreams, on average.
 */
void ngx_http_weir_cost_sum(ngx_http_weir_cost_prices_t *prices,
    uint64_t *used, ngx_http_weir_cost_sum_t *sum);

/*
 * metrics: writes the lines that begin a family, or a sample; none at the end.
 * advance moves the position behind what was written: 0 if there is no more.
 */
void ngx_http_weir_cost_write(ngx_http_weir_cost_position_t *position,
    weir_exposition_t *e);
ngx_uint_t ngx_http_weir_cost_advance(ngx_http_weir_cost_position_t *position);

/*
 * index: of all routes that exist when it is made, from the pool; NGX_OK or
 * NGX_ERROR (no memory).  find: NULL if there was no such route then.
 */
ngx_int_t ngx_http_weir_cost_index(ngx_http_weir_cost_index_t *index,
    ngx_http_weir_usage_sh_t *sh, ngx_pool_t *pool);
ngx_http_weir_usage_group_t *ngx_http_weir_cost_index_find(
    ngx_http_weir_cost_index_t *index, ngx_str_t *route);

/*
 * status: writes the member "usage" of a route, and "cost" if there are prices,
 * as members that follow others; at most so many bytes.
 */
#define NGX_HTTP_WEIR_COST_STATUS  1024

u_char *ngx_http_weir_cost_status(ngx_http_weir_cost_index_t *index,
    ngx_http_weir_cost_prices_t *prices, ngx_str_t *route, u_char *p,
    u_char *last);


#endif /* _NGX_HTTP_WEIR_COST_H_INCLUDED_ */
