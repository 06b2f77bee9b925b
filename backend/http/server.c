/*
 * evhttp hands over whole requests.  Each becomes a weir_http_request in the list
 * of those in flight, in order of arrival, so that the oldest, whose answer may
 * be overdue, is always the first.
 *
 * Its life: waiting (the handler has it) -> answered (evhttp has the answer, which
 * is sent or lost with the connection) -> gone.  evhttp gives a request's memory
 * back to us when the client leaves while it waits: answering frees it then.
 *
 * The deadline answers in the handler's place; the handler still has its pointer,
 * so the request stays as abandoned until the handler comes with its answer.
 */
#include "http/http.h"

#include "http/listen.h"
#include "http/route.h"
#include "log/log.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>

#define BODY_MARGIN 1048576 /* evhttp's limit lies that much above ours, see http.h */
#define ACCEPT_PAUSE_MS 100 /* after accept() failed for want of descriptors */
#define LOGGED_PATH_MAX 256
#define OVERDUE "There was no answer in time; what came of the request is unknown."

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

static void on_close(struct evhttp_connection *connection, void *arg);

static double ms_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (double)(now.tv_sec - then->tv_sec) * 1e3 + (double)(now.tv_nsec - then->tv_nsec) / 1e6;
}

static const char *method_name(enum evhttp_cmd_type type)
{
    switch (type) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    case EVHTTP_REQ_CONNECT:
        return "CONNECT";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    default:
        return "?";
    }
}

/* As it came, without query; of an absolute URI too (RFC 9112 section 3.2.2). */
static weir_str_t request_path(const struct evhttp_request *ev)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(ev));

    return path != NULL ? (weir_str_t){path, strlen(path)} : WEIR_STR("*");
}

static void log_request(const weir_http_request_t *r)
{
    weir_str_t path = request_path(r->ev);
    char shown[LOGGED_PATH_MAX + 1];
    size_t n = path.len < LOGGED_PATH_MAX ? path.len : LOGGED_PATH_MAX;

    for (size_t i = 0; i < n; i++)
        shown[i] = path.data[i] > ' ' && path.data[i] < 0x7f ? path.data[i] : '?';
    shown[n] = '\0';

    weir_log(WEIR_LOG_INFO, r->trace.trace_id, "request", "{s:s,s:s,s:i,s:f}", "method",
             method_name(evhttp_request_get_command(r->ev)), "path", shown, "status", r->status,
             "ms", (double)(int64_t)(ms_since(&r->since) * 1000) / 1000);
}

/* --- the life of a request --------------------------------------------------------- */

static void check_stopped(weir_http_t *http)
{
    if (http->stopping && http->n_in_flight == 0)
        event_active(http->stopped, EV_TIMEOUT, 0);
}

/* Answered, and sent or lost. */
static void finish(weir_http_request_t *r)
{
    weir_http_t *http = r->http;

    TAILQ_REMOVE(&http->in_flight, r, link);
    http->n_in_flight--;

    if (r->abandoned) {
        r->ev = NULL;
        r->connection = NULL;
        TAILQ_INSERT_TAIL(&http->abandoned, r, link);
    } else {
        free(r);
    }

    check_stopped(http);
}

static void on_sent(struct evhttp_request *ev, void *arg)
{
    weir_http_request_t *r = arg;

    evhttp_connection_set_closecb(evhttp_request_get_connection(ev), NULL, NULL);
    finish(r);
}

static void on_close(struct evhttp_connection *connection, void *arg)
{
    weir_http_request_t *r = arg;

    (void)connection;
    r->connection = NULL;
    if (r->status != 0)
        finish(r); /* evhttp frees its part */
}

/* Names of RFC 9110 section 15: titles of problems, and reason phrases of those evhttp lacks. */
static const char *title(int status)
{
    switch (status) {
    case 400:
        return "Bad request";
    case 404:
        return "Not found";
    case 405:
        return "Method not allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content too large";
    case 415:
        return "Unsupported media type";
    case 422:
        return "Unprocessable content";
    case 503:
        return "Service unavailable";
    default:
        return status >= 500 ? "Internal server error" : "Error";
    }
}

