/*
 * A zone's invalidations from the view of requests: the stamp of a request that
 * is forwarded, and the check of an entry against later invalidations.  See
 * ngx_http_weir_cache_invalidation.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/policy/tags.h"
#include "http/ngx_http_weir_clock.h"
#include "http/ngx_http_weir_headers.h"


/* The table takes this fraction of the zone. */
#define NGX_HTTP_WEIR_CACHE_TABLE_PART  32

/* Bytes of the struct before the table, rounded up to a cache line. */
#define NGX_HTTP_WEIR_CACHE_INVALIDATION_HEAD                                 \
    ngx_align(sizeof(ngx_http_weir_cache_invalidation_t), 64)


static size_t ngx_http_weir_cache_invalidation_size(size_t zone);
static void ngx_http_weir_cache_invalidation_init(void *memory, size_t size);
static ngx_uint_t ngx_http_weir_cache_invalidation_may_be_held(void *memory,
    weir_entry_t *entry);
static void ngx_http_weir_cache_read_stamp(weir_entry_t *entry,
    weir_stamp_t *stamp);
static ngx_uint_t ngx_http_weir_cache_invalidation_in_step(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_hash_tags(ngx_http_request_t *r,
    weir_str_t *list, ngx_uint_t n, weir_str_t *tags);
static ngx_int_t ngx_http_weir_cache_invalidation_wanted(ngx_http_request_t *r,
    weir_position_t *position);


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

    ngx_http_weir_cache_read_stamp(entry, &stamp);

    return weir_invalidations_may_be_held(inv->table, &stamp);
}


static void
ngx_http_weir_cache_read_stamp(weir_entry_t *entry, weir_stamp_t *stamp)
{
    stamp->era = entry->era;
    stamp->position.ms = entry->position_ms;
    stamp->position.seq = entry->position_seq;
    stamp->origin = entry->origin;
    stamp->local = entry->local;
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
ngx_http_weir_cache_invalidation_stamp(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_invalidations_t        *table;
    ngx_http_weir_cache_zone_t  *zone;

    zone = ctx->conf->zone;

    table = ngx_http_weir_cache_invalidation_lock(zone);
    weir_invalidations_stamp(table, &ctx->stamp);
    ngx_http_weir_cache_invalidation_unlock(zone);
}


ngx_uint_t
ngx_http_weir_cache_invalidation_outlived(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_pin_t *pin)
{
    ngx_uint_t                   behind;
    weir_str_t                   key;
    weir_stamp_t                 stamp;
    weir_entry_t                *entry;
    weir_position_t              wanted;
    weir_validity_t              validity;
    weir_invalidations_t        *table;
    ngx_http_weir_cache_zone_t  *zone;

    zone = ctx->conf->zone;
    table = zone->invalidation->table;
    entry = &ctx->entry;

    ctx->soft = 0;

    if (entry->tags.len && !ngx_http_weir_cache_invalidation_in_step(ctx)) {
        ctx->outdated = "unsynced";
        return 0;
    }

    ngx_http_weir_cache_read_stamp(entry, &stamp);

    behind = zone->redis
             && ngx_http_weir_cache_invalidation_wanted(ctx->request, &wanted)
                == NGX_OK
             && weir_position_cmp(stamp.position, wanted) < 0;

    if (!behind && weir_invalidations_untouched(table, &stamp)) {
        return 1;
    }

    key.data = (char *) ctx->key_text.data;
    key.len = ctx->key_text.len;

    table = ngx_http_weir_cache_invalidation_lock(zone);

    validity = pin && ngx_http_weir_cache_zone_holds(pin)
               ? weir_invalidations_check_held(table, &stamp, key,
                                               entry->tags)
               : weir_invalidations_check(table, &stamp, key, entry->tags);
    behind = behind && weir_position_cmp(table->position, wanted) < 0;

    ngx_http_weir_cache_invalidation_unlock(zone);

    if (validity == WEIR_INVALID) {
        ctx->outdated = "invalidated";
        return 0;
    }

    if (behind) {
        ctx->outdated = "behind";
        return 0;
    }

    ctx->soft = (validity == WEIR_INVALID_SOFT);

    return 1;
}


/* True if the stream was read up to a time within weir_cache_staleness. */

static ngx_uint_t
ngx_http_weir_cache_invalidation_in_step(ngx_http_weir_cache_ctx_t *ctx)
{
    uint64_t                     now, synced;
    ngx_http_weir_cache_zone_t  *zone;

    zone = ctx->conf->zone;

    if (zone->redis == NULL) {
        return 1;
    }

    synced = zone->invalidation->synced;
    now = ngx_http_weir_ms();

    return synced && (now <= synced || now - synced <= ctx->conf->staleness);
}


/*
 * Reads Weir-Position of the request: the position up to which the client
 * requires invalidations to be applied.  The last of several counts; a
 * malformed one is ignored.
 */

static ngx_int_t
ngx_http_weir_cache_invalidation_wanted(ngx_http_request_t *r,
    weir_position_t *position)
{
    ngx_int_t         rc;
    ngx_uint_t        i;
    weir_str_t        value;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    rc = NGX_DECLINED;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != sizeof("Weir-Position") - 1
                || ngx_strncasecmp(h[i].key.data, (u_char *) "Weir-Position",
                                   sizeof("Weir-Position") - 1)
                   != 0)
            {
                continue;
            }

            value.data = (char *) h[i].value.data;
            value.len = h[i].value.len;

            if (weir_position_parse(value, position)) {
                rc = NGX_OK;
            }
        }
    }

    return rc;
}


