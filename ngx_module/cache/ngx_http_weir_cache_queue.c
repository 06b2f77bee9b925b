/*
 * Whose turn it is to ask the upstream.  Of the requests that miss one key, one
 * per box gets the flight (ngx_http_weir_cache_flight.h), and of the boxes that
 * share Redis, one gets the lease (ngx_http_weir_cache_lease.c); all others wait,
 * look again, and find what was stored.
 *
 * Each box remembers for weir_cache_uncacheable for which keys responses can't be
 * stored, and nobody waits for those.  A response may be uncacheable for the
 * credentials that its request has: those of others may be stored all the same
 * (RFC 9111 section 3.5), and what one client sends must not switch the cache off
 * for all.  So what is remembered of requests with Cookie, with Authorization,
 * with both and with none is kept apart, here and between boxes.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "cache/ngx_http_weir_cache_flight.h"
#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/ngx_http_weir_park.h"


/* Milliseconds between two looks of one that waits: the first, the longest. */
#define NGX_HTTP_WEIR_CACHE_WAIT_FIRST  1
#define NGX_HTTP_WEIR_CACHE_WAIT_MAX    50


static ngx_int_t ngx_http_weir_cache_begin_flight(
    ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_known(ngx_http_weir_cache_ctx_t *ctx,
    u_char *known);
static void ngx_http_weir_cache_wait_handler(ngx_event_t *ev);


/*
 * stale-while-revalidate (RFC 5861 section 3): the stale response at once, and
 * one refresh behind it.  NGX_BUSY: it may not be served.
 */

ngx_int_t
ngx_http_weir_cache_stale_at_once(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                 window;
    ngx_int_t               rc;
    weir_cache_freshness_t  freshness;

    ngx_http_weir_cache_freshness(&ctx->stale, &freshness);

    window = (ctx->conf->use_stale & NGX_HTTP_WEIR_CACHE_STALE_UPDATING)
             ? INT64_MAX : freshness.stale_while_revalidate;

    if (ctx->stale_soft) {
        /* who invalidates softly allows it, while the response lives */
        freshness.must_revalidate = 0;
        window = ngx_max(window, 1);
    }

    if (!weir_cache_may_be_stale(&freshness,
                                 ngx_http_weir_cache_age(&ctx->stale), window)
        || ctx->request_cc.max_age != -1 || ctx->request_cc.min_fresh != -1)
    {
        return NGX_BUSY;
    }

    switch (ngx_http_weir_cache_begin_flight(ctx)) {

    case NGX_ABORT:
        /* the newer response can't be stored, so no refresh would end this */
        return NGX_BUSY;

    case NGX_OK:

        /* the last refresh may have landed since the look-up */

        rc = ctx->conf->l1 ? ngx_http_weir_cache_find_l1(ctx) : NGX_BUSY;

        if (rc != NGX_BUSY) {
            return rc;
        }

        if (ngx_http_weir_cache_refresh(ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        break;

    default:
        break;
    }

    ngx_http_weir_cache_take_stale(ctx);
    ctx->status = NGX_HTTP_WEIR_CACHE_STALE;

    return ngx_http_weir_cache_answer(ctx);
}


/* To the upstream, or behind somebody who is on the way there already. */

ngx_int_t
ngx_http_weir_cache_fly(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->flying_as = status;

    /*
     * Those whose answer would not be stored can help nobody, and nobody can
     * help those who refuse whatever Redis has.
     */

    if (r->method != NGX_HTTP_GET || r->headers_in.authorization
        || ctx->conf->lock_timeout == 0
        || (ctx->refused && !ctx->conf->l1)
        || (ctx->request_cc.flags & (WEIR_CC_NO_STORE|WEIR_CC_ONLY_IF_CACHED)))
    {
        return ngx_http_weir_cache_forward(ctx, status);
    }

    rc = ngx_http_weir_cache_begin_flight(ctx);

    if (rc == NGX_ABORT) {
        return ngx_http_weir_cache_forward(ctx, status);
    }

    if (rc == NGX_BUSY) {
        return ngx_http_weir_cache_wait(ctx);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_weir_cache_forward(ctx, status);
    }

    if (ctx->conf->l1) {

        /* the last flight may have landed since the look-up */

        rc = ngx_http_weir_cache_find_l1(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    return ngx_http_weir_cache_take_lease(ctx);
}


/* As ngx_http_weir_cache_flight_begin(); a flight of another key is ended. */

static ngx_int_t
ngx_http_weir_cache_begin_flight(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char     *digest, known[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    ngx_int_t   rc;

    digest = ctx->varies ? ctx->variant : ctx->digest;

    if (ctx->in_flight) {

        if (ngx_memcmp(ctx->flight, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
            == 0)
        {
            return NGX_OK;
        }

        ngx_http_weir_cache_end_flight(ctx, 0);
    }

    ngx_http_weir_cache_known(ctx, known);

    rc = ngx_http_weir_cache_flight_begin(ctx->conf->zone, digest, known,
                                          ctx->conf->lock_timeout,
                                          &ctx->flight_token);

    if (rc == NGX_OK) {
        ngx_memcpy(ctx->flight, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
        ctx->in_flight = 1;

    }

    return rc;
}


void
ngx_http_weir_cache_end_flight(ngx_http_weir_cache_ctx_t *ctx, ngx_msec_t pass)
{
    if (ctx->lease.len) {
        ngx_http_weir_cache_end_lease(ctx, pass != 0, 0);
    }

    if (ctx->in_flight) {
        ctx->in_flight = 0;
        ngx_http_weir_cache_flight_end(ctx->conf->zone, ctx->flight,
                                       ctx->flight_token, pass);
    }
}


void
ngx_http_weir_cache_not_stored(ngx_http_weir_cache_ctx_t *ctx)
{
    if (!ctx->uncacheable) {
        ngx_http_weir_cache_end_flight(ctx, NGX_HTTP_WEIR_CACHE_FLIGHT_PASS);
        return;
    }

    /* in this order, so that those who wait find it */

    ngx_http_weir_cache_note(ctx, ctx->conf->uncacheable);

    if (ctx->lease.len) {
        ngx_http_weir_cache_end_lease(ctx, 1,
                                      ngx_http_weir_cache_credentials(ctx));
    }

    ngx_http_weir_cache_end_flight(ctx, 0);
}


void
ngx_http_weir_cache_note(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t uncacheable)
{
    u_char  known[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];

    ngx_http_weir_cache_known(ctx, known);
    ngx_http_weir_cache_flight_note(ctx->conf->zone, known, uncacheable);
}


static void
ngx_http_weir_cache_known(ngx_http_weir_cache_ctx_t *ctx, u_char *known)
{
    ngx_memcpy(known, ctx->varies ? ctx->variant : ctx->digest,
               NGX_HTTP_WEIR_CACHE_DIGEST_LEN);

    known[0] ^= 1 + ngx_http_weir_cache_credentials(ctx);
}


ngx_uint_t
ngx_http_weir_cache_credentials(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    return (r->headers_in.authorization ? 1 : 0)
           + (ngx_http_weir_has_cookie(r) ? 2 : 0);
}


void
ngx_http_weir_cache_storable(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->request->method == NGX_HTTP_GET && !ctx->part) {
        ngx_http_weir_cache_note(ctx, 0);
    }
}


ngx_uint_t
ngx_http_weir_cache_known_uncacheable(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char  known[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];

    ngx_http_weir_cache_known(ctx, known);

    return ngx_http_weir_cache_flight_uncacheable(ctx->conf->zone, known);
}


ngx_int_t
ngx_http_weir_cache_wait(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->collapsed) {
        ctx->collapsed = 1;
        ctx->wait_since = ngx_current_msec;
        ctx->wait_next = NGX_HTTP_WEIR_CACHE_WAIT_FIRST;

    } else if (ngx_current_msec - ctx->wait_since >= ctx->conf->lock_timeout) {
        ctx->collapsed = 0;
        return ngx_http_weir_cache_forward(ctx, ctx->flying_as);
    }

    ctx->wait.handler = ngx_http_weir_cache_wait_handler;
    ctx->wait.data = ctx;
    ctx->wait.log = ctx->request->connection->log;

    rc = ngx_http_weir_park(ctx->request);

    if (rc == NGX_AGAIN) {
        ngx_add_timer(&ctx->wait, ctx->wait_next);

        ctx->wait_next = ngx_min(ctx->wait_next * 2,
                                 NGX_HTTP_WEIR_CACHE_WAIT_MAX);
    }

    return rc;
}


static void
ngx_http_weir_cache_wait_handler(ngx_event_t *ev)
{
    ngx_http_weir_cache_ctx_t *ctx = ev->data;

    /* from the beginning: the response may vary otherwise than the last one */

    ctx->varies = 0;
    ctx->l2 = 0;

    ngx_http_weir_resume(ctx->request);
}
