/*
 * Builds the entry: begun with the response's header, then the body byte by
 * byte, in one block of memory of the request's pool, of at most
 * weir_cache_max_size.  A response that breaks off has no last buffer and is
 * not stored.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry_check.h"
#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir_assert.h"


#define NGX_HTTP_WEIR_CACHE_BUF_MIN  4096


static ngx_int_t ngx_http_weir_cache_describe(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc,
    weir_entry_t *entry);
static void ngx_http_weir_cache_date_entry(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_entry_t *entry);
static size_t ngx_http_weir_cache_record_body_max(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_record_room(ngx_http_weir_cache_ctx_t *ctx,
    size_t len);


ngx_int_t
ngx_http_weir_cache_record_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc)
{
    size_t               body_len;
    ngx_int_t            rc;
    weir_entry_t         entry;
    ngx_http_request_t  *r;

    r = ctx->request;

    rc = ngx_http_weir_cache_describe(ctx, freshness, cc, &entry);
    if (rc != NGX_OK) {
        return rc;
    }

    body_len = r->headers_out.content_length_n >= 0
               ? (size_t) r->headers_out.content_length_n
               : NGX_HTTP_WEIR_CACHE_BUF_MIN;

    if (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        body_len = ctx->stale.body.len;
    }

    ctx->tags = entry.tags;
    ctx->ttl = ngx_http_weir_cache_record_ttl(ctx, freshness);
    ctx->head_len = weir_entry_head_size(&entry);
    ctx->len = ctx->head_len;
    ctx->size = ctx->head_len + body_len;

    ngx_http_weir_assert(ctx->key.len != 0);

    if (r->headers_out.content_length_n
        > (off_t) ngx_http_weir_cache_record_body_max(ctx))
    {
        return NGX_DECLINED;
    }

    /* with room for the signature after the entry */

    ctx->buf = ngx_palloc(r->pool, ctx->size + WEIR_ENTRY_MAC_LEN);
    if (ctx->buf == NULL) {
        return NGX_ERROR;
    }

    (void) weir_entry_begin((char *) ctx->buf, &entry);

    ctx->storing = 1;
    ctx->stored = 1;

    return NGX_OK;
}


/* Writes the entry without its body; returns as ngx_http_weir_cache_record_begin(). */

static ngx_int_t
ngx_http_weir_cache_describe(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc,
    weir_entry_t *entry)
{
    ngx_int_t    rc;
    ngx_uint_t   revalidated;
    const char  *wrong;

    revalidated = (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED);

    ngx_memzero(entry, sizeof(weir_entry_t));

    if (ctx->vary_fields.len) {
        if (ngx_http_weir_cache_key_vary_select(ctx, &ctx->vary_fields) != NGX_OK) {
            return NGX_ERROR;
        }

        entry->flags |= WEIR_ENTRY_VARIANT;
        entry->vary.data = (char *) ctx->vary.data;
        entry->vary.len = ctx->vary.len;
    }

    rc = ngx_http_weir_cache_fields_write(ctx, cc, &entry->headers);
    if (rc != NGX_OK) {
        return rc;
    }

    rc = ngx_http_weir_cache_validity_read_tags(ctx, &entry->tags);
    if (rc != NGX_OK) {
        return rc;
    }

    if (revalidated && entry->tags.len == 0) {
        /* a 304 without tags keeps the stored ones */
        entry->tags = ctx->stale.tags;
    }

    entry->status = revalidated ? ctx->stale.status
                                : ctx->request->headers_out.status;
    entry->key.data = (char *) ctx->key.data;
    entry->key.len = ctx->key.len;

    ngx_http_weir_cache_date_entry(ctx, freshness, entry);

    /* a field or status for which other edges would refuse the entry */

    wrong = weir_entry_check(entry, entry->stored);

    if (wrong) {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                       "weir cache: not stored: %s", wrong);
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* Sets the freshness and the stamp. */

static void
ngx_http_weir_cache_date_entry(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_entry_t *entry)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    if (freshness->must_revalidate) {
        entry->flags |= WEIR_ENTRY_MUST_REVALIDATE;
    }

    if (freshness->no_cache) {
        entry->flags |= WEIR_ENTRY_NO_CACHE;
    }

    entry->stored = (int64_t) tp->sec * 1000 + tp->msec;
    entry->initial_age = freshness->initial_age;
    entry->lifetime = freshness->lifetime;
    entry->stale_while_revalidate = freshness->stale_while_revalidate;
    entry->stale_if_error = freshness->stale_if_error;
    entry->era = ctx->stamp.era;
    entry->position_ms = ctx->stamp.position.ms;
    entry->position_seq = ctx->stamp.position.seq;
    entry->origin = ctx->stamp.origin;
    entry->local = ctx->stamp.local;
}


