/*
 * A connection: its received and sent bytes, its states and deadlines. exchange.c interprets the
 * bytes; server.c passes its functions as connection_calls_t.
 *
 * A handler may answer within a call of exchange.c, so exchange.c holds the connection meanwhile: a
 * closed connection is freed only by weir_connection_let_go().
 */
#include "http/server/channel.h"
#include "http/server/private.h"

#include "log/clock.h"
#include "log/log.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_FIRST 4096

/* --- its life ----------------------------------------------------------------------------- */

static struct connections *list_of(connection_t *c)
{
    switch (c->state) {
    case CONNECTION_HANDSHAKE:
        return &c->http->handshaking;
    case CONNECTION_IDLE:
        return &c->http->idle;
    case CONNECTION_LINGERING:
        return &c->http->lingering;
    default:
        return &c->http->busy;
    }
}

/*
 * The deadline of the state; a limit_s of 0 means none. When the server is stopping, no state
 * except WAITING lasts longer than WEIR_HTTP_STOP_LIMIT_S, also when bytes are received or sent
 * meanwhile.
 */
static int64_t deadline(const connection_t *c, connection_state_t state, int limit_s)
{
    bool stopping = c->http->stopping && limit_s > 0;
    int64_t at;

    assert(limit_s >= 0);
    if (stopping && limit_s > WEIR_HTTP_STOP_LIMIT_S)
        limit_s = WEIR_HTTP_STOP_LIMIT_S;
    at = limit_s > 0 ? (int64_t)weir_clock_ms() + limit_s * 1000 : INT64_MAX;

    return stopping && state == c->state && c->deadline_ms < at ? c->deadline_ms : at;
}

void weir_connection_enter(connection_t *c, connection_state_t state, int limit_s)
{
    /* All allowed changes of the state. Only this function changes it. */
    static const bool allowed[CONNECTION_CLOSED + 1][CONNECTION_CLOSED + 1] = {
        [CONNECTION_HANDSHAKE] = {[CONNECTION_IDLE] = true,
                                  [CONNECTION_LINGERING] = true, /* refused */
                                  [CONNECTION_CLOSED] = true},
        [CONNECTION_IDLE] = {[CONNECTION_HEAD] = true, [CONNECTION_CLOSED] = true},
        [CONNECTION_HEAD] =
            {[CONNECTION_BODY] = true, [CONNECTION_WAITING] = true, [CONNECTION_CLOSED] = true},
        [CONNECTION_BODY] = {[CONNECTION_WAITING] = true, [CONNECTION_CLOSED] = true},
        [CONNECTION_WAITING] = {[CONNECTION_SENDING] = true, [CONNECTION_CLOSED] = true},
        [CONNECTION_SENDING] = {[CONNECTION_SENDING] = true, /* some bytes were sent */
                                [CONNECTION_IDLE] = true,
                                [CONNECTION_LINGERING] = true,
                                [CONNECTION_CLOSED] = true},
        [CONNECTION_LINGERING] = {[CONNECTION_CLOSED] = true},
    };
    struct connections *old = list_of(c);

    assert(allowed[c->state][state]);
    if (c->state == CONNECTION_HANDSHAKE) {
        assert(c->http->n_handshaking > 0);
        c->http->n_handshaking--;
    }
    c->deadline_ms = deadline(c, state, limit_s);
    c->state = state;
    if (list_of(c) != old) {
        TAILQ_REMOVE(old, c, link);
        TAILQ_INSERT_TAIL(list_of(c), c, link);
    }
}

void weir_connection_watch(connection_t *c)
{
    assert(c->state != CONNECTION_CLOSED);
    if (!c->watching && event_add(c->readable, NULL) != 0) {
        weir_log(WEIR_LOG_ERROR, NULL, "cannot watch a connection", "{s:s}", "error",
                 strerror(errno));
        weir_connection_close(c);
        return;
    }
    c->watching = true;
    if (weir_channel_has_more(c))
        event_active(c->readable, EV_READ, 0);
}

