/*
 * Invalidations that are made on this edge: by Weir-Invalidate of a response,
 * by a successful request with an unsafe method, and by PURGE.
 *
 * All are applied to the zone's table before the response is sent, and written
 * to the stream, so that the other edges learn of them; no request waits for
 * that.  The follower sends again what Redis did not accept.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/policy/tags.h"
#include "cache/purge/ngx_http_weir_cache_purge.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"


/* Limit for a text that is in a message in clear, bytes. */
#define NGX_HTTP_WEIR_CACHE_TEXT_MAX   128

/* Flags of an invalidation. */
#define NGX_HTTP_WEIR_CACHE_TAGS       1  /* tags, otherwise keys */
#define NGX_HTTP_WEIR_CACHE_SOFT       2
#define NGX_HTTP_WEIR_CACHE_OF_CLIENT  4


static ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_invalidate_outlives(
    ngx_http_request_t *r, ngx_http_weir_cache_zone_t *zone,
    weir_invalidations_t *table);
static void ngx_http_weir_cache_invalidate(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    ngx_str_t *text, ngx_uint_t how, weir_position_t *position);
static void ngx_http_weir_cache_invalidate_tell(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    ngx_str_t *text, ngx_uint_t how, uint64_t local);


void
ngx_http_weir_cache_invalidate_all(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, weir_position_t *position)
{
    weir_invalidations_t  *table;

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "weir_cache_zone \"%V\": no memory to read the"
                  " invalidations of a response; all responses stored before"
                  " now are invalid",
                  &zone->name);

    ngx_http_weir_record_event(r, "weir.cache.invalidated");

    table = ngx_http_weir_cache_invalidation_lock(zone);
    weir_invalidations_make_all(table, position, zone->redis != NULL);
    ngx_http_weir_cache_invalidation_unlock(zone);
}


void
ngx_http_weir_cache_invalidate_of_client(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    ngx_str_t *text, weir_position_t *position)
{
    ngx_http_weir_cache_invalidate(r, zone, hashes, n, text,
                                   NGX_HTTP_WEIR_CACHE_OF_CLIENT, position);
}


void
ngx_http_weir_cache_invalidate_key(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_str_t *key, ngx_uint_t soft,
    weir_position_t *position)
{
    uint64_t    hash;
    weir_str_t  text;

    text.data = (char *) key->data;
    text.len = key->len;
    hash = weir_key_hash(text);

    ngx_http_weir_cache_invalidate(r, zone, &hash, 1, key,
                                   soft ? NGX_HTTP_WEIR_CACHE_SOFT : 0,
                                   position);
}


