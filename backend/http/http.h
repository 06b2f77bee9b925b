/*
 * The HTTP server of the backend: HTTP/1.1 and 1.0 (RFC 9112) with routes, limits, problem details
 * (RFC 9457) for every error, a log line for every request, and a stop that finishes requests.
 *
 * A handler answers its request once, with weir_http_reply() or weir_http_problem(), during its
 * call or later; this frees the request. A handler need not handle the case that the client has
 * disconnected. A request that is not answered within WEIR_HTTP_ANSWER_LIMIT_S gets a 503; the
 * handler's later answer is dropped.
 *
 * A request with the field Weir-Deadline, the ms that are left for it, gets a 504 when they have
 * passed. It is not started if there are none left.
 *
 * A malformed request (see head.h and chunked.h) gets a problem document, and the connection is
 * closed. A request that does not arrive in time gets a 408.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include "common/problem.h"
#include "common/text/str.h"
#include "http/caller/identity.h"
#include "log/trace.h"
#include "tls/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

/* Limits of a head are in head.h. */
#define WEIR_HTTP_IN_FLIGHT_MAX 4096               /* requests; further ones get a 503 */
#define WEIR_HTTP_BUFFERS_MAX (128u * 1024 * 1024) /* bytes of memory for requests: see below */
#define WEIR_HTTP_ANSWER_LIMIT_S 15    /* longer than PostgreSQL may take to be available again */
#define WEIR_HTTP_CONNECTIONS_MAX 8192 /* fewer if the process's limit of descriptors is lower */
#define WEIR_HTTP_HANDSHAKES_MAX 256   /* TLS handshakes under way; one more ends the oldest */
#define WEIR_HTTP_HANDSHAKE_LIMIT_S 5  /* from the connection to the end of its TLS handshake */
#define WEIR_HTTP_IDLE_LIMIT_S 75      /* between requests; more than nginx's keepalive_timeout */
#define WEIR_HTTP_HEAD_LIMIT_S 10      /* from a head's first byte to its last */
#define WEIR_HTTP_BODY_LIMIT_S 60      /* from the end of the head to the body's last byte */
#define WEIR_HTTP_SEND_LIMIT_S 60      /* during which the client takes no byte of the answer */
#define WEIR_HTTP_LINGER_LIMIT_S 2     /* for the client to close, after the last answer */
#define WEIR_HTTP_STOP_LIMIT_S 3       /* for unfinished requests and answers at a stop */

typedef struct weir_http weir_http_t;
typedef struct weir_http_request weir_http_request_t;

typedef void (*weir_http_handler)(weir_http_request_t *request, void *arg);

/*
 * body_limit: the most bytes of a request's body; a larger body gets a 413. Requests of all
 * connections take WEIR_HTTP_BUFFERS_MAX together, or, if that is more, eight times body_limit:
 * further bodies of more than 16 KiB get a 503 with Retry-After.
 */
weir_http_t *weir_http_new(struct event_base *base, size_t body_limit);

/*
 * For a server of operators, not of clients: its requests are not in the metrics, and are logged at
 * the level debug. To be called before weir_http_listen().
 */
void weir_http_be_quiet(weir_http_t *http);

/*
 * Connections to a TCP address are by TLS, and clients prove who they are (tls/tls.h). After a
 * change of certificates a connection is closed at its next answer. To be called before
 * weir_http_listen(); tls must outlive http, and may be NULL.
 */
void weir_http_use_tls(weir_http_t *http, weir_tls_t *tls);

/* Patterns as in route.h. Both strings must live as long as http. */
void weir_http_route(weir_http_t *http, const char *method, const char *pattern,
                     weir_http_handler handler, void *arg);

/*
 * Lets fn decide about each request, before its handler is called: it returns the identity of the
 * caller, which the request then owns, or answers the request and returns NULL. Without fn requests
 * have no identity.
 */
