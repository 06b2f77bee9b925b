/* The line jwks of a weir_jwt_issuer: a file or a URL, and its parameters. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys_private.h"
#include "common/version.h"


/*
 * Defaults, ms.  Refreshing each 5 minutes bounds how long a key is believed
 * that the issuer has withdrawn, and costs an issuer 12 requests an hour for
 * each edge.  A day survives any outage that is noticed.
 */
#define NGX_HTTP_WEIR_JWT_KEYS_REFRESH       (5 * 60 * 1000)
#define NGX_HTTP_WEIR_JWT_KEYS_REFRESH_FILE  (10 * 1000)
#define NGX_HTTP_WEIR_JWT_KEYS_KEEP          (24 * 3600 * 1000)
#define NGX_HTTP_WEIR_JWT_KEYS_TIMEOUT       5000


static ngx_int_t ngx_http_weir_jwt_keys_conf_server(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);
static char *ngx_http_weir_jwt_keys_conf_parameters(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);
static ngx_int_t ngx_http_weir_jwt_keys_conf_time(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys, ngx_str_t *arg);
static char *ngx_http_weir_jwt_keys_conf_url(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);
static ngx_uint_t ngx_http_weir_jwt_keys_conf_is_local(
    ngx_http_weir_client_server_t *server);
static char *ngx_http_weir_jwt_keys_conf_head(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);
static ngx_int_t ngx_http_weir_jwt_keys_conf_read(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);
static void ngx_http_weir_jwt_keys_conf_cleanup(void *data);


ngx_http_weir_jwt_keys_t *
ngx_http_weir_jwt_keys_conf(ngx_conf_t *cf, ngx_str_t *name,
    weir_token_issuer_t *token, u_char *digest)
{
    ngx_str_t                 *value;
    ngx_pool_cleanup_t        *cln;
    ngx_http_weir_jwt_keys_t  *keys;

    value = cf->args->elts;

    keys = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_jwt_keys_t));
    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (keys == NULL || cln == NULL) {
        return NULL;
    }

    keys->name = *name;
    keys->source = value[1];
    keys->token = token;
    keys->digest = digest;

    cln->handler = ngx_http_weir_jwt_keys_conf_cleanup;
    cln->data = keys;

    if (ngx_strncasecmp(value[1].data, (u_char *) "https://", 8) == 0
        || ngx_strncasecmp(value[1].data, (u_char *) "http://", 7) == 0)
    {
        keys->remote = 1;
    }

    keys->refresh = keys->remote ? NGX_HTTP_WEIR_JWT_KEYS_REFRESH
                                 : NGX_HTTP_WEIR_JWT_KEYS_REFRESH_FILE;
    keys->keep = NGX_HTTP_WEIR_JWT_KEYS_KEEP;
    keys->server.url = value[1];
    keys->server.timeout = NGX_HTTP_WEIR_JWT_KEYS_TIMEOUT;

    if (ngx_strncmp(value[1].data, "https://", 8) == 0) {
        keys->server.tls = ngx_http_weir_tls_create(cf);
        if (keys->server.tls == NULL) {
            return NULL;
        }
    }

    if (ngx_http_weir_jwt_keys_conf_parameters(cf, keys) != NGX_CONF_OK) {
        return NULL;
    }

    if (!keys->remote) {
        return ngx_conf_full_name(cf->cycle, &keys->source, 1) == NGX_OK
               ? keys : NULL;
    }

    return ngx_http_weir_jwt_keys_conf_server(cf, keys) == NGX_OK ? keys : NULL;
}


/* The URL, and TLS; NGX_OK, or NGX_ERROR (logged). */

static ngx_int_t
ngx_http_weir_jwt_keys_conf_server(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys)
{
    char  *fault;

    fault = ngx_http_weir_jwt_keys_conf_url(cf, keys);

    if (fault == NGX_CONF_OK) {
        return NGX_OK;
    }

    if (fault != NGX_CONF_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid jwks \"%V\" of \"weir_jwt_issuer\" \"%V\":"
                           " %s", &keys->source, &keys->name, fault);

    } else if (keys->server.tls) {
        /* OpenSSL has logged the file and the reason before this line */
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "jwks \"%V\" of \"weir_jwt_issuer\" \"%V\" cannot use"
                           " TLS with these parameters", &keys->source,
                           &keys->name);
    }

    return NGX_ERROR;
}


