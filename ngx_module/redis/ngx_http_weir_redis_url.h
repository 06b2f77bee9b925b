/* The URL of weir_redis; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_URL_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_URL_H_INCLUDED_


#include "redis/ngx_http_weir_redis_server.h"


/*
 * Reads the URL into the server, and loads its certificates: redis->tls, if the
 * URL begins with rediss://, has its parameters already.  NGX_CONF_OK, the fault
 * (a constant string), or NGX_CONF_ERROR if the fault was logged or there is no
 * memory.
 */
char *ngx_http_weir_redis_url_parse(ngx_conf_t *cf,
    ngx_http_weir_redis_t *redis, ngx_str_t *url);


#endif /* _NGX_HTTP_WEIR_REDIS_URL_H_INCLUDED_ */