/* evhttp knows RFC 7231's phrases by itself; NULL asks it for them. */
static const char *reason(int status)
{
    return status == 413 || status == 422 ? title(status) : NULL;
}

static void send_answer(weir_http_request_t *r, int status, const char *media_type,
                        const char *body, size_t len)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(r->ev);
    struct evbuffer *out = evhttp_request_get_output_buffer(r->ev);
    char length[32];

    if (media_type != NULL) {
        evhttp_add_header(headers, "Content-Type", media_type);
        evbuffer_add(out, body, len);
    }
    if (status != 304) {
        snprintf(length, sizeof(length), "%zu", media_type != NULL ? len : 0);
        evhttp_add_header(headers, "Content-Length", length);
    }

    if (evhttp_find_header(headers, "Cache-Control") == NULL)
        evhttp_add_header(headers, "Cache-Control", "no-store");
    if (r->http->stopping)
        evhttp_add_header(headers, "Connection", "close");

    r->status = status;
    log_request(r);

    if (r->connection == NULL) {
        evhttp_send_reply(r->ev, status, reason(status), NULL); /* frees it, the client has left */
        finish(r);
        return;
    }

    evhttp_request_set_on_complete_cb(r->ev, on_sent, r);
    evhttp_send_reply(r->ev, status, reason(status), NULL);
}

void weir_http_reply(weir_http_request_t *r, int status, const char *media_type, const char *body,
                     size_t len)
{
    if (!r->abandoned) {
        assert(r->status == 0);
        send_answer(r, status, media_type, body, len);
        return;
    }

    if (r->ev != NULL) {
        r->abandoned = false; /* the deadline's answer is still on its way out */
        return;
    }

    TAILQ_REMOVE(&r->http->abandoned, r, link);
    free(r);
}

/* Writes the problem into small, or into memory of its own that the caller frees. */
static char *problem_text(const weir_problem_t *problem, char *small, size_t size, size_t *len)
{
    char *text = small;

    *len = weir_problem_json(small, size, problem);
    if (*len > size) {
        text = malloc(*len);
        if (text == NULL)
            abort();
        weir_problem_json(text, *len, problem);
    }

    return text;
}

void weir_http_problem(weir_http_request_t *r, const weir_problem_t *problem)
{
    weir_problem_t named = *problem;
    char small[2048], *text;
    size_t len;

    if (named.title == NULL)
        named.title = title(named.status);

    text = problem_text(&named, small, sizeof(small), &len);
    weir_http_reply(r, named.status, WEIR_PROBLEM_MEDIA_TYPE, text, len);
    if (text != small)
        free(text);
}

void weir_http_error(weir_http_request_t *r, int status, const char *detail, ...)
{
    char text[1024];
    weir_problem_t problem = {.status = status};
    va_list ap;
    int n;

    va_start(ap, detail);
    n = vsnprintf(text, sizeof(text), detail, ap);
    va_end(ap);

    problem.detail = (weir_str_t){text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1};
    weir_http_problem(r, &problem);
}

/* --- from evhttp ------------------------------------------------------------------- */

static void take_trace(weir_http_request_t *r)
{
    const char *value = weir_http_header(r, "traceparent");
    weir_traceparent_t client;

    if (value != NULL && weir_traceparent_parse((weir_str_t){value, strlen(value)}, &client) == 0)
        weir_traceparent_child(&client, &r->trace);
    else
        weir_traceparent_new(&r->trace);
}

