/*
 * A zone's invalidations from the view of requests: the stamp of a request that
 * is forwarded, the tags of a response, and the check of an entry against later
 * invalidations.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/policy/tags.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "http/ngx_http_weir_headers.h"
#include "record/ngx_http_weir_record.h"


static ngx_uint_t ngx_http_weir_cache_validity_in_step(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_validity_wanted(ngx_http_request_t *r,
    weir_position_t *position);
static ngx_int_t ngx_http_weir_cache_validity_hash_tags(ngx_http_request_t *r,
    weir_str_t *list, ngx_uint_t n, weir_str_t *tags);


void
ngx_http_weir_cache_validity_stamp(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_invalidations_t        *table;
    ngx_http_weir_cache_zone_t  *zone;

    zone = ctx->conf->zone;

    table = ngx_http_weir_cache_invalidation_lock(zone);
    weir_invalidations_stamp(table, &ctx->stamp);
    ngx_http_weir_cache_invalidation_unlock(zone);
}


ngx_uint_t
ngx_http_weir_cache_validity_outlived(ngx_http_weir_cache_ctx_t *ctx,
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

    ngx_http_weir_assert(ctx->key_text.len != 0);
    ngx_http_weir_assert(!(entry->flags & WEIR_ENTRY_VARY_POINTER));

    ctx->soft = 0;

    if (entry->tags.len && !ngx_http_weir_cache_validity_in_step(ctx)) {
        ctx->outdated = "unsynced";
        ngx_http_weir_record_event(ctx->request, "weir.cache.unsynced");
        return 0;
    }

    ngx_http_weir_cache_invalidation_read_stamp(entry, &stamp);

    behind = zone->redis
             && ngx_http_weir_cache_validity_wanted(ctx->request, &wanted)
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
        ngx_http_weir_record_event(ctx->request, "weir.cache.outdated");
        return 0;
    }

    if (behind) {
        ctx->outdated = "behind";
        ngx_http_weir_record_event(ctx->request, "weir.cache.behind");
        return 0;
    }

    if (validity == WEIR_INVALID_SOFT) {
        ctx->soft = 1;
        ngx_http_weir_record_event(ctx->request, "weir.cache.outdated");
    }

    return 1;
}


/* True if the stream was read up to a time within weir_cache_staleness. */

static ngx_uint_t
ngx_http_weir_cache_validity_in_step(ngx_http_weir_cache_ctx_t *ctx)
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
ngx_http_weir_cache_validity_wanted(ngx_http_request_t *r,
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
ngx_http_weir_cache_validity_would_hold(ngx_http_weir_cache_ctx_t *ctx)
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
ngx_http_weir_cache_validity_read_tags(ngx_http_weir_cache_ctx_t *ctx,
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

        return lines ? ngx_http_weir_cache_validity_hash_tags(r, lines->elts,
                                                              lines->nelts,
                                                              tags)
                     : NGX_ERROR;
    }

    if (ngx_http_complex_value(r, ctx->conf->tags, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    list.data = (char *) value.data;
    list.len = value.len;

    return ngx_http_weir_cache_validity_hash_tags(r, &list, 1, tags);
}


/* The tags of n lists; returns as the function above. */

static ngx_int_t
ngx_http_weir_cache_validity_hash_tags(ngx_http_request_t *r, weir_str_t *list,
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

    ngx_http_weir_assert(hashes <= WEIR_TAGS_MAX);

    tags->data = (char *) block;
    tags->len = hashes * 8;

    return NGX_OK;
}