static char *
ngx_http_weir_jwt_keys_conf_parameters(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys)
{
    ngx_int_t    rc;
    ngx_str_t   *value;
    ngx_uint_t   i;

    value = cf->args->elts;

    for (i = 2; i < cf->args->nelts; i++) {

        if (keys->server.tls
            && ngx_http_weir_tls_parameter(keys->server.tls, &value[i])
               == NGX_OK)
        {
            if (ngx_strcmp(value[i].data, "ssl_verify=off") == 0) {
                ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                                   "jwks \"%V\" of \"weir_jwt_issuer\" \"%V\":"
                                   " with ssl_verify=off the issuer is not"
                                   " verified, and whoever answers for it can"
                                   " sign tokens", &keys->source, &keys->name);
            }

            continue;
        }

        rc = ngx_http_weir_jwt_keys_conf_time(cf, keys, &value[i]);

        if (rc == NGX_OK) {
            continue;
        }

        if (rc == NGX_DECLINED) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in jwks of"
                               " \"weir_jwt_issuer\" \"%V\"; it takes %s",
                               &value[i], &keys->name,
                               !keys->remote ? "refresh="
                               : keys->server.tls
                               ? "refresh=, keep=, timeout=,"
                                 " ssl_trusted_certificate=, ssl_name=,"
                                 " ssl_verify=, ssl_certificate=,"
                                 " ssl_certificate_key="
                               : "refresh=, keep=, timeout=");
        }

        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* NGX_OK; NGX_DECLINED: it is another parameter; NGX_ERROR: logged. */

static ngx_int_t
ngx_http_weir_jwt_keys_conf_time(ngx_conf_t *cf, ngx_http_weir_jwt_keys_t *keys,
    ngx_str_t *arg)
{
    ngx_int_t    n;
    ngx_str_t    value;
    ngx_uint_t   i;

    struct {
        ngx_str_t    name;
        ngx_msec_t  *time;
        ngx_int_t    min, max;             /* ms */
        const char  *form;
    } times[] = {
        { ngx_string("refresh="), &keys->refresh, 1000, 24 * 3600 * 1000,
          "1s to 24h" },
        { ngx_string("keep="), &keys->keep, 1000, 30 * 24 * 3600 * 1000L,
          "1s to 30d" },
        { ngx_string("timeout="), &keys->server.timeout, 1, 60 * 1000,
          "1ms to 60s" }
    };

    for (i = 0; i < (keys->remote ? 3 : 1); i++) {

        if (arg->len < times[i].name.len
            || ngx_strncmp(arg->data, times[i].name.data, times[i].name.len)
               != 0)
        {
            continue;
        }

        value.data = arg->data + times[i].name.len;
        value.len = arg->len - times[i].name.len;

        n = ngx_parse_time(&value, 0);

        if (n == (ngx_int_t) NGX_ERROR || n < times[i].min || n > times[i].max)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid value \"%V\" of \"%V\" in jwks of"
                               " \"weir_jwt_issuer\" \"%V\"; it must be a time"
                               " of %s", &value, &times[i].name, &keys->name,
                               times[i].form);
            return NGX_ERROR;
        }

        *times[i].time = n;

        return NGX_OK;
    }

    return NGX_DECLINED;
}


/* As ngx_http_weir_tls_init(). */

static char *
ngx_http_weir_jwt_keys_conf_url(ngx_conf_t *cf, ngx_http_weir_jwt_keys_t *keys)
{
    char  *fault;

    fault = ngx_http_weir_client_url(cf, &keys->server);

    if (fault != NGX_CONF_OK) {
        return fault;
    }

    fault = ngx_http_weir_client_path(&keys->server.parsed.uri);

    if (fault) {
        return fault;
    }

    if (keys->server.tls == NULL
        && !ngx_http_weir_jwt_keys_conf_is_local(&keys->server))
    {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "jwks \"%V\" of \"weir_jwt_issuer\" \"%V\" is fetched"
                           " without TLS: whoever is on the way can replace the"
                           " keys, and sign tokens", &keys->source,
                           &keys->name);
    }

    return ngx_http_weir_jwt_keys_conf_head(cf, keys);
}


