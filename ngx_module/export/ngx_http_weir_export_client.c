/*
 * The connection to the collector: one request at a time, over one HTTP/1.1
 * connection that is kept.
 *
 * One deadline holds for all of a request: resolving, connecting, the TLS
 * handshake, sending, and each byte of the answer.  A collector that drips its
 * answer does not extend it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_private.h"
#include "http/ngx_http_weir_assert.h"


/* Bytes read at once. */
#define NGX_HTTP_WEIR_EXPORT_READ  4096

/* Of the last lines of a request's head. */
#define NGX_HTTP_WEIR_EXPORT_HEAD                                             \
    (sizeof("Content-Encoding: gzip" CRLF "Content-Length: " CRLF CRLF)      \
     + NGX_SIZE_T_LEN)


static ngx_int_t ngx_http_weir_export_client_head(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_connect(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_resolve(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_resolved(ngx_resolver_ctx_t *ctx);
static void ngx_http_weir_export_client_fallback(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_open(ngx_http_weir_exporter_t *ex,
    struct sockaddr *sockaddr, socklen_t socklen);
static void ngx_http_weir_export_client_opened(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_tls_ended(ngx_connection_t *c);
static void ngx_http_weir_export_client_ask(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_write_handler(ngx_event_t *wev);
static void ngx_http_weir_export_client_write(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_read_handler(ngx_event_t *rev);
static ngx_uint_t ngx_http_weir_export_client_read(
    ngx_http_weir_exporter_t *ex);
static ngx_uint_t ngx_http_weir_export_client_ended(
    ngx_http_weir_exporter_t *ex, ngx_err_t err);
static void ngx_http_weir_export_client_answered(ngx_http_weir_exporter_t *ex,
    ngx_uint_t more);
static void ngx_http_weir_export_client_deadline_handler(ngx_event_t *ev);
static void ngx_http_weir_export_client_fail(ngx_http_weir_exporter_t *ex,
    char *fault, char *detail, ngx_err_t err);
static void ngx_http_weir_export_client_disconnect(
    ngx_http_weir_exporter_t *ex);


void
ngx_http_weir_export_client_send(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_export_done_pt done)
{
    ngx_http_weir_export_client_t  *client;

    client = &ex->client;

    ngx_http_weir_assert(client->done == NULL);
    ngx_http_weir_assert(client->state == NGX_HTTP_WEIR_EXPORT_CLOSED
                         || client->state == NGX_HTTP_WEIR_EXPORT_KEPT);

    client->done = done;
    client->sent = 0;
    client->quiet = (ex->failures != 0);
    weir_answer_init(&client->answer);

    client->deadline.handler = ngx_http_weir_export_client_deadline_handler;
    client->deadline.data = ex;
    client->deadline.log = ngx_cycle->log;
    client->deadline.cancelable = 1;
    ngx_add_timer(&client->deadline, ex->timeout);

    if (ngx_http_weir_export_client_head(ex) != NGX_OK) {
        ngx_http_weir_export_client_fail(ex, "no memory for the request", NULL,
                                         0);
        return;
    }

    if (client->state == NGX_HTTP_WEIR_EXPORT_KEPT) {
        client->reused = 1;
        client->peer.connection->idle = 0;
        ngx_http_weir_export_client_ask(ex);
        return;
    }

    client->reused = 0;
    ngx_http_weir_export_client_connect(ex);
}


static ngx_int_t
ngx_http_weir_export_client_head(ngx_http_weir_exporter_t *ex)
{
    u_char                         *p;
    ngx_http_weir_export_client_t  *client;

    client = &ex->client;

    if (client->head == NULL) {
        client->head = ngx_alloc(ex->head.len + NGX_HTTP_WEIR_EXPORT_HEAD,
                                 ngx_cycle->log);
        if (client->head == NULL) {
            return NGX_ERROR;
        }
    }

    p = ngx_cpymem(client->head, ex->head.data, ex->head.len);
    p = ngx_sprintf(p, "%sContent-Length: %uz" CRLF CRLF,
                    ex->batch.zipped ? "Content-Encoding: gzip" CRLF : "",
                    ex->batch.len);

    client->head_len = p - client->head;

    return NGX_OK;
}


static void
ngx_http_weir_export_client_connect(ngx_http_weir_exporter_t *ex)
{
    if (ex->resolver) {
        ngx_http_weir_export_client_resolve(ex);
        return;
    }

    ngx_http_weir_export_client_fallback(ex);
}


static void
ngx_http_weir_export_client_resolve(ngx_http_weir_exporter_t *ex)
{
    ngx_resolver_ctx_t  *ctx;

    ctx = ngx_resolve_start(ex->resolver, NULL);

    if (ctx == NULL || ctx == NGX_NO_RESOLVER) {
        ngx_http_weir_export_client_fallback(ex);
        return;
    }

    ctx->name = ex->parsed.host;
    ctx->handler = ngx_http_weir_export_client_resolved;
    ctx->data = ex;
    ctx->timeout = ex->resolver_timeout;
    ctx->cancelable = 1;

    ex->client.state = NGX_HTTP_WEIR_EXPORT_RESOLVING;
    ex->client.resolving = ctx;

    if (ngx_resolve_name(ctx) != NGX_OK) {
        /* it has freed the context */
        ex->client.resolving = NULL;
        ngx_http_weir_export_client_fallback(ex);
    }
}


static void
ngx_http_weir_export_client_resolved(ngx_resolver_ctx_t *ctx)
{
    socklen_t                       socklen;
    ngx_resolver_addr_t            *addr;
    ngx_http_weir_exporter_t       *ex;
    ngx_http_weir_export_client_t  *client;

    ex = ctx->data;
    client = &ex->client;

    ngx_http_weir_assert(client->resolving == ctx);

    client->resolving = NULL;
    socklen = 0;

    if (ctx->state == NGX_OK && ctx->naddrs) {
        addr = &ctx->addrs[client->turn % ctx->naddrs];

        socklen = ngx_min(addr->socklen, (socklen_t) sizeof(ngx_sockaddr_t));
        ngx_memcpy(&client->resolved, addr->sockaddr, socklen);
        ngx_inet_set_port(&client->resolved.sockaddr, ex->parsed.port);
    }

    ngx_resolve_name_done(ctx);

    if (socklen) {
        ngx_http_weir_export_client_open(ex, &client->resolved.sockaddr,
                                         socklen);
        return;
    }

    ngx_http_weir_export_client_fallback(ex);
}


/* Uses an address that the name had when the configuration was read. */

static void
ngx_http_weir_export_client_fallback(ngx_http_weir_exporter_t *ex)
{
    ngx_addr_t  *addr;

    if (ex->parsed.naddrs == 0) {
        ngx_http_weir_export_client_fail(ex, "its name cannot be resolved",
                                         NULL, 0);
        return;
    }

    addr = &ex->parsed.addrs[ex->client.turn % ex->parsed.naddrs];

    ngx_http_weir_export_client_open(ex, addr->sockaddr, addr->socklen);
}


static void
ngx_http_weir_export_client_open(ngx_http_weir_exporter_t *ex,
    struct sockaddr *sockaddr, socklen_t socklen)
{
    ngx_int_t                       rc;
    ngx_connection_t               *c;
    ngx_http_weir_export_client_t  *client;

    client = &ex->client;

    client->log = *ngx_cycle->log;

    if (client->quiet) {
        /* one line for each change of state is enough */
        client->log.log_level = NGX_LOG_EMERG;
    }

    ngx_memzero(&client->peer, sizeof(ngx_peer_connection_t));
    client->peer.sockaddr = sockaddr;
    client->peer.socklen = socklen;
    client->peer.name = &ex->parsed.url;
    client->peer.get = ngx_event_get_peer;
    client->peer.log = &client->log;
    client->peer.log_error = NGX_ERROR_INFO;

    client->state = NGX_HTTP_WEIR_EXPORT_CONNECTING;

    rc = ngx_event_connect_peer(&client->peer);

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        ngx_http_weir_export_client_fail(ex, "cannot connect", NULL,
                                         ngx_socket_errno);
        return;
    }

    c = client->peer.connection;
    c->data = ex;
    c->log = &client->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_weir_export_client_read_handler;
    c->write->handler = ngx_http_weir_export_client_write_handler;

    if (rc == NGX_OK) {
        ngx_http_weir_export_client_opened(ex);
    }
}


/* TCP is connected. */

static void
ngx_http_weir_export_client_opened(ngx_http_weir_exporter_t *ex)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = ex->client.peer.connection;

    if (ex->client.peer.sockaddr->sa_family != AF_UNIX) {
        /* head and body are two writes */
        (void) ngx_tcp_nodelay(c);
    }

    if (ex->tls == NULL) {
        ngx_http_weir_export_client_ask(ex);
        return;
    }

    rc = ngx_http_weir_tls_connect(ex->tls, c,
                                   ngx_http_weir_export_client_tls_ended);

    if (rc == NGX_OK) {
        ngx_http_weir_export_client_tls_ended(c);

    } else if (rc == NGX_ERROR) {
        ngx_http_weir_export_client_fail(ex, "no memory for TLS", NULL, 0);
    }
}


static void
ngx_http_weir_export_client_tls_ended(ngx_connection_t *c)
{
    char                      *wrong;
    ngx_int_t                  rc;
    ngx_http_weir_exporter_t  *ex;

    ex = c->data;
    wrong = NULL;

    rc = ngx_http_weir_tls_check(ex->tls, c, &wrong);

    if (rc == NGX_ERROR) {
        ngx_http_weir_export_client_fail(ex, "the TLS handshake failed", NULL,
                                         0);
        return;
    }

    if (rc == NGX_DECLINED) {
        ngx_http_weir_export_client_fail(ex, "its certificate is refused",
                                         wrong, 0);
        return;
    }

    /* OpenSSL had the events */

    c->read->handler = ngx_http_weir_export_client_read_handler;
    c->write->handler = ngx_http_weir_export_client_write_handler;

    ngx_http_weir_export_client_ask(ex);
}


static void
ngx_http_weir_export_client_ask(ngx_http_weir_exporter_t *ex)
{
    ex->client.state = NGX_HTTP_WEIR_EXPORT_ASKING;

    ngx_http_weir_export_client_write(ex);
}


static void
ngx_http_weir_export_client_write_handler(ngx_event_t *wev)
{
    int                        err;
    socklen_t                  len;
    ngx_connection_t          *c;
    ngx_http_weir_exporter_t  *ex;

    c = wev->data;
    ex = c->data;

    ngx_http_weir_assert(ex->client.peer.connection == c);

    if (ex->client.state == NGX_HTTP_WEIR_EXPORT_ASKING) {
        ngx_http_weir_export_client_write(ex);
        return;
    }

    if (ex->client.state != NGX_HTTP_WEIR_EXPORT_CONNECTING) {
        return;
    }

    err = 0;
    len = sizeof(int);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1) {
        err = ngx_socket_errno;
    }

    if (err) {
        ngx_http_weir_export_client_fail(ex, "cannot connect", NULL, err);
        return;
    }

    ngx_http_weir_export_client_opened(ex);
}


static void
ngx_http_weir_export_client_write(ngx_http_weir_exporter_t *ex)
{
    u_char                         *p;
    size_t                          len;
    ssize_t                         n;
    ngx_err_t                       err;
    ngx_connection_t               *c;
    ngx_http_weir_export_client_t  *client;

    client = &ex->client;
    c = client->peer.connection;

    while (client->sent < client->head_len + ex->batch.len) {

        if (client->sent < client->head_len) {
            p = client->head + client->sent;
            len = client->head_len - client->sent;

        } else {
            p = ex->batch.body + (client->sent - client->head_len);
            len = ex->batch.len - (client->sent - client->head_len);
        }

        n = c->send(c, p, len);

        if (n == NGX_ERROR) {
            err = ngx_socket_errno;

            /* the collector may have answered before it closed */

            if (!ngx_http_weir_export_client_read(ex)) {
                (void) ngx_http_weir_export_client_ended(ex, err);
            }

            return;
        }

        if (n == NGX_AGAIN || n == 0) {
            break;
        }

        client->sent += n;
    }

    if (ngx_handle_write_event(c->write, 0) != NGX_OK
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        ngx_http_weir_export_client_fail(ex, "an event cannot be added", NULL,
                                         0);
    }
}


static void
ngx_http_weir_export_client_read_handler(ngx_event_t *rev)
{
    u_char                     byte;
    ngx_connection_t          *c;
    ngx_http_weir_exporter_t  *ex;

    c = rev->data;
    ex = c->data;

    ngx_http_weir_assert(ex->client.peer.connection == c);

    switch (ex->client.state) {

    case NGX_HTTP_WEIR_EXPORT_KEPT:

        /* TLS has records of its own; anything else ends the connection */

        if (c->close || c->recv(c, &byte, 1) != NGX_AGAIN
            || ngx_handle_read_event(rev, 0) != NGX_OK)
        {
            ngx_http_weir_export_client_disconnect(ex);
        }

        return;

    case NGX_HTTP_WEIR_EXPORT_ASKING:
        break;

    default:
        /* the write event has the error */
        return;
    }

    if (ngx_http_weir_export_client_read(ex)) {
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_weir_export_client_fail(ex, "an event cannot be added", NULL,
                                         0);
    }
}


/* True if the request has ended. */

static ngx_uint_t
ngx_http_weir_export_client_read(ngx_http_weir_exporter_t *ex)
{
    size_t                          used;
    ssize_t                         n;
    ngx_connection_t               *c;
    weir_answer_result_t            result;
    ngx_http_weir_export_client_t  *client;
    char                            buf[NGX_HTTP_WEIR_EXPORT_READ];

    client = &ex->client;
    c = client->peer.connection;

    for ( ;; ) {
        n = c->recv(c, (u_char *) buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            return 0;
        }

        if (n == NGX_ERROR || n == 0) {
            return ngx_http_weir_export_client_ended(ex,
                                             n == 0 ? 0 : ngx_socket_errno);
        }

        result = weir_answer_feed(&client->answer, buf, n, &used);

        if (result == WEIR_ANSWER_BAD) {
            ngx_http_weir_export_client_fail(ex, "its answer is invalid",
                                             (char *) client->answer.fault, 0);
            return 1;
        }

        if (result == WEIR_ANSWER_DONE) {
            ngx_http_weir_export_client_answered(ex, used < (size_t) n);
            return 1;
        }
    }
}


/* The connection is at its end; returns true. */

static ngx_uint_t
ngx_http_weir_export_client_ended(ngx_http_weir_exporter_t *ex, ngx_err_t err)
{
    ngx_http_weir_export_done_pt    done;
    ngx_http_weir_export_client_t  *client;
    ngx_http_weir_export_outcome_t  outcome;

    client = &ex->client;

    if (client->answer.total == 0 && client->reused) {

        /* closed by the collector while it was idle, most likely */

        done = client->done;
        ngx_http_weir_export_client_close(ex);

        ngx_memzero(&outcome, sizeof(ngx_http_weir_export_outcome_t));
        outcome.how = NGX_HTTP_WEIR_EXPORT_LOST;
        done(ex, &outcome);

        return 1;
    }

    if (err == 0 && client->answer.total
        && weir_answer_finish(&client->answer) == WEIR_ANSWER_DONE)
    {
        ngx_http_weir_export_client_answered(ex, 1);
        return 1;
    }

    ngx_http_weir_export_client_fail(ex, "it closed the connection without an"
                                     " answer", NULL, err);

    return 1;
}


/* more: the connection cannot be used again. */

static void
ngx_http_weir_export_client_answered(ngx_http_weir_exporter_t *ex,
    ngx_uint_t more)
{
    ngx_connection_t               *c;
    ngx_http_weir_export_done_pt    done;
    ngx_http_weir_export_client_t  *client;
    ngx_http_weir_export_outcome_t  outcome;

    client = &ex->client;
    c = client->peer.connection;
    done = client->done;

    if (more || !client->answer.keep_alive || ngx_exiting
        || client->sent < client->head_len + ex->batch.len
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        ngx_http_weir_export_client_close(ex);

    } else {
        client->done = NULL;
        ngx_del_timer(&client->deadline);
        client->state = NGX_HTTP_WEIR_EXPORT_KEPT;
        c->idle = 1;
    }

    ngx_memzero(&outcome, sizeof(ngx_http_weir_export_outcome_t));
    outcome.how = NGX_HTTP_WEIR_EXPORT_ANSWERED;
    done(ex, &outcome);
}


static void
ngx_http_weir_export_client_deadline_handler(ngx_event_t *ev)
{
    ngx_http_weir_export_client_fail(ev->data, "timeout passed", NULL, 0);
}


static void
ngx_http_weir_export_client_fail(ngx_http_weir_exporter_t *ex, char *fault,
    char *detail, ngx_err_t err)
{
    ngx_http_weir_export_done_pt    done;
    ngx_http_weir_export_outcome_t  outcome;

    done = ex->client.done;

    ngx_http_weir_assert(done != NULL);

    ngx_http_weir_export_client_close(ex);

    /* the next request tries the name's next address */
    ex->client.turn++;

    outcome.how = NGX_HTTP_WEIR_EXPORT_FAILED;
    outcome.fault = fault;
    outcome.detail = detail;
    outcome.err = err;
    done(ex, &outcome);
}


void
ngx_http_weir_export_client_close(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_export_client_t  *client;

    client = &ex->client;
    client->done = NULL;

    if (client->deadline.timer_set) {
        ngx_del_timer(&client->deadline);
    }

    if (client->resolving) {
        ngx_resolve_name_done(client->resolving);
        client->resolving = NULL;
    }

    ngx_http_weir_export_client_disconnect(ex);
}


static void
ngx_http_weir_export_client_disconnect(ngx_http_weir_exporter_t *ex)
{
    ex->client.state = NGX_HTTP_WEIR_EXPORT_CLOSED;

    if (ex->client.peer.connection) {
        ngx_http_weir_tls_close(ex->client.peer.connection);
        ex->client.peer.connection = NULL;
    }
}
