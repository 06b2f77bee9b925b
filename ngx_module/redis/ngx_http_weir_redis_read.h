/* Replies from the socket; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_READ_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_READ_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/*
 * Reads all available replies and calls the handlers.  NGX_OK, or NGX_ERROR with
 * redis->fault: the caller must close the connection.
 */
ngx_int_t ngx_http_weir_redis_read(ngx_http_weir_redis_t *redis);

/*
 * read_string: receives the rest of a string at its target (direct bytes), and
 * the following bytes into buf, in one call.
 */
ssize_t ngx_http_weir_redis_read_string_recv(ngx_http_weir_redis_t *redis,
    u_char *buf, size_t size, size_t *direct);

/*
 * read_string: reads "$length CRLF".  Returns the start of the string; p if the
 * reader must decode it; or NULL with redis->fault.
 */
u_char *ngx_http_weir_redis_read_string_begin(ngx_http_weir_redis_t *redis,
    u_char *p, u_char *last);

/*
 * read_string: takes bytes of the string that is being read.  Returns the start
 * of the remaining bytes, or NULL with redis->fault.
 */
u_char *ngx_http_weir_redis_read_string_put(ngx_http_weir_redis_t *redis,
    u_char *p, u_char *last);

/*
 * read_string: the string is complete (redis->rest is 0); *reply is NULL if no
 * command waits for it.  NGX_OK, or NGX_ERROR with redis->fault.
 */
ngx_int_t ngx_http_weir_redis_read_string_end(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_reply_t **reply);


#endif /* _NGX_HTTP_WEIR_REDIS_READ_H_INCLUDED_ */
