/* The URL of weir_redis: redis[s]://[[user]:password@]host[:port][/database]. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "redis/ngx_http_weir_redis_url.h"


#define NGX_HTTP_WEIR_REDIS_PORT  6379


static char *ngx_http_weir_redis_url_credentials(ngx_conf_t *cf,
    ngx_http_weir_redis_t *redis, u_char *start, u_char *end);
static ngx_int_t ngx_http_weir_redis_url_decode(ngx_conf_t *cf, u_char *start,
    u_char *end, ngx_str_t *value);
static char *ngx_http_weir_redis_url_database(ngx_http_weir_redis_t *redis,
    u_char *start, u_char *end);


char *
ngx_http_weir_redis_url_parse(ngx_conf_t *cf, ngx_http_weir_redis_t *redis,
    ngx_str_t *url)
{
    char       *rv;
    u_char     *p, *end, *at, *slash;
    ngx_url_t   u;

    ngx_memzero(&u, sizeof(ngx_url_t));
    u.default_port = NGX_HTTP_WEIR_REDIS_PORT;

    p = url->data;
    end = url->data + url->len;

    if (ngx_strncmp(p, "unix:", 5) == 0) {
        u.url = *url;

    } else if (redis->tls || ngx_strncmp(p, "redis://", 8) == 0) {
        p += redis->tls ? 9 : 8;

        at = ngx_strlchr(p, end, '@');
        if (at) {
            rv = ngx_http_weir_redis_url_credentials(cf, redis, p, at);
            if (rv != NGX_CONF_OK) {
                return rv;
            }

            p = at + 1;

            if (ngx_strlchr(p, end, '@')) {
                return "\"@\" and \"/\" in a user or password must be"
                       " percent-encoded, as %40 and %2F";
            }
        }

        slash = ngx_strlchr(p, end, '/');
        if (slash) {
            rv = ngx_http_weir_redis_url_database(redis, slash + 1, end);
            if (rv != NGX_CONF_OK) {
                return rv;
            }

            end = slash;
        }

        u.url.data = p;
        u.url.len = end - p;

    } else {
        return "it must start with redis://, rediss:// or unix:";
    }

    if (u.url.len == 0) {
        return "it has no host";
    }

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        return u.err ? u.err : "it has no host";
    }

    if (redis->tls) {
        rv = ngx_http_weir_tls_init(cf, redis->tls, &u.host);
        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    /* cppcheck-suppress autoVariables ; addrs is of the pool */
    redis->addr = &u.addrs[0];

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_redis_url_credentials(ngx_conf_t *cf,
    ngx_http_weir_redis_t *redis, u_char *start, u_char *end)
{
    u_char  *colon;

    colon = ngx_strlchr(start, end, ':');

    if (colon == NULL || colon + 1 == end) {
        return "it names a user without a password";
    }

    if (ngx_http_weir_redis_url_decode(cf, start, colon, &redis->login->user)
           != NGX_OK
        || ngx_http_weir_redis_url_decode(cf, colon + 1, end,
                                          &redis->login->password)
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* Percent-decoding, RFC 3986 section 2.1. */

static ngx_int_t
ngx_http_weir_redis_url_decode(ngx_conf_t *cf, u_char *start, u_char *end,
    ngx_str_t *value)
{
    u_char  *dst;

    dst = ngx_pnalloc(cf->pool, end - start + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    value->data = dst;
    ngx_unescape_uri(&dst, &start, end - start, 0);
    value->len = dst - value->data;

    return NGX_OK;
}


static char *
ngx_http_weir_redis_url_database(ngx_http_weir_redis_t *redis,
    u_char *start, u_char *end)
{
    if (start == end) {
        return NGX_CONF_OK;
    }

    if (ngx_atoi(start, end - start) == NGX_ERROR) {
        return "the database must be a number";
    }

    redis->database.data = start;
    redis->database.len = end - start;

    return NGX_CONF_OK;
}
