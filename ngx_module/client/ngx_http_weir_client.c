/*
 * A request and its answer: one request at a time, over one HTTP/1.1
 * connection that is kept.
 *
 * One deadline holds for all of a request: resolving, connecting, the TLS
 * handshake, sending, and each byte of the answer.  A server that drips its
 * answer does not extend it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "client/ngx_http_weir_client.h"
#include "http/ngx_http_weir_assert.h"


/* Bytes read at once. */
#define NGX_HTTP_WEIR_CLIENT_READ  4096

/* Of the last lines of a request's head. */
#define NGX_HTTP_WEIR_CLIENT_HEAD                                             \
    (sizeof("Content-Encoding: gzip" CRLF "Content-Length: " CRLF CRLF)      \
     + NGX_SIZE_T_LEN)


static void ngx_http_weir_client_connected(ngx_http_weir_client_t *client,
    char *fault, char *detail, ngx_err_t err);
static void ngx_http_weir_client_ask(ngx_http_weir_client_t *client);
static void ngx_http_weir_client_fail(ngx_http_weir_client_t *client,
    char *fault, char *detail, ngx_err_t err);
static void ngx_http_weir_client_read_handler(ngx_event_t *rev);
static void ngx_http_weir_client_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_http_weir_client_head(ngx_http_weir_client_t *client);
static ngx_int_t ngx_http_weir_client_expect(ngx_http_weir_client_t *client);
static void ngx_http_weir_client_write(ngx_http_weir_client_t *client);
static ngx_uint_t ngx_http_weir_client_read(ngx_http_weir_client_t *client);
static ngx_uint_t ngx_http_weir_client_ended(ngx_http_weir_client_t *client,
    ngx_err_t err);
static void ngx_http_weir_client_answered(ngx_http_weir_client_t *client,
    ngx_uint_t more);
static void ngx_http_weir_client_deadline_handler(ngx_event_t *ev);
static void ngx_http_weir_client_disconnect(ngx_http_weir_client_t *client);


void
ngx_http_weir_client_send(ngx_http_weir_client_t *client,
    const ngx_http_weir_client_request_t *request,
    ngx_http_weir_client_done_pt done)
{
    ngx_http_weir_assert(client->done == NULL);
    ngx_http_weir_assert(client->state == NGX_HTTP_WEIR_CLIENT_CLOSED
                         || client->state == NGX_HTTP_WEIR_CLIENT_KEPT);

    client->request = *request;
    client->done = done;
    client->sent = 0;

    client->deadline.handler = ngx_http_weir_client_deadline_handler;
    client->deadline.data = client;
    client->deadline.log = ngx_cycle->log;
    client->deadline.cancelable = 1;
    ngx_add_timer(&client->deadline, client->server->timeout);

    if (ngx_http_weir_client_head(client) != NGX_OK
        || ngx_http_weir_client_expect(client) != NGX_OK)
    {
        ngx_http_weir_client_fail(client, "no memory for the request", NULL, 0);
        return;
    }

    if (client->state == NGX_HTTP_WEIR_CLIENT_KEPT) {
        client->reused = 1;
        client->peer.connection->idle = 0;
        ngx_http_weir_client_ask(client);
        return;
    }

    client->reused = 0;
    client->connected = ngx_http_weir_client_connected;
    ngx_http_weir_client_connect(client);
}


static ngx_int_t
ngx_http_weir_client_head(ngx_http_weir_client_t *client)
{
    size_t                           size;
    u_char                          *p;
    ngx_http_weir_client_request_t  *request;

    request = &client->request;
    size = request->head->len + NGX_HTTP_WEIR_CLIENT_HEAD;

    if (client->head_size < size) {
        p = ngx_alloc(size, ngx_cycle->log);
        if (p == NULL) {
            return NGX_ERROR;
        }

        if (client->head) {
            ngx_free(client->head);
        }

        client->head = p;
        client->head_size = size;
    }

    p = ngx_cpymem(client->head, request->head->data, request->head->len);

    if (request->body) {
        p = ngx_sprintf(p, "%sContent-Length: %uz" CRLF,
                        request->zipped ? "Content-Encoding: gzip" CRLF : "",
                        request->len);
    }

    p = ngx_cpymem(p, CRLF, sizeof(CRLF) - 1);

    client->head_len = p - client->head;

    return NGX_OK;
}


