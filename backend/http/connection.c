/*
 * A connection: reads requests by their framing, one at a time, and sends their answers.
 *
 * advance() is the one place that goes from state to state.  Answers may be given within a
 * handler's call, so a connection is freed only at the end of the outermost advance(), and a
 * client that sends many requests at once causes a loop, not a recursion.
 *
 * The connection is read only while bytes of a request are missing: a client that sends faster
 * than it is answered fills its own socket buffer.  So nobody sees a client leave while its
 * request waits; sending the answer fails then.
 */
#include "http/private.h"

#include "log/log.h"

#include <event2/event.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_FIRST 4096
#define BUFFER_KEPT 16384 /* a larger one is given back after its request */
#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

static void advance(connection_t *c);

int64_t weir_http_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- its life ----------------------------------------------------------------------------- */

static struct connections *list_of(connection_t *c)
{
    switch (c->state) {
    case CONNECTION_IDLE:
        return &c->http->idle;
    case CONNECTION_LINGERING:
        return &c->http->lingering;
    default:
        return &c->http->busy;
    }
}

/*
 * When the state must have ended; limit_s: 0 for no limit.  At a stop no state but WAITING lasts
 * longer than WEIR_HTTP_STOP_LIMIT_S, also when bytes of it come or go meanwhile.
 */
static int64_t deadline(const connection_t *c, connection_state_t state, int limit_s)
{
    bool stopping = c->http->stopping && limit_s > 0;
    int64_t at;

    if (stopping && limit_s > WEIR_HTTP_STOP_LIMIT_S)
        limit_s = WEIR_HTTP_STOP_LIMIT_S;
    at = limit_s > 0 ? weir_http_now_ms() + limit_s * 1000 : INT64_MAX;

    return stopping && state == c->state && c->deadline_ms < at ? c->deadline_ms : at;
}

/* limit_s: 0 for none. */
static void enter(connection_t *c, connection_state_t state, int limit_s)
{
    struct connections *old = list_of(c);

    c->deadline_ms = deadline(c, state, limit_s);
    c->state = state;
    if (list_of(c) != old) {
        TAILQ_REMOVE(old, c, link);
        TAILQ_INSERT_TAIL(list_of(c), c, link);
    }
}

static void watch(connection_t *c)
{
    if (c->watching)
        return;
    if (event_add(c->readable, NULL) != 0) {
        weir_log(WEIR_LOG_ERROR, NULL, "cannot watch a connection", "{s:s}", "error",
                 strerror(errno));
        weir_connection_close(c);
        return;
    }
    c->watching = true;
}

static void unwatch(connection_t *c)
{
    if (c->watching)
        event_del(c->readable);
    c->watching = false;
}

static void free_connection(connection_t *c)
{
    weir_http_t *http = c->http;

    TAILQ_REMOVE(list_of(c), c, link);
    free(c->in);
    free(c->out);
    free(c);
    http->n_connections--;
    weir_http_on_closed(http);
}

void weir_connection_close(connection_t *c)
{
    if (c->state == CONNECTION_CLOSED)
        return;

    enter(c, CONNECTION_CLOSED, 0);
    event_free(c->readable);
    event_free(c->writable);
    close(c->fd);
    if (c->request != NULL)
        weir_http_request_finish(c->request);
    c->request = NULL;
    if (!c->advancing)
        free_connection(c);
}

/* Closing with unread bytes would reset the connection, and the client might lose the answer. */
static void linger(connection_t *c)
{
    if (c->eof || shutdown(c->fd, SHUT_WR) != 0) {
        weir_connection_close(c);
        return;
    }
    enter(c, CONNECTION_LINGERING, WEIR_HTTP_LINGER_LIMIT_S);
    watch(c);
}

static void discard(connection_t *c)
{
    char dropped[4096];
    ssize_t n = recv(c->fd, dropped, sizeof(dropped), 0);

    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        weir_connection_close(c);
}

/* --- reading ------------------------------------------------------------------------------ */

static bool grow(connection_t *c)
{
    size_t size = c->in_size > 0 ? c->in_size * 2 : BUFFER_FIRST;
    char *in = realloc(c->in, size);

    if (in == NULL)
        return false;
    c->in = in;
    c->in_size = size;
    c->head.text = in;

    return true;
}

