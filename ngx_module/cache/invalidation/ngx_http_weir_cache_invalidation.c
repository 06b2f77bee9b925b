/*
 * The state of invalidation in a zone's memory: the table, its lock, and what is
 * shown of it.  See ngx_http_weir_cache_invalidation.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


/* The table takes this fraction of the zone. */
#define NGX_HTTP_WEIR_CACHE_TABLE_PART  32

/* Bytes of the struct before the table, rounded up to a cache line. */
#define NGX_HTTP_WEIR_CACHE_INVALIDATION_HEAD                                 \
    ngx_align(sizeof(ngx_http_weir_cache_invalidation_t), 64)


static size_t ngx_http_weir_cache_invalidation_size(size_t zone);
static void ngx_http_weir_cache_invalidation_init(void *memory, size_t size);
static ngx_uint_t ngx_http_weir_cache_invalidation_may_be_held(void *memory,
    weir_entry_t *entry);


const ngx_http_weir_cache_tenant_t  ngx_http_weir_cache_invalidation_tenant = {
    ngx_http_weir_cache_invalidation_size,
    ngx_http_weir_cache_invalidation_init,
    ngx_http_weir_cache_invalidation_may_be_held
};


/* A fraction of the zone, but not less than the smallest table. */

static size_t
ngx_http_weir_cache_invalidation_size(size_t zone)
{
    return ngx_max(zone / NGX_HTTP_WEIR_CACHE_TABLE_PART,
                   NGX_HTTP_WEIR_CACHE_INVALIDATION_HEAD
                   + WEIR_INVALIDATION_MEMORY_MIN);
}


static void
ngx_http_weir_cache_invalidation_init(void *memory, size_t size)
{
    ngx_http_weir_cache_invalidation_t  *inv = memory;

    ngx_http_weir_assert(size > NGX_HTTP_WEIR_CACHE_INVALIDATION_HEAD);

    inv->created = ngx_http_weir_ms();
    inv->table = weir_invalidations_init((u_char *) memory
                                       + NGX_HTTP_WEIR_CACHE_INVALIDATION_HEAD,
                                   size - NGX_HTTP_WEIR_CACHE_INVALIDATION_HEAD,
                                   ngx_http_weir_random());
    inv->table->secret.k0 = ngx_http_weir_random();
    inv->table->secret.k1 = ngx_http_weir_random();
}


/*
 * False if a record of an invalidation that concerns the entry may be evicted
 * already.
 */

static ngx_uint_t
ngx_http_weir_cache_invalidation_may_be_held(void *memory, weir_entry_t *entry)
{
    ngx_http_weir_cache_invalidation_t  *inv = memory;

    weir_stamp_t  stamp;

    ngx_http_weir_cache_invalidation_read_stamp(entry, &stamp);

    return weir_invalidations_may_be_held(inv->table, &stamp);
}


weir_invalidations_t *
ngx_http_weir_cache_invalidation_lock(ngx_http_weir_cache_zone_t *zone)
{
    weir_invalidations_t  *table;

    ngx_http_weir_cache_zone_lock(zone);

    table = zone->invalidation->table;

    if (table->changing) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_cache_zone \"%V\": a worker was killed while it"
                      " recorded an invalidation; all responses stored before"
                      " now are invalid", &zone->name);

        weir_invalidations_distrust(table);
    }

    return table;
}


void
ngx_http_weir_cache_invalidation_unlock(ngx_http_weir_cache_zone_t *zone)
{
    weir_invalidations_t           *table;
    weir_invalidation_forgotten_t   record;

    table = zone->invalidation->table;

    ngx_http_weir_assert(!table->changing);

    /* responses that clients invalidated leave memory before the record does */

    while (weir_invalidations_forgotten(table, &record)) {
        ngx_http_weir_cache_zone_remove_key(zone, record.hash, table->origin,
                                            record.local);
    }

    ngx_http_weir_cache_zone_unlock(zone);
}


ngx_uint_t
ngx_http_weir_cache_invalidation_is_heard(ngx_http_weir_cache_zone_t *zone)
{
    return zone->redis == NULL
           || (ngx_http_weir_redis_is_up(zone->redis)
               && !zone->invalidation->refusing);
}


void
ngx_http_weir_cache_invalidation_info(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_invalidation_info_t *info)
{
    uint64_t                             now, synced;
    weir_invalidations_t                *table;
    ngx_http_weir_cache_invalidation_t  *inv;

    inv = zone->invalidation;
    table = ngx_http_weir_cache_invalidation_lock(zone);

    info->era = table->era;
    info->position = table->position;
    info->floor = table->floor.position;
    info->applied = table->applied;
    info->evicted = table->evicted;
    info->pending = table->npending + (table->pending_all ? 1 : 0);
    info->gaps = inv->gaps;
    info->clients_pending = zone->redis ? table->client_pending : 0;
    info->clients_forgotten = table->client_evicted;
    info->clients_unsent = table->client_unsent;
    info->unsent = inv->unsent;
    info->malformed = inv->malformed;
    info->refusing = inv->refusing;
    info->follower = inv->role.pid;
    synced = inv->synced;

    ngx_http_weir_cache_invalidation_unlock(zone);

    now = ngx_http_weir_ms();
    info->lag = synced == 0 ? -1 : now > synced ? (int64_t) (now - synced) : 0;
}
