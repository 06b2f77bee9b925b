/* A connection in a worker; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_CONNECTION_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_CONNECTION_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/* Called once in each worker, before the first command. */
void ngx_http_weir_redis_init_worker(ngx_http_weir_redis_t *redis,
    ngx_log_t *log);

/* Closes the connection for good; live commands get NGX_ERROR. */
void ngx_http_weir_redis_exit_worker(ngx_http_weir_redis_t *redis);


#endif /* _NGX_HTTP_WEIR_REDIS_CONNECTION_H_INCLUDED_ */