/* Bytes to ask for: of a body whose length is known no more than that. */
static size_t wanted(const connection_t *c)
{
    size_t room = c->in_size - c->in_len;

    if (c->state == CONNECTION_BODY && c->head.framing == WEIR_BODY_LENGTH) {
        size_t missing = (size_t)c->head.length - c->body_len;

        return missing < room ? missing : room;
    }

    return room;
}

/* False when nothing has come, or the connection was closed. */
static bool receive(connection_t *c)
{
    ssize_t n;

    if (c->in_len == c->in_size && !grow(c)) {
        weir_log(WEIR_LOG_ERROR, NULL, "no memory for a request", NULL);
        weir_connection_close(c);
        return false;
    }

    n = recv(c->fd, c->in + c->in_len, wanted(c), 0);
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

/* --- from bytes to a request -------------------------------------------------------------- */

/* why: unused for 413. */
static void refuse(connection_t *c, int status, const char *why)
{
    c->close = true;
    enter(c, CONNECTION_WAITING, 0);
    c->request = weir_http_request_new(c);
    if (status == 413)
        weir_http_error(c->request, 413, "The body has more than %zu bytes.", c->http->body_limit);
    else
        weir_http_error(c->request, status, "%s", why);
}

static void dispatch(connection_t *c)
{
    c->close = c->close || !weir_head_keeps_connection(&c->head);
    enter(c, CONNECTION_WAITING, 0);
    c->request = weir_http_request_new(c);
    weir_http_dispatch(c->request);
}

/* A client that waits for it before it sends its body (RFC 9110 section 10.1.1). */
static void send_continue(connection_t *c)
{
    static const char text[] = CONTINUE;
    ssize_t n = send(c->fd, text, sizeof(text) - 1, MSG_NOSIGNAL);

    if (n != sizeof(text) - 1)
        weir_connection_close(c);
}

/* Goes to the body; the bytes of it that came with the head are counted by read_body(). */
static void begin_body(connection_t *c)
{
    const weir_head_t *h = &c->head;

    if (h->framing == WEIR_BODY_NONE) {
        dispatch(c);
        return;
    }
    if (h->framing == WEIR_BODY_LENGTH && h->length > c->http->body_limit) {
        refuse(c, 413, NULL);
        return;
    }
    if (h->expects_continue && !weir_http_has_route(c->http, h)) {
        c->close = true; /* its answer is final: the body may come or not */
        dispatch(c);
        return;
    }

    enter(c, CONNECTION_BODY, WEIR_HTTP_BODY_LIMIT_S);
    weir_chunked_init(&c->chunked, c->http->body_limit);
    if (h->expects_continue && c->in_len == h->len)
        send_continue(c);
}

/* True when the connection's state has changed: the body is whole, or wrong. */
static bool read_body(connection_t *c)
{
    size_t start = c->head.len + c->body_len, used, content;
    weir_chunked_result_t result;

    if (c->head.framing == WEIR_BODY_LENGTH) {
        size_t have = c->in_len - c->head.len;

        c->body_len = have < c->head.length ? have : (size_t)c->head.length;
        if (c->body_len < c->head.length)
            return false;
        dispatch(c);
        return true;
    }

    result = weir_chunked_decode(&c->chunked, c->in + start, c->in_len - start, &used, &content);
    memmove(c->in + start + content, c->in + start + used, c->in_len - start - used);
    c->in_len -= used - content;
    c->body_len += content;
    if (result == WEIR_CHUNKED_MORE)
        return false;
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
    if (c->in_len == 0)
        return false;
    if (c->state == CONNECTION_IDLE)
        enter(c, CONNECTION_HEAD, WEIR_HTTP_HEAD_LIMIT_S);
    if (skip_line(c))
        return true;
    if (c->in_len == 1 && c->in[0] == '\r' && !c->skipped_line)
        return false; /* half of that line */

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

/* Every byte that will come is here, and they are no whole request. */
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

    c->advancing = true;
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
            c->advancing = false;
            if (c->state == CONNECTION_CLOSED)
                free_connection(c);
            return;
        }
    }
    if (c->eof)
        end(c);
    else
        watch(c);
    c->advancing = false;
    if (c->state == CONNECTION_CLOSED)
        free_connection(c);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    connection_t *c = arg;

    (void)fd;
    (void)what;
    switch (c->state) {
    case CONNECTION_IDLE:
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        if (receive(c))
            advance(c);
        break;
    case CONNECTION_LINGERING:
        discard(c);
        break;
    default:
        unwatch(c);
        break;
    }
}

/* --- sending ------------------------------------------------------------------------------ */

