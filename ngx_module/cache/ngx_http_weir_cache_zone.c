/* The first level in shared memory; see ngx_http_weir_cache_zone.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry.h"
#include "cache/ngx_http_weir_cache_flight.h"
#include "cache/ngx_http_weir_cache_zone_private.h"


/* Entries that are looked at before an allocation is given up. */
#define NGX_HTTP_WEIR_CACHE_EVICT_MAX  1000

/* What part of the memory the small queue may take before it gives way. */
#define NGX_HTTP_WEIR_CACHE_SMALL_PART  10

/*
 * Look-ups of a key in vain are counted in one of so many places, a power of
 * two; with a single one two keys could make each other forgotten for ever.
 */
#define NGX_HTTP_WEIR_CACHE_MISS_WAYS  8


static void ngx_http_weir_cache_zone_join(ngx_http_weir_cache_zone_t *zone);
static void ngx_http_weir_cache_zone_recover(ngx_http_weir_cache_zone_t *zone);
static void ngx_http_weir_cache_zone_clear(ngx_http_weir_cache_sh_t *sh,
    weir_arena_extent_t *extents, size_t n);
static void ngx_http_weir_cache_zone_reap(ngx_http_weir_cache_zone_t *zone);
static void ngx_http_weir_cache_zone_unpin_all(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_worker_t *worker);
static ngx_http_weir_cache_node_t **ngx_http_weir_cache_zone_bucket(
    ngx_http_weir_cache_sh_t *sh, u_char *digest);
static ngx_http_weir_cache_node_t *ngx_http_weir_cache_zone_find(
    ngx_http_weir_cache_sh_t *sh, u_char *digest);
static ngx_int_t ngx_http_weir_cache_zone_pin(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_node_t *node);
static void ngx_http_weir_cache_zone_unref(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);
static void ngx_http_weir_cache_zone_unlink(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);
static ngx_http_weir_cache_node_t *ngx_http_weir_cache_zone_alloc(
    ngx_http_weir_cache_zone_t *zone, size_t len);
static ngx_uint_t ngx_http_weir_cache_zone_evict(ngx_http_weir_cache_sh_t *sh);
static uint32_t *ngx_http_weir_cache_zone_misses(ngx_http_weir_cache_sh_t *sh,
    u_char *digest, uint32_t *mark);


ngx_int_t
ngx_http_weir_cache_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_weir_cache_zone_t  *old = data;

    size_t                       left;
    ngx_uint_t                   workers, buckets;
    ngx_core_conf_t             *ccf;
    ngx_slab_pool_t             *shpool;
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_zone_t  *zone;

    zone = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    zone->shpool = shpool;

    if (old) {
        zone->sh = old->sh;
        zone->invalidation = old->sh->invalidation;
        return NGX_OK;
    }

    if (shm_zone->shm.exists) {
        zone->sh = shpool->data;
        zone->invalidation = zone->sh->invalidation;
        return NGX_OK;
    }

    /* workers of several configurations may be there at once */

    ccf = (ngx_core_conf_t *) ngx_get_conf(zone->cycle->conf_ctx,
                                           ngx_core_module);
    workers = ngx_max(ccf->worker_processes, 1) * 4;

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_cache_sh_t)
                            + workers * sizeof(ngx_http_weir_cache_worker_t));
    if (sh == NULL) {
        goto failed;
    }

    sh->nworkers = workers;

    sh->invalidation = ngx_http_weir_cache_invalidation_create(shpool,
                                                          shm_zone->shm.size);
    if (sh->invalidation == NULL) {
        goto failed;
    }

    zone->invalidation = sh->invalidation;

    /* as many buckets as there can be entries of 1 KiB */

    left = shpool->pfree * ngx_pagesize;

    for (buckets = 64; buckets * 2 * 1024 <= left; buckets *= 2) { /* void */ }

    sh->mask = buckets - 1;
    sh->buckets = ngx_slab_calloc(shpool, buckets * sizeof(void *));
    sh->misses = ngx_slab_calloc(shpool, buckets * sizeof(uint32_t));

    /* and a flight for every eighth */

    sh->nflights = buckets / 8;
    sh->flights = ngx_slab_calloc(shpool,
                              ngx_http_weir_cache_flight_size(sh->nflights));

    if (sh->buckets == NULL || sh->misses == NULL || sh->flights == NULL) {
        goto failed;
    }

    /* and all that is left, in one piece */

    sh->size = shpool->pfree * ngx_pagesize;

    if (sh->size < 4 * ngx_pagesize) {
        goto failed;
    }

    sh->memory = ngx_slab_alloc(shpool, sh->size);
    if (sh->memory == NULL) {
        goto failed;
    }

    ngx_http_weir_cache_zone_clear(sh, NULL, 0);

    zone->sh = sh;
    shpool->data = sh;
    shpool->log_nomem = 0;

    return NGX_OK;

