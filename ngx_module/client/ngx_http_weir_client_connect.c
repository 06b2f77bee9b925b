/*
 * A new connection to the server: its name, TCP, and TLS.  The deadline is
 * that of the request.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "client/ngx_http_weir_client.h"
#include "http/ngx_http_weir_assert.h"


static void ngx_http_weir_client_connect_resolve(
    ngx_http_weir_client_t *client);
static void ngx_http_weir_client_connect_resolved(ngx_resolver_ctx_t *ctx);
static void ngx_http_weir_client_connect_fallback(
    ngx_http_weir_client_t *client);
static void ngx_http_weir_client_connect_open(ngx_http_weir_client_t *client,
    struct sockaddr *sockaddr, socklen_t socklen);
static void ngx_http_weir_client_connect_opened(
    ngx_http_weir_client_t *client);
static void ngx_http_weir_client_connect_tls_ended(ngx_connection_t *c);
static void ngx_http_weir_client_connect_write_handler(ngx_event_t *wev);
static void ngx_http_weir_client_connect_read_handler(ngx_event_t *rev);
static void ngx_http_weir_client_connect_fail(ngx_http_weir_client_t *client,
    char *fault, char *detail, ngx_err_t err);


void
ngx_http_weir_client_connect(ngx_http_weir_client_t *client)
{
    if (client->server->resolver) {
        ngx_http_weir_client_connect_resolve(client);
        return;
    }

    ngx_http_weir_client_connect_fallback(client);
}


static void
ngx_http_weir_client_connect_resolve(ngx_http_weir_client_t *client)
{
    ngx_resolver_ctx_t  *ctx;

    ctx = ngx_resolve_start(client->server->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_http_weir_client_connect_fallback(client);
        return;
    }

    ctx->name = client->server->parsed.host;
    ctx->handler = ngx_http_weir_client_connect_resolved;
    ctx->data = client;
    ctx->timeout = client->server->resolver_timeout;
    ctx->cancelable = 1;

    client->state = NGX_HTTP_WEIR_CLIENT_RESOLVING;
    client->resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        /* it has freed the context */
        client->resolving = NULL;
        ngx_http_weir_client_connect_fallback(client);
    }
}


static void
ngx_http_weir_client_connect_resolved(ngx_resolver_ctx_t *ctx)
{
    socklen_t                socklen;
    ngx_resolver_addr_t     *addr;
    ngx_http_weir_client_t  *client;

    client = ctx->data;

    ngx_http_weir_assert(client->resolving == ctx);

    client->resolving = NULL;
    socklen = 0;

    if (ctx->state == NGX_OK && ctx->naddrs) {
        addr = &ctx->addrs[client->turn % ctx->naddrs];

        socklen = ngx_min(addr->socklen, (socklen_t) sizeof(ngx_sockaddr_t));
        ngx_memcpy(&client->resolved, addr->sockaddr, socklen);
        ngx_inet_set_port(&client->resolved.sockaddr,
                          client->server->parsed.port);
    }

    ngx_resolve_name_done(ctx);

    if (socklen) {
        ngx_http_weir_client_connect_open(client, &client->resolved.sockaddr,
                                          socklen);
        return;
    }

    ngx_http_weir_client_connect_fallback(client);
}


/* Uses an address that the name had when the configuration was read. */

static void
ngx_http_weir_client_connect_fallback(ngx_http_weir_client_t *client)
{
    ngx_url_t   *u;
    ngx_addr_t  *addr;

    u = &client->server->parsed;

    if (u->naddrs == 0) {
        ngx_http_weir_client_connect_fail(client, "its name cannot be resolved",
                                          NULL, 0);
        return;
    }

    addr = &u->addrs[client->turn % u->naddrs];

    ngx_http_weir_client_connect_open(client, addr->sockaddr, addr->socklen);
}


static void
ngx_http_weir_client_connect_open(ngx_http_weir_client_t *client,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    client->log = *ngx_cycle->log;

    if (client->quiet) {
        /* one line for each change of state is enough */
        client->log.log_level = NGX_LOG_EMERG;
    }

    ngx_memzero(&client->peer, sizeof(ngx_peer_connection_t));
    client->peer.sockaddr = sockaddr;
    client->peer.socklen = socklen;
    client->peer.name = &client->server->parsed.url;
    client->peer.get = ngx_event_get_peer;
    client->peer.log = &client->log;
    client->peer.log_error = NGX_ERROR_INFO;

    client->state = NGX_HTTP_WEIR_CLIENT_CONNECTING;

    rc = ngx_event_connect_peer(&client->peer);

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        ngx_http_weir_client_connect_fail(client, "cannot connect", NULL,
                                          ngx_socket_errno);
        return;
    }

    c = client->peer.connection;
    c->data = client;
    c->log = &client->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_weir_client_connect_read_handler;
    c->write->handler = ngx_http_weir_client_connect_write_handler;

    if (rc == NGX_OK) {
        ngx_http_weir_client_connect_opened(client);
    }
}


/* TCP is connected. */

static void
ngx_http_weir_client_connect_opened(ngx_http_weir_client_t *client)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = client->peer.connection;

    if (client->peer.sockaddr->sa_family != AF_UNIX) {
        /* head and body are two writes */
        (void) ngx_tcp_nodelay(c);
    }

    if (client->server->tls == NULL) {
        client->connected(client, NULL, NULL, 0);
        return;
    }

    rc = ngx_http_weir_tls_connect(client->server->tls, c,
                                   ngx_http_weir_client_connect_tls_ended);

    if (rc == NGX_OK) {
        ngx_http_weir_client_connect_tls_ended(c);

    } else if (rc == NGX_ERROR) {
        ngx_http_weir_client_connect_fail(client, "no memory for TLS", NULL, 0);
    }
}


static void
ngx_http_weir_client_connect_tls_ended(ngx_connection_t *c)
{
    char                    *wrong;
    ngx_int_t                rc;
    ngx_http_weir_client_t  *client;

    client = c->data;
    wrong = NULL;

    rc = ngx_http_weir_tls_check(client->server->tls, c, &wrong);

    if (rc == NGX_ERROR) {
        ngx_http_weir_client_connect_fail(client, "the TLS handshake failed",
                                          NULL, 0);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_weir_client_connect_fail(client, "its certificate is refused",
                                          wrong, 0);
        return;
    }

    client->connected(client, NULL, NULL, 0);
}


/* TCP has connected, or failed. */

static void
ngx_http_weir_client_connect_write_handler(ngx_event_t *wev)
{
    int                      err;
    socklen_t                len;
    ngx_connection_t        *c;
    ngx_http_weir_client_t  *client;

    c = wev->data;
    client = c->data;
    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_http_weir_client_connect_fail(client, "cannot connect", NULL, err);
        return;
    }

    ngx_http_weir_client_connect_opened(client);
}


/* The write event has the error. */

static void
ngx_http_weir_client_connect_read_handler(ngx_event_t *rev)
{
}


/* The next request tries the name's next address. */

static void
ngx_http_weir_client_connect_fail(ngx_http_weir_client_t *client, char *fault,
    char *detail, ngx_err_t err)
{
    client->turn++;
    client->connected(client, fault, detail, err);
}