/* True if the server is on this machine. */

static ngx_uint_t
ngx_http_weir_jwt_keys_conf_is_local(ngx_http_weir_client_server_t *server)
{
    ngx_str_t  *host;

    if (server->parsed.family == AF_UNIX) {
        return 1;
    }

    host = &server->parsed.host;

    return (host->len == 9
            && ngx_strncasecmp(host->data, (u_char *) "localhost", 9) == 0)
           || (host->len == 5 && ngx_strncmp(host->data, "[::1]", 5) == 0)
           || (server->parsed.naddrs && host->len > 4
               && ngx_strncmp(host->data, "127.", 4) == 0);
}


static char *
ngx_http_weir_jwt_keys_conf_head(ngx_conf_t *cf, ngx_http_weir_jwt_keys_t *keys)
{
    size_t   len;
    u_char  *p;

    static u_char  form[] = "GET %V HTTP/1.1" CRLF
                            "Host: %V" CRLF
                            "User-Agent: weir/" WEIR_VERSION CRLF
                            "Accept: application/jwk-set+json,"
                            " application/json" CRLF
                            "Accept-Encoding: identity" CRLF
                            "Connection: close" CRLF;

    len = sizeof(form) + keys->server.parsed.uri.len + keys->server.host.len;

    p = ngx_pnalloc(cf->pool, len);
    if (p == NULL) {
        return NGX_CONF_ERROR;
    }

    keys->head.data = p;
    keys->head.len = ngx_snprintf(p, len, (char *) form,
                                  &keys->server.parsed.uri, &keys->server.host)
                     - p;

    return NGX_CONF_OK;
}


ngx_int_t
ngx_http_weir_jwt_keys_finish(ngx_conf_t *cf, ngx_http_weir_jwt_keys_t *keys)
{
    if (!keys->remote && ngx_http_weir_jwt_keys_conf_read(cf, keys) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_weir_jwt_keys_zone_add(cf, keys);
}


/* The file, which must be good, or nginx does not start. */

static ngx_int_t
ngx_http_weir_jwt_keys_conf_read(ngx_conf_t *cf, ngx_http_weir_jwt_keys_t *keys)
{
    char          why[WEIR_JWKS_WHY_MAX];
    ngx_err_t     err;
    weir_str_t    document;
    const char   *fault;

    keys->text.data = ngx_palloc(cf->temp_pool, WEIR_JWKS_MAX + 1);
    if (keys->text.data == NULL) {
        return NGX_ERROR;
    }

    /* no file has the identity of zeros */

    if (ngx_http_weir_jwt_keys_file(keys, keys->text.data, &keys->text.len,
                                    &keys->stat, &fault, &err)
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, err,
                           "jwks \"%V\" of \"weir_jwt_issuer\" \"%V\" %s",
                           &keys->source, &keys->name, fault);
        return NGX_ERROR;
    }

    document.data = (char *) keys->text.data;
    document.len = keys->text.len;

    if (!weir_jwks_parse(document, &keys->token->keys, why)
        || !ngx_http_weir_jwt_keys_fit(keys, &keys->token->keys, why))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid jwks \"%V\" of \"weir_jwt_issuer\" \"%V\":"
                           " %s", &keys->source, &keys->name, why);
        return NGX_ERROR;
    }

    ngx_http_weir_jwt_keys_digest(document, keys->digest);

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_jwt_keys_complete(ngx_conf_t *cf, ngx_http_weir_jwt_keys_t *keys)
{
    return keys->remote
           ? ngx_http_weir_client_resolve(cf, &keys->server, "weir_jwt_issuer")
           : NGX_OK;
}


static void
ngx_http_weir_jwt_keys_conf_cleanup(void *data)
{
    ngx_http_weir_jwt_keys_t *keys = data;

    ngx_http_weir_jwt_keys_stop(keys);
    weir_jwks_release(&keys->token->keys);
}
