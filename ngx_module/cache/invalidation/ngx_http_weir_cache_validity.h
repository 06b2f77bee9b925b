/*
 * Whether what is stored for a request may still be used, by what was invalidated
 * (invalidation), and how a worker learns of that (follow, first_read).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/* invalidation: what is known now, into ctx->stamp: the request is forwarded */
void ngx_http_weir_cache_stamp(ngx_http_weir_cache_ctx_t *ctx);

/*
 * invalidation: whether ctx->entry may be used by what was invalidated since.
 * If not ctx->outdated tells why, for Cache-Status; if only as a stale one
 * ctx->soft is set.  pin is that of the entry, when it was found in memory; NULL
 * for one that is in memory no more, or was not.
 */
ngx_uint_t ngx_http_weir_cache_outlived(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_pin_t *pin);

/* invalidation: whether the response, with ctx->tags, would be valid now */
ngx_uint_t ngx_http_weir_cache_worth_storing(ngx_http_weir_cache_ctx_t *ctx);

/*
 * invalidation: the tags of the upstream's response, a block of hashes of the
 * pool.  NGX_OK, NGX_DECLINED (they can't be kept, and so can't the response),
 * or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_read_tags(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *tags);

/*
 * first_read: the request waits until the zone's stream was read; what a phase
 * handler returns, NGX_DECLINED when it has waited long enough.
 */
ngx_int_t ngx_http_weir_cache_first_read(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone);

/* follow: once in each worker, for each zone.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_follow_init_worker(
    ngx_http_weir_cache_zone_t *zone);

/* follow: when the worker leaves */
void ngx_http_weir_cache_follow_exit_worker(ngx_http_weir_cache_zone_t *zone);


#endif /* _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_ */
