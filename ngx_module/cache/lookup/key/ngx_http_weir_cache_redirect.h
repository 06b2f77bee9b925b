/* Internal redirects: what they add to the key, and what they forbid. */

#ifndef _NGX_HTTP_WEIR_CACHE_REDIRECT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_REDIRECT_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * The place to which an internal redirect led, from the pool; it is part of the
 * key.  len 0: no redirect.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_weir_cache_redirect_place(ngx_http_request_t *r,
    ngx_str_t *place);

/*
 * 1 if the response of an upstream that led here by an internal redirect forbids
 * a shared cache to store the result, otherwise 0, or NGX_ERROR.  left is the
 * configuration of the location that it came from, or NULL if the cache is off
 * there.  Called before the content phase of each location, for each response on
 * the way.
 */
ngx_int_t ngx_http_weir_cache_redirect_forbidden(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *left);

/*
 * X-Accel-Expires of the upstream's response, in seconds from now; 0: the
 * response must not be stored.  NGX_OK, or NGX_DECLINED if the field is absent
 * or invalid.
 */
ngx_int_t ngx_http_weir_cache_redirect_accel_expires(ngx_http_request_t *r,
    int64_t *seconds);

/*
 * Called before the upstream is asked: notes the header lines that are not the
 * upstream's.
 */
void ngx_http_weir_cache_redirect_note_lines(ngx_http_weir_cache_ctx_t *ctx);


#endif /* _NGX_HTTP_WEIR_CACHE_REDIRECT_H_INCLUDED_ */
