/*
 * Memory for a new entry: eviction is S3-FIFO (Yang et al., "FIFO queues are all
 * you need for cache eviction", SOSP 2023).  A new entry goes to a small queue.
 * Unless it is requested again, it leaves that queue before any entry of the
 * main queue is evicted.  A scan over many keys passes through the small queue
 * only.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"


/* Entries that are examined before an allocation fails. */
#define NGX_HTTP_WEIR_CACHE_EVICT_MAX  1000

/*
 * After this number of evictions the code checks whether the allocation can
 * succeed at all.
 */
#define NGX_HTTP_WEIR_CACHE_EVICT_CHECK  64

/*
 * The small queue may take this fraction of the memory before its entries are
 * evicted first.
 */
#define NGX_HTTP_WEIR_CACHE_SMALL_PART  10


static ngx_uint_t ngx_http_weir_cache_zone_could_fit(
    ngx_http_weir_cache_zone_t *zone, size_t len);
static ngx_uint_t ngx_http_weir_cache_zone_evict(ngx_http_weir_cache_sh_t *sh);


ngx_http_weir_cache_node_t *
ngx_http_weir_cache_zone_alloc(ngx_http_weir_cache_zone_t *zone, size_t len)
{
    ngx_uint_t                   i;
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_node_t  *node;

    sh = zone->sh;

    ngx_http_weir_assert(sh->changing);

    len += offsetof(ngx_http_weir_cache_node_t, data);

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_EVICT_MAX; i++) {

        node = weir_arena_alloc(&sh->arena, len);
        if (node) {
            return node;
        }

        /*
         * evictions do not help if the gaps between pinned entries are too
         * small
         */

        if (sh->pinned
            && i == (len < sh->size / NGX_HTTP_WEIR_CACHE_EVICT_CHECK
                     ? NGX_HTTP_WEIR_CACHE_EVICT_CHECK : 0)
            && !ngx_http_weir_cache_zone_could_fit(zone, len))
        {
            break;
        }

        if (!ngx_http_weir_cache_zone_evict(sh)) {
            break;
        }
    }

    /* a dead worker may have pinned them */

    ngx_http_weir_cache_zone_reap(zone);

    return weir_arena_alloc(&sh->arena, len);
}


/* True if the bytes fit between the pinned entries. */

static ngx_uint_t
ngx_http_weir_cache_zone_could_fit(ngx_http_weir_cache_zone_t *zone,
    size_t len)
{
    size_t                       n;
    ngx_uint_t                   i, k;
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_node_t  *node;

    sh = zone->sh;
    n = 0;

    for (i = 0; i < sh->nworkers; i++) {

        for (k = 0; k < NGX_HTTP_WEIR_CACHE_PINS; k++) {
            node = sh->workers[i].pins[k];

            if (node) {
                zone->extents[n].payload = node;
                zone->extents[n].size = weir_arena_block_size(node);
                n++;
            }
        }
    }

    ngx_http_weir_assert(n <= sh->nworkers * NGX_HTTP_WEIR_CACHE_PINS);

    /* a gap of that size exists in any case */

    if ((sh->size - sh->pinned) / (n + 1) >= 2 * weir_arena_cost(len)) {
        return 1;
    }

    return weir_arena_could_fit(&sh->arena, len, zone->extents, n);
}


/* One step of S3-FIFO; returns 0 if there is no entry. */

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

    } else if (!ngx_queue_empty(&sh->main)) {
        q = ngx_queue_last(&sh->main);

    } else {
        return 0;
    }

    node = ngx_queue_data(q, ngx_http_weir_cache_node_t, queue);

    ngx_http_weir_assert(node->linked);

    if (node->uses == 0) {
        ngx_http_weir_cache_zone_unlink(sh, node);
        sh->counters.evicted++;
        return 1;
    }

    if (node->main) {
        node->uses--;

    } else {
        sh->small_bytes -= weir_arena_block_size(node);
        node->main = 1;
        node->uses = 0;
    }

    ngx_queue_remove(q);
    ngx_queue_insert_head(&sh->main, q);

    return 1;
}
