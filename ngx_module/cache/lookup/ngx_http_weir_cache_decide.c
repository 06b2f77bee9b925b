/*
 * The verdict on a request: the look-ups in their order, and their evaluation.
 *
 * Shared memory is looked up first, then Redis.  If neither has a fresh
 * response, the request may get a stale one at once, with a background refresh.
 * Otherwise it takes its turn: one request per edge, and one edge of all, asks
 * the upstream; the other requests wait and look again.
 *
 * Nothing here sends a response or asks the upstream: the phase handler does
 * so, according to the verdict.  Every failure counts as a miss.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/lookup/ngx_http_weir_cache_decide.h"
#include "cache/lookup/ngx_http_weir_cache_find.h"
#include "cache/lookup/ngx_http_weir_cache_lease.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/memory/ngx_http_weir_cache_flight.h"
#include "cache/ngx_http_weir_cache_entry.h"
#include "http/ngx_http_weir_assert.h"


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
static ngx_int_t ngx_http_weir_cache_decide_may_store(
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
        /* the new response may vary by other fields */
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


/* Looks in memory, then in Redis. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_look_up(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    ngx_http_weir_assert(ctx->state == NGX_HTTP_WEIR_CACHE_STATE_LOOKUP);

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


/* Evaluates the reply to ctx->lookup, or its absence. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_redis(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    ngx_http_weir_assert(ctx->state == NGX_HTTP_WEIR_CACHE_STATE_REDIS);
    ngx_http_weir_assert(ctx->conf->zone->redis != NULL);

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


/* Neither level has a fresh response. */

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
 * one background refresh.
 */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    ngx_http_weir_assert(ctx->have_stale && !ctx->refused);

    if (!ngx_http_weir_cache_decide_may_be_stale(ctx)) {
        return NGX_HTTP_WEIR_CACHE_NOTHING;
    }

    switch (ngx_http_weir_cache_turn_begin(ctx)) {

    case NGX_ABORT:
        /*
         * the newer response cannot be stored, so no refresh would replace the
         * stale one
         */
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


/* True if ctx->stale may be served while it is refreshed. */

static ngx_uint_t
ngx_http_weir_cache_decide_may_be_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                 window;
    weir_cache_freshness_t  freshness;

    ngx_http_weir_cache_entry_freshness(&ctx->stale, &freshness);

    window = (ctx->conf->use_stale & NGX_HTTP_WEIR_CACHE_STALE_UPDATING)
             ? INT64_MAX : freshness.stale_while_revalidate;

    if (ctx->stale_soft) {
        /* a soft invalidation allows it, within the response's own limits */
        freshness.must_revalidate = 0;
        window = ngx_max(window, 1);
    }

    return weir_cache_may_be_stale(&freshness,
                                   ngx_http_weir_cache_entry_age(&ctx->stale),
                                   window)
           && ctx->request_cc.max_age == -1 && ctx->request_cc.min_fresh == -1;
}


/* FORWARD, or WAIT for a request that already fetches. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_turn(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_request_t            *r;
    ngx_http_weir_cache_verdict_e  verdict;

    r = ctx->request;

    /*
     * A request whose response would not be stored has no use for others, and a
     * request that refuses stored responses cannot use those of others.
     */

    if (r->method != NGX_HTTP_GET
        || ngx_http_weir_cache_key_has_authorization(ctx)
        || ctx->conf->lock_timeout == 0
        || (ctx->refused && !ctx->conf->l1)
        || (ctx->request_cc.flags & (WEIR_CC_NO_STORE|WEIR_CC_ONLY_IF_CACHED))
        || ctx->forbidden)
    {
        return ngx_http_weir_cache_decide_forward(ctx, ctx->reason);
    }

    rc = ngx_http_weir_cache_decide_may_store(ctx);
    if (rc != NGX_OK) {
        return rc == NGX_ERROR
               ? NGX_HTTP_WEIR_CACHE_FAIL
               : ngx_http_weir_cache_decide_forward(ctx, ctx->reason);
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


/*
 * NGX_DECLINED: weir_cache_no_store refuses the response to this request, before
 * the upstream has answered.  It is evaluated again with the response, so the
 * values that variables have now are not kept: they may depend on the response.
 */

static ngx_int_t
ngx_http_weir_cache_decide_may_store(ngx_http_weir_cache_ctx_t *ctx)
{
    size_t                      size;
    ngx_int_t                   rc;
    ngx_http_request_t         *r;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_variable_value_t  *values;

    if (ctx->conf->no_store == NULL || ctx->may_store) {
        return NGX_OK;
    }

    r = ctx->request;
    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);
    size = cmcf->variables.nelts * sizeof(ngx_http_variable_value_t);

    values = ngx_palloc(r->pool, size);
    if (values == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(values, r->variables, size);
    rc = ngx_http_test_predicates(r, ctx->conf->no_store);
    ngx_memcpy(r->variables, values, size);

    ctx->may_store = (rc == NGX_OK);

    return rc;
}


/*
 * The previous flight may have ended between the look-up and the start of this
 * one: looks again.
 */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_landed(ngx_http_weir_cache_ctx_t *ctx)
{
    return ctx->conf->l1 ? ngx_http_weir_cache_find_in_memory(ctx)
                         : NGX_HTTP_WEIR_CACHE_NOTHING;
}


/* Evaluates the replies to the lease command and to the look-up after it. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_lease(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_lease_e    lease;
    ngx_http_weir_cache_verdict_e  verdict;

    ngx_http_weir_assert(ctx->state == NGX_HTTP_WEIR_CACHE_STATE_LEASE);
    ngx_http_weir_assert(ctx->conf->zone->redis != NULL);

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

        /* the response that another edge asked for does not suit the request */
        break;

    case NGX_HTTP_WEIR_CACHE_LEASE_PASSED:
        /* requests of this edge that wait go to the upstream, too */
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


/*
 * The fetch of another request took longer than weir_cache_lock_timeout: stops
 * waiting.
 */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_decide_wait(ngx_http_weir_cache_ctx_t *ctx)
{
    return ngx_http_weir_cache_turn_wait(ctx) == NGX_OK
           ? NGX_HTTP_WEIR_CACHE_WAIT_TURN
           : ngx_http_weir_cache_decide_forward(ctx, ctx->reason);
}
