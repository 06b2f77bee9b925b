/* The stored response that a request may get. */

#ifndef _NGX_HTTP_WEIR_CACHE_FIND_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FIND_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * The verdict on the entry in memory, on the reply in ctx->lookup, and on that
 * of the look-up after a lease, which leaves ctx unchanged if it finds nothing.
 * SERVE, SERVE_STALE, NOTHING, or FAIL; in_redis also LOOK_AGAIN.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_in_memory(
    ngx_http_weir_cache_ctx_t *ctx);
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_in_redis(
    ngx_http_weir_cache_ctx_t *ctx);
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_behind_lease(
    ngx_http_weir_cache_ctx_t *ctx);

/* Makes ctx->stale the entry. */
void ngx_http_weir_cache_find_take_stale(ngx_http_weir_cache_ctx_t *ctx);


#endif /* _NGX_HTTP_WEIR_CACHE_FIND_H_INCLUDED_ */
