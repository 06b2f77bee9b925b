/* The context of a request in a cached location, and its states. */

#ifndef _NGX_HTTP_WEIR_CACHE_CTX_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_CTX_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * Creates the context of a request in a cached location, in the state NEW;
 * NULL: no memory.  It lives as long as the request's pool.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_create(
    ngx_http_request_t *r, ngx_http_weir_cache_loc_conf_t *clcf,
    ngx_uint_t forbidden);

/*
 * Creates a copy for a background refresh of ctx->stale, which has no request
 * yet; NULL: no memory.  hand_over gives it to the subrequest, with the flight.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_copy(
    ngx_http_weir_cache_ctx_t *ctx);
void ngx_http_weir_cache_ctx_hand_over(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_ctx_t *refresh, ngx_http_request_t *sr);

/*
 * Iterates over the contexts that a request has had, the last one first: *cln
 * begins with r->pool->cleanup.  NULL: there are no more.
 */
ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_ctx_next(
    ngx_http_request_t *r, ngx_pool_cleanup_t **cln);

/* Changes the state of the request. */
void ngx_http_weir_cache_ctx_enter(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_state_e state);

/* Changes to FORWARDED and records the data of that time. */
void ngx_http_weir_cache_ctx_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e reason);


/* True if the event that the request waits for is still outstanding. */
static ngx_inline ngx_uint_t
ngx_http_weir_cache_ctx_waits(ngx_http_weir_cache_ctx_t *ctx)
{
    switch (ctx->state) {

    case NGX_HTTP_WEIR_CACHE_STATE_BODY:
        return !ctx->body_read;

    case NGX_HTTP_WEIR_CACHE_STATE_REDIS:
        return ctx->looking;

    case NGX_HTTP_WEIR_CACHE_STATE_LEASE:
        return ctx->looking || ctx->lease_asked;

    case NGX_HTTP_WEIR_CACHE_STATE_TURN:
        return ctx->wait.timer_set;

    default:
        return 0;
    }
}


/* After this call no event resumes the request. */
void ngx_http_weir_cache_ctx_stop_waiting(ngx_http_weir_cache_ctx_t *ctx);


#endif /* _NGX_HTTP_WEIR_CACHE_CTX_H_INCLUDED_ */
