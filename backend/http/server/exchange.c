/*
 * From bytes to requests, one at a time, and from an answer to the next request.
 *
 * advance() is the only loop over the states. A handler may answer within its call, so the
 * connection is held meanwhile, and pipelined requests cause a loop, not a recursion.
 *
 * The connection is read only while bytes of a request are missing: a client that sends faster than
 * it is answered fills its own socket buffer. So a client that disconnects while its request waits
 * is not noticed; sending the answer then fails.
 */
#include "http/server/channel.h"
#include "http/server/handshake.h"
#include "http/server/private.h"

#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"
#define CROWDED_RETRY "1" /* s */

/* why is not used for 413. */
static void refuse(connection_t *c, int status, const char *why)
{
    assert(c->request == NULL);
    c->close = true;
    weir_connection_enter(c, CONNECTION_WAITING, 0);
    c->request = weir_http_request_new(c);
    if (status == 413)
        weir_http_error(c->request, 413, "The body has more than %zu bytes.", c->http->body_limit);
    else if (status == 503) {
        weir_http_add_header(c->request, "Retry-After", CROWDED_RETRY);
        weir_http_error(c->request, 503, "%s", why);
    } else
        weir_http_error(c->request, status, "%s", why);
}

static void dispatch(connection_t *c)
{
    assert(c->request == NULL);
    c->close = c->close || !weir_head_keeps_connection(&c->head);
    weir_connection_enter(c, CONNECTION_WAITING, 0);
    c->request = weir_http_request_new(c);
    weir_http_dispatch(c->request);
}

/* For a client that waits for 100 before it sends its body (RFC 9110 section 10.1.1). */
static void send_continue(connection_t *c)
{
    static const char text[] = CONTINUE;
    const struct iovec parts[2] = {
        {.iov_base = (void *)(uintptr_t)text, .iov_len = sizeof(text) - 1}};
    ssize_t n = weir_channel_send(c, parts);

    if (n != sizeof(text) - 1)
        weir_connection_close(c);
}

/* Begins the body. read_body() counts the bytes that came with the head. */
static void begin_body(connection_t *c)
{
    const weir_head_t *h = &c->head;

    assert(c->state == CONNECTION_HEAD && c->in_len >= c->head.len);
    if (h->framing == WEIR_BODY_NONE) {
        dispatch(c);
        return;
    }
    if (h->framing == WEIR_BODY_LENGTH && h->length > c->http->body_limit) {
        refuse(c, 413, NULL);
        return;
    }
    if (h->expects_continue && !weir_http_has_route(c->http, h)) {
        c->close = true; /* the answer is final, so the client may or may not send the body */
        dispatch(c);
        return;
    }

    weir_connection_enter(c, CONNECTION_BODY, WEIR_HTTP_BODY_LIMIT_S);
    weir_chunked_init(&c->chunked, c->http->body_limit);
    if (h->expects_continue && c->in_len == h->len)
        send_continue(c);
}

/* More of the body is missing. True when the connection's state has changed: there is no room. */
static bool read_more(connection_t *c)
{
    weir_http_t *http = c->http;

    if (!weir_connection_is_crowded(c))
        return false;
    if (http->crowded++ == 0)
        weir_log(WEIR_LOG_WARN, NULL,
                 "requests that are received have all their memory, further ones are refused",
                 "{s:i}", "bytes", (int)http->buffers_max);
    refuse(c, 503, "Too many large requests are being received.");

    return true;
}

/* Returns true when the connection's state has changed: the body is complete or wrong. */
static bool read_body(connection_t *c)
{
    size_t start = c->head.len + c->body_len, used, content;
    weir_chunked_result_t result;

    if (c->head.framing == WEIR_BODY_LENGTH) {
        size_t have = c->in_len - c->head.len;

        c->body_len = have < c->head.length ? have : (size_t)c->head.length;
        if (c->body_len < c->head.length)
            return read_more(c);
        dispatch(c);
        return true;
    }

    result = weir_chunked_decode(&c->chunked, c->in + start, c->in_len - start, &used, &content);
    memmove(c->in + start + content, c->in + start + used, c->in_len - start - used);
    c->in_len -= used - content;
    c->body_len += content;
    if (result == WEIR_CHUNKED_MORE)
        return read_more(c);
    if (result == WEIR_CHUNKED_WRONG)
        refuse(c, c->chunked.status, c->chunked.why);
    else
        dispatch(c);

    return true;
}

/* One empty line before a request is ignored (RFC 9112 section 2.2). */
static bool skip_line(connection_t *c)
{
    if (c->skipped_line || c->in_len < 2 || memcmp(c->in, "\r\n", 2) != 0)
        return false;
    c->skipped_line = true;
    c->in_len -= 2;
    memmove(c->in, c->in + 2, c->in_len);

    return true;
}

