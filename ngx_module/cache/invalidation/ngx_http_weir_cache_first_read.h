/* The wait for the first read of a zone's stream. */

#ifndef _NGX_HTTP_WEIR_CACHE_FIRST_READ_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FIRST_READ_H_INCLUDED_


#include "cache/memory/ngx_http_weir_cache_zone.h"


/*
 * Lets the request wait until the zone's stream was read.  Returns the value for
 * the phase handler; NGX_DECLINED if the request has waited long enough.
 */
ngx_int_t ngx_http_weir_cache_first_read(ngx_http_request_t *r,
    ngx_http_weir_cache_zone_t *zone);


#endif /* _NGX_HTTP_WEIR_CACHE_FIRST_READ_H_INCLUDED_ */