static void route(weir_http_request_t *r)
{
    weir_http_t *http = r->http;
    weir_str_t path = request_path(r->ev);
    const char *method = method_name(evhttp_request_get_command(r->ev));
    char allow[128];
    const weir_route_t *found =
        weir_route_find(&http->routes, method, path, r->params, allow, sizeof(allow));

    if (found == NULL && allow[0] == '\0') {
        weir_http_error(r, 404, "There is nothing at this path.");
        return;
    }

    if (found == NULL) {
        weir_http_add_header(r, "Allow", allow);
        weir_http_error(r, 405, "The method %s is not allowed here; allowed are %s.", method,
                        allow);
        return;
    }

    if (evbuffer_get_length(evhttp_request_get_input_buffer(r->ev)) > http->body_limit) {
        weir_http_error(r, 413, "The body has more than %zu bytes.", http->body_limit);
        return;
    }

    if (http->n_in_flight > WEIR_HTTP_IN_FLIGHT_MAX) {
        weir_http_add_header(r, "Retry-After", "1");
        weir_http_error(r, 503, "Too many requests are waiting.");
        return;
    }

    ((target_t *)found->target)->handler(r, ((target_t *)found->target)->arg);
}

static void on_request(struct evhttp_request *ev, void *arg)
{
    weir_http_t *http = arg;
    weir_http_request_t *r = calloc(1, sizeof(*r));

    if (r == NULL)
        abort();

    r->http = http;
    r->ev = ev;
    r->connection = evhttp_request_get_connection(ev);
    clock_gettime(CLOCK_MONOTONIC, &r->since);
    evhttp_connection_set_closecb(r->connection, on_close, r);
    TAILQ_INSERT_TAIL(&http->in_flight, r, link);
    http->n_in_flight++;

    take_trace(r);
    route(r);
}

/* Answers in the place of the handler, which keeps its pointer until it comes with its own. */
static void abandon(weir_http_request_t *r)
{
    weir_problem_t problem = {.title = title(503), .status = 503, .detail = WEIR_STR(OVERDUE)};
    char text[512];
    size_t len = weir_problem_json(text, sizeof(text), &problem);

    weir_http_add_header(r, "Retry-After", "1");
    r->abandoned = true;
    send_answer(r, 503, WEIR_PROBLEM_MEDIA_TYPE, text, len);
}

/* Once a second. */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;
    weir_http_request_t *r = TAILQ_FIRST(&http->in_flight);

    (void)fd;
    (void)what;

    while (r != NULL && ms_since(&r->since) > WEIR_HTTP_ANSWER_LIMIT_S * 1e3) {
        weir_http_request_t *next = TAILQ_NEXT(r, link);

        if (r->status == 0)
            abandon(r);
        r = next;
    }
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    weir_http_t *http = arg;
    struct timeval tv = {0, ACCEPT_PAUSE_MS * 1000};

    /* Still readable, so trying again at once would be a busy loop. */
    weir_log(WEIR_LOG_ERROR, NULL, "cannot accept a connection", "{s:s}", "error",
             evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
    evconnlistener_disable(listener);
    evtimer_add(http->accept_again, &tv);
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;

    (void)fd;
    (void)what;
    if (http->bound != NULL)
        evconnlistener_enable(evhttp_bound_socket_get_listener(http->bound));
}

static void on_stopped(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;
    void (*cb)(void *) = http->stop_cb;

    (void)fd;
    (void)what;
    http->stop_cb = NULL;
    if (cb != NULL)
        cb(http->stop_arg);
}

/* --- the server -------------------------------------------------------------------- */

weir_http_t *weir_http_new(struct event_base *base, size_t body_limit)
{
    static const struct timeval second = {1, 0};
    weir_http_t *http = calloc(1, sizeof(*http));

    if (http == NULL)
        abort();

    http->base = base;
    http->body_limit = body_limit;
    TAILQ_INIT(&http->in_flight);
    TAILQ_INIT(&http->abandoned);
    http->ev = evhttp_new(base);
    http->deadline = event_new(base, -1, EV_PERSIST, on_deadline, http);
    http->accept_again = evtimer_new(base, on_accept_again, http);
    http->stopped = evtimer_new(base, on_stopped, http);
    if (http->ev == NULL || http->deadline == NULL || http->accept_again == NULL ||
        http->stopped == NULL)
        abort();

    evhttp_set_allowed_methods(http->ev, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                             EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                             EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE |
                                             EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH);
    evhttp_set_max_headers_size(http->ev, WEIR_HTTP_HEADERS_MAX);
    evhttp_set_max_body_size(http->ev, (ev_ssize_t)(body_limit + BODY_MARGIN));
    evhttp_set_timeout(http->ev, WEIR_HTTP_CONNECTION_LIMIT_S);
    evhttp_set_default_content_type(http->ev, NULL);
    evhttp_set_flags(http->ev, EVHTTP_SERVER_LINGERING_CLOSE);
    evhttp_set_gencb(http->ev, on_request, http);
    evtimer_add(http->deadline, &second);

    return http;
}