/* True when the connection's state has changed. */
static bool read_head(connection_t *c)
{
    assert(c->state == CONNECTION_IDLE || c->state == CONNECTION_HEAD);
    if (c->in_len == 0)
        return false;
    if (c->state == CONNECTION_IDLE)
        weir_connection_enter(c, CONNECTION_HEAD, WEIR_HTTP_HEAD_LIMIT_S);
    if (skip_line(c))
        return true;
    if (c->in_len == 1 && c->in[0] == '\r' && !c->skipped_line)
        return false; /* a half of that line */

    switch (weir_head_parse(&c->head, c->in, c->in_len)) {
    case WEIR_HEAD_PARTIAL:
        return false;
    case WEIR_HEAD_WRONG:
        refuse(c, c->head.status, c->head.why);
        return true;
    case WEIR_HEAD_WHOLE:
        break;
    }
    begin_body(c);

    return true;
}

/* For a connection whose client has sent its last byte, but no whole request. */
static void end(connection_t *c)
{
    if (c->in_len == 0 && c->state != CONNECTION_BODY)
        weir_connection_close(c);
    else
        refuse(c, 400, "The connection ended within the request.");
}

static void advance(connection_t *c)
{
    bool go_on = true;

    weir_connection_hold(c);
    while (go_on) {
        switch (c->state) {
        case CONNECTION_IDLE:
        case CONNECTION_HEAD:
            go_on = read_head(c);
            break;
        case CONNECTION_BODY:
            go_on = read_body(c);
            break;
        default:
            weir_connection_let_go(c);
            return;
        }
    }
    if (c->eof)
        end(c);
    else
        weir_connection_watch(c);
    weir_connection_let_go(c);
}

/* When the server stops, a client whose request has not come with its handshake is too late. */
void weir_exchange_shaken(connection_t *c)
{
    if (!c->http->stopping)
        return;
    weir_connection_read(c);
    if (c->state == CONNECTION_IDLE)
        weir_connection_close(c);
}

void weir_exchange_received(connection_t *c)
{
    advance(c);
}

/* --- after the answer ----------------------------------------------------------------------- */

/* Removes the request from the buffer; bytes of the next request are kept. */
static void forget_request(connection_t *c)
{
    size_t end = c->head.len + c->body_len;

    assert(c->in_len >= end);
    c->in_len -= end;
    memmove(c->in, c->in + end, c->in_len);
    if (c->in_size > BUFFER_KEPT && c->in_len <= BUFFER_KEPT)
        (void)weir_connection_resize(c, BUFFER_KEPT);
    weir_head_init(&c->head);
    c->body_len = 0;
    c->skipped_line = false;
}

void weir_exchange_sent(connection_t *c)
{
    weir_http_request_t *r = c->request;

    assert(c->state == CONNECTION_SENDING && r != NULL);
    c->request = NULL;
    weir_http_request_finish(r);
    if (c->close) {
        c->in_len = 0;
        (void)weir_connection_resize(c, 1);
        weir_connection_linger(c);
        return;
    }
    forget_request(c);
    weir_connection_enter(c, CONNECTION_IDLE, WEIR_HTTP_IDLE_LIMIT_S);
    if (!c->held)
        advance(c);
}

void weir_exchange_closed(connection_t *c)
{
    weir_http_request_t *r = c->request;

    assert(c->state == CONNECTION_CLOSED);
    c->request = NULL;
    if (r != NULL)
        weir_http_request_finish(r);
}

/* --- all connections ------------------------------------------------------------------------ */

static void expire(connection_t *c)
{
    if (c->state == CONNECTION_HANDSHAKE) {
        weir_handshake_expired(c);
        return;
    }
    if (c->state != CONNECTION_HEAD && c->state != CONNECTION_BODY) {
        weir_connection_close(c);
        return;
    }
    weir_connection_hold(c);
    refuse(c, 408, "The request did not arrive in time.");
    weir_connection_let_go(c);
}

static void check(struct connections *list, int64_t now)
{
    connection_t *c, *next;

    for (c = TAILQ_FIRST(list); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->deadline_ms <= now)
            expire(c);
    }
}

void weir_exchange_check(weir_http_t *http, int64_t now)
{
    check(&http->handshaking, now);
    check(&http->idle, now);
    check(&http->busy, now);
    check(&http->lingering, now);
}

void weir_exchange_stop(weir_http_t *http)
{
    int64_t limit = (int64_t)weir_clock_ms() + WEIR_HTTP_STOP_LIMIT_S * 1000;
    connection_t *c, *next;

    for (c = TAILQ_FIRST(&http->busy); c != NULL; c = TAILQ_NEXT(c, link)) {
        if (c->deadline_ms > limit && c->state != CONNECTION_WAITING)
            c->deadline_ms = limit;
    }
    for (c = TAILQ_FIRST(&http->handshaking); c != NULL; c = TAILQ_NEXT(c, link)) {
        if (c->deadline_ms > limit)
            c->deadline_ms = limit;
    }
    /*
     * A request may already be in the socket's buffer. After weir_connection_read() a connection
     * that is still idle has received nothing.
     */
    for (c = TAILQ_FIRST(&http->idle); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        weir_connection_read(c);
    }
    while ((c = TAILQ_FIRST(&http->idle)) != NULL)
        weir_connection_close(c);
}
