/* Look-ups in Redis, which requests for one key share. */

#ifndef _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * Asks Redis for the request's key or variant, after the commands sent before,
 * or joins a lookup in progress unless a new one is required.  NGX_OK: the
 * request waits in ctx->lookup and is resumed (ngx_http_weir_resume()) with the
 * reply or with its absence; NGX_DECLINED: Redis cannot be asked.  Releases an
 * earlier ctx->lookup.
 */
ngx_int_t ngx_http_weir_cache_lookup(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t anew);

/* Removes a waiting request that ends. */
void ngx_http_weir_cache_lookup_leave(ngx_http_weir_cache_ctx_t *ctx);

/*
 * The result.  NGX_OK: ctx->entry is set, and remains in memory as long as the
 * request's reference; NGX_DECLINED: there is no entry; ctx->unavailable is set
 * if Redis gave no answer.
 */
ngx_int_t ngx_http_weir_cache_lookup_result(ngx_http_weir_cache_ctx_t *ctx);

/* Puts the entry into the first level, once for all waiting requests. */
void ngx_http_weir_cache_lookup_keep(ngx_http_weir_cache_ctx_t *ctx);

/* Hold takes another reference; release releases one, if *held is not NULL. */
void ngx_http_weir_cache_lookup_hold(ngx_http_weir_cache_lookup_t *lookup);
void ngx_http_weir_cache_lookup_release(ngx_http_weir_cache_lookup_t **held);


#endif /* _NGX_HTTP_WEIR_CACHE_LOOKUP_H_INCLUDED_ */