typedef weir_identity_t *(*weir_http_admit)(weir_http_request_t *request, void *arg);
void weir_http_guard(weir_http_t *http, weir_http_admit fn, void *arg);

/* As weir_http_route(), for a handler that answers anybody: fn is not asked. */
void weir_http_route_open(weir_http_t *http, const char *method, const char *pattern,
                          weir_http_handler handler, void *arg);

/*
 * Listens on "ADDRESS:PORT", "[ADDRESS]:PORT" or "unix:/PATH" (a socket file without a listener is
 * replaced). Returns false with a message.
 */
bool weir_http_listen(weir_http_t *http, const char *address, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/*
 * Accepts no more connections, closes each connection after its answer, and calls cb once, from the
 * event loop, when every request that had begun to arrive has been answered.
 */
void weir_http_stop(weir_http_t *http, void (*cb)(void *arg), void *arg);

/* Closes all connections. Unanswered requests must not be answered after this call. */
void weir_http_free(weir_http_t *http);

/* --- a request --------------------------------------------------------------------- */

/*
 * To be called within the handler's call; a result that is needed later must be copied. Only the
 * trace and the identity live as long as the request.
 */

/* The path's segment for the pattern's n-th name, counted from 0. */
weir_str_t weir_http_param(const weir_http_request_t *request, int n);
/* The first field of that name, NULL if there is none. */
const char *weir_http_header(const weir_http_request_t *request, const char *name);
#define WEIR_HTTP_PEER 64 /* bytes of an address, with its NUL */
/* The numeric address of the connection's other end, without a port; "unix" for a socket file. */
void weir_http_peer(const weir_http_request_t *request, char out[WEIR_HTTP_PEER]);
const char *weir_http_method(const weir_http_request_t *request);
/* The pattern of its route; empty if it has none. */
const char *weir_http_pattern(const weir_http_request_t *request);
/* The received path, without query; also of an absolute URI (RFC 9112 section 3.2.2). */
weir_str_t weir_http_path(const weir_http_request_t *request);
weir_str_t weir_http_body(weir_http_request_t *request);
/* The first parameter of that name in the query, not decoded; data is NULL if there is none. */
weir_str_t weir_http_query(const weir_http_request_t *request, const char *name);
/* Who calls, as was proved; NULL: no proof is asked for (weir_http_guard()), and anybody may. */
const weir_identity_t *weir_http_identity(const weir_http_request_t *request);
/* The answer is for this caller alone: its Cache-Control will have "private". */
void weir_http_be_private(weir_http_request_t *request);
/*
 * When the answer is of no more use, in weir_clock_us(), by the field Weir-Deadline; 0: there is no
 * such time. Then the server answers with a 504, and the handler's later answer is dropped.
 */
uint64_t weir_http_deadline(const weir_http_request_t *request);
/* The span of this request: in the client's trace, or in a new one. */
const weir_trace_t *weir_http_trace(const weir_http_request_t *request);
/* The same as text for a command: traceparent, and a blank and tracestate if there is one. */
void weir_http_trace_text(const weir_http_request_t *request, char out[WEIR_TRACE_TEXT]);

/* --- its answer -------------------------------------------------------------------- */

/*
 * Adds a response field; both strings are copied. A value with a control character is logged and
 * not sent: it could inject another field.
 */
void weir_http_add_header(weir_http_request_t *request, const char *name, const char *value);

/*
 * Answers the request. The body is copied; media_type is NULL when there is none. If the handler
 * has set no Cache-Control, the answer gets no-store.
 */
void weir_http_reply(weir_http_request_t *request, int status, const char *media_type,
                     const char *body, size_t len);

/* Answers with the problem document. A title of NULL means the name of the status. */
void weir_http_problem(weir_http_request_t *request, const weir_problem_t *problem);

/* The same for a problem with one sentence of detail, which is a printf() format. */
void weir_http_error(weir_http_request_t *request, int status, const char *detail, ...)
    __attribute__((format(printf, 3, 4)));

#endif