/* The answer, empty, with room for its body. */

static ngx_int_t
ngx_http_weir_client_expect(ngx_http_weir_client_t *client)
{
    if (client->answer == NULL) {
        client->answer = ngx_alloc(sizeof(weir_answer_t) + client->answer_max,
                                   ngx_cycle->log);
        if (client->answer == NULL) {
            return NGX_ERROR;
        }
    }

    weir_answer_init(client->answer, (char *) (client->answer + 1),
                     client->answer_max);

    return NGX_OK;
}


static void
ngx_http_weir_client_connected(ngx_http_weir_client_t *client,
    char *fault, char *detail, ngx_err_t err)
{
    ngx_connection_t  *c;

    if (fault) {
        ngx_http_weir_client_fail(client, fault, detail, err);
        return;
    }

    /* those that connected had the events */

    c = client->peer.connection;
    c->read->handler = ngx_http_weir_client_read_handler;
    c->write->handler = ngx_http_weir_client_write_handler;

    ngx_http_weir_client_ask(client);
}


static void
ngx_http_weir_client_ask(ngx_http_weir_client_t *client)
{
    client->state = NGX_HTTP_WEIR_CLIENT_ASKING;

    ngx_http_weir_client_write(client);
}


static void
ngx_http_weir_client_write_handler(ngx_event_t *wev)
{
    ngx_connection_t        *c;
    ngx_http_weir_client_t  *client;

    c = wev->data;
    client = c->data;

    ngx_http_weir_assert(client->peer.connection == c);

    if (client->state == NGX_HTTP_WEIR_CLIENT_ASKING) {
        ngx_http_weir_client_write(client);
    }
}


