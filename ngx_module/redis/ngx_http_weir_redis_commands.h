/* The queue of commands; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_COMMANDS_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_COMMANDS_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/*
 * Sends AUTH, SELECT, PING before all waiting commands; their slots go to the
 * head of the queue.  The waiting commands are sent after the replies.  NGX_OK,
 * or NGX_ERROR if they could not be sent.
 */
ngx_int_t ngx_http_weir_redis_handshake(ngx_http_weir_redis_t *redis);

/* Sets the timer for the oldest live command, or for a silent connection. */
void ngx_http_weir_redis_arm(ngx_http_weir_redis_t *redis);


#endif /* _NGX_HTTP_WEIR_REDIS_COMMANDS_H_INCLUDED_ */
