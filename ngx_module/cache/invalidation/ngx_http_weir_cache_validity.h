/*
 * Validity: whether a stored response may still be used after later
 * invalidations (invalidation), and how workers learn of invalidations (follow,
 * first_read).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/* invalidation: stamps a request that is forwarded, in ctx->stamp. */
void ngx_http_weir_cache_invalidation_stamp(ngx_http_weir_cache_ctx_t *ctx);

/*
 * invalidation: true if no invalidation since its stamp forbids the use of
 * ctx->entry.  If false, ctx->outdated is the reason, for Cache-Status.
 * ctx->soft is set if the entry may be used as a stale one only.  pin is the
 * pin of an entry that was found in memory; NULL for an entry that is not, or
 * no longer, in memory.
 */
ngx_uint_t ngx_http_weir_cache_invalidation_outlived(
    ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_pin_t *pin);

/* invalidation: true if the response, with ctx->tags, would be valid now. */
ngx_uint_t ngx_http_weir_cache_invalidation_would_hold(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * invalidation: reads the tags of the upstream's response into a block of
 * hashes, allocated from the pool.  NGX_OK, NGX_DECLINED (the tags exceed a
 * limit, so the response is not stored), or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_invalidation_read_tags(
    ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *tags);

/*
 * first_read: lets the request wait until the zone's stream was read.  Returns
 * the value for the phase handler; NGX_DECLINED if the request has waited long
 * enough.
 */
ngx_int_t ngx_http_weir_cache_first_read(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone);

/* follow: called once in each worker for each zone.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_follow_init_worker(
    ngx_http_weir_cache_zone_t *zone);

/* follow: called when the worker exits. */
void ngx_http_weir_cache_follow_exit_worker(ngx_http_weir_cache_zone_t *zone);


#endif /* _NGX_HTTP_WEIR_CACHE_VALIDITY_H_INCLUDED_ */
