/* A request's turn to ask the upstream, on this edge. */

#ifndef _NGX_HTTP_WEIR_CACHE_TURN_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_TURN_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * Ends the request's flight and lease, if it has them; pass as for
 * ngx_http_weir_cache_flight_end(), ms.
 */
void ngx_http_weir_cache_turn_end(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t pass);

/*
 * The upstream's response is not stored, so no request waits for it.  If
 * ctx->uncacheable says that it cannot be stored, requests with the same kinds
 * of credentials do not wait for weir_cache_uncacheable.
 */
void ngx_http_weir_cache_turn_not_stored(ngx_http_weir_cache_ctx_t *ctx);

/* A response was stored: responses to such requests can be stored. */
void ngx_http_weir_cache_turn_storable(ngx_http_weir_cache_ctx_t *ctx);

/* True if responses to such requests are known to be uncacheable. */
ngx_uint_t ngx_http_weir_cache_turn_uncacheable(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * As ngx_http_weir_cache_flight_begin(); ends the request's flight of another
 * key.
 */
ngx_int_t ngx_http_weir_cache_turn_begin(ngx_http_weir_cache_ctx_t *ctx);

/*
 * NGX_OK: the request may wait for another's fetch; after it was parked, sleep
 * starts the timer, with a longer interval each time.  NGX_DECLINED: it has
 * waited for weir_cache_lock_timeout.
 */
ngx_int_t ngx_http_weir_cache_turn_wait(ngx_http_weir_cache_ctx_t *ctx);
void ngx_http_weir_cache_turn_sleep(ngx_http_weir_cache_ctx_t *ctx);

/*
 * As ngx_http_weir_cache_flight_note(), for requests with the same credentials.
 */
void ngx_http_weir_cache_turn_note(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t uncacheable);


#endif /* _NGX_HTTP_WEIR_CACHE_TURN_H_INCLUDED_ */