ngx_int_t
ngx_http_weir_cache_invalidate_tags(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_array_t *lines, ngx_uint_t soft,
    weir_position_t *position)
{
    size_t       pos, len;
    u_char      *p;
    uint64_t    *hash;
    ngx_str_t    text;
    weir_str_t  *line, tag;
    ngx_uint_t   i;
    ngx_array_t  hashes;

    if (ngx_array_init(&hashes, r->pool, 8, sizeof(uint64_t)) != NGX_OK) {
        return NGX_ERROR;
    }

    line = lines->elts;
    len = 0;

    for (i = 0; i < lines->nelts; i++) {
        len += line[i].len + 1;

        for (pos = 0; weir_tags_next(line[i], &pos, &tag); /* void */ ) {
            hash = ngx_array_push(&hashes);
            if (hash == NULL) {
                return NGX_ERROR;
            }

            *hash = weir_tag_hash(tag);
        }
    }

    if (hashes.nelts == 0) {
        return NGX_DECLINED;
    }

    text.data = ngx_pnalloc(r->pool, len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = text.data;

    for (i = 0; i < lines->nelts; i++) {
        p = ngx_cpymem(p, line[i].data, line[i].len);
        *p++ = ',';
    }

    text.len = len - 1;

    ngx_http_weir_cache_invalidate(r, zone, hashes.elts, hashes.nelts, &text,
                                   NGX_HTTP_WEIR_CACHE_TAGS
                                   | (soft ? NGX_HTTP_WEIR_CACHE_SOFT : 0),
                                   position);

    return NGX_OK;
}


/*
 * Applies an invalidation here at once, and sends it to the stream for the
 * other edges.
 *
 * A POST's response that is being stored was made after the invalidation that
 * it causes, unlike all that was fetched before.  In the order of this edge it
 * is placed directly after that invalidation, if nothing of its own was
 * invalidated since the POST was sent.  It keeps its position in the stream, so
 * that other edges, which cannot know that, do not use it.
 */

static void
ngx_http_weir_cache_invalidate(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    ngx_str_t *text, ngx_uint_t how, weir_position_t *position)
{
    uint64_t                    local;
    weir_invalidations_t       *table;
    ngx_http_weir_cache_ctx_t  *post;

    ngx_http_weir_assert(n != 0);
    ngx_http_weir_assert(!(how & NGX_HTTP_WEIR_CACHE_OF_CLIENT)
                         || n <= WEIR_INVALIDATION_FORGOTTEN);

    ngx_http_weir_record_event(r, "weir.cache.invalidated");

    table = ngx_http_weir_cache_invalidation_lock(zone);

    post = ngx_http_weir_cache_invalidate_outlives(r, zone, table);

    if (how & NGX_HTTP_WEIR_CACHE_OF_CLIENT) {
        local = weir_invalidations_make_client(table, hashes, n, position,
                                               zone->redis != NULL);
    } else {
        local = weir_invalidations_make(table, hashes, n,
                                        (how & NGX_HTTP_WEIR_CACHE_SOFT) != 0,
                                        position, zone->redis != NULL,
                                        ngx_http_weir_ms());
    }

    ngx_http_weir_cache_invalidation_unlock(zone);

    if (post) {
        ngx_http_weir_assert(post->storing && post->buf != NULL);

        post->stamp.local = local;
        weir_entry_set_local((char *) post->buf, local);
    }

    if (zone->redis && position == NULL) {
        ngx_http_weir_cache_invalidate_tell(r, zone, hashes, n, text, how,
                                            local);
    }
}


/*
 * The message for the other edges.  A single short text is in it in clear, for
 * operators; a longer text, or several, are sent as hashes, so that long URIs
 * cannot fill the stream.
 */

static void
ngx_http_weir_cache_invalidate_tell(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    ngx_str_t *text, ngx_uint_t how, uint64_t local)
{
    u_char                         edge[16 + 1 + NGX_INT64_LEN], *p;
    ngx_str_t                      argv[11];
    ngx_uint_t                     i, argc;
    ngx_http_weir_redis_command_t  cmd;

    ngx_str_set(&argv[0], "XADD");
    ngx_str_set(&argv[1], NGX_HTTP_WEIR_CACHE_STREAM);
    ngx_str_set(&argv[2], "*");

    if (text && text->len <= ngx_max(NGX_HTTP_WEIR_CACHE_TEXT_MAX, n * 17)) {

        if (how & NGX_HTTP_WEIR_CACHE_TAGS) {
            ngx_str_set(&argv[3], "tags");

        } else {
            ngx_str_set(&argv[3], "keys");
        }

        argv[4] = *text;

    } else {
        p = ngx_pnalloc(r->pool, n * 17);
        if (p == NULL) {
            /* it is pending, and the follower sends it */
            return;
        }

        ngx_str_set(&argv[3], "hashes");
        argv[4].data = p;

        for (i = 0; i < n; i++) {
            p = ngx_sprintf(p, "%016xL ", hashes[i]);
        }

        argv[4].len = p - argv[4].data - 1;
    }

    ngx_str_set(&argv[5], "edge");
    argv[6].data = edge;
    argv[6].len = ngx_sprintf(edge, "%016xL-%uL",
                              zone->invalidation->table->origin, local)
                  - edge;
    argc = 7;

    if (how & NGX_HTTP_WEIR_CACHE_SOFT) {
        ngx_str_set(&argv[argc], "soft");
        ngx_str_set(&argv[argc + 1], "1");
        argc += 2;
    }

    if (how & NGX_HTTP_WEIR_CACHE_OF_CLIENT) {
        ngx_str_set(&argv[argc], "client");
        ngx_str_set(&argv[argc + 1], "1");
        argc += 2;
    }

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = r->connection->log;
    cmd.usage = ngx_http_weir_usage(r);

    if (ngx_http_weir_redis_command(zone->redis, &cmd, argc, argv) != NGX_OK
        || zone->invalidation->refusing)
    {
        (void) ngx_atomic_fetch_add(&zone->invalidation->unsent, 1);
    }
}


/*
 * The POST whose response is being stored, if that response is valid now;
 * otherwise NULL.
 */

static ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_invalidate_outlives(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, weir_invalidations_t *table)
{
    weir_str_t                  key;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || r->method != NGX_HTTP_POST || !ctx->storing
        || ctx->conf->zone != zone)
    {
        return NULL;
    }

    key.data = (char *) ctx->key_text.data;
    key.len = ctx->key_text.len;

    return weir_invalidations_check(table, &ctx->stamp, key, ctx->tags)
           == WEIR_VALID ? ctx : NULL;
}
