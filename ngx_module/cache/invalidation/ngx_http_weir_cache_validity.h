/*
 * Validity: whether a stored response may still be used after later
 * invalidations.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/* Stamps a request that is forwarded, in ctx->stamp. */
void ngx_http_weir_cache_validity_stamp(ngx_http_weir_cache_ctx_t *ctx);

/*
 * True if no invalidation since its stamp forbids the use of ctx->entry.  If
 * false, ctx->outdated is the reason, for Cache-Status.
 * ctx->soft is set if the entry may be used as a stale one only.  pin is the
 * pin of an entry that was found in memory; NULL for an entry that is not, or
 * no longer, in memory.
 */
ngx_uint_t ngx_http_weir_cache_validity_outlived(
    ngx_http_weir_cache_ctx_t *ctx, ngx_http_weir_cache_pin_t *pin);

/* True if the response, with ctx->tags, would be valid now. */
ngx_uint_t ngx_http_weir_cache_validity_would_hold(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * Reads the tags of the upstream's response into a block of hashes, allocated
 * from the pool.  NGX_OK, NGX_DECLINED (the tags exceed a limit, so the response
 * is not stored), or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_validity_read_tags(
    ngx_http_weir_cache_ctx_t *ctx, weir_str_t *tags);


#endif /* _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_ */
