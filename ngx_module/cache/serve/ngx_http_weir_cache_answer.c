/*
 * Sends a stored response to the client, and reports on it: Cache-Status (RFC
 * 9211) and the zone's counters.
 *
 * Each request that the cache has looked up is counted once, consistently with
 * its Cache-Status, as a hit or as forwarded for one reason.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/ngx_http_weir_cache_entry.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"


static ngx_int_t ngx_http_weir_cache_answer_add_hit(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_answer_reason(
    ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_answer_count(ngx_http_weir_cache_ctx_t *ctx,
    char *detail);


ngx_str_t  ngx_http_weir_cache_reasons[NGX_HTTP_WEIR_CACHE_REASONS] = {
    ngx_string("uri-miss"),
    ngx_string("miss"),
    ngx_string("vary-miss"),
    ngx_string("stale"),
    ngx_string("request"),
    ngx_string("bypass"),
    ngx_string("method")
};


static ngx_str_t  ngx_http_weir_cache_status_name = ngx_string("Cache-Status");


ngx_int_t
ngx_http_weir_cache_answer_send(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    r = ctx->request;

    /* no request waits for this client, which may be slow */

    ngx_http_weir_cache_turn_end(ctx, 0);

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_weir_cache_restore(ctx) != NGX_OK
        || ngx_http_weir_cache_answer_add_hit(ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    out = ngx_http_weir_cache_answer_body(ctx);
    if (out == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_finalize_request(r, ngx_http_weir_send_response(r, out));

    return NGX_DONE;
}


ngx_chain_t *
ngx_http_weir_cache_answer_body(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_chain_t  *out;

    b = ngx_calloc_buf(ctx->request->pool);
    out = ngx_alloc_chain_link(ctx->request->pool);

    if (b == NULL || out == NULL) {
        return NULL;
    }

    b->pos = (u_char *) ctx->entry.body.data;
    b->last = b->pos + ctx->entry.body.len;
    b->memory = (ctx->entry.body.len != 0);
    b->last_buf = 1;
    b->last_in_chain = 1;

    out->buf = b;
    out->next = NULL;

    return out;
}


static ngx_int_t
ngx_http_weir_cache_answer_add_hit(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char              *p;
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_weir_cache_answer_count(ctx, NULL);

    p = ngx_pnalloc(r->pool, sizeof("Weir; hit; ttl=; collapsed;"
                                    " detail=soft-invalidated")
                             + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = ngx_sprintf(p, "Weir; hit; ttl=%T%s; detail=%s",
                    (time_t) ctx->entry.lifetime
                    - ngx_http_weir_cache_entry_age(&ctx->entry),
                    ctx->collapsed ? "; collapsed" : "",
                    ctx->status == NGX_HTTP_WEIR_CACHE_STALE && ctx->stale_soft
                    ? "soft-invalidated" : ctx->from_redis ? "redis" : "memory");

    value.len = p - value.data;

    return ngx_http_weir_add_header(r, &ngx_http_weir_cache_status_name,
                                    &value)
           ? NGX_OK : NGX_ERROR;
}


/* True if the entry may exist in Redis, which gave no answer. */

static ngx_uint_t
ngx_http_weir_cache_answer_reason(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->by_request) {
        return 4;
    }

    switch (ctx->status) {

    case NGX_HTTP_WEIR_CACHE_MISS:
        return ctx->unavailable ? 1 : 0;

    case NGX_HTTP_WEIR_CACHE_VARY_MISS:
        return 2;

    case NGX_HTTP_WEIR_CACHE_REQUEST:
        return 4;

    case NGX_HTTP_WEIR_CACHE_BYPASS:
        return 5;

    case NGX_HTTP_WEIR_CACHE_METHOD:
        return 6;

    default:
        return 3;
    }
}


static void
ngx_http_weir_cache_answer_count(ngx_http_weir_cache_ctx_t *ctx, char *detail)
{
    ngx_uint_t                       reason;
    ngx_http_weir_cache_counters_t  *counters;

    counters = ngx_http_weir_cache_zone_counters(ctx->conf->zone);

    if (ctx->status == NGX_HTTP_WEIR_CACHE_HIT
        || (ctx->status == NGX_HTTP_WEIR_CACHE_STALE && !detail))
    {
        (void) ngx_atomic_fetch_add(ctx->from_redis ? &counters->hits_redis
                                            : &counters->hits_memory, 1);

        if (ctx->status == NGX_HTTP_WEIR_CACHE_STALE) {
            (void) ngx_atomic_fetch_add(&counters->stale, 1);
        }

        if (ctx->collapsed) {
            (void) ngx_atomic_fetch_add(&counters->collapsed, 1);
        }

        return;
    }

    reason = ngx_http_weir_cache_answer_reason(ctx);

    ngx_http_weir_assert(reason < NGX_HTTP_WEIR_CACHE_REASONS);

    (void) ngx_atomic_fetch_add(&counters->forwarded[reason], 1);

    if (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        (void) ngx_atomic_fetch_add(&counters->revalidated, 1);
    }

    if (detail) {
        (void) ngx_atomic_fetch_add(&counters->stale_errors, 1);
    }
}


void
ngx_http_weir_cache_answer_forwarded(ngx_http_weir_cache_ctx_t *ctx,
    char *detail)
{
    u_char              *p;
    ngx_str_t            value;
    ngx_uint_t           reason, status;
    ngx_http_request_t  *r;

    r = ctx->request;
    reason = ngx_http_weir_cache_answer_reason(ctx);

    ngx_http_weir_cache_answer_count(ctx, detail);

    if (ctx->unavailable && detail == NULL) {
        detail = "redis-unavailable";

    } else if (detail == NULL) {
        detail = (ctx->outdated == NULL && ctx->have_stale && ctx->stale_soft)
                 ? "soft-invalidated" : ctx->outdated;
    }

    p = ngx_pnalloc(r->pool, sizeof("Weir; fwd=vary-miss; fwd-status=; stored;"
                                    " detail=") + NGX_INT_T_LEN
                             + (detail ? ngx_strlen(detail) : 0));
    if (p == NULL) {
        return;
    }

    value.data = p;

    p = ngx_sprintf(p, "Weir; fwd=%V", &ngx_http_weir_cache_reasons[reason]);

    status = ngx_http_weir_upstream_status(r);

    if (status) {
        p = ngx_sprintf(p, "; fwd-status=%ui", status);
    }

    /*
     * a response that was invalidated since the request was sent is not stored
     */

    if (ctx->stored
        && (!ctx->storing || ngx_http_weir_cache_validity_would_hold(ctx)))
    {
        p = ngx_sprintf(p, "; stored");
    }

    if (detail) {
        p = ngx_sprintf(p, "; detail=%s", detail);
    }

    value.len = p - value.data;

    (void) ngx_http_weir_add_header(r, &ngx_http_weir_cache_status_name,
                                    &value);
}
