/* rediss://; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_TLS_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_TLS_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/* Creates an empty state in the configuration's pool; NULL: no memory. */
ngx_http_weir_redis_tls_t *ngx_http_weir_redis_tls_create(ngx_conf_t *cf);

/*
 * Reads a parameter of weir_redis.  NGX_OK, or NGX_DECLINED if it is not a
 * parameter of TLS.
 */
ngx_int_t ngx_http_weir_redis_tls_parameter(ngx_http_weir_redis_tls_t *tls,
    ngx_str_t *arg);

/*
 * Loads the certificates.  host is the URL's host; the server's certificate must
 * contain that name or address, or the name of ssl_name=.  NGX_CONF_OK, the
 * fault (a constant string), or NGX_CONF_ERROR if the fault was logged.
 */
char *ngx_http_weir_redis_tls_init(ngx_conf_t *cf,
    ngx_http_weir_redis_tls_t *tls, ngx_str_t *host);

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

/* Called before the connection is closed; does nothing without TLS. */
void ngx_http_weir_redis_tls_close(ngx_connection_t *c);


#endif /* _NGX_HTTP_WEIR_REDIS_TLS_H_INCLUDED_ */
