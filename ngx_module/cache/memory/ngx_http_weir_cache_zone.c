/*
 * The zone's memory: its creation and layout, its lock and its reset.
 *
 * Every change is made under the zone's mutex, with a mark that a change is in
 * progress.  If a worker is killed in the middle of a change, the next worker
 * that takes the mutex finds the mark and resets the zone to empty, except
 * blocks that living workers have pinned.  The first level loses its entries
 * then, but is never inconsistent.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "object/ngx_http_weir_object.h"


static ngx_http_weir_cache_sh_t *ngx_http_weir_cache_zone_lay_out(
    ngx_slab_pool_t *shpool, size_t size, ngx_uint_t workers,
    const ngx_http_weir_cache_tenant_t *tenant);
static void ngx_http_weir_cache_zone_recover(ngx_http_weir_cache_zone_t *zone);
static void ngx_http_weir_cache_zone_clear(ngx_http_weir_cache_sh_t *sh,
    weir_arena_extent_t *extents, size_t n);


ngx_int_t
ngx_http_weir_cache_zone_init(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_uint_t                   workers;
    ngx_core_conf_t             *ccf;
    ngx_slab_pool_t             *shpool;
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_zone_t  *zone;

    zone = shm_zone->data;
    shpool = (ngx_slab_pool_t *) shm_zone->shm.addr;
    zone->shpool = shpool;

    if (data || shm_zone->shm.exists) {
        sh = shpool->data;

        if (ngx_http_weir_check_layout(shm_zone, sh->layout) != NGX_OK) {
            return NGX_ERROR;
        }

        zone->sh = sh;
        zone->invalidation = sh->tenant;
        return NGX_OK;
    }

    ccf = (ngx_core_conf_t *) ngx_get_conf(zone->cycle->conf_ctx,
                                           ngx_core_module);
    workers = ngx_max(ccf->worker_processes, 1);

    sh = ngx_http_weir_cache_zone_lay_out(shpool, shm_zone->shm.size, workers,
                                          zone->tenant);

    if (sh == NULL) {
        ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                      "\"weir_cache_zone\" \"%V\" of %uzk is too small: with"
                      " \"worker_processes\" %ui it must be at least %uzk",
                      &zone->name, shm_zone->shm.size / 1024, workers,
                      ngx_http_weir_cache_zone_least(workers, zone->tenant)
                      / 1024);
        return NGX_ERROR;
    }

    zone->sh = sh;
    zone->invalidation = sh->tenant;
    shpool->data = sh;

    return NGX_OK;
}


/*
 * Lays out all parts of a zone in its fresh memory.  Returns NULL if they do
 * not fit; the pool cannot be used then.
 */

static ngx_http_weir_cache_sh_t *
ngx_http_weir_cache_zone_lay_out(ngx_slab_pool_t *shpool, size_t size,
    ngx_uint_t workers, const ngx_http_weir_cache_tenant_t *tenant)
{
    size_t                     left;
    ngx_uint_t                 buckets;
    ngx_http_weir_cache_sh_t  *sh;

    shpool->log_nomem = 0;

    /* during a reload, workers of several configurations run at once */

    workers *= 4;

    sh = ngx_slab_calloc(shpool, sizeof(ngx_http_weir_cache_sh_t)
                            + workers * sizeof(ngx_http_weir_cache_worker_t));
    if (sh == NULL) {
        return NULL;
    }

    sh->layout = ngx_http_weir_layout();
    sh->nworkers = workers;

    sh->secret.k0 = ngx_http_weir_random();
    sh->secret.k1 = ngx_http_weir_random();

    sh->tenant = ngx_slab_calloc(shpool, tenant->size(size));
    if (sh->tenant == NULL) {
        return NULL;
    }

    tenant->init(sh->tenant, tenant->size(size));

    /* one bucket for each KiB of memory */

    left = shpool->pfree * ngx_pagesize;

    for (buckets = 64; buckets * 2 * 1024 <= left; buckets *= 2) { /* void */ }

    sh->mask = buckets - 1;
    sh->buckets = ngx_slab_calloc(shpool, buckets * sizeof(void *));
    sh->keys = ngx_slab_calloc(shpool, buckets * sizeof(void *));
    sh->misses = ngx_slab_calloc(shpool, buckets * sizeof(uint32_t));

    /* one flight for every eighth bucket */

    sh->nflights = buckets / 8;
    sh->flights = ngx_slab_calloc(shpool, sh->nflights
                                     * sizeof(ngx_http_weir_cache_flight_t));

    if (sh->buckets == NULL || sh->keys == NULL || sh->misses == NULL
        || sh->flights == NULL)
    {
        return NULL;
    }

    /* the arena gets the rest, in one piece */

    sh->size = shpool->pfree * ngx_pagesize;

    if (sh->size < 4 * ngx_pagesize) {
        return NULL;
    }

    sh->memory = ngx_slab_alloc(shpool, sh->size);
    if (sh->memory == NULL) {
        return NULL;
    }

    ngx_http_weir_cache_zone_clear(sh, NULL, 0);

    return sh;
}


