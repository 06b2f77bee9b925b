/*
 * What the server's files share; nobody else includes it.
 *
 *   server.c       listening, limits, start and stop
 *   exchange.c     from bytes to requests, and from an answer to the next request
 *   dispatch.c     routes
 *   request.c      a request's life and answer
 *   connection.c   bytes, states, deadlines
 *
 * Calls go downwards in this list; what connection.c has to tell goes by connection_calls_t.
 *
 * A connection has at most one request at a time: requests that a client sends without waiting
 * stay unread until the answer before them has been sent, so answers have the order of requests.
 *
 * A request is in the list of those in flight from the end of its body, in order of arrival, so
 * that the oldest, whose answer may be overdue, is always the first.  Its life: waiting (the
 * handler has it) -> answered (the connection sends the answer) -> gone, when the answer was sent
 * or the connection has failed.
 *
 * The deadline answers in the handler's place; the handler still has its pointer, so the request
 * stays as abandoned until the handler comes with its answer.
 */
#ifndef WEIR_HTTP_PRIVATE_H
#define WEIR_HTTP_PRIVATE_H

#include "http/chunked.h"
#include "http/head.h"
#include "http/http.h"
#include "http/route.h"

#include <sys/queue.h>
#include <sys/uio.h>

typedef struct {
    weir_http_handler handler;
    void *arg;
} target_t;

typedef enum {
    CONNECTION_IDLE,      /* no byte of a request has come; the first one ends it */
    CONNECTION_HEAD,      /* a head has begun; its empty line ends it */
    CONNECTION_BODY,      /* a body has begun; its last byte ends it */
    CONNECTION_WAITING,   /* the handler has the request; its answer ends it */
    CONNECTION_SENDING,   /* the socket takes no more bytes of the answer for now */
    CONNECTION_LINGERING, /* all is sent; what the client still sends is dropped until it closes */
    CONNECTION_CLOSED     /* to be freed */
} connection_state_t;

typedef struct connection connection_t;

/* What a connection tells; handed in by server.c. */
typedef struct {
    void (*received)(connection_t *c); /* bytes of a request, or their end, in IDLE, HEAD or BODY */
    void (*sent)(connection_t *c);     /* the socket has taken the whole answer */
    void (*closed)(connection_t *c);   /* its request, when it has one, gets no answer */
    void (*freed)(weir_http_t *http);
} connection_calls_t;

struct connection {
    TAILQ_ENTRY(connection) link; /* in one of the server's three lists, by state */
    weir_http_t *http;
    int fd;
    connection_state_t state;
    int64_t deadline_ms; /* of this state, in ms of the monotonic clock; WAITING has none */
    struct event *readable, *writable;
    bool watching; /* readable is added */
    bool eof;      /* the client sends nothing more; it may still read */
    bool close;    /* after this request */
    bool held;     /* by exchange.c: it is freed when it is let go */

    char *in; /* head, then body as content, then bytes of the next request */
    size_t in_len, in_size;
    bool skipped_line; /* an empty line before the request (RFC 9112 section 2.2) */
    weir_head_t head;
    weir_chunked_t chunked;
    size_t body_len; /* of content received */

    char *out; /* what the socket did not take yet */
    size_t out_len, out_sent;

    weir_http_request_t *request; /* of WAITING and SENDING */
};

TAILQ_HEAD(connections, connection);

struct weir_http_request {
    TAILQ_ENTRY(weir_http_request) link;
    weir_http_t *http;
    connection_t *connection; /* NULL when it is gone, or serves another request already */
    weir_str_t params[WEIR_ROUTE_PARAMS_MAX];
    weir_traceparent_t trace;
    uint64_t began_us; /* weir_clock_us() when it came */
    int status;        /* of the answer; 0 while waiting */
    bool abandoned;
    bool has_cache_control;
    char *fields; /* of the answer, as lines */
    size_t fields_len, fields_size;
};

TAILQ_HEAD(requests, weir_http_request);

struct weir_http {
    struct event_base *base;
    connection_calls_t calls;
    char *socket_file; /* to be removed at the end */
    size_t body_limit;
    weir_routes_t routes;
    target_t targets[WEIR_ROUTES_MAX];

    int listener; /* descriptor, -1 without one */
    struct event *acceptable, *accept_again;
    unsigned connections_max;
    bool full;      /* accepting is suspended until a connection closes, or the next second */
    bool told_full; /* in the log, since fewer than half of them were in use */
    bool failing;   /* the last accept() failed */

    struct connections idle, lingering; /* of these states, oldest first */
    struct connections busy;            /* of all others */
    unsigned n_connections;

    struct requests in_flight; /* waiting and answered */
    struct requests abandoned;
    unsigned n_in_flight;

    time_t date_at; /* the second that date shows */
    char date[32];

    struct event *tick;
    struct event *stopped;
    void (*stop_cb)(void *arg);
    void *stop_arg;
    bool stopping;
};

/* --- connection.c ------------------------------------------------------------------------- */

/* Takes the descriptor, also when it fails for want of memory or of the kernel's. */
bool weir_connection_new(weir_http_t *http, int fd);
/* Changes the state, for limit_s at most; 0: without a limit. */
void weir_connection_enter(connection_t *c, connection_state_t state, int limit_s);
/* Reads what has come, as its state wants. */
void weir_connection_read(connection_t *c);
/* Lets what comes be read; closes the connection when the event loop refuses. */
void weir_connection_watch(connection_t *c);
/* Sends the answer to the connection's request. */
void weir_connection_answer(connection_t *c, const struct iovec parts[2]);
/* Closes when the client has closed, or after a while. */
void weir_connection_linger(connection_t *c);
/* Closes at once. */
void weir_connection_close(connection_t *c);
/* Bracket what goes on with a connection after it may have been closed. */
void weir_connection_hold(connection_t *c);
void weir_connection_let_go(connection_t *c);

/* --- request.c ---------------------------------------------------------------------------- */

/* A request of the connection, in the list of those in flight. */
weir_http_request_t *weir_http_request_new(connection_t *connection);
/* Its answer was sent, or is lost with its connection. */
void weir_http_request_finish(weir_http_request_t *request);
/* Answers with a 503 in the place of the handler, which has not answered in time. */
void weir_http_abandon(weir_http_request_t *request);
/* Frees all requests of the list, whatever their state. */
void weir_http_free_requests(struct requests *list);

/* Calls the server's stop callback, from the event loop, when it stops and nothing is in flight. */
void weir_http_check_stopped(weir_http_t *http);

/* How long ago the request came. */
uint64_t weir_http_us_since(const weir_http_request_t *request);

/* --- dispatch.c --------------------------------------------------------------------------- */

/* Finds the route of a request and calls its handler, or answers it. */
void weir_http_dispatch(weir_http_request_t *request);
/* Whether the head names a route; otherwise the request is refused whatever its body is. */
bool weir_http_has_route(weir_http_t *http, const weir_head_t *head);

/* --- exchange.c --------------------------------------------------------------------------- */

/* For connection_calls_t. */
void weir_exchange_received(connection_t *c);
void weir_exchange_sent(connection_t *c);
void weir_exchange_closed(connection_t *c);

/* Closes what has not gone on in time. */
void weir_exchange_check(weir_http_t *http, int64_t now_ms);
/* Closes idle connections, and sets a limit to those whose request is not complete. */
void weir_exchange_stop(weir_http_t *http);

#endif
