/*
 * What becomes of a request: the look-ups in their order, and the verdict.
 *
 * Shared memory is looked at first, then Redis is asked.  Where neither has
 * anything fresh the request may get a stale response at once, with a refresh
 * behind it, or it takes its turn: one request per box and one box of all asks
 * the upstream, the others wait and look again.
 *
 * Nothing here answers the request or asks its upstream; that is the phase's
 * business, which acts on the verdict.  Whatever goes wrong is a miss.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry/ngx_http_weir_cache_entry.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "cache/memory/ngx_http_weir_cache_flight.h"


static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_look_up(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_redis(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_miss(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_stale(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_decide_may_be_stale(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_turn(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_landed(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_lease(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_wait(
    ngx_http_weir_cache_ctx_t *ctx);


ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide(ngx_http_weir_cache_ctx_t *ctx)
{
    switch (ctx->state) {

    case NGX_HTTP_WEIR_CACHE_STATE_REDIS:
        return ngx_http_weir_cache_decide_redis(ctx);

    case NGX_HTTP_WEIR_CACHE_STATE_LEASE:
        return ngx_http_weir_cache_decide_lease(ctx);

    case NGX_HTTP_WEIR_CACHE_STATE_TURN:
        /* the response may vary otherwise than the last one */
        ctx->varies = 0;
        break;

    default:
        break;
    }

    ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_LOOKUP);

    return ngx_http_weir_cache_decide_look_up(ctx);
}


ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e reason)
{
    ctx->reason = reason;

    /* RFC 9111 section 5.2.1.7 */

    return (ctx->request_cc.flags & WEIR_CC_ONLY_IF_CACHED)
           ? NGX_HTTP_WEIR_CACHE_REFUSE : NGX_HTTP_WEIR_CACHE_FORWARD;
}


/* In memory, and then in Redis. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_look_up(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    if (ctx->conf->l1) {
        verdict = ngx_http_weir_cache_find_in_memory(ctx);

        if (verdict != NGX_HTTP_WEIR_CACHE_NOTHING) {
            return verdict;
        }

        if (!ctx->collapsed) {
            ngx_http_weir_cache_zone_missed(ctx->conf->zone,
                                            ctx->varies ? ctx->variant
                                                        : ctx->digest);
        }
    }

    if (ctx->conf->zone->redis == NULL) {
        return ngx_http_weir_cache_decide_miss(ctx);
    }

    if (ngx_http_weir_cache_lookup(ctx, 0) != NGX_OK) {
        ctx->unavailable = 1;
        return ngx_http_weir_cache_decide_miss(ctx);
    }

    return NGX_HTTP_WEIR_CACHE_WAIT_REDIS;
}


/* The reply to ctx->lookup has come, or none will. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_redis(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    verdict = ngx_http_weir_cache_find_in_redis(ctx);

    switch (verdict) {

    case NGX_HTTP_WEIR_CACHE_LOOK_AGAIN:
        ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_LOOKUP);
        return ngx_http_weir_cache_decide_look_up(ctx);

    case NGX_HTTP_WEIR_CACHE_NOTHING:
        return ngx_http_weir_cache_decide_miss(ctx);

    default:
        return verdict;
    }
}


/* Neither level has anything fresh. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_miss(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    if (ctx->have_stale && !ctx->refused) {
        verdict = ngx_http_weir_cache_decide_stale(ctx);

        if (verdict != NGX_HTTP_WEIR_CACHE_NOTHING) {
            return verdict;
        }
    }

    ctx->reason = ctx->refused ? NGX_HTTP_WEIR_CACHE_REQUEST
                  : (ctx->have_stale || ctx->outdated)
                  ? NGX_HTTP_WEIR_CACHE_EXPIRED
                  : ctx->varies ? NGX_HTTP_WEIR_CACHE_VARY_MISS
                  : NGX_HTTP_WEIR_CACHE_MISS;

    return ngx_http_weir_cache_decide_turn(ctx);
}


/*
 * stale-while-revalidate (RFC 5861 section 3): the stale response at once, and
 * one refresh behind it.
 */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    if (!ngx_http_weir_cache_decide_may_be_stale(ctx)) {
        return NGX_HTTP_WEIR_CACHE_NOTHING;
    }

    switch (ngx_http_weir_cache_turn_begin(ctx)) {

    case NGX_ABORT:
        /* the newer response can't be stored, so no refresh would end this */
        return NGX_HTTP_WEIR_CACHE_NOTHING;

    case NGX_OK:
        verdict = ngx_http_weir_cache_decide_landed(ctx);

        if (verdict == NGX_HTTP_WEIR_CACHE_NOTHING) {
            ngx_http_weir_cache_find_take_stale(ctx);
            return NGX_HTTP_WEIR_CACHE_SERVE_STALE_AND_REFRESH;
        }

        return verdict;

    default:
        ngx_http_weir_cache_find_take_stale(ctx);
        return NGX_HTTP_WEIR_CACHE_SERVE_STALE;
    }
}