void weir_http_route(weir_http_t *http, const char *method, const char *pattern,
                     weir_http_handler handler, void *arg)
{
    target_t *target = &http->targets[http->routes.count];

    weir_route_add(&http->routes, method, pattern, target);
    *target = (target_t){handler, arg};
}

bool weir_http_listen(weir_http_t *http, const char *address, char *error, size_t error_size)
{
    struct evconnlistener *listener;
    int fd = weir_listen(address, error, error_size);

    if (fd < 0)
        return false;

    listener = evconnlistener_new(http->base, NULL, NULL,
                                  LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    http->bound = listener != NULL ? evhttp_bind_listener(http->ev, listener) : NULL;
    if (http->bound == NULL) {
        snprintf(error, error_size, "cannot listen on %s: out of memory", address);
        return false;
    }

    evconnlistener_set_error_cb(listener, on_accept_error);
    if (strncmp(address, "unix:", 5) == 0)
        http->socket_file = strdup(address + 5);

    return true;
}

static void close_listener(weir_http_t *http)
{
    if (http->bound != NULL)
        evhttp_del_accept_socket(http->ev, http->bound);
    http->bound = NULL;
    if (http->socket_file != NULL)
        remove(http->socket_file);
    free(http->socket_file);
    http->socket_file = NULL;
}

void weir_http_stop(weir_http_t *http, void (*cb)(void *arg), void *arg)
{
    http->stopping = true;
    http->stop_cb = cb;
    http->stop_arg = arg;
    close_listener(http);
    check_stopped(http);
}

static void free_requests(struct requests *list)
{
    weir_http_request_t *r;

    while ((r = TAILQ_FIRST(list)) != NULL) {
        if (r->connection != NULL)
            evhttp_connection_set_closecb(r->connection, NULL, NULL);
        else if (r->ev != NULL)
            evhttp_request_free(r->ev);
        TAILQ_REMOVE(list, r, link);
        free(r);
    }
}

void weir_http_free(weir_http_t *http)
{
    if (http == NULL)
        return;

    close_listener(http);
    free_requests(&http->in_flight);
    free_requests(&http->abandoned);
    evhttp_free(http->ev);
    event_free(http->deadline);
    event_free(http->accept_again);
    event_free(http->stopped);
    free(http);
}

/* --- what a handler asks -------------------------------------------------------------- */

weir_str_t weir_http_param(const weir_http_request_t *r, int n)
{
    return r->params[n];
}

const char *weir_http_header(const weir_http_request_t *r, const char *name)
{
    return r->ev != NULL ? evhttp_find_header(evhttp_request_get_input_headers(r->ev), name) : NULL;
}

weir_str_t weir_http_body(weir_http_request_t *r)
{
    struct evbuffer *in;

    if (r->ev == NULL)
        return (weir_str_t){NULL, 0};

    in = evhttp_request_get_input_buffer(r->ev);

    return (weir_str_t){(const char *)evbuffer_pullup(in, -1), evbuffer_get_length(in)};
}

const weir_traceparent_t *weir_http_trace(const weir_http_request_t *r)
{
    return &r->trace;
}

void weir_http_add_header(weir_http_request_t *r, const char *name, const char *value)
{
    if (r->ev != NULL && r->status == 0)
        evhttp_add_header(evhttp_request_get_output_headers(r->ev), name, value);
}
