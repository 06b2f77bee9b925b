/*
 * The cache's context of a request: its creation, its state transitions, and
 * the release of its resources.
 *
 * All resources of a request (flight, lease, pins, look-ups) are in its
 * context, and the context's cleanup releases them, at whatever point the
 * request ends.  An internal redirect clears the contexts of modules, but the
 * pool's cleanups remain; so all contexts of a request are found through its
 * cleanups.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/lookup/key/ngx_http_weir_cache_redirect.h"
#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/memory/ngx_http_weir_cache_flight.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"


static ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_alloc(
    ngx_pool_t *pool, ngx_http_weir_cache_loc_conf_t *clcf);
static void ngx_http_weir_cache_ctx_cleanup(void *data);


ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_ctx_create(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_uint_t forbidden)
{
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_weir_cache_ctx_alloc(r->pool, clcf);
    if (ctx == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->earlier = r->upstream;
    ctx->method = r->method;
    ctx->arrived = ngx_http_weir_ms();
    ctx->forbidden = forbidden;

    ngx_http_set_ctx(r, ctx, ngx_http_weir_cache_module);

    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_LOOKUP);

    return ctx;
}


ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_ctx_copy(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_ctx_t  *refresh;

    refresh = ngx_http_weir_cache_ctx_alloc(ctx->request->pool, ctx->conf);
    if (refresh == NULL) {
        return NULL;
    }

    refresh->key = ctx->key;
    refresh->key_text = ctx->key_text;
    refresh->vary = ctx->vary;
    ngx_memcpy(refresh->digest, ctx->digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    ngx_memcpy(refresh->variant, ctx->variant, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    refresh->varies = ctx->varies;
    refresh->forbidden = ctx->forbidden;
    refresh->partition = ctx->partition;
    refresh->authorized = ctx->authorized;

    /* the main request, which ends later, keeps the stale entry pinned */

    refresh->stale = ctx->stale;
    refresh->have_stale = 1;
    refresh->background = 1;

    return refresh;
}


void
ngx_http_weir_cache_ctx_hand_over(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_ctx_t *refresh, ngx_http_request_t *sr)
{
    weir_context_t  context;

    refresh->request = sr;
    refresh->method = sr->method;
    ngx_http_set_ctx(sr, refresh, ngx_http_weir_cache_module);

    ngx_memcpy(refresh->flight, ctx->flight, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    refresh->flight_token = ctx->flight_token;
    refresh->in_flight = ctx->in_flight;
    ctx->in_flight = 0;

    if (refresh->in_flight) {
        ngx_http_weir_record_identify(sr, &context);
        ngx_http_weir_cache_flight_hand_over(ctx->conf->zone, refresh->flight,
                                             refresh->flight_token, &context);
    }
}


static ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_ctx_alloc(ngx_pool_t *pool,
    ngx_http_weir_cache_loc_conf_t *clcf)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(pool, sizeof(ngx_http_weir_cache_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_cache_ctx_t));
    ctx->conf = clcf;
    weir_cache_control_init(&ctx->request_cc);

    cln->handler = ngx_http_weir_cache_ctx_cleanup;

    return ctx;
}


ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_ctx_next(ngx_http_request_t *r, ngx_pool_cleanup_t **cln)
{
    ngx_http_weir_cache_ctx_t  *ctx;

    while (*cln) {
        ctx = (*cln)->handler == ngx_http_weir_cache_ctx_cleanup
              ? (*cln)->data : NULL;
        *cln = (*cln)->next;

        if (ctx && ctx->request == r) {
            return ctx;
        }
    }

    return NULL;
}


/* The states from which each state may be entered, as bits. */

#define FROM(state)  (1u << NGX_HTTP_WEIR_CACHE_STATE_##state)

