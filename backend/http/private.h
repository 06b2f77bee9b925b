/*
 * What server.c (connections, routes, limits) and request.c (a request's life and
 * answer) share; nobody else includes it.
 *
 * Every request is in the list of those in flight, in order of arrival, so that the
 * oldest, whose answer may be overdue, is always the first.
 *
 * Its life: waiting (the handler has it) -> answered (evhttp has the answer, which
 * is sent or lost with the connection) -> gone.  evhttp gives a request's memory
 * back to us when the client leaves while it waits: answering frees it then.
 *
 * The deadline answers in the handler's place; the handler still has its pointer,
 * so the request stays as abandoned until the handler comes with its answer.
 */
#ifndef WEIR_HTTP_PRIVATE_H
#define WEIR_HTTP_PRIVATE_H

#include "http/http.h"
#include "http/route.h"

#include <event2/http.h>
#include <sys/queue.h>
#include <time.h>

typedef struct {
    weir_http_handler handler;
    void *arg;
} target_t;

struct weir_http_request {
    TAILQ_ENTRY(weir_http_request) link;
    weir_http_t *http;
    struct evhttp_request *ev;            /* NULL when answered and the connection is gone */
    struct evhttp_connection *connection; /* NULL when the client has left */
    weir_str_t params[WEIR_ROUTE_PARAMS_MAX];
    weir_traceparent_t trace;
    struct timespec since;
    int status; /* of the answer; 0 while waiting */
    bool abandoned;
};

TAILQ_HEAD(requests, weir_http_request);

struct weir_http {
    struct event_base *base;
    struct evhttp *ev;
    struct evhttp_bound_socket *bound;
    char *socket_file; /* to be removed at the end */
    size_t body_limit;
    weir_routes_t routes;
    target_t targets[WEIR_ROUTES_MAX];

    struct requests in_flight; /* waiting and answered */
    struct requests abandoned;
    unsigned n_in_flight;

    struct event *deadline;
    struct event *accept_again;
    struct event *stopped;
    void (*stop_cb)(void *arg);
    void *stop_arg;
    bool stopping;
};

/* Takes the request from evhttp, into the list of those in flight. */
weir_http_request_t *weir_http_request_new(weir_http_t *http, struct evhttp_request *ev);

/* Answers with a 503 in the place of the handler, which has not answered in time. */
void weir_http_abandon(weir_http_request_t *request);

/* Frees all requests of the list, whatever their state. */
void weir_http_free_requests(struct requests *list);

/* Calls the server's stop callback, from the event loop, when it stops and nothing is in flight. */
void weir_http_check_stopped(weir_http_t *http);

double weir_http_ms_since(const struct timespec *then);
const char *weir_http_method(const struct evhttp_request *ev);
/* As it came, without query; of an absolute URI too (RFC 9112 section 3.2.2). */
weir_str_t weir_http_path(const struct evhttp_request *ev);

#endif
