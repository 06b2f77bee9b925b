/*
 * The HTTP server of the backend: HTTP/1.1 and 1.0 (RFC 9112) with routes, limits, problem
 * details (RFC 9457) for every error, a log line for every request, and a stop that lets requests
 * finish.
 *
 * A handler gets a request and answers it once, with weir_http_reply() or
 * weir_http_problem(), within its call or later; the request is gone then.  The
 * client may be gone earlier, which a handler need not care about.  A request
 * that is not answered within WEIR_HTTP_ANSWER_LIMIT_S gets a 503; its
 * handler's own answer, when it comes, is dropped.
 *
 * What is not well-formed is refused with a problem, and the connection is closed (head.h and
 * chunked.h say what is).  A request that did not arrive in time gets a 408.
 */
#ifndef WEIR_HTTP_H
#define WEIR_HTTP_H

#include "common/problem.h"
#include "common/text/str.h"
#include "common/trace/traceparent.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

/* Limits of a head are in head.h. */
#define WEIR_HTTP_IN_FLIGHT_MAX 4096   /* requests; those above get a 503 */
#define WEIR_HTTP_ANSWER_LIMIT_S 15    /* longer than PostgreSQL may take to come back */
#define WEIR_HTTP_CONNECTIONS_MAX 8192 /* fewer when the process may have fewer descriptors */
#define WEIR_HTTP_IDLE_LIMIT_S 75      /* between requests; more than nginx's keepalive_timeout */
#define WEIR_HTTP_HEAD_LIMIT_S 10      /* from a head's first byte to its last */
#define WEIR_HTTP_BODY_LIMIT_S 60      /* from the end of the head to the body's last byte */
#define WEIR_HTTP_SEND_LIMIT_S 60      /* in which the client takes no byte of the answer */
#define WEIR_HTTP_LINGER_LIMIT_S                                                                   \
    2                            /* in which the client may still send, behind the last answer     \
                                  */
#define WEIR_HTTP_STOP_LIMIT_S 3 /* for what has not arrived, or is not taken, at a stop */

typedef struct weir_http weir_http_t;
typedef struct weir_http_request weir_http_request_t;

typedef void (*weir_http_handler)(weir_http_request_t *request, void *arg);

/* body_limit: most bytes of a request's body; more get a 413. */
weir_http_t *weir_http_new(struct event_base *base, size_t body_limit);

/* Patterns as in route.h; both strings are kept by reference. */
void weir_http_route(weir_http_t *http, const char *method, const char *pattern,
                     weir_http_handler handler, void *arg);

/*
 * Listens on "ADDRESS:PORT", "[ADDRESS]:PORT" or "unix:/PATH" (a socket file
 * that nobody listens on any more is replaced).  Returns false with a message.
 */
bool weir_http_listen(weir_http_t *http, const char *address, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/*
 * Takes no more connections, closes those in use after their answer, and calls
 * cb once, from the event loop, when every request that had begun to arrive has been answered and
 * sent.
 */
void weir_http_stop(weir_http_t *http, void (*cb)(void *arg), void *arg);

/* Closes all connections.  Requests that still wait must not be answered any more. */
void weir_http_free(weir_http_t *http);

/* --- a request --------------------------------------------------------------------- */

/*
 * To be asked within the handler's call; what they return is to be copied when it
 * is needed later.  Only the trace lives as long as the request.
 */

/* The path's segment at the pattern's n-th name, counted from 0. */
weir_str_t weir_http_param(const weir_http_request_t *request, int n);
/* The first field of that name, NULL if there is none. */
const char *weir_http_header(const weir_http_request_t *request, const char *name);
const char *weir_http_method(const weir_http_request_t *request);
/* As it came, without query; of an absolute URI too (RFC 9112 section 3.2.2). */
weir_str_t weir_http_path(const weir_http_request_t *request);
weir_str_t weir_http_body(weir_http_request_t *request);
/* The first parameter of that name in the query, as it came; data is NULL if there is none. */
weir_str_t weir_http_query(const weir_http_request_t *request, const char *name);
/* The span of this request: of the trace that the client named, or of a new one. */
const weir_traceparent_t *weir_http_trace(const weir_http_request_t *request);

/* --- its answer -------------------------------------------------------------------- */

/*
 * Adds a response field; both strings are copied.  A value with a control character is not sent,
 * and logged: it would be a second field.
 */
void weir_http_add_header(weir_http_request_t *request, const char *name, const char *value);

/*
 * Answers.  The body is copied; media_type is NULL when there is none.  Without
 * a Cache-Control of the handler's the answer gets no-store.
 */
void weir_http_reply(weir_http_request_t *request, int status, const char *media_type,
                     const char *body, size_t len);

/* Answers with the problem, whose title may be NULL for the status' own name. */
void weir_http_problem(weir_http_request_t *request, const weir_problem_t *problem);

/* The same for a problem that is told in one sentence; detail is a printf() format. */
void weir_http_error(weir_http_request_t *request, int status, const char *detail, ...)
    __attribute__((format(printf, 3, 4)));

#endif
