/* rediss://; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_TLS_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_TLS_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/*
 * Does the TLS handshake on a new connection.  NGX_OK: it has ended, see
 * ngx_http_weir_redis_tls_check(); NGX_AGAIN: ended is called when it has, from
 * an event of the connection; NGX_ERROR with redis->fault.
 */
ngx_int_t ngx_http_weir_redis_tls_connect(ngx_http_weir_redis_t *redis,
    ngx_connection_handler_pt ended);

/*
 * After the handshake: NGX_OK if it has succeeded and the server's certificate
 * is the expected one, or NGX_ERROR with redis->fault.
 */
ngx_int_t ngx_http_weir_redis_tls_check(ngx_http_weir_redis_t *redis);


#endif /* _NGX_HTTP_WEIR_REDIS_TLS_H_INCLUDED_ */
