/* Keys of other URIs. */

#ifndef _NGX_HTTP_WEIR_CACHE_URI_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_URI_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * The key that another URI, from a header, would have in that location: own,
 * the request's key, with that URI in place of its own.  nth: of several
 * occurrences of the request's URI in the key, which one is replaced, from 0.
 * Allocated from the request's pool.  NGX_OK, NGX_DECLINED (another origin, or
 * the key has fewer occurrences of the URI as requested), or NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_weir_cache_uri_key(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *own, ngx_str_t *reference,
    ngx_uint_t nth, ngx_str_t *key);


#endif /* _NGX_HTTP_WEIR_CACHE_URI_H_INCLUDED_ */