failed:

    ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                  "\"weir_cache_zone\" \"%V\" is too small for %ui workers",
                  &zone->name, workers);

    return NGX_ERROR;
}


/* An empty zone, but for blocks that are pinned. */

static void
ngx_http_weir_cache_zone_clear(ngx_http_weir_cache_sh_t *sh,
    weir_arena_extent_t *extents, size_t n)
{
    ngx_memzero(sh->buckets, (sh->mask + 1) * sizeof(void *));

    ngx_queue_init(&sh->small);
    ngx_queue_init(&sh->main);
    sh->small_bytes = 0;
    sh->entries = 0;

    weir_arena_init(&sh->arena, sh->memory, sh->size, extents, n);
}


ngx_int_t
ngx_http_weir_cache_zone_init_worker(ngx_http_weir_cache_zone_t *zone)
{
    ngx_uint_t                 i;
    ngx_http_weir_cache_sh_t  *sh;

    sh = zone->sh;

    zone->extents = ngx_alloc(sh->nworkers * NGX_HTTP_WEIR_CACHE_PINS
                              * sizeof(weir_arena_extent_t), ngx_cycle->log);
    if (zone->extents == NULL) {
        return NGX_ERROR;
    }

    ngx_http_weir_cache_zone_lock(zone);

    for (i = 0; i < sh->nworkers; i++) {

        if (sh->workers[i].pid == ngx_pid) {
            /* of a dead worker that had the same pid */
            ngx_http_weir_cache_zone_unpin_all(sh, &sh->workers[i]);
            sh->workers[i].pid = 0;
        }
    }

    ngx_http_weir_cache_zone_reap(zone);
    ngx_http_weir_cache_zone_join(zone);

    ngx_http_weir_cache_zone_unlock(zone);

    return NGX_OK;
}


/*
 * Takes a table for pins.  There may be none, when there are more workers than
 * the zone was made for, or old ones that have not left yet.
 */

static void
ngx_http_weir_cache_zone_join(ngx_http_weir_cache_zone_t *zone)
{
    ngx_uint_t                 i;
    ngx_http_weir_cache_sh_t  *sh;

    sh = zone->sh;

    for (i = 0; i < sh->nworkers; i++) {

        if (sh->workers[i].pid == 0) {
            sh->workers[i].pid = ngx_pid;
            zone->worker = &sh->workers[i];
            break;
        }
    }
}


void
ngx_http_weir_cache_zone_exit_worker(ngx_http_weir_cache_zone_t *zone)
{
    if (zone->worker) {
        ngx_http_weir_cache_zone_lock(zone);

        ngx_http_weir_cache_zone_unpin_all(zone->sh, zone->worker);
        zone->worker->pid = 0;

        ngx_http_weir_cache_zone_unlock(zone);

        zone->worker = NULL;
    }

    ngx_free(zone->extents);
    zone->extents = NULL;
}


void
ngx_http_weir_cache_zone_lock(ngx_http_weir_cache_zone_t *zone)
{
    ngx_shmtx_lock(&zone->shpool->mutex);

    if (zone->sh->changing) {
        ngx_http_weir_cache_zone_recover(zone);
    }

    zone->sh->changing = 1;
    ngx_memory_barrier();
}