ngx_uint_t
ngx_http_weir_cache_invalidation_would_hold(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_str_t                   key;
    weir_validity_t              validity;
    weir_invalidations_t        *table;
    ngx_http_weir_cache_zone_t  *zone;

    zone = ctx->conf->zone;

    if (weir_invalidations_untouched(zone->invalidation->table, &ctx->stamp)) {
        return 1;
    }

    key.data = (char *) ctx->key_text.data;
    key.len = ctx->key_text.len;

    table = ngx_http_weir_cache_invalidation_lock(zone);
    validity = weir_invalidations_check(table, &ctx->stamp, key, ctx->tags);
    ngx_http_weir_cache_invalidation_unlock(zone);

    return validity == WEIR_VALID;
}


ngx_int_t
ngx_http_weir_cache_invalidation_read_tags(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *tags)
{
    ngx_str_t            value;
    weir_str_t           list;
    ngx_array_t         *lines;
    ngx_http_request_t  *r;

    static ngx_str_t  cache_tag = ngx_string("Cache-Tag");

    r = ctx->request;

    if (ctx->conf->tags == NULL) {
        lines = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
                                           &cache_tag);

        return lines ? ngx_http_weir_cache_hash_tags(r, lines->elts,
                                                     lines->nelts, tags)
                     : NGX_ERROR;
    }

    if (ngx_http_complex_value(r, ctx->conf->tags, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    list.data = (char *) value.data;
    list.len = value.len;

    return ngx_http_weir_cache_hash_tags(r, &list, 1, tags);
}


/* The tags of n lists; returns as the function above. */

static ngx_int_t
ngx_http_weir_cache_hash_tags(ngx_http_request_t *r, weir_str_t *list,
    ngx_uint_t n, weir_str_t *tags)
{
    size_t       hashes;
    u_char      *block;
    ngx_uint_t   i;
    const char  *wrong;

    static ngx_uint_t  logged;

    tags->data = NULL;
    tags->len = 0;

    if (n == 0 || (n == 1 && list[0].len == 0)) {
        return NGX_OK;
    }

    block = ngx_pnalloc(r->pool, WEIR_TAGS_MAX * 8);
    if (block == NULL) {
        return NGX_ERROR;
    }

    hashes = 0;

    for (i = 0; i < n; i++) {
        wrong = weir_tags_read(list[i], (char *) block, &hashes);

        if (wrong) {

            if (!logged) {
                logged = 1;
                ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                              "a response is not stored because it has %s;"
                              " later ones are not logged", wrong);
            }

            return NGX_DECLINED;
        }
    }

    tags->data = (char *) block;
    tags->len = hashes * 8;

    return NGX_OK;
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
    info->follower = inv->pid;
    synced = inv->synced;

    ngx_http_weir_cache_invalidation_unlock(zone);

    now = ngx_http_weir_ms();
    info->lag = synced == 0 ? -1 : now > synced ? (int64_t) (now - synced) : 0;
}
