/*
 * Invalidations made on this edge (invalidate): by an upstream's Weir-Invalidate
 * or an unsafe method (invalidate_filter), and by PURGE (purge).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_PURGE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_PURGE_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/* invalidate_filter: installs the filter that reads Weir-Invalidate. */
void ngx_http_weir_cache_invalidate_filter_init(void);

/*
 * invalidate: responses under a key (its text) become invalid, with soft stale:
 * here at once, and on other edges through the stream.  position is that of the
 * message if the upstream has written it; otherwise NULL.
 */
void ngx_http_weir_cache_invalidate_key(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_str_t *key, ngx_uint_t soft,
    weir_position_t *position);

/*
 * invalidate: the same for the tags in the lines, of weir_str_t.  NGX_OK,
 * NGX_DECLINED (there is no tag), or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_invalidate_tags(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, ngx_array_t *lines, ngx_uint_t soft,
    weir_position_t *position);

/*
 * invalidate_filter: the same as that filter for a response that does not reach it:
 * that of ctx's location, which led to another location or is that of a
 * background refresh.  Has an effect once for each context.
 */
void ngx_http_weir_cache_invalidate_unseen(ngx_http_weir_cache_ctx_t *ctx);

/*
 * invalidate: the same for n keys (their hashes, at most
 * WEIR_INVALIDATION_FORGOTTEN) that a client has changed; text is the key if it
 * is one, otherwise NULL.
 */
void ngx_http_weir_cache_invalidate_of_client(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, uint64_t *hashes, ngx_uint_t n,
    ngx_str_t *text, weir_position_t *position);

/*
 * invalidate: without memory, the upstream's changes are unknown, so all
 * responses stored before become invalid.
 */
void ngx_http_weir_cache_invalidate_all(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone, weir_position_t *position);

/*
 * purge: the precontent phase, before ngx_http_weir_cache_request_handler():
 * answers a PURGE, and lets other requests wait for the first reading of the
 * stream.
 */
ngx_int_t ngx_http_weir_cache_purge_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_WEIR_CACHE_PURGE_H_INCLUDED_ */
