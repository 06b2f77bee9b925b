/*
 * The port of a connection in the default key: its number, or the path of a
 * UNIX-domain socket.
 *
 * Servers with the same name and port may differ in their listening address.
 * If the addresses of a port do not all have the same servers, the key contains
 * the address, as configured, before the number, because the address selects
 * the server.  Otherwise the address is omitted, so that IPv4 and IPv6 clients,
 * and edges that share a Redis, share entries.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_port.h"


static ngx_int_t ngx_http_weir_cache_port_add(ngx_conf_t *cf, in_port_t port);
static ngx_uint_t ngx_http_weir_cache_port_is_split(ngx_array_t *ports,
    in_port_t port);
static ngx_uint_t ngx_http_weir_cache_port_same_servers(ngx_http_conf_addr_t *a,
    ngx_http_conf_addr_t *b);
static u_char *ngx_http_weir_cache_port_address(ngx_http_request_t *r,
    u_char *p);


ngx_int_t
ngx_http_weir_cache_port_find_all(ngx_conf_t *cf)
{
    ngx_uint_t                  i, j, n;
    ngx_http_conf_addr_t       *first, *addr;
    ngx_http_conf_port_t       *port;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    if (cmcf->ports == NULL) {
        return NGX_OK;
    }

    port = cmcf->ports->elts;

    /* IPv4 and IPv6 have separate entries for the same port */

    for (i = 0; i < cmcf->ports->nelts; i++) {

        if (port[i].family == AF_UNIX) {
            continue;
        }

        first = port[i].addrs.elts;

        for (j = i; j < cmcf->ports->nelts; j++) {

            if (port[j].family == AF_UNIX || port[j].port != port[i].port) {
                continue;
            }

            addr = port[j].addrs.elts;

            for (n = 0; n < port[j].addrs.nelts; n++) {
                if (!ngx_http_weir_cache_port_same_servers(first, &addr[n])
                    && ngx_http_weir_cache_port_add(cf, port[i].port)
                       != NGX_OK)
                {
                    return NGX_ERROR;
                }
            }
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_cache_port_add(ngx_conf_t *cf, in_port_t port)
{
    in_port_t                        *p;
    ngx_http_weir_cache_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_cache_module);

    if (ngx_http_weir_cache_port_is_split(cmcf->ports, port)) {
        return NGX_OK;
    }

    if (cmcf->ports == NULL) {
        cmcf->ports = ngx_array_create(cf->pool, 1, sizeof(in_port_t));
        if (cmcf->ports == NULL) {
            return NGX_ERROR;
        }
    }

    p = ngx_array_push(cmcf->ports);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *p = port;

    return NGX_OK;
}


static ngx_uint_t
ngx_http_weir_cache_port_is_split(ngx_array_t *ports, in_port_t port)
{
    in_port_t   *p;
    ngx_uint_t   i;

    if (ports == NULL) {
        return 0;
    }

    p = ports->elts;

    for (i = 0; i < ports->nelts; i++) {
        if (p[i] == port) {
            return 1;
        }
    }

    return 0;
}


static ngx_uint_t
ngx_http_weir_cache_port_same_servers(ngx_http_conf_addr_t *a,
    ngx_http_conf_addr_t *b)
{
    ngx_uint_t                  i, j;
    ngx_http_core_srv_conf_t  **x, **y;

    if (a->default_server != b->default_server
        || a->servers.nelts != b->servers.nelts)
    {
        return 0;
    }

    x = a->servers.elts;
    y = b->servers.elts;

    for (i = 0; i < a->servers.nelts; i++) {

        for (j = 0; j < b->servers.nelts && x[i] != y[j]; j++) {
            /* void */
        }

        if (j == b->servers.nelts) {
            return 0;
        }
    }

    return 1;
}


ngx_int_t
ngx_http_weir_cache_port(ngx_http_request_t *r, u_char *buf, ngx_str_t *port)
{
    u_char                           *p;
    in_port_t                         n;
    ngx_connection_t                 *c;
    ngx_http_weir_cache_main_conf_t  *cmcf;

    c = r->connection;

    if (ngx_connection_local_sockaddr(c, NULL, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    if (c->local_sockaddr->sa_family == AF_UNIX) {
        *port = c->listening->addr_text;
        return NGX_OK;
    }

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_cache_module);
    n = ngx_inet_get_port(c->local_sockaddr);
    p = buf;

    if (ngx_http_weir_cache_port_is_split(cmcf->ports, n)) {
        p = ngx_http_weir_cache_port_address(r, p);
    }

    port->data = buf;
    port->len = ngx_sprintf(p, "%ui", (ngx_uint_t) n) - buf;

    return NGX_OK;
}


/*
 * The listening address of the connection as "listen" has it, and a colon.
 * nginx keeps it beside the address's configuration.
 */

static u_char *
ngx_http_weir_cache_port_address(ngx_http_request_t *r, u_char *p)
{
    u_char                *addr_conf;
    ngx_http_in_addr_t    *in;
#if (NGX_HAVE_INET6)
    ngx_http_in6_addr_t   *in6;
#endif

    addr_conf = (u_char *) r->http_connection->addr_conf;

#if (NGX_HAVE_INET6)
    if (r->connection->local_sockaddr->sa_family == AF_INET6) {
        in6 = (ngx_http_in6_addr_t *)
                     (addr_conf - offsetof(ngx_http_in6_addr_t, conf));

        *p++ = '[';
        p += ngx_inet_ntop(AF_INET6, &in6->addr6, p, NGX_INET6_ADDRSTRLEN);
        *p++ = ']';
        *p++ = ':';

        return p;
    }
#endif

    in = (ngx_http_in_addr_t *) (addr_conf - offsetof(ngx_http_in_addr_t, conf));

    p += ngx_inet_ntop(AF_INET, &in->addr, p, NGX_INET_ADDRSTRLEN);
    *p++ = ':';

    return p;
}
