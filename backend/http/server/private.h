/*
 * Shared by the files of the server; no other file includes it.
 *
 *   server.c       listening, limits, start and stop
 *   exchange.c     from bytes to requests, and from an answer to the next request
 *   dispatch.c     routes
 *   request.c      a request's life and answer
 *   deadline.c     the field Weir-Deadline
 *   measure.c      metrics
 *   span.c         the span of a request
 *   handshake.c    the TLS handshake of a connection
 *   connection.c   states, deadlines, buffers
 *   channel.c      bytes, in the clear or by TLS
 *
 * Calls go down in this list; connection.c calls back by connection_calls_t.
 *
 * A connection has at most one request at a time: pipelined requests are not read until the
 * previous answer has been sent, so answers have the order of requests.
 *
 * A request is in the list of requests in flight from the end of its body on, in order of arrival,
 * so the first one is always the oldest. Its states: waiting (the handler works on it) -> answered
 * (the connection sends the answer) -> freed, when the answer was sent or the connection has
 * failed.
 *
 * After the deadline the server sends a 503. The handler still has a pointer to the request, so the
 * request is kept as abandoned until the handler answers.
 */
#ifndef WEIR_HTTP_PRIVATE_H
#define WEIR_HTTP_PRIVATE_H

#include "http/chunked.h"
#include "http/head.h"
#include "http/http.h"
#include "http/route.h"
#include "metrics/series.h"
#include "tls/tls.h"
#include "trace/tracer.h"

#include <sys/queue.h>
#include <sys/uio.h>

#define BUFFER_KEPT 16384 /* bytes for received ones that each connection may have */

typedef struct {
    weir_http_handler handler;
    void *arg;
    const char *pattern;
    bool open; /* the guard is not asked */
    /* measure.c: the series of the last answer's duration; status 0: there was none */
    weir_series_t *duration;
    int status;
    unsigned method;
} target_t;

typedef enum {
    CONNECTION_HANDSHAKE, /* the first state with TLS; until the client is known */
    CONNECTION_IDLE,      /* no byte of a request has come; until the first one */
    CONNECTION_HEAD,      /* a head has begun; until its empty line */
    CONNECTION_BODY,      /* a body has begun; until its last byte */
    CONNECTION_WAITING,   /* the handler works on the request; until its answer */
    CONNECTION_SENDING,   /* the answer is being sent */
    CONNECTION_LINGERING, /* all is sent; further bytes of the client are dropped until it closes */
    CONNECTION_CLOSED     /* to be freed */
} connection_state_t;

typedef struct connection connection_t;

/* Functions that a connection calls; server.c passes them. */
typedef struct {
    void (*shaking)(connection_t *c);  /* bytes of a handshake have come, or can be sent */
    void (*shaken)(connection_t *c);   /* the handshake is done; the state is IDLE */
    void (*received)(connection_t *c); /* bytes of a request, or their end, in IDLE, HEAD or BODY */
    void (*sent)(connection_t *c);     /* the whole answer was sent */
    void (*closed)(connection_t *c);   /* if it has a request, the request gets no answer */
    void (*freed)(weir_http_t *http);
} connection_calls_t;

struct connection {
    TAILQ_ENTRY(connection) link; /* in one of the server's four lists, by state */
    TAILQ_ENTRY(connection) ready_link;
    weir_http_t *http;
    int fd;
    SSL *ssl;            /* channel.c; NULL: without TLS */
    unsigned generation; /* of the certificates, weir_tls_generation() */
    time_t ends;         /* with TLS: of the client's certificate, s since 1970 */
    bool may_have_more;  /* the last reading has found bytes */
    bool broken; /* the TLS connection has failed or was ended: nothing more is sent by it */
    bool ready;  /* handshake.c: in the list of handshakes that can go on */
    connection_state_t state;
    int64_t deadline_ms; /* of this state, in ms of the monotonic clock; WAITING has none */
    struct event *readable, *writable;
    bool watching; /* readable is added */
    bool eof;      /* the client will send no more bytes; it may still read */
    bool close;    /* after this request */
    unsigned held; /* a closed connection is freed by the last weir_connection_let_go() */

    char *in; /* head, then body as content, then bytes of the next request */
    size_t in_len, in_size;
    bool skipped_line; /* an empty line before the request (RFC 9112 section 2.2) */
    weir_head_t head;
    weir_chunked_t chunked;
    size_t body_len; /* of content received */

    char *out; /* the unsent part of the answer */
    size_t out_len, out_sent;

    weir_http_request_t *request; /* in the states WAITING and SENDING */
};

TAILQ_HEAD(connections, connection);

