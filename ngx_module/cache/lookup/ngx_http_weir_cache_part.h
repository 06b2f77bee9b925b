/* Parts of responses. */

#ifndef _NGX_HTTP_WEIR_CACHE_PART_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_PART_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * True if ctx->entry may be evaluated further: it is a whole response, or a
 * fresh part that contains the range that the request wants.  ctx->entry and
 * ctx->range are cut to that range.
 */
ngx_uint_t ngx_http_weir_cache_part_fits(ngx_http_weir_cache_ctx_t *ctx);


#endif /* _NGX_HTTP_WEIR_CACHE_PART_H_INCLUDED_ */
