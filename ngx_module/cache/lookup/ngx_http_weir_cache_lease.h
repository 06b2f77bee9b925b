/* A request's turn to ask the upstream, between edges. */

#ifndef _NGX_HTTP_WEIR_CACHE_LEASE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_LEASE_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * Asks for the lease, and for the entry after it.  NGX_OK: the request waits;
 * NGX_DECLINED: no lease can be had; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_weir_cache_lease_take(ngx_http_weir_cache_ctx_t *ctx);

/* Evaluates the reply; if it is OURS, the token is in ctx->lease. */
ngx_http_weir_cache_lease_e ngx_http_weir_cache_lease_read(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * Releases the lease if it is still the request's.  With pass, requests of
 * other edges with the same credentials (see above) do not wait during the next
 * second; with credentials 0, no requests do.
 */
void ngx_http_weir_cache_lease_end(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t pass, ngx_uint_t credentials);


#endif /* _NGX_HTTP_WEIR_CACHE_LEASE_H_INCLUDED_ */