/* Found by trial: the smallest number of pages in which all parts fit. */

size_t
ngx_http_weir_cache_zone_least(ngx_uint_t workers,
    const ngx_http_weir_cache_tenant_t *tenant)
{
    size_t            size;
    ngx_uint_t        fits;
    ngx_slab_pool_t  *shpool;

    fits = 0;

    for (size = 8 * ngx_pagesize; !fits; size += ngx_pagesize) {

        shpool = ngx_memalign(ngx_pagesize, size, ngx_cycle->log);
        if (shpool == NULL) {
            break;
        }

        /* the same as ngx_init_zone_pool() */

        ngx_memzero(shpool, sizeof(ngx_slab_pool_t));
        shpool->end = (u_char *) shpool + size;
        shpool->min_shift = 3;
        shpool->addr = shpool;

        if (ngx_shmtx_create(&shpool->mutex, &shpool->lock, NULL) == NGX_OK) {
            ngx_slab_init(shpool);
            fits = ngx_http_weir_cache_zone_lay_out(shpool, size, workers,
                                                    tenant)
                   != NULL;
            ngx_shmtx_destroy(&shpool->mutex);
        }

        ngx_free(shpool);
    }

    return size - ngx_pagesize;
}


/* Empties the zone, except for pinned blocks. */

static void
ngx_http_weir_cache_zone_clear(ngx_http_weir_cache_sh_t *sh,
    weir_arena_extent_t *extents, size_t n)
{
    size_t  i;

    sh->pinned = 0;

    for (i = 0; i < n; i++) {
        sh->pinned += extents[i].size;
    }

    ngx_http_weir_assert(sh->pinned <= sh->size);

    ngx_memzero(sh->buckets, (sh->mask + 1) * sizeof(void *));
    ngx_memzero(sh->keys, (sh->mask + 1) * sizeof(void *));

    ngx_queue_init(&sh->small);
    ngx_queue_init(&sh->main);
    sh->small_bytes = 0;
    sh->entries = 0;

    weir_arena_init(&sh->arena, sh->memory, sh->size, extents, n);
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
    ngx_http_weir_assert(zone->sh->changing);
    ngx_http_weir_assert(zone->sh->pinned <= zone->sh->arena.used
                         && zone->sh->arena.used <= zone->sh->size);

    ngx_memory_barrier();
    zone->sh->changing = 0;

    ngx_shmtx_unlock(&zone->shpool->mutex);
}


/*
 * A worker died in the middle of a change: lists, counts and free blocks may be
 * inconsistent.  Only the tables of pins are trusted, and the sizes of pinned
 * blocks, which do not change while a block is allocated.
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

    ngx_http_weir_assert(sh->changing && zone->extents != NULL);

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
    ngx_memzero(sh->flights,
                sh->nflights * sizeof(ngx_http_weir_cache_flight_t));

    sh->counters.recovered++;

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "weir_cache_zone \"%V\" was emptied: a worker was killed"
                  " while it changed the zone", &zone->name);
}


ngx_uint_t
ngx_http_weir_cache_zone_dead(ngx_pid_t pid)
{
    return kill(pid, 0) == -1 && ngx_errno == ESRCH;
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
