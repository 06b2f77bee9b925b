#include "http/server/handshake.h"
#include "http/server/private.h"

#include "http/listen.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPT_AT_ONCE 64   /* connections, before other events of the event loop */
#define ACCEPT_PAUSE_MS 100 /* after accept() failed for lack of descriptors or memory */
#define DESCRIPTORS_KEPT 64 /* for other uses of the process */
#define CONNECTIONS_LEAST 4
#define IDLE_LEAST_MS                                                                              \
    1000 /* the least idle time before a connection is closed in favour of a new one */

static void accept_if_room(weir_http_t *http);

/* Once a second. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;
    weir_http_request_t *r = TAILQ_FIRST(&http->in_flight);

    (void)fd;
    (void)what;

    while (r != NULL && weir_http_us_since(r) > WEIR_HTTP_ANSWER_LIMIT_S * 1000000) {
        weir_http_request_t *next = TAILQ_NEXT(r, link);

        if (r->status == 0)
            weir_http_abandon(r, 503);
        r = next;
    }
    weir_exchange_check(http, (int64_t)weir_clock_ms());
    accept_if_room(http); /* a connection may now have been idle long enough */
    if (http->crowded > 0 && http->buffered < http->buffers_max / 2) {
        weir_log(WEIR_LOG_INFO, NULL, "there is memory for requests again", "{s:I}", "refused",
                 (json_int_t)http->crowded);
        http->crowded = 0;
    }
}

/* --- accepting ---------------------------------------------------------------------------- */

/*
 * The process needs descriptors for its database, Redis and files, even if clients open as many
 * connections as they can.
 */
static unsigned connections_max(void)
{
    struct rlimit limit;
    rlim_t max = WEIR_HTTP_CONNECTIONS_MAX;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY) {
        rlim_t half = limit.rlim_cur / 2;
        rlim_t rest = limit.rlim_cur > DESCRIPTORS_KEPT ? limit.rlim_cur - DESCRIPTORS_KEPT : 0;

        if (half < max || rest < max)
            max = half > rest ? half : rest;
        if (max > WEIR_HTTP_CONNECTIONS_MAX)
            max = WEIR_HTTP_CONNECTIONS_MAX;
    }

    return max > CONNECTIONS_LEAST ? (unsigned)max : CONNECTIONS_LEAST;
}

/*
 * Makes room for a new connection. Returns false when all connections are in use, or so new that a
 * request may not have been read yet.
 */
static bool close_oldest_idle(weir_http_t *http)
{
    connection_t *c = TAILQ_FIRST(&http->idle);
    int64_t idle_since = c != NULL ? c->deadline_ms - WEIR_HTTP_IDLE_LIMIT_S * 1000 : 0;

    if (c != NULL && (int64_t)weir_clock_ms() - idle_since < IDLE_LEAST_MS)
        c = NULL;
    if (c == NULL)
        c = TAILQ_FIRST(&http->lingering);
    if (c != NULL)
        weir_connection_close(c);

    return c != NULL;
}

static void suspend(weir_http_t *http, bool again)
{
    static const struct timeval pause = {0, ACCEPT_PAUSE_MS * 1000};

    event_del(http->acceptable);
    if (again)
        evtimer_add(http->accept_again, &pause);
}

/* True for errors that affect only one connection (accept(2)). */
static bool is_of_connection(int error)
{
    switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

static void on_accept_failed(weir_http_t *http, int error)
{
    if (!http->failing)
        weir_log(WEIR_LOG_ERROR, NULL, "cannot accept connections, retrying", "{s:s,s:i}", "error",
                 strerror(error), "connections", (int)http->n_connections);
    http->failing = true;
    /* The listener is still readable, so retrying at once would be a busy loop. */
    suspend(http, true);
}

static void on_accepted(weir_http_t *http, int fd)
{
    assert(fd >= 0);
    if (http->tls != NULL)
        weir_handshake_make_room(http);
    if (!weir_connection_new(http, fd)) {
        on_accept_failed(http, ENOMEM);
        return;
    }
    if (http->failing)
        weir_log(WEIR_LOG_INFO, NULL, "accepts connections again", NULL);
    http->failing = false;
    if (http->n_connections < http->connections_max / 2)
        http->logged_full = false;
}

static void on_acceptable(evutil_socket_t listener, short what, void *arg)
{
    weir_http_t *http = arg;

    (void)what;
    for (int i = 0; i < ACCEPT_AT_ONCE; i++) {
        int fd;

        if (http->n_connections >= http->connections_max && !close_oldest_idle(http)) {
            if (!http->logged_full)
                weir_log(WEIR_LOG_WARN, NULL, "all connections are in use, new ones wait", "{s:i}",
                         "connections", (int)http->n_connections);
            http->full = http->logged_full = true;
            suspend(http, false);
            return;
        }
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            on_accepted(http, fd);
        } else if (errno == EAGAIN) {
            return;
        } else if (!is_of_connection(errno)) {
            int error = errno;

            if (!close_oldest_idle(http)) {
                on_accept_failed(http, error);
                return;
            }
        }
        if (http->failing)
            return;
    }
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;

    (void)fd;
    (void)what;
    if (http->listener >= 0 && event_add(http->acceptable, NULL) != 0)
        on_accept_failed(http, errno);
}