struct weir_http_request {
    TAILQ_ENTRY(weir_http_request) link;
    weir_http_t *http;
    connection_t *connection; /* NULL when it is closed, or serves another request */
    weir_str_t params[WEIR_ROUTE_PARAMS_MAX];
    weir_open_span_t span;
    char *tracestate;      /* of the span, or NULL */
    uint64_t began_us;     /* weir_clock_us() at its arrival */
    target_t *target;      /* of its route; NULL: there is none */
    unsigned method;       /* measure.c */
    weir_series_t *active; /* in which it is counted, or NULL */
    uint64_t deadline_us;  /* deadline.c: weir_clock_us(); 0: none */
    struct event *overdue; /* the timer for it, or NULL */
    int status;            /* of the answer; 0 while waiting */
    bool abandoned;
    bool is_private;           /* its answer is for the caller alone */
    weir_identity_t *identity; /* owned; NULL: none is asked for, or the request was refused */
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
    size_t buffered, buffers_max; /* bytes of received requests, in all connections */
    unsigned long crowded;        /* requests refused for lack of it, since there was enough */
    bool quiet; /* its requests are in no metric, and in the log at the level debug only */
    weir_http_admit guard; /* or NULL */
    void *guard_arg;
    weir_routes_t routes;
    target_t targets[WEIR_ROUTES_MAX];

    int listener; /* descriptor, -1 without one */
    struct event *acceptable, *accept_again;
    unsigned connections_max;
    bool full;        /* accepting is suspended until a connection closes, or the next second */
    bool logged_full; /* this was logged, and since then at least half of them were in use */
    bool failing;     /* the last accept() failed */

    weir_tls_t *tls;                /* NULL: connections are in the clear */
    struct connections handshaking; /* connections in this state, oldest first */
    struct connections ready;       /* those of them that can go on, in order of their bytes */
    unsigned n_handshaking;
    struct event *turn; /* handshake.c */

    struct connections idle, lingering; /* connections in these states, oldest first */
    struct connections busy;            /* connections in all other states */
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

/* --- connection.c ---------------------------------------------------------------------------- */

/* Takes ownership of the descriptor, also when it fails for lack of memory or kernel resources. */
bool weir_connection_new(weir_http_t *http, int fd);
/* Changes the state, for limit_s at most; 0: without a limit. */
void weir_connection_enter(connection_t *c, connection_state_t state, int limit_s);
/* Reads received bytes; their use depends on the state. */
void weir_connection_read(connection_t *c);
/* True if the next byte of a body needs more memory than all connections may have together. */
bool weir_connection_is_crowded(const connection_t *c);
/* Changes the size of the buffer of received bytes; false: no memory. */
bool weir_connection_resize(connection_t *c, size_t size);
/* Takes it out of the list of handshakes that can go on. */
void weir_connection_unready(connection_t *c);
/* Starts to watch for received bytes. Closes the connection if the event loop refuses. */
void weir_connection_watch(connection_t *c);
/* Sends the answer to the connection's request. */
void weir_connection_answer(connection_t *c, const struct iovec parts[2]);
/* Closes when the client has closed, or after a while. */
void weir_connection_linger(connection_t *c);
/* Closes at once. */
void weir_connection_close(connection_t *c);
/* Around code that uses a connection after it may have been closed. */
void weir_connection_hold(connection_t *c);
void weir_connection_let_go(connection_t *c);

/* --- request.c ------------------------------------------------------------------------------- */

/* Creates a request of the connection, and puts it into the list of requests in flight. */
weir_http_request_t *weir_http_request_new(connection_t *connection);
/* To be called when its answer was sent, or the connection was lost. */
void weir_http_request_finish(weir_http_request_t *request);
/* Answers with that status, because the handler has not answered in time. */
void weir_http_abandon(weir_http_request_t *request, int status);
/* Frees all requests of the list, whatever their state. */
void weir_http_free_requests(struct requests *list);

/* Calls the server's stop callback, from the event loop, when it stops and nothing is in flight. */
void weir_http_check_stopped(weir_http_t *http);

/* How long ago the request came. */
uint64_t weir_http_us_since(const weir_http_request_t *request);

/* --- span.c ---------------------------------------------------------------------------------- */

void weir_http_span_begin(weir_http_request_t *request);
void weir_http_span_end(const weir_http_request_t *request);

/* --- deadline.c ------------------------------------------------------------------------------ */

/* Reads the field Weir-Deadline. False: the request was answered, as wrong or as too late. */
bool weir_http_deadline_begin(weir_http_request_t *request);

/* --- dispatch.c ------------------------------------------------------------------------------ */

/* Finds the route of a request and calls its handler, or answers it. */
void weir_http_dispatch(weir_http_request_t *request);
/* True when there is a route for the head; otherwise the request is refused without its body. */
bool weir_http_has_route(weir_http_t *http, const weir_head_t *head);

/* --- exchange.c ------------------------------------------------------------------------------ */

/* For connection_calls_t. */
void weir_exchange_shaken(connection_t *c);
void weir_exchange_received(connection_t *c);
void weir_exchange_sent(connection_t *c);
void weir_exchange_closed(connection_t *c);

/* Ends connections whose state has passed its deadline. */
void weir_exchange_check(weir_http_t *http, int64_t now_ms);
/* Closes idle connections, and sets a deadline for incomplete requests. */
void weir_exchange_stop(weir_http_t *http);

#endif
