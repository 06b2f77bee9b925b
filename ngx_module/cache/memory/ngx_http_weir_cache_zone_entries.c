/*
 * The zone's entries: finding, pinning, insertion and eviction.
 *
 * Between two calls an entry is linked (in a bucket and in a queue), or pinned,
 * or both; when neither holds, its block is freed.  The bytes of an entry do
 * not change, so a process that has pinned an entry reads it without the mutex.
 *
 * Eviction is S3-FIFO (Yang et al., "FIFO queues are all you need for cache
 * eviction", SOSP 2023).  A new entry goes to a small queue.  Unless it is
 * requested again, it leaves that queue before any entry of the main queue is
 * evicted.  A scan over many keys passes through the small queue only.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry.h"
#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"


/* Entries that are examined before an allocation fails. */
#define NGX_HTTP_WEIR_CACHE_EVICT_MAX  1000

/*
 * After this number of evictions the code checks whether the allocation can
 * succeed at all.
 */
#define NGX_HTTP_WEIR_CACHE_EVICT_CHECK  64

/* Pinned entries may take this fraction of the memory. */
#define NGX_HTTP_WEIR_CACHE_PINNED_PART  4

/*
 * The small queue may take this fraction of the memory before its entries are
 * evicted first.
 */
#define NGX_HTTP_WEIR_CACHE_SMALL_PART  10


static ngx_http_weir_cache_node_t **ngx_http_weir_cache_zone_bucket(
    ngx_http_weir_cache_sh_t *sh, u_char *digest);
static ngx_http_weir_cache_node_t *ngx_http_weir_cache_zone_find(
    ngx_http_weir_cache_sh_t *sh, u_char *digest);
static ngx_int_t ngx_http_weir_cache_zone_pin(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_node_t *node);
static void ngx_http_weir_cache_zone_unref(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);
static void ngx_http_weir_cache_zone_link(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);
static ngx_http_weir_cache_node_t *ngx_http_weir_cache_zone_alloc(
    ngx_http_weir_cache_zone_t *zone, size_t len);
static ngx_uint_t ngx_http_weir_cache_zone_is_late(
    ngx_http_weir_cache_zone_t *zone, u_char *data, size_t len);
static ngx_int_t ngx_http_weir_cache_zone_enter(
    ngx_http_weir_cache_zone_t *zone, ngx_http_weir_cache_node_t *node);
static ngx_uint_t ngx_http_weir_cache_zone_could_fit(
    ngx_http_weir_cache_zone_t *zone, size_t len);
static ngx_uint_t ngx_http_weir_cache_zone_evict(ngx_http_weir_cache_sh_t *sh);


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
    pin->began = node->began;

    /*
     * slow readers must not hold the memory: above the limit the bytes are
     * copied for the client
     */

    place = (node->refs == 0
             && sh->pinned + weir_arena_block_size(node)
                > sh->size / NGX_HTTP_WEIR_CACHE_PINNED_PART)
            ? NGX_ERROR : ngx_http_weir_cache_zone_pin(zone, node);

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


/* Index of the pin, or NGX_ERROR if all places of the node's set are taken. */

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


void
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


/*
 * Links the node into its bucket, and into the queue that node->main selects.
 */

static void
ngx_http_weir_cache_zone_link(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_cache_node_t  **bucket;

    ngx_http_weir_assert(!node->linked);
    ngx_http_weir_assert((u_char *) node > sh->memory
                         && (u_char *) node < sh->memory + sh->size);

    bucket = ngx_http_weir_cache_zone_bucket(sh, node->digest);
    node->next = *bucket;
    *bucket = node;

    ngx_http_weir_cache_zone_link_key(sh, node);

    if (node->main) {
        ngx_queue_insert_head(&sh->main, &node->queue);

    } else {
        ngx_queue_insert_head(&sh->small, &node->queue);
        sh->small_bytes += weir_arena_block_size(node);
    }

    node->linked = 1;
    sh->entries++;
}


/* Unlinks the node from bucket and queue, and frees it unless it is pinned. */