static void unwatch(connection_t *c)
{
    if (c->watching)
        event_del(c->readable);
    c->watching = false;
}

void weir_connection_unready(connection_t *c)
{
    if (c->ready)
        TAILQ_REMOVE(&c->http->ready, c, ready_link);
    c->ready = false;
}

static void free_connection(connection_t *c)
{
    weir_http_t *http = c->http;

    assert(c->state == CONNECTION_CLOSED && !c->held && http->n_connections > 0);
    TAILQ_REMOVE(list_of(c), c, link);
    http->buffered -= c->in_size;
    free(c->in);
    free(c->out);
    free(c);
    http->n_connections--;
    http->calls.freed(http);
}

void weir_connection_close(connection_t *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;

    weir_connection_unready(c);
    weir_connection_enter(c, CONNECTION_CLOSED, 0);
    event_free(c->readable);
    event_free(c->writable);
    weir_channel_close(c);
    c->http->calls.closed(c);
    if (!c->held)
        free_connection(c);
}

void weir_connection_hold(connection_t *c)
{
    assert(c->state != CONNECTION_CLOSED);
    c->held++;
}

void weir_connection_let_go(connection_t *c)
{
    assert(c->held > 0);
    if (--c->held == 0 && c->state == CONNECTION_CLOSED)
        free_connection(c);
}

/*
 * Closing a socket with unread bytes resets the connection, and the client could lose the answer.
 */
void weir_connection_linger(connection_t *c)
{
    if (c->eof || !weir_channel_end(c)) {
        weir_connection_close(c);
        return;
    }
    weir_connection_enter(c, CONNECTION_LINGERING, WEIR_HTTP_LINGER_LIMIT_S);
    weir_connection_watch(c);
}

/* --- reading ------------------------------------------------------------------------------ */

static void discard(connection_t *c)
{
    ssize_t n = weir_channel_drop(c);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        weir_connection_close(c);
}

bool weir_connection_resize(connection_t *c, size_t size)
{
    char *in = realloc(c->in, size);

    assert(size >= c->in_len && size > 0 && c->http->buffered >= c->in_size);
    if (in == NULL)
        return false;
    c->http->buffered = c->http->buffered - c->in_size + size;
    c->in = in;
    c->in_size = size;
    c->head.text = in;

    return true;
}

/* A buffer doubles. */
static bool grow(connection_t *c)
{
    return weir_connection_resize(c, c->in_size > 0 ? c->in_size * 2 : BUFFER_FIRST);
}

bool weir_connection_is_crowded(const connection_t *c)
{
    return c->in_len == c->in_size && c->in_size >= BUFFER_KEPT &&
           c->http->buffered + c->in_size > c->http->buffers_max;
}

/* The number of bytes to read: for a body of known length not more than are missing. */
static size_t wanted(const connection_t *c)
{
    size_t room = c->in_size - c->in_len;

    assert(c->in_len < c->in_size);
    if (c->state == CONNECTION_BODY && c->head.framing == WEIR_BODY_LENGTH) {
        size_t missing = (size_t)c->head.length - c->body_len;

        return missing < room ? missing : room;
    }

    return room;
}

/* Returns false when no byte has come, or the connection was closed. */
static bool receive(connection_t *c)
{
    ssize_t n;

    if (c->in_len == c->in_size && !grow(c)) {
        weir_log(WEIR_LOG_ERROR, NULL, "no memory for a request", NULL);
        weir_connection_close(c);
        return false;
    }

    n = weir_channel_receive(c, c->in + c->in_len, wanted(c));
    if (n > 0) {
        c->in_len += (size_t)n;
        return true;
    }
    if (n == 0) {
        c->eof = true;
        return true;
    }
    if (errno != EAGAIN && errno != EINTR)
        weir_connection_close(c);

    return false;
}

