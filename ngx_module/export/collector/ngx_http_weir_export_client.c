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


static void ngx_http_weir_export_client_connected(ngx_http_weir_exporter_t *ex,
    char *fault, char *detail, ngx_err_t err);
static void ngx_http_weir_export_client_ask(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_fail(ngx_http_weir_exporter_t *ex,
    char *fault, char *detail, ngx_err_t err);
static void ngx_http_weir_export_client_read_handler(ngx_event_t *rev);
static void ngx_http_weir_export_client_write_handler(ngx_event_t *wev);
static ngx_int_t ngx_http_weir_export_client_head(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_client_write(ngx_http_weir_exporter_t *ex);
static ngx_uint_t ngx_http_weir_export_client_read(
    ngx_http_weir_exporter_t *ex);
static ngx_uint_t ngx_http_weir_export_client_ended(
    ngx_http_weir_exporter_t *ex, ngx_err_t err);
static void ngx_http_weir_export_client_answered(ngx_http_weir_exporter_t *ex,
    ngx_uint_t more);
static void ngx_http_weir_export_client_deadline_handler(ngx_event_t *ev);
static void ngx_http_weir_export_client_disconnect(
    ngx_http_weir_exporter_t *ex);


void
ngx_http_weir_export_client_send(ngx_http_weir_exporter_t *ex,
    const ngx_http_weir_export_request_t *request,
    ngx_http_weir_export_done_pt done)
{
    ngx_http_weir_export_client_t  *client;

    client = &ex->client;

    ngx_http_weir_assert(client->done == NULL);
    ngx_http_weir_assert(client->state == NGX_HTTP_WEIR_EXPORT_CLOSED
                         || client->state == NGX_HTTP_WEIR_EXPORT_KEPT);

    client->request = *request;
    client->done = done;
    client->sent = 0;
    client->quiet = (ex->failures != 0
                     || ngx_http_weir_export_get(&ex->sh->metrics_failing));
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
    client->connected = ngx_http_weir_export_client_connected;
    ngx_http_weir_export_connect(ex);
}


static ngx_int_t
ngx_http_weir_export_client_head(ngx_http_weir_exporter_t *ex)
{
    u_char                          *p;
    ngx_http_weir_export_client_t   *client;
    ngx_http_weir_export_request_t  *request;

    client = &ex->client;
    request = &client->request;

    if (client->head == NULL) {
        client->head = ngx_alloc(ngx_max(ex->head.len, ex->metrics_head.len)
                                 + NGX_HTTP_WEIR_EXPORT_HEAD,
                                 ngx_cycle->log);
        if (client->head == NULL) {
            return NGX_ERROR;
        }
    }

    p = ngx_cpymem(client->head, request->head->data, request->head->len);
    p = ngx_sprintf(p, "%sContent-Length: %uz" CRLF CRLF,
                    request->zipped ? "Content-Encoding: gzip" CRLF : "",
                    request->len);

    client->head_len = p - client->head;

    return NGX_OK;
}


static void
ngx_http_weir_export_client_connected(ngx_http_weir_exporter_t *ex,
    char *fault, char *detail, ngx_err_t err)
{
    ngx_connection_t  *c;

    if (fault) {
        ngx_http_weir_export_client_fail(ex, fault, detail, err);
        return;
    }

    /* those that connected had the events */

    c = ex->client.peer.connection;
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
    ngx_connection_t          *c;
    ngx_http_weir_exporter_t  *ex;

    c = wev->data;
    ex = c->data;

    ngx_http_weir_assert(ex->client.peer.connection == c);

    if (ex->client.state == NGX_HTTP_WEIR_EXPORT_ASKING) {
        ngx_http_weir_export_client_write(ex);
    }
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

    if (ex->client.state == NGX_HTTP_WEIR_EXPORT_KEPT) {

        /* TLS has records of its own; anything else ends the connection */

        if (c->close || c->recv(c, &byte, 1) != NGX_AGAIN
            || ngx_handle_read_event(rev, 0) != NGX_OK)
        {
            ngx_http_weir_export_client_disconnect(ex);
        }

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
        || client->sent < client->head_len + client->request.len
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

    outcome.how = NGX_HTTP_WEIR_EXPORT_FAILED;
    outcome.fault = fault;
    outcome.detail = detail;
    outcome.err = err;
    done(ex, &outcome);
}


void
ngx_http_weir_export_client_partial(ngx_http_weir_exporter_t *ex,
    weir_partial_t *partial)
{
    weir_str_t      body;
    weir_answer_t  *answer;

    answer = &ex->client.answer;
    body.data = answer->body;
    body.len = answer->body_len;

    partial->rejected = 0;
    partial->message[0] = '\0';

    if (ex->format == WEIR_SPAN_FORMAT_ZIPKIN || answer->encoded) {
        /* Zipkin has none; an encoding was not asked for */
        return;
    }

    if (answer->type == WEIR_ANSWER_PROTOBUF) {
        (void) weir_partial_protobuf(body, partial);

    } else if (answer->type == WEIR_ANSWER_JSON) {
        (void) weir_partial_json(body, partial);
    }
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
