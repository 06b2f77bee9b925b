/*
 * Workers and their pins.
 *
 * A pin is a place in the table of its worker, in shared memory, and a count of
 * the worker's requests that use it, in its own memory.  refs of an entry is the
 * number of workers that have it pinned.  A worker that finds another one dead
 * releases its pins.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"


static void ngx_http_weir_cache_zone_unpin_all(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_worker_t *worker);
static void ngx_http_weir_cache_zone_unref(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);


ngx_int_t
ngx_http_weir_cache_zone_init_worker(ngx_http_weir_cache_zone_t *zone)
{
    ngx_uint_t                 i;
    ngx_http_weir_cache_sh_t  *sh;

    sh = zone->sh;

    ngx_http_weir_assert(zone->extents == NULL && zone->worker == NULL);

    zone->extents = ngx_alloc(sh->nworkers * NGX_HTTP_WEIR_CACHE_PINS
                              * sizeof(weir_arena_extent_t), ngx_cycle->log);
    if (zone->extents == NULL) {
        return NGX_ERROR;
    }

    ngx_http_weir_cache_zone_lock(zone);

    for (i = 0; i < sh->nworkers; i++) {

        if (sh->workers[i].pid == ngx_pid) {
            /* left by a dead worker with the same pid */
            ngx_http_weir_cache_zone_unpin_all(sh, &sh->workers[i]);
            sh->workers[i].pid = 0;
        }
    }

    ngx_http_weir_cache_zone_reap(zone);
    ngx_http_weir_cache_zone_join(zone);

    ngx_http_weir_cache_zone_unlock(zone);

    return NGX_OK;
}


void
ngx_http_weir_cache_zone_join(ngx_http_weir_cache_zone_t *zone)
{
    ngx_uint_t                 i;
    ngx_http_weir_cache_sh_t  *sh;

    sh = zone->sh;

    ngx_http_weir_assert(zone->worker == NULL);

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


ngx_int_t
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

    /*
     * entries of equal size have regular distances: the hash spreads them over
     * the sets
     */

    first = (((uint64_t) (uintptr_t) node * 0x9e3779b97f4a7c15) >> 48)
            % NGX_HTTP_WEIR_CACHE_PIN_SETS * NGX_HTTP_WEIR_CACHE_PIN_WAYS;
    free = NGX_ERROR;

    for (i = first; i < first + NGX_HTTP_WEIR_CACHE_PIN_WAYS; i++) {

        if (worker->pins[i] == node) {
            ngx_http_weir_assert(zone->pins[i] != 0 && node->refs != 0);

            zone->pins[i]++;
            return i;
        }

        if (worker->pins[i] == NULL) {
            free = i;
        }
    }

    if (free != NGX_ERROR) {
        ngx_http_weir_assert(zone->pins[free] == 0);

        worker->pins[free] = node;
        zone->pins[free] = 1;

        if (node->refs++ == 0) {
            zone->sh->pinned += weir_arena_block_size(node);
        }
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

    ngx_http_weir_assert(pin->place < NGX_HTTP_WEIR_CACHE_PINS
                         && zone->pins[pin->place] != 0);
    ngx_http_weir_assert(zone->worker
                         && zone->worker->pins[pin->place] == node);

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


static void
ngx_http_weir_cache_zone_unref(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_assert(node->refs != 0);

    if (--node->refs) {
        return;
    }

    ngx_http_weir_assert(sh->pinned >= weir_arena_block_size(node));

    sh->pinned -= weir_arena_block_size(node);

    if (!node->linked) {
        weir_arena_free(&sh->arena, node);
    }
}
