#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "breaker/ngx_http_weir_breaker_log.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "object/ngx_http_weir_object.h"


typedef struct {
    ngx_str_node_t            sn;          /* the key; its bytes follow the node */
    ngx_queue_t               queue;       /* sh->closed or sh->tripped */
    weir_breaker_t            breaker;
    weir_breaker_settings_t   settings;    /* of the first request since ... */
    uint64_t                  configuration;  /* ... this configuration was read */
    uint64_t                  openings;    /* changes from closed to open */
    uint64_t                  refused;     /* calls */
    ngx_uint_t                cause;       /* of the last failure */
    u_char                    key[1];
} ngx_http_weir_breaker_node_t;


typedef struct {
    uint64_t                  layout;      /* first member: see ngx_http_weir.h */
    ngx_rbtree_t              rbtree;
    ngx_rbtree_node_t         sentinel;
    ngx_queue_t               closed;      /* by last use, the newest first */
    ngx_queue_t               tripped;     /* the others, in the same order */
    ngx_uint_t                breakers;
    ngx_uint_t                not_closed;
    uint64_t                  generation;  /* the last one given out */
    uint64_t                  configuration;  /* number of times it was read */
    uint64_t                  forgotten;   /* breakers evicted */
    uint64_t                  uncounted;   /* calls not counted for lack of
                                              memory */
    ngx_uint_t                full;        /* bool, logged */
} ngx_http_weir_breaker_sh_t;


typedef struct {
    ngx_http_weir_breaker_sh_t  *sh;       /* guarded by shpool->mutex */
    ngx_slab_pool_t             *shpool;
    uint64_t                     configuration;  /* of this cycle */
} ngx_http_weir_breaker_zone_t;


static ngx_int_t ngx_http_weir_breaker_init_zone(ngx_shm_zone_t *shm_zone,
    void *data);
static ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_find(
    ngx_http_weir_breaker_zone_t *zone, ngx_str_t *key);
static ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_node(
    ngx_http_weir_breaker_zone_t *zone, ngx_str_t *key,
    weir_breaker_settings_t *settings);
static ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_evictable(
    ngx_http_weir_breaker_zone_t *zone);
static void ngx_http_weir_breaker_used(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node, weir_breaker_state_t was);
static void ngx_http_weir_breaker_info(ngx_http_weir_breaker_node_t *node,
    ngx_http_weir_breaker_info_t *info);


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
                           " it must be like 1m or 512k, and at least %uzk", &value[2],
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

        if (ngx_http_weir_check_layout(shm_zone, zone->sh->layout) != NGX_OK) {
            return NGX_ERROR;
        }

        zone->configuration = ++zone->sh->configuration;
        return NGX_OK;
    }

    zone->sh = ngx_slab_calloc(zone->shpool,
                               sizeof(ngx_http_weir_breaker_sh_t));
    if (zone->sh == NULL) {
        return NGX_ERROR;
    }

    zone->shpool->data = zone->sh;
    zone->sh->layout = ngx_http_weir_layout();
    zone->configuration = ++zone->sh->configuration;

    ngx_rbtree_init(&zone->sh->rbtree, &zone->sh->sentinel,
                    ngx_str_rbtree_insert_value);
    ngx_queue_init(&zone->sh->closed);
    ngx_queue_init(&zone->sh->tripped);

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
    ngx_int_t                        rc;
    ngx_uint_t                       full;
    ngx_http_weir_breaker_node_t    *node;
    ngx_http_weir_breaker_zone_t    *zone;
    ngx_http_weir_breaker_change_t   change;

    zone = shm_zone->data;
    ngx_memzero(&change, sizeof(ngx_http_weir_breaker_change_t));

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_node(zone, key, settings);

    full = zone->sh->full == 1;
    if (full) {
        zone->sh->full = 2;
    }

    if (node == NULL) {
        rc = NGX_DECLINED;

    } else {
        change.was = node->breaker.state;
        rc = weir_breaker_admit(&node->breaker, &node->settings,
                                ngx_current_msec, ++zone->sh->generation,
                                generation)
             ? NGX_OK : NGX_BUSY;
        change.is = node->breaker.state;

        if (rc == NGX_BUSY) {
            node->refused++;
            *retry_after = weir_breaker_retry_after(&node->breaker,
                                                    &node->settings,
                                                    ngx_current_msec);
        }

        ngx_http_weir_breaker_used(zone, node, change.was);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    if (full) {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "weir_breaker_zone \"%V\" is full: the least recently"
                      " used closed breakers are evicted; while all breakers"
                      " are open, calls of new keys are not counted",
                      &shm_zone->shm.name);
    }

    ngx_http_weir_breaker_log(&change, shm_zone, key, log);

    return rc;
}


