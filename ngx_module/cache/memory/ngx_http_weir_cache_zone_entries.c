/*
 * The zone's entries: finding, insertion and removal.
 *
 * The bytes of an entry do not change, so a process that has pinned an entry
 * reads it without the mutex.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry_check.h"
#include "cache/entry.h"
#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"


/* Pinned entries may take this fraction of the memory. */
#define NGX_HTTP_WEIR_CACHE_PINNED_PART  4


static ngx_uint_t ngx_http_weir_cache_zone_is_late(
    ngx_http_weir_cache_zone_t *zone, u_char *data, size_t len);
static ngx_uint_t ngx_http_weir_cache_zone_is_older(
    ngx_http_weir_cache_node_t *node, ngx_http_weir_cache_node_t *old);
static ngx_int_t ngx_http_weir_cache_zone_enter(
    ngx_http_weir_cache_zone_t *zone, ngx_http_weir_cache_node_t *node);
static ngx_uint_t ngx_http_weir_cache_zone_is_newer(
    ngx_http_weir_cache_node_t *node, uint64_t origin, uint64_t local);


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
 * True if the node is older than the existing one.  Times of storing are
 * compared only while the clock has not been set back since.
 */

static ngx_uint_t
ngx_http_weir_cache_zone_is_older(ngx_http_weir_cache_node_t *node,
    ngx_http_weir_cache_node_t *old)
{
    int64_t      stored, now;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    now = (int64_t) tp->sec * 1000 + tp->msec;
    stored = weir_entry_stored((char *) old->data);

    return (stored > weir_entry_stored((char *) node->data)
            && stored <= now + WEIR_ENTRY_CLOCK_SKEW)
           || (node->began && old->began > node->began);
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

    if ((old && ngx_http_weir_cache_zone_is_older(node, old))
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


void
ngx_http_weir_cache_zone_remove_key(ngx_http_weir_cache_zone_t *zone,
    uint64_t key, uint64_t origin, uint64_t local)
{
    ngx_http_weir_cache_sh_t    *sh;
    ngx_http_weir_cache_node_t  *node, *next;

    sh = zone->sh;

    ngx_http_weir_assert(sh->changing && key != 0);

    for (node = ngx_http_weir_cache_zone_first(sh, key); node; node = next) {
        next = node->key_next;

        if (node->key == key
            && !ngx_http_weir_cache_zone_is_newer(node, origin, local))
        {
            ngx_http_weir_cache_zone_unlink(sh, node);
        }
    }
}


/*
 * True if the entry is of that origin and was asked for at that local number or
 * later.
 */

static ngx_uint_t
ngx_http_weir_cache_zone_is_newer(ngx_http_weir_cache_node_t *node,
    uint64_t origin, uint64_t local)
{
    weir_str_t    data;
    weir_entry_t  entry;

    data.data = (char *) node->data;
    data.len = node->len;

    return weir_entry_view(data, &entry) == NULL
           && entry.origin == origin && entry.local >= local;
}
