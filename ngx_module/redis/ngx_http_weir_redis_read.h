/* Replies from the socket; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_READ_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_READ_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/*
 * Reads all available replies and calls the handlers.  NGX_OK, or NGX_ERROR with
 * redis->fault: the caller must close the connection.
 */
ngx_int_t ngx_http_weir_redis_read(ngx_http_weir_redis_t *redis);


#endif /* _NGX_HTTP_WEIR_REDIS_READ_H_INCLUDED_ */
