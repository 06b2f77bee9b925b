#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "http/ngx_http_weir.h"


typedef struct {
    ngx_str_node_t            sn;          /* key; its bytes follow the node */
    ngx_queue_t               queue;       /* by last use, newest first */
    weir_breaker_t            breaker;
    u_char                    key[1];
} ngx_http_weir_breaker_node_t;


typedef struct {
    uint64_t                  layout;      /* first: see ngx_http_weir.h */
    ngx_rbtree_t              rbtree;
    ngx_rbtree_node_t         sentinel;
    ngx_queue_t               queue;
    uint64_t                  generation;  /* the last one given out */
    ngx_uint_t                full;        /* unsigned  full:1;  logged */
} ngx_http_weir_breaker_sh_t;


typedef struct {
    ngx_http_weir_breaker_sh_t  *sh;       /* guarded by shpool->mutex */
    ngx_slab_pool_t             *shpool;
} ngx_http_weir_breaker_zone_t;


static ngx_int_t ngx_http_weir_breaker_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_node(
    ngx_http_weir_breaker_zone_t *zone, ngx_str_t *key, uint32_t hash,
    ngx_uint_t *evicted);
static void ngx_http_weir_breaker_log(weir_breaker_state_t was,
    weir_breaker_state_t is, ngx_str_t *key, ngx_log_t *log);