void weir_connection_read(connection_t *c)
{
    switch (c->state) {
    case CONNECTION_HANDSHAKE:
        unwatch(c);
        c->http->calls.shaking(c);
        break;
    case CONNECTION_IDLE:
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        if (receive(c))
            c->http->calls.received(c);
        break;
    case CONNECTION_LINGERING:
        discard(c);
        break;
    default:
        unwatch(c);
        break;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    weir_connection_read(arg);
}

/* --- sending ------------------------------------------------------------------------------ */

static void on_sent(connection_t *c)
{
    free(c->out);
    c->out = NULL;
    c->http->calls.sent(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    connection_t *c = arg;
    struct iovec rest[2] = {
        {.iov_base = c->out + c->out_sent, .iov_len = c->out_len - c->out_sent}};
    ssize_t n;

    (void)fd;
    (void)what;
    if (c->state == CONNECTION_HANDSHAKE) {
        event_del(c->writable);
        c->http->calls.shaking(c);
        return;
    }
    assert(c->state == CONNECTION_SENDING && c->out_sent < c->out_len);
    n = weir_channel_send(c, rest);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            weir_connection_close(c);
        return;
    }
    c->out_sent += (size_t)n;
    weir_connection_enter(c, CONNECTION_SENDING, WEIR_HTTP_SEND_LIMIT_S);
    if (c->out_sent == c->out_len) {
        event_del(c->writable);
        on_sent(c);
    }
}

/* Keeps the unsent bytes. */
static bool keep(connection_t *c, const struct iovec parts[2], size_t sent)
{
    size_t total = parts[0].iov_len + parts[1].iov_len;

    assert(c->out == NULL && sent < total);
    c->out = malloc(total);
    if (c->out == NULL)
        return false;
    memcpy(c->out, parts[0].iov_base, parts[0].iov_len);
    if (parts[1].iov_len > 0)
        memcpy(c->out + parts[0].iov_len, parts[1].iov_base, parts[1].iov_len);
    c->out_len = total;
    c->out_sent = sent;

    return event_add(c->writable, NULL) == 0;
}

void weir_connection_answer(connection_t *c, const struct iovec parts[2])
{
    ssize_t n = weir_channel_send(c, parts);

    assert(c->state == CONNECTION_WAITING && c->out == NULL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
        n = 0;
    weir_connection_enter(c, CONNECTION_SENDING, WEIR_HTTP_SEND_LIMIT_S);
    if (n < 0)
        weir_connection_close(c);
    else if ((size_t)n == parts[0].iov_len + parts[1].iov_len)
        on_sent(c);
    else if (!keep(c, parts, (size_t)n))
        weir_connection_close(c);
}

/* --- a new one ---------------------------------------------------------------------------- */

static bool begin_tls(connection_t *c)
{
    c->state = CONNECTION_HANDSHAKE;
    c->deadline_ms = (int64_t)weir_clock_ms() + WEIR_HTTP_HANDSHAKE_LIMIT_S * 1000;
    c->generation = weir_tls_generation(c->http->tls);
    c->ssl = weir_tls_accept(c->http->tls, c->fd);

    return c->ssl != NULL;
}

bool weir_connection_new(weir_http_t *http, int fd)
{
    connection_t *c = calloc(1, sizeof(*c));

    assert(fd >= 0);
    if (c == NULL) {
        close(fd);
        return false;
    }
    c->http = http;
    c->fd = fd;
    c->state = CONNECTION_IDLE;
    c->deadline_ms = (int64_t)weir_clock_ms() + WEIR_HTTP_IDLE_LIMIT_S * 1000;
    if (http->tls != NULL && !begin_tls(c)) {
        close(fd);
        free(c);
        return false;
    }
    c->readable = event_new(http->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(http->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    if (c->readable == NULL || c->writable == NULL || event_add(c->readable, NULL) != 0) {
        if (c->readable != NULL)
            event_free(c->readable);
        if (c->writable != NULL)
            event_free(c->writable);
        weir_channel_close(c);
        free(c);
        return false;
    }
    c->watching = true;
    TAILQ_INSERT_TAIL(list_of(c), c, link);
    http->n_connections++;
    http->n_handshaking += c->ssl != NULL;

    return true;
}