void
ngx_http_weir_cache_zone_unlock(ngx_http_weir_cache_zone_t *zone)
{
    ngx_memory_barrier();
    zone->sh->changing = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/*
 * Somebody died in the middle of a change: lists, counts and free blocks may be
 * anything.  Trusted are the tables of pins, and the sizes of pinned blocks,
 * which do not change while a block is allocated.
 */

static void
ngx_http_weir_cache_zone_recover(ngx_http_weir_cache_zone_t *zone)
{
    size_t                         n;
    ngx_uint_t                     i, k;
    ngx_http_weir_cache_sh_t      *sh;
    ngx_http_weir_cache_node_t    *node;
    ngx_http_weir_cache_worker_t  *worker;

    sh = zone->sh;

    for (i = 0; i < sh->nworkers; i++) {
        worker = &sh->workers[i];

        if (worker->pid && ngx_http_weir_cache_zone_dead(worker->pid)) {
            ngx_memzero(worker->pins, sizeof(worker->pins));
            worker->pid = 0;
        }

        for (k = 0; k < NGX_HTTP_WEIR_CACHE_PINS; k++) {
            if (worker->pins[k]) {
                worker->pins[k]->refs = 0;
            }
        }
    }

    n = 0;

    for (i = 0; i < sh->nworkers; i++) {
        worker = &sh->workers[i];

        for (k = 0; k < NGX_HTTP_WEIR_CACHE_PINS; k++) {
            node = worker->pins[k];

            if (node == NULL) {
                continue;
            }

            if (node->refs++ == 0) {
                zone->extents[n].payload = node;
                zone->extents[n].size = weir_arena_block_size(node);
                n++;
            }

            node->linked = 0;
        }
    }

    ngx_http_weir_cache_zone_clear(sh, zone->extents, n);
    ngx_http_weir_cache_flight_reset(sh->flights, sh->nflights);

    sh->counters.recovered++;

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "weir_cache_zone \"%V\" starts over: a worker was killed"
                  " while it changed the zone", &zone->name);
}


ngx_uint_t
ngx_http_weir_cache_zone_dead(ngx_pid_t pid)
{
    return kill(pid, 0) == -1 && ngx_errno == ESRCH;
}


/* Gives back what workers had pinned that are no more. */

static void
ngx_http_weir_cache_zone_reap(ngx_http_weir_cache_zone_t *zone)
{
    ngx_uint_t                     i;
    ngx_http_weir_cache_sh_t      *sh;
    ngx_http_weir_cache_worker_t  *worker;

    sh = zone->sh;

    for (i = 0; i < sh->nworkers; i++) {
        worker = &sh->workers[i];

        if (worker->pid && worker->pid != ngx_pid
            && ngx_http_weir_cache_zone_dead(worker->pid))
        {
            ngx_http_weir_cache_zone_unpin_all(sh, worker);
            worker->pid = 0;
        }
    }
}


static void
ngx_http_weir_cache_zone_unpin_all(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_worker_t *worker)
{
    ngx_uint_t                   i;
    ngx_http_weir_cache_node_t  *node;

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_PINS; i++) {
        node = worker->pins[i];

        if (node) {
            worker->pins[i] = NULL;
            ngx_http_weir_cache_zone_unref(sh, node);
        }
    }
}


static ngx_http_weir_cache_node_t **
ngx_http_weir_cache_zone_bucket(ngx_http_weir_cache_sh_t *sh, u_char *digest)
{
    uint32_t  n;

    ngx_memcpy(&n, digest, sizeof(uint32_t));

    return &sh->buckets[n & sh->mask];
}


