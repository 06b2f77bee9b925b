#include "http/private.h"

#include "log/log.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOGGED_PATH_MAX 256
#define OVERDUE "There was no answer in time; what came of the request is unknown."

double weir_http_ms_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);

    return (double)(now.tv_sec - then->tv_sec) * 1e3 + (double)(now.tv_nsec - then->tv_nsec) / 1e6;
}

const char *weir_http_method(const struct evhttp_request *ev)
{
    switch (evhttp_request_get_command(ev)) {
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

weir_str_t weir_http_path(const struct evhttp_request *ev)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(ev));

    return path != NULL ? (weir_str_t){path, strlen(path)} : WEIR_STR("*");
}

static void log_request(const weir_http_request_t *r)
{
    weir_str_t path = weir_http_path(r->ev);
    char shown[LOGGED_PATH_MAX + 1];
    size_t n = path.len < LOGGED_PATH_MAX ? path.len : LOGGED_PATH_MAX;

    for (size_t i = 0; i < n; i++)
        shown[i] = path.data[i] > ' ' && path.data[i] < 0x7f ? path.data[i] : '?';
    shown[n] = '\0';

    weir_log(WEIR_LOG_INFO, r->trace.trace_id, "request", "{s:s,s:s,s:i,s:f}", "method",
             weir_http_method(r->ev), "path", shown, "status", r->status, "ms",
             (double)(int64_t)(weir_http_ms_since(&r->since) * 1000) / 1000);
}

/* --- the life of a request --------------------------------------------------------- */

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

    weir_http_check_stopped(http);
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

static void take_trace(weir_http_request_t *r)
{
    const char *value = weir_http_header(r, "traceparent");
    weir_traceparent_t client;

    if (value != NULL && weir_traceparent_parse((weir_str_t){value, strlen(value)}, &client) == 0)
        weir_traceparent_child(&client, &r->trace);
    else
        weir_traceparent_new(&r->trace);
}

weir_http_request_t *weir_http_request_new(weir_http_t *http, struct evhttp_request *ev)
{
    weir_http_request_t *r = calloc(1, sizeof(*r));

    if (r == NULL)
        abort();

    r->http = http;
    r->ev = ev;
    r->connection = evhttp_request_get_connection(ev);
    clock_gettime(CLOCK_MONOTONIC, &r->since);
    take_trace(r);
    evhttp_connection_set_closecb(r->connection, on_close, r);
    TAILQ_INSERT_TAIL(&http->in_flight, r, link);
    http->n_in_flight++;

    return r;
}

void weir_http_free_requests(struct requests *list)
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

/* --- its answer ------------------------------------------------------------------- */

/* Names of RFC 9110 section 15: titles of problems, and reason phrases of those evhttp lacks. */
static const char *title(int status)
{
    switch (status) {
    case 400:
        return "Bad request";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not found";
    case 405:
        return "Method not allowed";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
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

void weir_http_abandon(weir_http_request_t *r)
{
    weir_problem_t problem = {.title = title(503), .status = 503, .detail = WEIR_STR(OVERDUE)};
    char text[512];
    size_t len = weir_problem_json(text, sizeof(text), &problem);

    weir_http_add_header(r, "Retry-After", "1");
    r->abandoned = true;
    send_answer(r, 503, WEIR_PROBLEM_MEDIA_TYPE, text, len);
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

weir_str_t weir_http_query(const weir_http_request_t *r, const char *name)
{
    const char *p =
        r->ev != NULL ? evhttp_uri_get_query(evhttp_request_get_evhttp_uri(r->ev)) : NULL;
    size_t name_len = strlen(name);

    while (p != NULL) {
        size_t len = strcspn(p, "&");

        if (len > name_len && p[name_len] == '=' && memcmp(p, name, name_len) == 0)
            return (weir_str_t){p + name_len + 1, len - name_len - 1};
        p = p[len] == '&' ? p + len + 1 : NULL;
    }

    return (weir_str_t){NULL, 0};
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
