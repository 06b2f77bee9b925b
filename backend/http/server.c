#include "http/private.h"

#include "http/listen.h"
#include "log/log.h"

#include <event2/buffer.h>
#include <event2/listener.h>

#include <stdio.h>
#include <stdlib.h>

#define BODY_MARGIN 1048576 /* evhttp's limit lies that much above ours, see http.h */
#define ACCEPT_PAUSE_MS 100 /* after accept() failed for want of descriptors */

void weir_http_check_stopped(weir_http_t *http)
{
    if (http->stopping && http->n_in_flight == 0)
        event_active(http->stopped, EV_TIMEOUT, 0);
}

/* --- from evhttp ------------------------------------------------------------------- */

static void route(weir_http_request_t *r)
{
    weir_http_t *http = r->http;
    weir_str_t path = weir_http_path(r->ev);
    const char *method = weir_http_method(r->ev);
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
    route(weir_http_request_new(arg, ev));
}

/* Once a second. */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    weir_http_t *http = arg;
    weir_http_request_t *r = TAILQ_FIRST(&http->in_flight);

    (void)fd;
    (void)what;

    while (r != NULL && weir_http_ms_since(&r->since) > WEIR_HTTP_ANSWER_LIMIT_S * 1e3) {
        weir_http_request_t *next = TAILQ_NEXT(r, link);

        if (r->status == 0)
            weir_http_abandon(r);
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
    if (http->n_in_flight > 0)
        return; /* a kept connection has sent one more meanwhile; its end comes here again */

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
    weir_http_check_stopped(http);
}

void weir_http_free(weir_http_t *http)
{
    if (http == NULL)
        return;

    close_listener(http);
    weir_http_free_requests(&http->in_flight);
    weir_http_free_requests(&http->abandoned);
    evhttp_free(http->ev);
    event_free(http->deadline);
    event_free(http->accept_again);
    event_free(http->stopped);
    free(http);
}
