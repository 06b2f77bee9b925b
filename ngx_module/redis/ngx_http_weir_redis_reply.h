/* Replies in the memory of their commands; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_REPLY_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_REPLY_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/*
 * The functions that build replies in the waiting command's pool; the reader's
 * privdata is the server.
 */
extern redisReplyObjectFunctions  ngx_http_weir_redis_functions;


#endif /* _NGX_HTTP_WEIR_REDIS_REPLY_H_INCLUDED_ */
