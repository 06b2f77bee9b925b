/* The port that is part of the default key. */

#ifndef _NGX_HTTP_WEIR_CACHE_PORT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_PORT_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * The connection's port as the default key contains it, written to buf, which
 * must have room for NGX_HTTP_WEIR_CACHE_PORT_LEN bytes, or elsewhere; NGX_OK
 * or NGX_ERROR.
 */
#define NGX_HTTP_WEIR_CACHE_PORT_LEN  (NGX_INET6_ADDRSTRLEN + sizeof("[]:65535"))

ngx_int_t ngx_http_weir_cache_port(ngx_http_request_t *r, u_char *buf,
    ngx_str_t *port);

/*
 * Finds the ports whose addresses do not all have the same servers, after the
 * whole configuration was read; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_port_find_all(ngx_conf_t *cf);


#endif /* _NGX_HTTP_WEIR_CACHE_PORT_H_INCLUDED_ */
