/* rediss://: the TLS handshake of the client's connection. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "redis/ngx_http_weir_redis_tls.h"


ngx_int_t
ngx_http_weir_redis_tls_connect(ngx_http_weir_redis_t *redis,
    ngx_connection_handler_pt ended)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = redis->peer.connection;

    ngx_http_weir_assert(redis->tls != NULL);

    if (redis->failures) {
        /* otherwise nginx would log OpenSSL's error at each attempt */
        redis->quiet = *ngx_cycle->log;
        redis->quiet.log_level = NGX_LOG_EMERG;
        c->log = &redis->quiet;
        c->read->log = c->log;
        c->write->log = c->log;
    }

    /* the timer of connect_timeout on c->read is already running */

    rc = ngx_http_weir_tls_connect(redis->tls, c, ended);

    if (rc == NGX_ERROR) {
        redis->fault = "no memory for TLS";
    }

    return rc;
}


ngx_int_t
ngx_http_weir_redis_tls_check(ngx_http_weir_redis_t *redis)
{
    char              *wrong;
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = redis->peer.connection;

    ngx_http_weir_assert(redis->state == NGX_HTTP_WEIR_REDIS_CONNECTING);

    if (c->read->timedout) {
        redis->fault = "connect_timeout passed";
        return NGX_ERROR;
    }

    rc = ngx_http_weir_tls_check(redis->tls, c, &wrong);

    if (rc == NGX_ERROR) {
        redis->fault = "the TLS handshake failed";
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        redis->refusal.data = (u_char *) wrong;
        redis->refusal.len = ngx_strlen(wrong);
        redis->fault = "the server's certificate is refused";
        return NGX_ERROR;
    }

    return NGX_OK;
}
