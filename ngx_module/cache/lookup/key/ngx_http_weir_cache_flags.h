/* Flags on which a response depends, see ngx_http_weir_cache_flags.c. */

#ifndef _NGX_HTTP_WEIR_CACHE_FLAGS_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FLAGS_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * True if the field, in lower case, stands for a flag; value is the variant of
 * the request then.
 */
ngx_uint_t ngx_http_weir_cache_flags_value(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *field, ngx_str_t *value);

/*
 * Keeps the flags that are in the list of fields by which a response was looked
 * up: a 304 need not repeat their names.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_flags_keep(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t list);

/*
 * Adds the flags that the lines of Weir-Vary-Flags name to the lines of Vary, an
 * array of weir_str_t.  NGX_OK; NGX_DECLINED: one is not known here, and it
 * cannot be said which requests the response is for; or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_flags_add(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t *flags, ngx_array_t *vary);


#endif /* _NGX_HTTP_WEIR_CACHE_FLAGS_H_INCLUDED_ */