static const unsigned  ngx_http_weir_cache_transitions[] = {
    FROM(BODY),                                            /* NEW */
    FROM(NEW),                                             /* BODY */
    FROM(NEW)|FROM(REDIS)|FROM(TURN),                      /* LOOKUP */
    FROM(LOOKUP),                                          /* REDIS */
    FROM(LOOKUP)|FROM(REDIS),                              /* LEASE */
    FROM(LOOKUP)|FROM(REDIS)|FROM(LEASE),                  /* TURN */
    FROM(NEW)|FROM(LOOKUP)|FROM(REDIS)|FROM(LEASE),        /* FORWARDED */
    FROM(LOOKUP)|FROM(REDIS)|FROM(LEASE)|FROM(FORWARDED),  /* SERVED */
    FROM(NEW)|FROM(LOOKUP)|FROM(REDIS)|FROM(LEASE)
    |FROM(TURN)                                            /* REFUSED */
};

#undef FROM


/* The phase to which the time in each state is attributed. */

static const ngx_http_weir_phase_e  ngx_http_weir_cache_phases[] = {
    NGX_HTTP_WEIR_PHASE_LOOKUP,    /* NEW */
    NGX_HTTP_WEIR_PHASE_NGINX,     /* BODY */
    NGX_HTTP_WEIR_PHASE_LOOKUP,    /* LOOKUP */
    NGX_HTTP_WEIR_PHASE_REDIS,     /* REDIS */
    NGX_HTTP_WEIR_PHASE_REDIS,     /* LEASE */
    NGX_HTTP_WEIR_PHASE_TURN,      /* TURN */
    NGX_HTTP_WEIR_PHASE_UPSTREAM,  /* FORWARDED */
    NGX_HTTP_WEIR_PHASE_RESPONSE,  /* SERVED */
    NGX_HTTP_WEIR_PHASE_RESPONSE   /* REFUSED */
};


void
ngx_http_weir_cache_ctx_enter(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_state_e state)
{
    ngx_http_weir_phase_e  phase;

    ngx_http_weir_assert(ngx_http_weir_cache_transitions[state]
                         & (1u << ctx->state));

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "weir cache: state %d, was %d", state, ctx->state);

    ctx->state = state;

    phase = ngx_http_weir_cache_phases[state];

    if (phase == NGX_HTTP_WEIR_PHASE_REDIS && ctx->collapsed) {
        /* the look-ups of a wait for another edge's fetch are a part of it */
        phase = NGX_HTTP_WEIR_PHASE_TURN;
    }

    ngx_http_weir_record_enter(ctx->request, phase);
}


void
ngx_http_weir_cache_ctx_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e reason)
{
    ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_FORWARDED);

    ctx->status = reason;
    ctx->request_time = ngx_time();
    ctx->began = ngx_http_weir_ms();

    ngx_http_weir_cache_redirect_note_lines(ctx);
    ngx_http_weir_cache_validity_stamp(ctx);
}


void
ngx_http_weir_cache_ctx_stop_waiting(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->lease_asked) {
        ctx->lease_asked = 0;
        ngx_http_weir_redis_cancel(&ctx->lease_command);
    }

    if (ctx->state == NGX_HTTP_WEIR_CACHE_STATE_LEASE) {
        /*
         * Redis may have granted the lease, or may still do so: the release is
         * sent after it
         */
        ctx->lease = ctx->lease_wanted;
    }

    if (ctx->looking) {
        ngx_http_weir_cache_lookup_leave(ctx);
    }

    if (ctx->wait.timer_set) {
        ngx_del_timer(&ctx->wait);
    }
}


/* Stops waiting for replies and releases the entries of a request that ends. */

static void
ngx_http_weir_cache_ctx_cleanup(void *data)
{
    ngx_http_weir_cache_ctx_t  *ctx = data;

    ngx_http_weir_cache_ctx_stop_waiting(ctx);
    ngx_http_weir_cache_turn_end(ctx, 0);

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);
    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->stale_pin);

    ngx_http_weir_cache_lookup_release(&ctx->lookup);
    ngx_http_weir_cache_lookup_release(&ctx->stale_lookup);
}