static void accept_if_room(weir_http_t *http)
{
    if (!http->full)
        return;
    http->full = false;
    on_accept_again(-1, 0, http);
}

/* A connection was freed, so another one may be accepted. */
static void on_freed(weir_http_t *http)
{
    weir_http_check_stopped(http);
    accept_if_room(http);
}

/* --- its life ----------------------------------------------------------------------------- */

static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;
    void (*cb)(void *) = http->stop_cb;

    (void)fd;
    (void)what;
    if (cb == NULL || http->n_in_flight > 0 || !TAILQ_EMPTY(&http->busy) ||
        !TAILQ_EMPTY(&http->handshaking))
        return; /* already called, or a request has come since */

    http->stop_cb = NULL;
    cb(http->stop_arg); /* may free http */
}

weir_http_t *weir_http_new(struct event_base *base, size_t body_limit)
{
    weir_http_t *http = weir_alloc(sizeof(*http));
    static const struct timeval second = {1, 0};

    assert(base != NULL && body_limit > 0);
    http->base = base;
    http->calls = (connection_calls_t){.shaking = weir_handshake_ready,
                                       .shaken = weir_exchange_shaken,
                                       .received = weir_exchange_received,
                                       .sent = weir_exchange_sent,
                                       .closed = weir_exchange_closed,
                                       .freed = on_freed};
    http->body_limit = body_limit;
    http->buffers_max =
        body_limit * 8 > WEIR_HTTP_BUFFERS_MAX ? body_limit * 8 : WEIR_HTTP_BUFFERS_MAX;
    http->listener = -1;
    http->connections_max = connections_max();
    weir_handshake_open(http);
    TAILQ_INIT(&http->idle);
    TAILQ_INIT(&http->lingering);
    TAILQ_INIT(&http->busy);
    TAILQ_INIT(&http->in_flight);
    TAILQ_INIT(&http->abandoned);
    http->tick = event_new(base, -1, EV_PERSIST, on_tick, http);
    http->accept_again = evtimer_new(base, on_accept_again, http);
    http->stopped = event_new(base, -1, 0, on_stopped, http);
    evtimer_add(http->tick, &second);

    return http;
}

static void collect(void *arg)
{
    const weir_http_t *http = arg;

    weir_series_set(weir_series(WEIR_HTTP_CONNECTIONS, NULL), http->n_connections);
}

void weir_http_be_quiet(weir_http_t *http)
{
    assert(http->listener < 0);
    http->quiet = true;
}

void weir_http_use_tls(weir_http_t *http, weir_tls_t *tls)
{
    assert(http->listener < 0);
    http->tls = tls;
}

bool weir_http_listen(weir_http_t *http, const char *address, char *error, size_t error_size)
{
    assert(http->listener < 0);
    http->listener = weir_listen(address, error, error_size);
    if (http->listener < 0)
        return false;

    http->acceptable =
        event_new(http->base, http->listener, EV_READ | EV_PERSIST, on_acceptable, http);
    if (http->acceptable == NULL || event_add(http->acceptable, NULL) != 0) {
        snprintf(error, error_size, "cannot listen on %s: the event loop refuses the socket: %s",
                 address, strerror(errno));
        return false;
    }
    if (strncmp(address, "unix:", 5) == 0) {
        http->socket_file = weir_alloc_text(address + 5);
        http->tls = NULL;
    }
    if (!http->quiet)
        weir_series_collect(collect, http);

    return true;
}

static void close_listener(weir_http_t *http)
{
    if (http->acceptable != NULL)
        event_free(http->acceptable);
    http->acceptable = NULL;
    /* Before the listener is closed: from then on the file may be another process's. */
    if (http->socket_file != NULL)
        remove(http->socket_file);
    if (http->listener >= 0)
        close(http->listener);
    http->listener = -1;
    http->full = false;
    event_del(http->accept_again);
    free(http->socket_file);
    http->socket_file = NULL;
}

void weir_http_stop(weir_http_t *http, void (*cb)(void *arg), void *arg)
{
    unsigned before;

    assert(!http->stopping && cb != NULL);
    /* The kernel has accepted the waiting connections, and would reset them. */
    do {
        before = http->n_connections;
        if (http->listener >= 0 && !http->full)
            on_acceptable(http->listener, EV_READ, http);
    } while (http->n_connections > before);
    http->stopping = true;
    http->stop_cb = cb;
    http->stop_arg = arg;
    close_listener(http);
    weir_exchange_stop(http);
    weir_http_check_stopped(http);
}

void weir_http_free(weir_http_t *http)
{
    connection_t *c;

    if (http == NULL)
        return;

    close_listener(http);
    weir_series_forget(collect, http);
    http->stopping = false; /* no callback is called any more */
    while ((c = TAILQ_FIRST(&http->handshaking)) != NULL ||
           (c = TAILQ_FIRST(&http->idle)) != NULL || (c = TAILQ_FIRST(&http->lingering)) != NULL ||
           (c = TAILQ_FIRST(&http->busy)) != NULL)
        weir_connection_close(c);
    weir_http_free_requests(&http->abandoned);
    event_free(http->turn);
    event_free(http->tick);
    event_free(http->accept_again);
    event_free(http->stopped);
    free(http);
}
