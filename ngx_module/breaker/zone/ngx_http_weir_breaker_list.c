/* Copies of a zone's breakers, for status and metrics. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/zone/ngx_http_weir_breaker_nodes.h"


static void ngx_http_weir_breaker_list_info(ngx_http_weir_breaker_node_t *node,
    ngx_http_weir_breaker_info_t *info);


ngx_int_t
ngx_http_weir_breaker_list_find(ngx_shm_zone_t *shm_zone, ngx_str_t *text,
    ngx_http_weir_breaker_info_t *info)
{
    ngx_http_weir_breaker_key_t    key;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    key.text = *text;
    key.hash = ngx_crc32_short(text->data, text->len);

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_nodes_find(zone, &key);

    if (node) {
        ngx_http_weir_breaker_list_info(node, info);
        info->key = *text;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return node ? NGX_OK : NGX_DECLINED;
}


ngx_int_t
ngx_http_weir_breaker_list(ngx_shm_zone_t *shm_zone, ngx_pool_t *pool,
    ngx_http_weir_breaker_zone_info_t *info,
    ngx_http_weir_breaker_info_t *breakers, ngx_uint_t n)
{
    u_char                        *keys;
    ngx_uint_t                     i, l;
    ngx_queue_t                   *q, *lists[2];
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    /* before the mutex is taken */

    keys = ngx_pnalloc(pool, n * NGX_HTTP_WEIR_BREAKER_KEY_MAX);
    if (keys == NULL) {
        return NGX_ERROR;
    }

    lists[0] = &zone->sh->tripped;
    lists[1] = &zone->sh->closed;
    i = 0;

    ngx_shmtx_lock(&zone->shpool->mutex);

    info->name = shm_zone->shm.name;
    info->breakers = zone->sh->breakers;
    info->not_closed = zone->sh->not_closed;
    info->forgotten = zone->sh->forgotten;
    info->uncounted = zone->sh->uncounted;

    for (l = 0; l < 2; l++) {
        for (q = ngx_queue_head(lists[l]);
             q != ngx_queue_sentinel(lists[l]) && i < n;
             q = ngx_queue_next(q))
        {
            node = ngx_queue_data(q, ngx_http_weir_breaker_node_t, queue);

            ngx_http_weir_breaker_list_info(node, &breakers[i]);

            breakers[i].key.data = keys;
            breakers[i].key.len = node->sn.str.len;
            keys = ngx_cpymem(keys, node->key, node->sn.str.len);
            i++;
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return i;
}


/* Copies all fields except the key; the mutex is held. */

static void
ngx_http_weir_breaker_list_info(ngx_http_weir_breaker_node_t *node,
    ngx_http_weir_breaker_info_t *info)
{
    uint64_t  now;

    now = ngx_max((uint64_t) ngx_current_msec, node->breaker.since);

    info->state = weir_breaker_state(&node->breaker, &node->settings, now);
    info->counts = weir_breaker_counts(&node->breaker, &node->settings, now);
    info->rule = node->breaker.rule;
    info->opened = node->breaker.opened;
    info->window = node->settings.window;
    info->cause = node->cause;
    info->openings = node->openings;
    info->refused = node->refused;
    info->probes = node->probes;
    info->forced = weir_breaker_is_forced(&node->breaker, now);
    info->since = now - node->breaker.since;
    info->retry_after = (info->state == WEIR_BREAKER_OPEN)
                        ? weir_breaker_retry_after(&node->breaker, now) : 0;
}
