/* Request fields that the upstream gets as negotiated. */

#ifndef _NGX_HTTP_WEIR_CACHE_SENT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_SENT_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * Whether the location's configuration sends the upstream a request field as
 * negotiated that its version negotiation has read.  Responses then depend on
 * the negotiated value, not on the client's spelling.  configure is called for
 * a location that is merged.  field is in lower case; value is the value sent.
 */
void ngx_http_weir_cache_sent_configure(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *clcf);
ngx_uint_t ngx_http_weir_cache_sent(ngx_http_weir_cache_ctx_t *ctx,
    weir_str_t *field, ngx_str_t *value);


#endif /* _NGX_HTTP_WEIR_CACHE_SENT_H_INCLUDED_ */
