/*
 * Whose turn it is to ask the upstream.  Of the requests that miss one key, one
 * per edge gets the flight (ngx_http_weir_cache_flight.h), and of the edges
 * that share a Redis, one gets the lease (ngx_http_weir_cache_lease.c).  The
 * other requests wait, look again, and find the stored response.
 *
 * Each edge remembers for weir_cache_uncacheable the keys whose responses
 * cannot be stored; requests for those keys do not wait.  A response may be
 * uncacheable because of the request's credentials, while responses to other
 * requests may be stored (RFC 9111 section 3.5); one client's request must not
 * disable the cache for all.  So requests with Cookie, with Authorization, with
 * both and with neither have separate records, on the edge and in Redis.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/ngx_http_weir_cache_lease.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/memory/ngx_http_weir_cache_flight.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_park.h"
#include "record/ngx_http_weir_record.h"


/*
 * Interval between two look-ups of a waiting request, ms: the first, the
 * longest.
 */
#define NGX_HTTP_WEIR_CACHE_WAIT_FIRST  1
#define NGX_HTTP_WEIR_CACHE_WAIT_MAX    50


static void ngx_http_weir_cache_turn_known(ngx_http_weir_cache_ctx_t *ctx,
    u_char *known);
static void ngx_http_weir_cache_turn_wake(ngx_event_t *ev);


ngx_int_t
ngx_http_weir_cache_turn_begin(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char         *digest, known[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    ngx_int_t       rc;
    weir_context_t  context;

    digest = ctx->varies ? ctx->variant : ctx->digest;

    if (ctx->in_flight) {

        if (ngx_memcmp(ctx->flight, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
            == 0)
        {
            return NGX_OK;
        }

        ngx_http_weir_cache_turn_end(ctx, 0);
    }

    ngx_http_weir_cache_turn_known(ctx, known);
    ngx_http_weir_record_identify(ctx->request, &context);

    rc = ngx_http_weir_cache_flight_begin(ctx->conf->zone, digest, known,
                                          ctx->conf->lock_timeout,
                                          &ctx->flight_token, &context);

    if (rc == NGX_OK) {
        ngx_memcpy(ctx->flight, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
        ctx->in_flight = 1;

    } else if (rc == NGX_BUSY) {
        ngx_http_weir_record_link(ctx->request, &context);
    }

    return rc;
}


void
ngx_http_weir_cache_turn_end(ngx_http_weir_cache_ctx_t *ctx, ngx_msec_t pass)
{
    if (ctx->lease.len) {
        ngx_http_weir_cache_lease_end(ctx, pass != 0, 0);
    }

    if (ctx->in_flight) {
        ngx_http_weir_assert(ctx->flight_token != 0);

        ctx->in_flight = 0;
        ngx_http_weir_cache_flight_end(ctx->conf->zone, ctx->flight,
                                       ctx->flight_token, pass);
    }
}


void
ngx_http_weir_cache_turn_not_stored(ngx_http_weir_cache_ctx_t *ctx)
{
    if (!ctx->uncacheable) {
        ngx_http_weir_cache_turn_end(ctx, NGX_HTTP_WEIR_CACHE_FLIGHT_PASS);
        return;
    }

    /* in this order, so that waiting requests find the record */

    ngx_http_weir_cache_turn_note(ctx, ctx->conf->uncacheable);

    if (ctx->lease.len) {
        ngx_http_weir_cache_lease_end(ctx, 1,
                                      ngx_http_weir_cache_key_credentials(ctx));
    }

    ngx_http_weir_cache_turn_end(ctx, 0);
}


void
ngx_http_weir_cache_turn_note(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t uncacheable)
{
    u_char  known[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];

    ngx_http_weir_cache_turn_known(ctx, known);
    ngx_http_weir_cache_flight_note(ctx->conf->zone, known, uncacheable);
}


static void
ngx_http_weir_cache_turn_known(ngx_http_weir_cache_ctx_t *ctx, u_char *known)
{
    ngx_memcpy(known, ctx->varies ? ctx->variant : ctx->digest,
               NGX_HTTP_WEIR_CACHE_DIGEST_LEN);

    known[0] ^= 1 + ngx_http_weir_cache_key_credentials(ctx);
}


void
ngx_http_weir_cache_turn_storable(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->request->method == NGX_HTTP_GET && !ctx->part) {
        ngx_http_weir_cache_turn_note(ctx, 0);
    }
}


ngx_uint_t
ngx_http_weir_cache_turn_uncacheable(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char  known[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];

    ngx_http_weir_cache_turn_known(ctx, known);

    return ngx_http_weir_cache_flight_uncacheable(ctx->conf->zone, known);
}


ngx_int_t
ngx_http_weir_cache_turn_wait(ngx_http_weir_cache_ctx_t *ctx)
{
    if (!ctx->collapsed) {
        ctx->collapsed = 1;
        ctx->wait_since = ngx_current_msec;
        ctx->wait_next = NGX_HTTP_WEIR_CACHE_WAIT_FIRST;

    } else if (ngx_current_msec - ctx->wait_since >= ctx->conf->lock_timeout) {
        ctx->collapsed = 0;
        return NGX_DECLINED;
    }

    return NGX_OK;
}


void
ngx_http_weir_cache_turn_sleep(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_assert(ctx->state == NGX_HTTP_WEIR_CACHE_STATE_TURN);
    ngx_http_weir_assert(ctx->collapsed && !ctx->wait.timer_set);

    ctx->wait.handler = ngx_http_weir_cache_turn_wake;
    ctx->wait.data = ctx;
    ctx->wait.log = ctx->request->connection->log;

    ngx_add_timer(&ctx->wait, ctx->wait_next);

    ctx->wait_next = ngx_min(ctx->wait_next * 2, NGX_HTTP_WEIR_CACHE_WAIT_MAX);
}


static void
ngx_http_weir_cache_turn_wake(ngx_event_t *ev)
{
    ngx_http_weir_cache_ctx_t *ctx = ev->data;

    ngx_http_weir_resume(ctx->request);
}
