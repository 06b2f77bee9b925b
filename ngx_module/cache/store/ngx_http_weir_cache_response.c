/*
 * Decides whether the upstream's response is stored: RFC 9111 sections 3 and
 * 4.2, with the plain core in rules.c.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/key/ngx_http_weir_cache_uri.h"
#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/purge/ngx_http_weir_cache_purge.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_cache_response_try(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_response_may_be_stored(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_response_lasts(
    ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t status);


ngx_int_t
ngx_http_weir_cache_response_prepare(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_weir_cache_response_try(ctx);

    if (rc == NGX_ERROR) {
        /* the next response may be stored */
        ctx->uncacheable = 0;
    }

    return rc;
}


static ngx_int_t
ngx_http_weir_cache_response_try(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                rc;
    const char              *reason;
    ngx_http_request_t      *r;
    weir_cache_control_t     cc;
    weir_cache_response_t    response;
    weir_cache_freshness_t   freshness;

    r = ctx->request;

    rc = ngx_http_weir_cache_response_may_be_stored(ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_weir_cache_read_response(ctx, &response, &cc) != NGX_OK) {
        return NGX_ERROR;
    }

    reason = weir_cache_refuses_storing(&response, &freshness);

    if (reason == NULL && ngx_http_weir_cache_record_ttl(ctx, &freshness) <= 0)
    {
        reason = "never usable";
    }

    if (reason == NULL
        && r->headers_out.content_length_n > (off_t) ctx->conf->max_size)
    {
        reason = "too large";
    }

    ctx->uncacheable = reason && !response.request_no_store
                       && ngx_http_weir_cache_response_lasts(ctx,
                                                             response.status);

    if (reason == NULL && ctx->conf->min_uses > 1 && ctx->conf->l1
        && ngx_http_weir_cache_zone_uses(ctx->conf->zone,
                                         ctx->varies ? ctx->variant
                                                     : ctx->digest)
           < ctx->conf->min_uses)
    {
        reason = "fewer misses than weir_cache_min_uses";
    }

    if (reason == NULL && ctx->unavailable && !ctx->conf->l1) {
        reason = "redis is unavailable";
    }

    if (reason) {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "weir cache: not stored: %s", reason);
        return NGX_DECLINED;
    }

    rc = ngx_http_weir_cache_record_begin(ctx, &freshness, &cc);

    if (rc == NGX_DECLINED && !ctx->unavailable) {
        ctx->uncacheable = ngx_http_weir_cache_response_lasts(ctx,
                                                              response.status);
    }

    return rc;
}


/*
 * NGX_DECLINED: an earlier response or weir_cache_no_store forbids it;
 * NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_http_weir_cache_response_may_be_stored(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->forbidden) {
        return NGX_DECLINED;
    }

    rc = ngx_http_test_predicates(r, ctx->conf->no_store);

    if (rc == NGX_DECLINED && ctx->may_store) {
        /* by the response itself, not by this client's request */
        ctx->uncacheable = ngx_http_weir_cache_response_lasts(ctx,
                                                      r->headers_out.status);
    }

    return rc;
}


/*
 * True if the next response will be uncacheable, too.  An error, an effect of
 * this request's own fields, and a refusal of one caller among those who share,
 * is chance.
 */

static ngx_uint_t
ngx_http_weir_cache_response_lasts(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t status)
{
    return ctx->request->method == NGX_HTTP_GET && status != 0 && status < 500
           && !weir_cache_is_about_request(status)
           && !(ctx->share.partition.len
                && weir_cache_is_about_caller(status));
}


void
ngx_http_weir_cache_response_not_passed_on(ngx_http_weir_cache_ctx_t *ctx)
{
    if (!ctx->stored && ctx->key.len
        && ctx->state == NGX_HTTP_WEIR_CACHE_STATE_FORWARDED
        && ngx_http_weir_cache_response_lasts(ctx,
                                  ngx_http_weir_upstream_status(ctx->request)))
    {
        ctx->uncacheable = 1;
    }
}


ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_response_led_away(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx, *last;

    last = NULL;
    cln = r->pool->cleanup;

    ngx_http_weir_forward_release(r);

    while ((ctx = ngx_http_weir_cache_ctx_next(r, &cln)) != NULL) {
        ngx_http_weir_cache_response_not_passed_on(ctx);
        ngx_http_weir_cache_turn_not_stored(ctx);

        if (last == NULL) {
            last = ctx;
            ngx_http_weir_cache_invalidate_unseen(ctx);
        }
    }

    return last;
}


/*
 * RFC 9110 section 9.3.3: the response to a POST that has a freshness lifetime,
 * and a Content-Location equal to the POST's own URI, is stored as the response
 * to a GET of that URI.  It remains valid after the invalidations that the POST
 * itself causes; see invalidate.
 */

ngx_int_t
ngx_http_weir_cache_response_prepare_post(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t            key;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    static ngx_str_t  name = ngx_string("Content-Location");

    r = ctx->request;

    h = ngx_http_weir_find_header(&r->upstream->headers_in.headers, &name);

    if (h == NULL || r->headers_out.status != NGX_HTTP_OK) {
        return NGX_DECLINED;
    }

    if (ngx_http_weir_cache_key_make(ctx) != NGX_OK
        || ngx_http_weir_cache_key_read_request(ctx) != NGX_OK
        || ngx_http_weir_cache_uri_key(r, ctx->conf, &ctx->key_text, &h->value,
                                       0, &key)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (key.len != ctx->key_text.len
        || ngx_memcmp(key.data, ctx->key_text.data, key.len) != 0)
    {
        return NGX_DECLINED;
    }

    return ngx_http_weir_cache_response_prepare(ctx);
}