/* Makes room for the next request; bytes of it that have come stay. */
static void forget_request(connection_t *c)
{
    size_t end = c->head.len + c->body_len;

    c->in_len -= end;
    memmove(c->in, c->in + end, c->in_len);
    if (c->in_size > BUFFER_KEPT && c->in_len <= BUFFER_KEPT) {
        char *smaller = realloc(c->in, BUFFER_KEPT);

        if (smaller != NULL) {
            c->in = smaller;
            c->in_size = BUFFER_KEPT;
        }
    }
    weir_head_init(&c->head);
    c->body_len = 0;
    c->skipped_line = false;
}

static void on_sent(connection_t *c)
{
    weir_http_request_t *r = c->request;

    free(c->out);
    c->out = NULL;
    c->request = NULL;
    weir_http_request_finish(r);
    if (c->close) {
        linger(c);
        return;
    }
    forget_request(c);
    enter(c, CONNECTION_IDLE, WEIR_HTTP_IDLE_LIMIT_S);
    if (!c->advancing)
        advance(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    connection_t *c = arg;
    ssize_t n = send(c->fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);

    (void)fd;
    (void)what;
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            weir_connection_close(c);
        return;
    }
    c->out_sent += (size_t)n;
    enter(c, CONNECTION_SENDING, WEIR_HTTP_SEND_LIMIT_S);
    if (c->out_sent == c->out_len) {
        event_del(c->writable);
        on_sent(c);
    }
}

/* Keeps what the socket did not take. */
static bool keep(connection_t *c, const struct iovec parts[2], size_t sent)
{
    size_t total = parts[0].iov_len + parts[1].iov_len;

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
    struct iovec copy[2] = {parts[0], parts[1]};
    struct msghdr message = {.msg_iov = copy, .msg_iovlen = parts[1].iov_len > 0 ? 2 : 1};
    ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);

    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
        n = 0;
    enter(c, CONNECTION_SENDING, WEIR_HTTP_SEND_LIMIT_S);
    if (n < 0)
        weir_connection_close(c);
    else if ((size_t)n == parts[0].iov_len + parts[1].iov_len)
        on_sent(c);
    else if (!keep(c, parts, (size_t)n))
        weir_connection_close(c);
}

/* --- all of them -------------------------------------------------------------------------- */

bool weir_connection_new(weir_http_t *http, int fd)
{
    connection_t *c = calloc(1, sizeof(*c));

    if (c == NULL) {
        close(fd);
        return false;
    }
    c->http = http;
    c->fd = fd;
    c->deadline_ms = weir_http_now_ms() + WEIR_HTTP_IDLE_LIMIT_S * 1000;
    c->readable = event_new(http->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    c->writable = event_new(http->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    if (c->readable == NULL || c->writable == NULL || event_add(c->readable, NULL) != 0) {
        if (c->readable != NULL)
            event_free(c->readable);
        if (c->writable != NULL)
            event_free(c->writable);
        close(fd);
        free(c);
        return false;
    }
    c->watching = true;
    TAILQ_INSERT_TAIL(&http->idle, c, link);
    http->n_connections++;

    return true;
}

static void expire(connection_t *c)
{
    if (c->state == CONNECTION_HEAD || c->state == CONNECTION_BODY) {
        c->advancing = true;
        refuse(c, 408, "The request did not arrive in time.");
        c->advancing = false;
        if (c->state == CONNECTION_CLOSED)
            free_connection(c);
        return;
    }
    weir_connection_close(c);
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

void weir_connections_check(weir_http_t *http, int64_t now)
{
    check(&http->idle, now);
    check(&http->busy, now);
    check(&http->lingering, now);
}

void weir_connections_stop(weir_http_t *http)
{
    int64_t limit = weir_http_now_ms() + WEIR_HTTP_STOP_LIMIT_S * 1000;
    connection_t *c, *next;

    for (c = TAILQ_FIRST(&http->busy); c != NULL; c = TAILQ_NEXT(c, link)) {
        if (c->deadline_ms > limit && c->state != CONNECTION_WAITING)
            c->deadline_ms = limit;
    }
    /* A request may be in the socket's buffer already; on_readable() closes a connection that has
     * none only at its end, so what is idle afterwards has nothing. */
    for (c = TAILQ_FIRST(&http->idle); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        on_readable(c->fd, EV_READ, c);
    }
    while ((c = TAILQ_FIRST(&http->idle)) != NULL)
        weir_connection_close(c);
}
