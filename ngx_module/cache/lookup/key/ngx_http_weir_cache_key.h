/* The identity of a request: its key, its variant, and their names. */

#ifndef _NGX_HTTP_WEIR_CACHE_KEY_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_KEY_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * The variant that the request selects among those that vary by the fields,
 * into ctx->variant and ctx->vary.  Returns NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_key_vary_select(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *fields);

/*
 * The name weir:<kind>:<zone>:{<digest>}, followed by the digest of the variant,
 * allocated from the pool.  All names of one key are in one cluster slot.  data
 * NULL: no memory.
 */
ngx_str_t ngx_http_weir_cache_key_in_redis(ngx_http_weir_cache_ctx_t *ctx,
    char *kind, ngx_uint_t variant);

/*
 * The hash of the key's text (tags.h) for an entry of the request; 0 for a
 * pointer.
 */
uint64_t ngx_http_weir_cache_key_hash(ngx_http_weir_cache_ctx_t *ctx,
    u_char *entry);

/*
 * The digest of the text on this edge, by which entries, flights and misses are
 * found.  It has a secret, so that clients cannot construct texts with the same
 * digest.  Memory is kept when the configuration is read again; entries stored
 * under another weir_cache_zone secret are not found any more then.
 */
void ngx_http_weir_cache_key_digest(ngx_http_weir_cache_zone_t *zone,
    ngx_str_t *text, u_char *digest);

/* Computes the request's key, into ctx; NGX_OK or NGX_ERROR (no memory). */
ngx_int_t ngx_http_weir_cache_key_make(ngx_http_weir_cache_ctx_t *ctx);

/* Reads the request's Cache-Control, into ctx; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_key_read_request(ngx_http_weir_cache_ctx_t *ctx);

/*
 * True if the request has an Authorization header that its partition does not
 * account for: RFC 9111 section 3.5 applies.
 */
ngx_uint_t ngx_http_weir_cache_key_has_authorization(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * Which credentials the request has: 1 for Authorization, 2 for Cookie, added
 * up.
 */
ngx_uint_t ngx_http_weir_cache_key_credentials(ngx_http_weir_cache_ctx_t *ctx);


#endif /* _NGX_HTTP_WEIR_CACHE_KEY_H_INCLUDED_ */
