/* The URL of a server, and the addresses of its name. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "client/ngx_http_weir_client.h"


/* Of nginx, if resolver_timeout is not set; ms. */
#define NGX_HTTP_WEIR_CLIENT_RESOLVER_TIMEOUT  30000


char *
ngx_http_weir_client_url(ngx_conf_t *cf, ngx_http_weir_client_server_t *server)
{
    u_char      *p, *slash, *end;
    ngx_url_t   *u;

    p = server->url.data;
    end = p + server->url.len;

    if (server->tls) {
        p += sizeof("https://") - 1;

    } else if (ngx_strncmp(p, "http://", 7) == 0) {
        p += sizeof("http://") - 1;

    } else {
        return "it must start with http:// or https://";
    }

    u = &server->parsed;
    u->url.data = p;
    u->url.len = end - p;
    u->default_port = server->tls ? 443 : 80;
    u->uri_part = 1;
    u->no_resolve = 1;

    for (slash = p; slash < end && *slash != '/'; slash++) {
        if (*slash == '@') {
            return "it must have no user";
        }
    }

    if (ngx_parse_url(cf->pool, u) != NGX_OK) {
        return u->err ? u->err : "it has no host";
    }

    if (u->family == AF_UNIX) {
        ngx_str_set(&server->host, "localhost");

    } else {
        server->host.data = p;
        server->host.len = slash - p;
    }

    if (server->tls) {
        return ngx_http_weir_tls_init(cf, server->tls,
                                      u->family == AF_UNIX ? &server->host
                                                           : &u->host);
    }

    return NGX_CONF_OK;
}


char *
ngx_http_weir_client_path(ngx_str_t *path)
{
    u_char  *p;

    if (path->len == 0 || path->data[0] != '/') {
        return "its path must start with a slash";
    }

    for (p = path->data; p < path->data + path->len; p++) {
        if (*p <= 0x20 || *p >= 0x7f || *p == '#') {
            return "its path has a character that must be percent-encoded";
        }
    }

    return NULL;
}


ngx_int_t
ngx_http_weir_client_resolve(ngx_conf_t *cf,
    ngx_http_weir_client_server_t *server, const char *directive)
{
    ngx_int_t                  rc;
    ngx_url_t                 *u;
    ngx_http_core_loc_conf_t  *clcf;

    u = &server->parsed;

    if (u->naddrs) {
        /* an address, or a path of a unix socket */
        return NGX_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->resolver && clcf->resolver->connections.nelts) {
        server->resolver = clcf->resolver;
        server->resolver_timeout = (clcf->resolver_timeout
                                    == NGX_CONF_UNSET_MSEC)
                                   ? NGX_HTTP_WEIR_CLIENT_RESOLVER_TIMEOUT
                                   : clcf->resolver_timeout;
    }

    rc = ngx_inet_resolve_host(cf->pool, u);

    if (rc == NGX_OK || server->resolver) {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"%s\" cannot resolve the name in \"%V\": %s; with a"
                  " \"resolver\" in \"http\" nginx starts without it",
                  directive, &server->url, u->err ? u->err : "no memory");

    return NGX_ERROR;
}