/* Limit in bytes; without Redis an entry must fit into the zone. */

static size_t
ngx_http_weir_cache_record_body_max(ngx_http_weir_cache_ctx_t *ctx)
{
    size_t  largest;

    if (ctx->conf->zone->redis && !ctx->unavailable) {
        return ctx->conf->max_size;
    }

    largest = ngx_http_weir_cache_zone_largest(ctx->conf->zone);
    largest -= ngx_min(largest, ctx->head_len);

    return ngx_min(largest, ctx->conf->max_size);
}


/* Copies the bytes of the buffer, from memory or from a temporary file. */

void
ngx_http_weir_cache_record_append(ngx_http_weir_cache_ctx_t *ctx, ngx_buf_t *b)
{
    off_t  len;

    if (ngx_buf_special(b)) {
        return;
    }

    ngx_http_weir_assert(ctx->storing && ctx->buf != NULL);
    ngx_http_weir_assert(ctx->len <= ctx->size);

    len = ngx_buf_size(b);

    if (len > (off_t) ngx_http_weir_cache_record_body_max(ctx)
              - (off_t) (ctx->len - ctx->head_len))
    {
        ctx->uncacheable = (ctx->request->method == NGX_HTTP_GET
                            && !ctx->unavailable);
        ngx_http_weir_cache_record_abandon(ctx, "too large");
        return;
    }

    if (ngx_http_weir_cache_record_room(ctx, len) != NGX_OK) {
        ngx_http_weir_cache_record_abandon(ctx, "no memory");
        return;
    }

    if (ngx_buf_in_memory(b)) {
        ngx_memcpy(ctx->buf + ctx->len, b->pos, len);

    } else if (ngx_read_file(b->file, ctx->buf + ctx->len, len, b->file_pos)
               != len)
    {
        ngx_http_weir_cache_record_abandon(ctx,
                                           "a temporary file can't be read");
        return;
    }

    ctx->len += len;
}


static ngx_int_t
ngx_http_weir_cache_record_room(ngx_http_weir_cache_ctx_t *ctx, size_t len)
{
    size_t   size;
    u_char  *buf;

    if (len <= ctx->size - ctx->len) {
        return NGX_OK;
    }

    size = ngx_max(ctx->size * 2, ctx->len + len);
    size = ngx_min(size, ctx->head_len + ctx->conf->max_size);

    buf = ngx_palloc(ctx->request->pool, size + WEIR_ENTRY_MAC_LEN);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(buf, ctx->buf, ctx->len);
    (void) ngx_pfree(ctx->request->pool, ctx->buf);

    ctx->buf = buf;
    ctx->size = size;

    ngx_http_weir_assert(len <= ctx->size - ctx->len);

    return NGX_OK;
}


void
ngx_http_weir_cache_record_abandon(ngx_http_weir_cache_ctx_t *ctx, char *reason)
{
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "weir cache: storing abandoned: %s", reason);

    ngx_http_weir_cache_record_free_buf(ctx);

    ctx->storing = 0;

    ngx_http_weir_cache_turn_not_stored(ctx);
}


/* The client may still receive the response. */

void
ngx_http_weir_cache_record_free_buf(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->status != NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        (void) ngx_pfree(ctx->request->pool, ctx->buf);
        ctx->buf = NULL;
    }
}


/*
 * Time to live in Redis: the freshness lifetime, plus the time it may be served
 * stale, plus weir_cache_keep if it can be validated.
 */

time_t
ngx_http_weir_cache_record_ttl(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness)
{
    int64_t  fresh, after;

    fresh = freshness->lifetime - freshness->initial_age;
    after = ngx_max(freshness->stale_while_revalidate,
                    freshness->stale_if_error);

    if ((ctx->validator || ctx->conf->fallback
         || ctx->conf->use_stale & ~NGX_CONF_BITMASK_SET)
        && after < (int64_t) ctx->conf->keep)
    {
        after = ctx->conf->keep;
    }

    return ngx_max(fresh, 0) + after;
}