void
ngx_http_weir_cache_zone_unlink(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_cache_node_t  **p;

    ngx_http_weir_assert(node->linked && sh->entries != 0);

    for (p = ngx_http_weir_cache_zone_bucket(sh, node->digest);
         *p != node;
         p = &(*p)->next)
    {
        /* void */
    }

    *p = node->next;

    ngx_http_weir_cache_zone_unlink_key(node);
    ngx_queue_remove(&node->queue);

    if (!node->main) {
        ngx_http_weir_assert(sh->small_bytes >= weir_arena_block_size(node));

        sh->small_bytes -= weir_arena_block_size(node);
    }

    node->linked = 0;
    sh->entries--;

    if (node->refs == 0) {
        weir_arena_free(&sh->arena, node);
    }
}


/*
 * The entry is filled outside of the mutex, pinned and not yet linked.  If the
 * worker is killed meanwhile, the block is released with its pins.  If the
 * entry cannot be pinned, it is filled under the mutex.
 */

ngx_int_t
ngx_http_weir_cache_zone_put(ngx_http_weir_cache_zone_t *zone, u_char *digest,
    uint64_t key, uint64_t began, u_char *data, size_t len)
{
    ngx_int_t                    rc, place;
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_pin_t    pin;
    ngx_http_weir_cache_node_t  *node;

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
    node->key = key;
    node->began = began;
    node->len = len;
    node->uses = 0;

    if (place != NGX_ERROR) {
        ngx_http_weir_cache_zone_lock(zone);
    }

    rc = ngx_http_weir_cache_zone_enter(zone, node);

    if (rc == NGX_DECLINED && place == NGX_ERROR) {
        weir_arena_free(&sh->arena, node);
    }

    ngx_http_weir_cache_zone_unlock(zone);

    pin.node = (place != NGX_ERROR) ? node : NULL;
    pin.place = place;
    ngx_http_weir_cache_zone_release(zone, &pin);

    return rc;
}


/*
 * Links the filled node in place of the entry with the same digest;
 * NGX_DECLINED: that entry is newer.  The caller holds the zone's mutex.
 */

static ngx_int_t
ngx_http_weir_cache_zone_enter(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_node_t *node)
{
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_node_t  *old;

    sh = zone->sh;

    ngx_http_weir_assert(sh->changing);
    ngx_http_weir_assert(node->len + offsetof(ngx_http_weir_cache_node_t, data)
                         <= weir_arena_block_size(node));

    old = ngx_http_weir_cache_zone_find(sh, node->digest);

    if ((old && (weir_entry_stored((char *) old->data)
                 > weir_entry_stored((char *) node->data)
                 || (node->began && old->began > node->began)))
        || ngx_http_weir_cache_zone_is_late(zone, node->data, node->len))
    {
        /*
         * the entry from Redis is older than the existing one, or the upstream
         * was asked again while it was on its way
         */

        return NGX_DECLINED;
    }

    /* an entry that existed or was missed before goes to the main queue */

    node->main = (old && old->main)
                 || ngx_http_weir_cache_zone_uses(zone, node->digest) > 1;

    if (old) {
        ngx_http_weir_cache_zone_unlink(sh, old);
    }

    ngx_http_weir_cache_zone_link(sh, node);
    sh->counters.stored++;

    return NGX_OK;
}


/*
 * True if a record of an invalidation that concerns the entry may be evicted
 * already.
 */

static ngx_uint_t
ngx_http_weir_cache_zone_is_late(ngx_http_weir_cache_zone_t *zone,
    u_char *data, size_t len)
{
    weir_str_t    text;
    weir_entry_t  entry;

    text.data = (char *) data;
    text.len = len;

    if (weir_entry_view(text, &entry) != NULL
        || (entry.flags & WEIR_ENTRY_VARY_POINTER))
    {
        return 0;
    }

    return !zone->tenant->may_be_held(zone->sh->tenant, &entry);
}


ngx_uint_t
ngx_http_weir_cache_zone_holds(ngx_http_weir_cache_pin_t *pin)
{
    return pin->node == NULL || pin->node->linked;
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


void
ngx_http_weir_cache_zone_remove(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, int64_t stored)
{
    ngx_http_weir_cache_node_t  *node;

    ngx_http_weir_cache_zone_lock(zone);

    node = ngx_http_weir_cache_zone_find(zone->sh, digest);

    if (node && weir_entry_stored((char *) node->data) <= stored) {
        ngx_http_weir_cache_zone_unlink(zone->sh, node);
    }

    ngx_http_weir_cache_zone_unlock(zone);
}