/* Whether ctx->stale may be served while it is refreshed. */

static ngx_uint_t
ngx_http_weir_cache_decide_may_be_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                 window;
    weir_cache_freshness_t  freshness;

    ngx_http_weir_cache_freshness(&ctx->stale, &freshness);

    window = (ctx->conf->use_stale & NGX_HTTP_WEIR_CACHE_STALE_UPDATING)
             ? INT64_MAX : freshness.stale_while_revalidate;

    if (ctx->stale_soft) {
        /* who invalidates softly allows it, while the response lives */
        freshness.must_revalidate = 0;
        window = ngx_max(window, 1);
    }

    return weir_cache_may_be_stale(&freshness,
                                   ngx_http_weir_cache_age(&ctx->stale),
                                   window)
           && ctx->request_cc.max_age == -1 && ctx->request_cc.min_fresh == -1;
}


/* To the upstream, or behind a request that is on the way there already. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_turn(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_request_t            *r;
    ngx_http_weir_cache_verdict_e  verdict;

    r = ctx->request;

    /*
     * Those whose answer would not be stored can help nobody, and nobody can
     * help those who refuse whatever Redis has.
     */

    if (r->method != NGX_HTTP_GET || r->headers_in.authorization
        || ctx->conf->lock_timeout == 0
        || (ctx->refused && !ctx->conf->l1)
        || (ctx->request_cc.flags & (WEIR_CC_NO_STORE|WEIR_CC_ONLY_IF_CACHED)))
    {
        return ngx_http_weir_cache_decide_forward(ctx, ctx->reason);
    }

    rc = ngx_http_weir_cache_turn_begin(ctx);

    if (rc == NGX_BUSY) {
        return ngx_http_weir_cache_decide_wait(ctx);
    }

    if (rc != NGX_OK) {
        return ngx_http_weir_cache_decide_forward(ctx, ctx->reason);
    }

    verdict = ngx_http_weir_cache_decide_landed(ctx);

    if (verdict != NGX_HTTP_WEIR_CACHE_NOTHING) {
        return verdict;
    }

    switch (ngx_http_weir_cache_lease_take(ctx)) {

    case NGX_OK:
        return NGX_HTTP_WEIR_CACHE_WAIT_LEASE;

    case NGX_DECLINED:
        return ngx_http_weir_cache_decide_forward(ctx, ctx->reason);

    default:
        return NGX_HTTP_WEIR_CACHE_FAIL;
    }
}


/* The last flight may have landed between the look-up and this one's start. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_landed(ngx_http_weir_cache_ctx_t *ctx)
{
    return ctx->conf->l1 ? ngx_http_weir_cache_find_in_memory(ctx)
                         : NGX_HTTP_WEIR_CACHE_NOTHING;
}


/* The replies to the wish for the lease and to the look-up behind it are here. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_lease(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_lease_e    lease;
    ngx_http_weir_cache_verdict_e  verdict;

    lease = ngx_http_weir_cache_lease_read(ctx);
    verdict = ngx_http_weir_cache_find_behind_lease(ctx);

    if (verdict != NGX_HTTP_WEIR_CACHE_NOTHING) {
        return verdict;
    }

    switch (lease) {

    case NGX_HTTP_WEIR_CACHE_LEASE_TAKEN:

        if (!ctx->refused) {
            return ngx_http_weir_cache_decide_wait(ctx);
        }

        /* what another box has asked for is not what it waits for */
        break;

    case NGX_HTTP_WEIR_CACHE_LEASE_PASSED:
        /* those who wait here go to the upstream, too */
        ngx_http_weir_cache_turn_end(ctx, NGX_HTTP_WEIR_CACHE_FLIGHT_PASS);
        break;

    case NGX_HTTP_WEIR_CACHE_LEASE_UNCACHEABLE:
        ngx_http_weir_cache_turn_note(ctx, NGX_HTTP_WEIR_CACHE_FLIGHT_PASS);
        ngx_http_weir_cache_turn_end(ctx, 0);
        break;

    default:
        break;
    }

    return ngx_http_weir_cache_decide_forward(ctx, ctx->reason);
}


/* Who takes longer than weir_cache_lock_timeout is waited for no more. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_wait(ngx_http_weir_cache_ctx_t *ctx)
{
    return ngx_http_weir_cache_turn_wait(ctx) == NGX_OK
           ? NGX_HTTP_WEIR_CACHE_WAIT_TURN
           : ngx_http_weir_cache_decide_forward(ctx, ctx->reason);
}
