/* What operators and other edges say of a zone's breakers. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/zone/ngx_http_weir_breaker_nodes.h"


static void ngx_http_weir_breaker_steer_node(
    ngx_http_weir_breaker_zone_t *zone, ngx_http_weir_breaker_node_t *node,
    ngx_http_weir_breaker_order_e order, uint64_t ms);


ngx_int_t
ngx_http_weir_breaker_steer(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_breaker_key_t *key, weir_breaker_settings_t *settings,
    ngx_http_weir_breaker_order_e order, uint64_t ms,
    ngx_http_weir_breaker_change_t *change)
{
    ngx_int_t                      rc;
    weir_breaker_state_t           was;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    change->was = change->is = WEIR_BREAKER_CLOSED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_nodes_find(zone, key);
    rc = node ? NGX_OK : NGX_DECLINED;

    if (node == NULL && (order == NGX_HTTP_WEIR_BREAKER_STEER_OPEN
                         || order == NGX_HTTP_WEIR_BREAKER_STEER_CLOSE))
    {
        node = ngx_http_weir_breaker_nodes_get(zone, key, settings);
        rc = node ? NGX_OK : NGX_ERROR;

        if (node) {
            /* the first request brings the settings of its location */
            node->configuration = 0;
        }
    }

    if (node) {
        was = node->breaker.state;

        ngx_http_weir_breaker_steer_node(zone, node, order, ms);

        ngx_http_weir_breaker_nodes_used(zone, node, was);
        ngx_http_weir_breaker_nodes_change(change, node, was);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return rc;
}


/* The mutex is held. */

static void
ngx_http_weir_breaker_steer_node(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node, ngx_http_weir_breaker_order_e order,
    uint64_t ms)
{
    uint64_t         now, next;
    weir_breaker_t  *b;

    b = &node->breaker;
    now = ngx_current_msec;
    next = ++zone->sh->generation;

    switch (order) {

    case NGX_HTTP_WEIR_BREAKER_STEER_OPEN:
        weir_breaker_force_open(b, now, next, ms);
        break;

    case NGX_HTTP_WEIR_BREAKER_STEER_CLOSE:
        weir_breaker_force_closed(b, now, next, ms);
        break;

    case NGX_HTTP_WEIR_BREAKER_STEER_AUTO:
        weir_breaker_unforce(b, now);
        break;

    case NGX_HTTP_WEIR_BREAKER_STEER_HINT:
        weir_breaker_hint(b, &node->settings, now);
        break;

    default:
        weir_breaker_hurry(b, now);
    }
}


ngx_uint_t
ngx_http_weir_breaker_steer_is_new(ngx_shm_zone_t *shm_zone,
    weir_position_t position)
{
    ngx_uint_t                     is_new;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    ngx_shmtx_lock(&zone->shpool->mutex);

    is_new = weir_position_cmp(position, zone->sh->steered) > 0;

    if (is_new) {
        zone->sh->steered = position;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return is_new;
}


void
ngx_http_weir_breaker_steer_again(ngx_shm_zone_t *shm_zone,
    weir_position_t last)
{
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    ngx_shmtx_lock(&zone->shpool->mutex);

    if (weir_position_cmp(zone->sh->steered, last) > 0) {
        ngx_memzero(&zone->sh->steered, sizeof(weir_position_t));
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


ngx_http_weir_follow_log_sh_t *
ngx_http_weir_breaker_steer_log(ngx_shm_zone_t *shm_zone, ngx_shmtx_t **mutex)
{
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    *mutex = &zone->shpool->mutex;

    return &zone->sh->log;
}