static ngx_http_weir_cache_node_t *
ngx_http_weir_cache_zone_find(ngx_http_weir_cache_sh_t *sh, u_char *digest)
{
    ngx_http_weir_cache_node_t  *node;

    for (node = *ngx_http_weir_cache_zone_bucket(sh, digest);
         node;
         node = node->next)
    {
        if (ngx_memcmp(node->digest, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
            == 0)
        {
            return node;
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_weir_cache_zone_get(ngx_http_weir_cache_zone_t *zone, u_char *digest,
    ngx_pool_t *pool, ngx_http_weir_cache_pin_t *pin)
{
    ngx_int_t                    place;
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_node_t  *node;

    sh = zone->sh;

    ngx_http_weir_cache_zone_lock(zone);

    node = ngx_http_weir_cache_zone_find(sh, digest);

    if (node == NULL) {
        ngx_http_weir_cache_zone_unlock(zone);
        return NGX_DECLINED;
    }

    if (node->uses < 3) {
        node->uses++;
    }

    pin->len = node->len;
    place = ngx_http_weir_cache_zone_pin(zone, node);

    if (place != NGX_ERROR) {
        ngx_http_weir_cache_zone_unlock(zone);

        pin->data = node->data;
        pin->node = node;
        pin->place = place;

        return NGX_OK;
    }

    pin->node = NULL;
    pin->data = ngx_pnalloc(pool, node->len);

    if (pin->data) {
        ngx_memcpy(pin->data, node->data, node->len);
    }

    ngx_http_weir_cache_zone_unlock(zone);

    return pin->data ? NGX_OK : NGX_ERROR;
}


/* The pin's place, or NGX_ERROR when all of the node's set are taken. */

static ngx_int_t
ngx_http_weir_cache_zone_pin(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_node_t *node)
{
    ngx_int_t                      free;
    ngx_uint_t                     i, first;
    ngx_http_weir_cache_worker_t  *worker;

    worker = zone->worker;

    if (worker == NULL) {
        return NGX_ERROR;
    }

    /* entries of one size stand at regular distances: these must not meet */

    first = (((uint64_t) (uintptr_t) node * 0x9e3779b97f4a7c15) >> 48)
            % NGX_HTTP_WEIR_CACHE_PIN_SETS * NGX_HTTP_WEIR_CACHE_PIN_WAYS;
    free = NGX_ERROR;

    for (i = first; i < first + NGX_HTTP_WEIR_CACHE_PIN_WAYS; i++) {

        if (worker->pins[i] == node) {
            zone->pins[i]++;
            return i;
        }

        if (worker->pins[i] == NULL) {
            free = i;
        }
    }

    if (free != NGX_ERROR) {
        worker->pins[free] = node;
        zone->pins[free] = 1;
        node->refs++;
    }

    return free;
}


void
ngx_http_weir_cache_zone_release(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_pin_t *pin)
{
    ngx_http_weir_cache_node_t  *node;

    node = pin->node;

    if (node == NULL) {
        return;
    }

    pin->node = NULL;

    if (--zone->pins[pin->place]) {
        /* other requests of this worker send it */
        return;
    }

    ngx_http_weir_cache_zone_lock(zone);

    zone->worker->pins[pin->place] = NULL;
    ngx_http_weir_cache_zone_unref(zone->sh, node);

    ngx_http_weir_cache_zone_unlock(zone);
}


static void
ngx_http_weir_cache_zone_unref(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    if (--node->refs == 0 && !node->linked) {
        weir_arena_free(&sh->arena, node);
    }
}


/* Takes the node out of bucket and queue, and frees it unless it is pinned. */

static void
ngx_http_weir_cache_zone_unlink(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_cache_node_t  **p;

    for (p = ngx_http_weir_cache_zone_bucket(sh, node->digest);
         *p != node;
         p = &(*p)->next)
    {
        /* void */
    }

    *p = node->next;

    ngx_queue_remove(&node->queue);

    if (!node->main) {
        sh->small_bytes -= weir_arena_block_size(node);
    }

    node->linked = 0;
    sh->entries--;

    if (node->refs == 0) {
        weir_arena_free(&sh->arena, node);
    }
}


/*
 * The entry is filled outside of the mutex, pinned and not yet linked: should
 * this worker be killed meanwhile, the block goes the way of its pins.  When it
 * can't be pinned it is filled under the mutex.
 */

ngx_int_t
ngx_http_weir_cache_zone_put(ngx_http_weir_cache_zone_t *zone, u_char *digest,
    u_char *data, size_t len)
{
    ngx_int_t                     place;
    ngx_http_weir_cache_sh_t     *sh;
    ngx_http_weir_cache_pin_t     pin;
    ngx_http_weir_cache_node_t   *node, *old, **bucket;

    sh = zone->sh;

    if (len > ngx_http_weir_cache_zone_largest(zone)) {
        return NGX_DECLINED;
    }

    ngx_http_weir_cache_zone_lock(zone);

    if (zone->worker == NULL) {
        ngx_http_weir_cache_zone_join(zone);
    }

    node = ngx_http_weir_cache_zone_alloc(zone, len);

    if (node == NULL) {
        sh->counters.refused++;
        ngx_http_weir_cache_zone_unlock(zone);
        return NGX_DECLINED;
    }

    node->refs = 0;
    node->linked = 0;

    place = ngx_http_weir_cache_zone_pin(zone, node);

    if (place != NGX_ERROR) {
        ngx_http_weir_cache_zone_unlock(zone);
    }

    ngx_memcpy(node->digest, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    ngx_memcpy(node->data, data, len);
    node->len = len;
    node->uses = 0;

    if (place != NGX_ERROR) {
        ngx_http_weir_cache_zone_lock(zone);
    }

    old = ngx_http_weir_cache_zone_find(sh, digest);

    if (old && weir_entry_stored((char *) old->data)
               > weir_entry_stored((char *) data))
    {
        /* what was on its way from Redis is older than what came meanwhile */

        if (place == NGX_ERROR) {
            weir_arena_free(&sh->arena, node);
        }

        ngx_http_weir_cache_zone_unlock(zone);

        pin.node = (place != NGX_ERROR) ? node : NULL;
        pin.place = place;
        ngx_http_weir_cache_zone_release(zone, &pin);

        return NGX_DECLINED;
    }

    /* who was there, or asked for before, needs no probation */

    node->main = (old && old->main)
                 || ngx_http_weir_cache_zone_uses(zone, digest) > 1;

    if (old) {
        ngx_http_weir_cache_zone_unlink(sh, old);
    }

    bucket = ngx_http_weir_cache_zone_bucket(sh, digest);
    node->next = *bucket;
    *bucket = node;

    if (node->main) {
        ngx_queue_insert_head(&sh->main, &node->queue);

    } else {
        ngx_queue_insert_head(&sh->small, &node->queue);
        sh->small_bytes += weir_arena_block_size(node);
    }

    node->linked = 1;
    sh->entries++;
    sh->counters.stored++;

    ngx_http_weir_cache_zone_unlock(zone);

    pin.node = (place != NGX_ERROR) ? node : NULL;
    pin.place = place;
    ngx_http_weir_cache_zone_release(zone, &pin);

    return NGX_OK;
}


size_t
ngx_http_weir_cache_zone_largest(ngx_http_weir_cache_zone_t *zone)
{
    return zone->sh->size / 8;
}


static ngx_http_weir_cache_node_t *
ngx_http_weir_cache_zone_alloc(ngx_http_weir_cache_zone_t *zone, size_t len)
{
    ngx_uint_t                   i;
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_node_t  *node;

    sh = zone->sh;
    len += offsetof(ngx_http_weir_cache_node_t, data);

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_EVICT_MAX; i++) {

        node = weir_arena_alloc(&sh->arena, len);
        if (node) {
            return node;
        }

        if (!ngx_http_weir_cache_zone_evict(sh)) {
            break;
        }
    }

    /* perhaps the dead hold it */

    ngx_http_weir_cache_zone_reap(zone);

    return weir_arena_alloc(&sh->arena, len);
}


/* One step of S3-FIFO; 0 when there is no entry. */

static ngx_uint_t
ngx_http_weir_cache_zone_evict(ngx_http_weir_cache_sh_t *sh)
{
    ngx_queue_t                 *q;
    ngx_http_weir_cache_node_t  *node;

    if (!ngx_queue_empty(&sh->small)
        && (ngx_queue_empty(&sh->main)
            || sh->small_bytes > sh->size / NGX_HTTP_WEIR_CACHE_SMALL_PART))
    {
        q = ngx_queue_last(&sh->small);
        node = ngx_queue_data(q, ngx_http_weir_cache_node_t, queue);

        if (node->uses == 0) {
            ngx_http_weir_cache_zone_unlink(sh, node);
            sh->counters.evicted++;
            return 1;
        }

        sh->small_bytes -= weir_arena_block_size(node);
        node->main = 1;
        node->uses = 0;

    } else if (!ngx_queue_empty(&sh->main)) {
        q = ngx_queue_last(&sh->main);
        node = ngx_queue_data(q, ngx_http_weir_cache_node_t, queue);

        if (node->uses == 0) {
            ngx_http_weir_cache_zone_unlink(sh, node);
            sh->counters.evicted++;
            return 1;
        }

        node->uses--;

    } else {
        return 0;
    }

    ngx_queue_remove(q);
    ngx_queue_insert_head(&sh->main, q);

    return 1;
}


void
ngx_http_weir_cache_zone_remove(ngx_http_weir_cache_zone_t *zone,
    u_char *digest)
{
    ngx_http_weir_cache_node_t  *node;

    ngx_http_weir_cache_zone_lock(zone);

    node = ngx_http_weir_cache_zone_find(zone->sh, digest);

    if (node) {
        ngx_http_weir_cache_zone_unlink(zone->sh, node);
    }

    ngx_http_weir_cache_zone_unlock(zone);
}


/* The places that may count look-ups of the key in vain, and its mark in them. */

static uint32_t *
ngx_http_weir_cache_zone_misses(ngx_http_weir_cache_sh_t *sh, u_char *digest,
    uint32_t *mark)
{
    uint32_t  n;

    ngx_memcpy(mark, digest + 4, sizeof(uint32_t));
    ngx_memcpy(&n, digest + 8, sizeof(uint32_t));

    *mark &= 0xffffff00;

    return &sh->misses[n & sh->mask & ~(NGX_HTTP_WEIR_CACHE_MISS_WAYS - 1)];
}


void
ngx_http_weir_cache_zone_missed(ngx_http_weir_cache_zone_t *zone,
    u_char *digest)
{
    uint32_t    mark, *miss, count;
    ngx_uint_t  i;

    ngx_http_weir_cache_zone_lock(zone);

    miss = ngx_http_weir_cache_zone_misses(zone->sh, digest, &mark);

    /* to the front; the one that was missed longest ago gives way */

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_MISS_WAYS - 1; i++) {
        if ((miss[i] & 0xffffff00) == mark) {
            break;
        }
    }

    count = (miss[i] & 0xffffff00) == mark ? miss[i] & 0xff : 0;

    ngx_memmove(&miss[1], &miss[0], i * sizeof(uint32_t));
    miss[0] = mark | ngx_min(count + 1, 255);

    ngx_http_weir_cache_zone_unlock(zone);
}


ngx_uint_t
ngx_http_weir_cache_zone_uses(ngx_http_weir_cache_zone_t *zone, u_char *digest)
{
    uint32_t    mark, *miss;
    ngx_uint_t  i;

    miss = ngx_http_weir_cache_zone_misses(zone->sh, digest, &mark);

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_MISS_WAYS; i++) {
        if ((miss[i] & 0xffffff00) == mark) {
            return miss[i] & 0xff;
        }
    }

    return 0;
}


void *
ngx_http_weir_cache_zone_flights(ngx_http_weir_cache_zone_t *zone,
    ngx_uint_t *n)
{
    *n = zone->sh->nflights;

    return zone->sh->flights;
}


uint64_t
ngx_http_weir_cache_zone_token(ngx_http_weir_cache_zone_t *zone)
{
    return ++zone->sh->token;
}


ngx_http_weir_cache_counters_t *
ngx_http_weir_cache_zone_counters(ngx_http_weir_cache_zone_t *zone)
{
    return &zone->sh->counters;
}


void
ngx_http_weir_cache_zone_usage(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_usage_t *usage)
{
    ngx_http_weir_cache_zone_lock(zone);

    usage->entries = zone->sh->entries;
    usage->bytes = zone->sh->arena.used;
    usage->size = zone->sh->size;

    ngx_http_weir_cache_zone_unlock(zone);
}