void
ngx_http_weir_breaker_zone_report(ngx_shm_zone_t *shm_zone, ngx_str_t *key,
    uint64_t generation, weir_breaker_outcome_t outcome, ngx_uint_t cause,
    uint64_t *success, ngx_log_t *log)
{
    ngx_http_weir_breaker_node_t    *node;
    ngx_http_weir_breaker_zone_t    *zone;
    ngx_http_weir_breaker_change_t   change;

    zone = shm_zone->data;
    ngx_memzero(&change, sizeof(ngx_http_weir_breaker_change_t));

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_find(zone, key);

    if (node && node->breaker.generation == generation) {

        if (outcome == WEIR_BREAKER_FAILURE) {
            node->cause = cause;
        }

        change.was = node->breaker.state;

        if (*success) {
            weir_breaker_take_back(&node->breaker, &node->settings,
                                   ngx_current_msec, ++zone->sh->generation,
                                   generation, *success);
        } else {
            weir_breaker_report(&node->breaker, &node->settings,
                                ngx_current_msec, ++zone->sh->generation,
                                generation, outcome);
        }

        if (outcome == WEIR_BREAKER_SUCCESS) {
            *success = node->breaker.successes;
        }

        change.is = node->breaker.state;
        change.rule = node->breaker.rule;
        change.counts = node->breaker.opened;
        change.cause = node->cause;

        ngx_http_weir_breaker_used(zone, node, change.was);
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    ngx_http_weir_breaker_log(&change, shm_zone, key, log);
}


weir_breaker_state_t
ngx_http_weir_breaker_zone_state(ngx_shm_zone_t *shm_zone, ngx_str_t *key)
{
    weir_breaker_state_t           state;
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_find(zone, key);
    state = node ? weir_breaker_state(&node->breaker, &node->settings,
                                      ngx_current_msec)
                 : WEIR_BREAKER_CLOSED;

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return state;
}


ngx_int_t
ngx_http_weir_breaker_zone_find(ngx_shm_zone_t *shm_zone, ngx_str_t *key,
    ngx_http_weir_breaker_info_t *info)
{
    ngx_http_weir_breaker_node_t  *node;
    ngx_http_weir_breaker_zone_t  *zone;

    zone = shm_zone->data;

    ngx_shmtx_lock(&zone->shpool->mutex);

    node = ngx_http_weir_breaker_find(zone, key);

    if (node) {
        ngx_http_weir_breaker_info(node, info);
        info->key = *key;
    }

    ngx_shmtx_unlock(&zone->shpool->mutex);

    return node ? NGX_OK : NGX_DECLINED;
}


static ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_find(ngx_http_weir_breaker_zone_t *zone, ngx_str_t *key)
{
    uint32_t  hash;

    hash = ngx_crc32_short(key->data, key->len);

    return (ngx_http_weir_breaker_node_t *)
                         ngx_str_rbtree_lookup(&zone->sh->rbtree, key, hash);
}


/* Finds or creates the node of the key; the mutex is held. */

static ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_node(ngx_http_weir_breaker_zone_t *zone, ngx_str_t *key,
    weir_breaker_settings_t *settings)
{
    size_t                         size;
    ngx_http_weir_breaker_node_t  *node, *old;

    node = ngx_http_weir_breaker_find(zone, key);

    if (node) {
        if (node->configuration < zone->configuration) {
            node->configuration = zone->configuration;
            node->settings = *settings;
        }

        return node;
    }

    size = offsetof(ngx_http_weir_breaker_node_t, key) + key->len;

    while ((node = ngx_slab_calloc_locked(zone->shpool, size)) == NULL) {

        zone->sh->full = ngx_max(zone->sh->full, 1);

        old = ngx_http_weir_breaker_evictable(zone);
        if (old == NULL) {
            zone->sh->uncounted++;
            return NULL;
        }

        ngx_http_weir_assert(zone->sh->breakers != 0);
        ngx_http_weir_assert(zone->sh->not_closed <= zone->sh->breakers);

        zone->sh->forgotten++;
        zone->sh->breakers--;
        zone->sh->not_closed -= (old->breaker.state != WEIR_BREAKER_CLOSED);

        ngx_queue_remove(&old->queue);
        ngx_rbtree_delete(&zone->sh->rbtree, &old->sn.node);
        ngx_slab_free_locked(zone->shpool, old);
    }

    ngx_memcpy(node->key, key->data, key->len);
    node->sn.str.data = node->key;
    node->sn.str.len = key->len;
    node->sn.node.key = ngx_crc32_short(key->data, key->len);
    node->configuration = zone->configuration;
    node->settings = *settings;

    weir_breaker_init(&node->breaker, ngx_current_msec,
                      ++zone->sh->generation);

    ngx_rbtree_insert(&zone->sh->rbtree, &node->sn.node);
    ngx_queue_insert_head(&zone->sh->closed, &node->queue);
    zone->sh->breakers++;

    return node;
}


/*
 * Selects the breaker to evict: clients that create keys must not cause the
 * eviction of open breakers.  NULL: none can be evicted.
 */

static ngx_http_weir_breaker_node_t *
ngx_http_weir_breaker_evictable(ngx_http_weir_breaker_zone_t *zone)
{
    ngx_queue_t                   *q;
    ngx_http_weir_breaker_node_t  *node;

    if (!ngx_queue_empty(&zone->sh->closed)) {
        q = ngx_queue_last(&zone->sh->closed);
        return ngx_queue_data(q, ngx_http_weir_breaker_node_t, queue);
    }

    if (ngx_queue_empty(&zone->sh->tripped)) {
        return NULL;
    }

    q = ngx_queue_last(&zone->sh->tripped);
    node = ngx_queue_data(q, ngx_http_weir_breaker_node_t, queue);

    return ngx_current_msec > node->breaker.since + 2 * node->settings.open
           ? node : NULL;
}


/*
 * Moves the node from the queue of its old state to that of its new one; the
 * mutex is held.
 */

static void
ngx_http_weir_breaker_used(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node, weir_breaker_state_t was)
{
    weir_breaker_state_t  is;

    is = node->breaker.state;

    zone->sh->not_closed += (is != WEIR_BREAKER_CLOSED);
    zone->sh->not_closed -= (was != WEIR_BREAKER_CLOSED);
    node->openings += (was == WEIR_BREAKER_CLOSED && is == WEIR_BREAKER_OPEN);

    ngx_http_weir_assert(zone->sh->not_closed <= zone->sh->breakers);

    ngx_queue_remove(&node->queue);
    ngx_queue_insert_head(is == WEIR_BREAKER_CLOSED ? &zone->sh->closed
                                                    : &zone->sh->tripped,
                          &node->queue);
}


ngx_int_t
ngx_http_weir_breaker_zone_list(ngx_shm_zone_t *shm_zone, ngx_pool_t *pool,
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

            ngx_http_weir_breaker_info(node, &breakers[i]);

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
ngx_http_weir_breaker_info(ngx_http_weir_breaker_node_t *node,
    ngx_http_weir_breaker_info_t *info)
{
    uint64_t  now;

    now = ngx_max((uint64_t) ngx_current_msec, node->breaker.since);

    info->state = weir_breaker_state(&node->breaker, &node->settings, now);
    info->counts = weir_breaker_counts(&node->breaker, &node->settings, now);
    info->rule = node->breaker.rule;
    info->opened = node->breaker.opened;
    info->cause = node->cause;
    info->openings = node->openings;
    info->refused = node->refused;
    info->since = now - node->breaker.since;
    info->retry_after = (info->state == WEIR_BREAKER_OPEN)
                        ? weir_breaker_retry_after(&node->breaker,
                                                   &node->settings, now)
                        : 0;
}