char *
ngx_http_weir_breaker_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ssize_t                        size;
    ngx_str_t                     *value;
    ngx_shm_zone_t                *shm_zone;
    ngx_http_weir_breaker_zone_t  *zone;

    value = cf->args->elts;

    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < (ssize_t) (8 * ngx_pagesize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"weir_breaker_zone\";"
                           " it must be at least %uzk", &value[2],
                           8 * ngx_pagesize / 1024);
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &value[1], size,
                                     &ngx_http_weir_breaker_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_breaker_zone\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    zone = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_breaker_zone_t));
    if (zone == NULL) {
        return NGX_CONF_ERROR;
    }

    shm_zone->init = ngx_http_weir_breaker_init_zone;
    shm_zone->data = zone;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_breaker_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    size_t                         len;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    zone->shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;

    if (data || shm_zone->shm.exists) {
        zone->sh = zone->shpool->data;
        return ngx_http_weir_check_layout(shm_zone, zone->sh->layout);
    }

    zone->sh = ngx_slab_calloc(zone->shpool,
                               sizeof(ngx_http_weir_breaker_sh_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;
    zone->sh->layout = ngx_http_weir_layout();

    ngx_rbtree_init(&zone->sh->rbtree, &zone->sh->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&zone->sh->queue);

    len = sizeof(" in weir_breaker_zone \"\"") + shm_zone->shm.name.len;

    zone->shpool->log_ctx = ngx_slab_alloc(zone->shpool, len);
    if (zone->shpool->log_ctx == NULL) {
        return NGX_ERROR;
    }

    ngx_sprintf(zone->shpool->log_ctx, " in weir_breaker_zone \"%V\"%Z",
                &shm_zone->shm.name);

    zone->shpool->log_nomem = 0;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_breaker_zone_admit(ngx_shm_zone_t *shm_zone, ngx_str_t *key,
    weir_breaker_settings_t *settings, uint64_t *generation,
    ngx_msec_t *retry_after, ngx_log_t *log)
{
    uint32_t                       hash;
    ngx_int_t                      rc;
    ngx_uint_t                     evicted, full;
    weir_breaker_state_t           was, is;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    hash = ngx_crc32_short(key->data, key->len);
    evicted = 0;
    full = 0;
    was = is = WEIR_BREAKER_CLOSED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_node(zone, key, hash, &evicted);

    if (evicted || node == NULL) {
        full = !zone->sh->full;
        zone->sh->full = 1;
    }

    if (node == NULL) {
        rc = NGX_DECLINED;

    } else {
        was = node->breaker.state;
        rc = weir_breaker_admit(&node->breaker, settings, ngx_current_msec,
                                ++zone->sh->generation, generation)
             ? NGX_OK : NGX_BUSY;
        is = node->breaker.state;

        if (rc == NGX_BUSY) {
            *retry_after = weir_breaker_retry_after(&node->breaker, settings,
                                                    ngx_current_msec);
        }
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (full) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "weir_breaker_zone \"%V\" is full: breakers that were"
                      " used longest ago are being forgotten",
                      &shm_zone->shm.name);
    }

    if (was != is) {
        ngx_http_weir_breaker_log(was, is, key, log);
    }

    return rc;
}


void
ngx_http_weir_breaker_zone_report(ngx_shm_zone_t *shm_zone, ngx_str_t *key,
    weir_breaker_settings_t *settings, uint64_t generation,
    weir_breaker_outcome_t outcome, ngx_log_t *log)
{
    uint32_t                       hash;
    weir_breaker_state_t           was, is;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    hash = ngx_crc32_short(key->data, key->len);
    was = is = WEIR_BREAKER_CLOSED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = (ngx_http_weir_breaker_node_t *)
                         ngx_str_rbtree_lookup(&zone->sh->rbtree, key, hash);

    if (node) {
        was = node->breaker.state;
        weir_breaker_report(&node->breaker, settings, ngx_current_msec,
                            ++zone->sh->generation, generation, outcome);
        is = node->breaker.state;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (was != is) {
        ngx_http_weir_breaker_log(was, is, key, log);
    }
}


weir_breaker_state_t
ngx_http_weir_breaker_zone_state(ngx_shm_zone_t *shm_zone, ngx_str_t *key,
    weir_breaker_settings_t *settings)
{
    uint32_t                       hash;
    weir_breaker_state_t           state;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;
    hash = ngx_crc32_short(key->data, key->len);
    state = WEIR_BREAKER_CLOSED;

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = (ngx_http_weir_breaker_node_t *)
                         ngx_str_rbtree_lookup(&zone->sh->rbtree, key, hash);

    if (node) {
        state = weir_breaker_state(&node->breaker, settings, ngx_current_msec);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return state;
}


/* Finds or makes the key's node; the mutex is held. */

static ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_node(ngx_http_weir_breaker_zone_t *zone, ngx_str_t *key,
    uint32_t hash, ngx_uint_t *evicted)
{
    size_t                         size;
    ngx_queue_t                   *q;
    ngx_http_weir_breaker_node_t  *node, *oldest;

    node = (ngx_http_weir_breaker_node_t *)
                         ngx_str_rbtree_lookup(&zone->sh->rbtree, key, hash);

    if (node) {
        ngx_queue_remove(&node->queue);
        ngx_queue_insert_head(&zone->sh->queue, &node->queue);
        return node;
    }

    size = offsetof(ngx_http_weir_breaker_node_t, key) + key->len;

    node = ngx_slab_alloc_locked(zone->shpool, size);

    while (node == NULL && !ngx_queue_empty(&zone->sh->queue)) {
        q = ngx_queue_last(&zone->sh->queue);
        oldest = ngx_queue_data(q, ngx_http_weir_breaker_node_t, queue);

        ngx_queue_remove(q);
        ngx_rbtree_delete(&zone->sh->rbtree, &oldest->sn.node);
        ngx_slab_free_locked(zone->shpool, oldest);
        *evicted = 1;

        node = ngx_slab_alloc_locked(zone->shpool, size);
    }

    if (node == NULL) {
        return NULL;
    }

    ngx_memcpy(node->key, key->data, key->len);
    node->sn.str.data = node->key;
    node->sn.str.len = key->len;
    node->sn.node.key = hash;

    weir_breaker_init(&node->breaker, ngx_current_msec,
                      ++zone->sh->generation);

    ngx_rbtree_insert(&zone->sh->rbtree, &node->sn.node);
    ngx_queue_insert_head(&zone->sh->queue, &node->queue);

    return node;
}


static void
ngx_http_weir_breaker_log(weir_breaker_state_t was, weir_breaker_state_t is,
    ngx_str_t *key, ngx_log_t *log)
{
    ngx_uint_t    level;

    static char  *names[] = { "closed", "open", "half-open" };

    level = (is == WEIR_BREAKER_OPEN) ? NGX_LOG_WARN : NGX_LOG_NOTICE;

    ngx_log_error(level, log, 0, "weir_breaker \"%V\": %s, was %s",
                  key, names[is], names[was]);
}