static void
ngx_http_weir_client_write(ngx_http_weir_client_t *client)
{
    u_char            *p;
    size_t             len;
    ssize_t            n;
    ngx_err_t          err;
    ngx_connection_t  *c;

    c = client->peer.connection;

    while (client->sent < client->head_len + client->request.len) {

        if (client->sent < client->head_len) {
            p = client->head + client->sent;
            len = client->head_len - client->sent;

        } else {
            p = client->request.body + (client->sent - client->head_len);
            len = client->request.len - (client->sent - client->head_len);
        }

        n = c->send(c, p, len);

        if (n == NGX_ERROR) {
            err = ngx_socket_errno;

            /* the server may have answered before it closed */

            if (!ngx_http_weir_client_read(client)) {
                (void) ngx_http_weir_client_ended(client, err);
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
        ngx_http_weir_client_fail(client, "an event cannot be added", NULL, 0);
    }
}


static void
ngx_http_weir_client_read_handler(ngx_event_t *rev)
{
    u_char                   byte;
    ngx_connection_t        *c;
    ngx_http_weir_client_t  *client;

    c = rev->data;
    client = c->data;

    ngx_http_weir_assert(client->peer.connection == c);

    if (client->state == NGX_HTTP_WEIR_CLIENT_KEPT) {

        /* TLS has records of its own; anything else ends the connection */

        if (c->close || c->recv(c, &byte, 1) != NGX_AGAIN
            || ngx_handle_read_event(rev, 0) != NGX_OK)
        {
            ngx_http_weir_client_disconnect(client);
        }

        return;
    }

    if (ngx_http_weir_client_read(client)) {
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_weir_client_fail(client, "an event cannot be added", NULL, 0);
    }
}


/* True if the request has ended. */

static ngx_uint_t
ngx_http_weir_client_read(ngx_http_weir_client_t *client)
{
    size_t                 used;
    ssize_t                n;
    ngx_connection_t      *c;
    weir_answer_result_t   result;
    char                   buf[NGX_HTTP_WEIR_CLIENT_READ];

    c = client->peer.connection;

    for ( ;; ) {
        n = c->recv(c, (u_char *) buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            return 0;
        }

        if (n == NGX_ERROR || n == 0) {
            return ngx_http_weir_client_ended(client,
                                              n == 0 ? 0 : ngx_socket_errno);
        }

        result = weir_answer_feed(client->answer, buf, n, &used);

        if (result == WEIR_ANSWER_BAD) {
            ngx_http_weir_client_fail(client, "its answer is invalid",
                                      (char *) client->answer->fault, 0);
            return 1;
        }

        if (result == WEIR_ANSWER_DONE) {
            ngx_http_weir_client_answered(client, used < (size_t) n);
            return 1;
        }
    }
}


/* The connection is at its end; returns true. */

static ngx_uint_t
ngx_http_weir_client_ended(ngx_http_weir_client_t *client, ngx_err_t err)
{
    ngx_http_weir_client_done_pt    done;
    ngx_http_weir_client_outcome_t  outcome;

    if (client->answer->total == 0 && client->reused) {

        /* closed by the server while it was idle, most likely */

        done = client->done;
        ngx_http_weir_client_close(client);

        ngx_memzero(&outcome, sizeof(ngx_http_weir_client_outcome_t));
        outcome.how = NGX_HTTP_WEIR_CLIENT_LOST;
        done(client, &outcome);

        return 1;
    }

    if (err == 0 && client->answer->total
        && weir_answer_finish(client->answer) == WEIR_ANSWER_DONE)
    {
        ngx_http_weir_client_answered(client, 1);
        return 1;
    }

    ngx_http_weir_client_fail(client, "it closed the connection without an"
                              " answer", NULL, err);

    return 1;
}


/* more: the connection cannot be used again. */

static void
ngx_http_weir_client_answered(ngx_http_weir_client_t *client,
    ngx_uint_t more)
{
    ngx_connection_t               *c;
    ngx_http_weir_client_done_pt    done;
    ngx_http_weir_client_outcome_t  outcome;

    c = client->peer.connection;
    done = client->done;

    if (more || !client->answer->keep_alive || ngx_exiting
        || client->sent < client->head_len + client->request.len
        || ngx_handle_read_event(c->read, 0) != NGX_OK)
    {
        ngx_http_weir_client_close(client);

    } else {
        client->done = NULL;
        ngx_del_timer(&client->deadline);
        client->state = NGX_HTTP_WEIR_CLIENT_KEPT;
        c->idle = 1;
    }

    ngx_memzero(&outcome, sizeof(ngx_http_weir_client_outcome_t));
    outcome.how = NGX_HTTP_WEIR_CLIENT_ANSWERED;
    done(client, &outcome);
}


/* An address that does not answer is not the next request's. */

static void
ngx_http_weir_client_deadline_handler(ngx_event_t *ev)
{
    ngx_http_weir_client_t  *client = ev->data;

    client->turn++;
    ngx_http_weir_client_fail(client, "timeout passed", NULL, 0);
}


static void
ngx_http_weir_client_fail(ngx_http_weir_client_t *client, char *fault,
    char *detail, ngx_err_t err)
{
    ngx_http_weir_client_done_pt    done;
    ngx_http_weir_client_outcome_t  outcome;

    done = client->done;

    ngx_http_weir_assert(done != NULL);

    ngx_http_weir_client_close(client);

    outcome.how = NGX_HTTP_WEIR_CLIENT_FAILED;
    outcome.fault = fault;
    outcome.detail = detail;
    outcome.err = err;
    done(client, &outcome);
}


void
ngx_http_weir_client_free(ngx_http_weir_client_t *client)
{
    ngx_http_weir_assert(client->state == NGX_HTTP_WEIR_CLIENT_CLOSED);

    if (client->head) {
        ngx_free(client->head);
        client->head = NULL;
        client->head_size = 0;
    }

    if (client->answer) {
        ngx_free(client->answer);
        client->answer = NULL;
    }
}


void
ngx_http_weir_client_close(ngx_http_weir_client_t *client)
{
    client->done = NULL;

    if (client->deadline.timer_set) {
        ngx_del_timer(&client->deadline);
    }

    if (client->resolving) {
        ngx_resolve_name_done(client->resolving);
        client->resolving = NULL;
    }

    ngx_http_weir_client_disconnect(client);
}


static void
ngx_http_weir_client_disconnect(ngx_http_weir_client_t *client)
{
    client->state = NGX_HTTP_WEIR_CLIENT_CLOSED;

    if (client->peer.connection) {
        ngx_http_weir_tls_close(client->peer.connection);
        client->peer.connection = NULL;
    }
}
