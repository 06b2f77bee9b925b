#include "http/server/measure.h"
#include "http/server/private.h"

#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#define LOGGED_PATH_MAX 256
#define FIELDS_FIRST 512
#define OVERDUE "There was no answer in time; the outcome of the request is unknown."

uint64_t weir_http_us_since(const weir_http_request_t *r)
{
    return weir_clock_us() - r->began_us;
}

static void log_request(const weir_http_request_t *r)
{
    weir_str_t path = weir_http_path(r);
    char shown[LOGGED_PATH_MAX + 1];
    size_t n = path.len < LOGGED_PATH_MAX ? path.len : LOGGED_PATH_MAX;

    for (size_t i = 0; i < n; i++)
        shown[i] = path.data[i] > ' ' && path.data[i] < 0x7f ? path.data[i] : '?';
    shown[n] = '\0';

    weir_log(r->http->quiet ? WEIR_LOG_DEBUG : WEIR_LOG_INFO, &r->span.trace, "request",
             "{s:s,s:s,s:i,s:f}", "method", weir_http_method(r), "path", shown, "status", r->status,
             "ms", (double)weir_http_us_since(r) / 1000);
}

/* --- the life of a request --------------------------------------------------------- */

void weir_http_check_stopped(weir_http_t *http)
{
    if (http->stopping && http->n_in_flight == 0 && TAILQ_EMPTY(&http->busy) &&
        TAILQ_EMPTY(&http->handshaking))
        event_active(http->stopped, EV_TIMEOUT, 0);
}

/* The request has its answer, or no client any more. */
static void end_deadline(weir_http_request_t *r)
{
    if (r->overdue != NULL)
        event_free(r->overdue);
    r->overdue = NULL;
}

static void free_request(weir_http_request_t *r)
{
    end_deadline(r);
    weir_identity_drop(r->identity);
    free(r->tracestate);
    free(r);
}

void weir_http_request_finish(weir_http_request_t *r)
{
    weir_http_t *http = r->http;

    assert(http->n_in_flight > 0);
    TAILQ_REMOVE(&http->in_flight, r, link);
    http->n_in_flight--;
    end_deadline(r);
    weir_http_measure_end(r);
    r->connection = NULL;
    free(r->fields);
    r->fields = NULL;

    if (r->abandoned)
        TAILQ_INSERT_TAIL(&http->abandoned, r, link);
    else
        free_request(r);

    weir_http_check_stopped(http);
}

weir_http_request_t *weir_http_request_new(connection_t *connection)
{
    weir_http_t *http = connection->http;
    weir_http_request_t *r = weir_alloc(sizeof(*r));

    assert(connection->request == NULL);
    r->http = http;
    r->connection = connection;
    r->began_us = weir_clock_us();
    weir_http_span_begin(r);
    TAILQ_INSERT_TAIL(&http->in_flight, r, link);
    http->n_in_flight++;
    weir_http_measure_begin(r);

    return r;
}

void weir_http_free_requests(struct requests *list)
{
    weir_http_request_t *r;

    while ((r = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, r, link);
        free_request(r);
    }
}

/* --- its answer ------------------------------------------------------------------- */

/* Names of RFC 9110 section 15 and RFC 6585: titles of problems, and reason phrases. */
static const char *title(int status)
{
    static const struct {
        int status;
        const char *title;
    } titles[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {204, "No content"},
        {304, "Not modified"},
        {400, "Bad request"},
        {401, "Unauthorized"},
        {402, "Payment required"},
        {403, "Forbidden"},
        {404, "Not found"},
        {405, "Method not allowed"},
        {408, "Request timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length required"},
        {412, "Precondition failed"},
        {413, "Content too large"},
        {414, "URI too long"},
        {415, "Unsupported media type"},
        {417, "Expectation failed"},
        {422, "Unprocessable content"},
        {428, "Precondition required"},
        {429, "Too many requests"},
        {431, "Request header fields too large"},
        {501, "Not implemented"},
        {503, "Service unavailable"},
        {504, "Gateway timeout"},
        {505, "HTTP version not supported"},
    };

    for (size_t i = 0; i < sizeof(titles) / sizeof(titles[0]); i++) {
        if (titles[i].status == status)
            return titles[i].title;
    }

    return status >= 500 ? "Internal server error" : status >= 400 ? "Error" : "Other";
}

/* Room for len bytes at the end of the answer's fields. */
static char *field_room(weir_http_request_t *r, size_t len)
{
    size_t size = r->fields_size > 0 ? r->fields_size : FIELDS_FIRST;

    assert(r->fields_len <= r->fields_size);
    while (size < r->fields_len + len)
        size *= 2;
    if (size != r->fields_size) {
        r->fields = weir_alloc_resize(r->fields, size, 1);
        r->fields_size = size;
    }

    return r->fields + r->fields_len;
}

static void add_field(weir_http_request_t *r, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    char *p = field_room(r, name_len + value_len + 4);

    memcpy(p, name, name_len);
    memcpy(p + name_len, ": ", 2);
    memcpy(p + name_len + 2, value, value_len);
    memcpy(p + name_len + 2 + value_len, "\r\n", 2);
    r->fields_len += name_len + value_len + 4;
}

/* RFC 9110 section 5.6.7; formatted once a second. */
static const char *date(weir_http_t *http)
{
    struct tm tm;
    time_t now = time(NULL);

    if (now != http->date_at) {
        http->date_at = now;
        strftime(http->date, sizeof(http->date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
    }

    return http->date;
}

/*
 * True for a TLS connection that was made with earlier certificates of ours, or whose client's
 * certificate has expired since: it ends, and a new handshake decides.
 */
static bool is_outdated(const connection_t *c)
{
    return c->ssl != NULL &&
           (c->generation != weir_tls_generation(c->http->tls) || c->ends <= time(NULL));
}

/* Adds the fields of every answer, and those for its framing. */
static void add_own_fields(weir_http_request_t *r, int status, const char *media_type, size_t len)
{
    connection_t *c = r->connection;
    char length[32];

    assert(c->request == r);
    add_field(r, "Date", date(r->http));
    if (media_type != NULL)
        add_field(r, "Content-Type", media_type);
    if (status != 304 && status != 204) {
        snprintf(length, sizeof(length), "%zu", len);
        add_field(r, "Content-Length", length);
    }
    if (!r->has_cache_control)
        add_field(r, "Cache-Control", "no-store");
    if (r->http->stopping || is_outdated(c))
        c->close = true;
    if (c->close)
        add_field(r, "Connection", "close");
    else if (c->head.minor == 0)
        add_field(r, "Connection", "keep-alive");
}

static void send_answer(weir_http_request_t *r, int status, const char *media_type,
                        const char *body, size_t len)
{
    bool has_body = media_type != NULL && status != 304 && status != 204 &&
                    strcmp(weir_http_method(r), "HEAD") != 0;
    char line[64];
    struct iovec parts[2] = {{NULL, 0}, {(void *)body, has_body ? len : 0}};
    size_t line_len;

    assert(r->connection != NULL && status >= 200 && status < 600);
    add_own_fields(r, status, media_type, media_type != NULL ? len : 0);
    memcpy(field_room(r, 2), "\r\n", 2);
    r->fields_len += 2;

    line_len = (size_t)snprintf(line, sizeof(line), "HTTP/1.1 %d %s\r\n", status, title(status));
    field_room(r, line_len);
    memmove(r->fields + line_len, r->fields, r->fields_len);
    memcpy(r->fields, line, line_len);
    parts[0] = (struct iovec){r->fields, r->fields_len + line_len};

    r->status = status;
    end_deadline(r);
    log_request(r);
    weir_http_measure_answer(r);
    weir_http_span_end(r);
    weir_connection_answer(r->connection, parts);
}

void weir_http_reply(weir_http_request_t *r, int status, const char *media_type, const char *body,
                     size_t len)
{
    if (!r->abandoned) {
        assert(r->status == 0);
        send_answer(r, status, media_type, body, len);
        return;
    }

    if (r->connection != NULL) {
        r->abandoned = false; /* the server's answer is still being sent */
        return;
    }

    TAILQ_REMOVE(&r->http->abandoned, r, link);
    free_request(r);
}

/* Writes the problem into small, or into new memory that the caller frees. */
static char *problem_text(const weir_problem_t *problem, char *small, size_t size, size_t *len)
{
    char *text = small;

    *len = weir_problem_json(small, size, problem);
    if (*len > size) {
        text = weir_alloc(*len);
        weir_problem_json(text, *len, problem);
    }

    return text;
}

/*
 * The member trace_id, behind the problem's own, for free(); NULL: the requests of this server are
 * in no trace.
 */
static char *members_of(const weir_http_request_t *r, const weir_problem_t *problem)
{
    const char *own = problem->extensions;

    return r->http->quiet ? NULL
                          : weir_alloc_format("%s%s\"trace_id\":\"%s\"", own != NULL ? own : "",
                                              own != NULL ? "," : "", r->span.trace.at.trace_id);
}

void weir_http_problem(weir_http_request_t *r, const weir_problem_t *problem)
{
    weir_problem_t named = *problem;
    char small[2048], *text, *members = members_of(r, problem);
    size_t len;

    if (named.title == NULL)
        named.title = title(named.status);
    if (members != NULL)
        named.extensions = members;

    text = problem_text(&named, small, sizeof(small), &len);
    weir_http_reply(r, named.status, WEIR_PROBLEM_MEDIA_TYPE, text, len);
    if (text != small)
        free(text);
    free(members);
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

void weir_http_abandon(weir_http_request_t *r, int status)
{
    weir_problem_t problem = {
        .title = title(status), .status = status, .detail = WEIR_STR(OVERDUE)};
    char text[512], *members = members_of(r, &problem);
    size_t len;

    problem.extensions = members;
    len = weir_problem_json(text, sizeof(text), &problem);
    free(members);
    assert(!r->abandoned && r->status == 0);
    if (status == 503)
        weir_http_add_header(r, "Retry-After", "1");
    r->abandoned = true;
    send_answer(r, status, WEIR_PROBLEM_MEDIA_TYPE, text, len);
}

/* --- what a handler asks -------------------------------------------------------------- */

weir_str_t weir_http_param(const weir_http_request_t *r, int n)
{
    assert(n >= 0 && n < WEIR_ROUTE_PARAMS_MAX);
    return r->params[n];
}

const char *weir_http_header(const weir_http_request_t *r, const char *name)
{
    return r->connection != NULL ? weir_head_field(&r->connection->head, name) : NULL;
}

const char *weir_http_pattern(const weir_http_request_t *r)
{
    return r->target != NULL ? r->target->pattern : "";
}

void weir_http_peer(const weir_http_request_t *r, char out[WEIR_HTTP_PEER])
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof(address);

    if (r->connection == NULL ||
        getpeername(r->connection->fd, (struct sockaddr *)&address, &len) != 0 ||
        getnameinfo((struct sockaddr *)&address, len, out, WEIR_HTTP_PEER, NULL, 0,
                    NI_NUMERICHOST) != 0)
        address.ss_family = AF_UNSPEC;
    if (address.ss_family != AF_INET && address.ss_family != AF_INET6)
        snprintf(out, WEIR_HTTP_PEER, "%s", address.ss_family == AF_UNIX ? "unix" : "unknown");
}

const char *weir_http_method(const weir_http_request_t *r)
{
    return r->connection != NULL ? weir_head_method(&r->connection->head) : "?";
}

weir_str_t weir_http_path(const weir_http_request_t *r)
{
    return weir_str(r->connection != NULL ? weir_head_path(&r->connection->head) : "?");
}

weir_str_t weir_http_body(weir_http_request_t *r)
{
    const connection_t *c = r->connection;

    return c != NULL ? (weir_str_t){c->in + c->head.len, c->body_len} : (weir_str_t){NULL, 0};
}

weir_str_t weir_http_query(const weir_http_request_t *r, const char *name)
{
    const char *p = r->connection != NULL ? weir_head_query(&r->connection->head) : NULL;
    size_t name_len = strlen(name);

    while (p != NULL) {
        size_t len = strcspn(p, "&");

        if (len > name_len && p[name_len] == '=' && memcmp(p, name, name_len) == 0)
            return (weir_str_t){p + name_len + 1, len - name_len - 1};
        p = p[len] == '&' ? p + len + 1 : NULL;
    }

    return (weir_str_t){NULL, 0};
}

const weir_trace_t *weir_http_trace(const weir_http_request_t *r)
{
    return &r->span.trace;
}

const weir_identity_t *weir_http_identity(const weir_http_request_t *r)
{
    return r->identity;
}

void weir_http_be_private(weir_http_request_t *r)
{
    r->is_private = true;
}

void weir_http_trace_text(const weir_http_request_t *r, char out[WEIR_TRACE_TEXT])
{
    weir_trace_text(&r->span.trace, out);
}

void weir_http_add_header(weir_http_request_t *r, const char *name, const char *value)
{
    if (r->connection == NULL || r->status != 0)
        return;

    for (const char *p = value; *p != '\0'; p++) {
        if (!weir_is_value((unsigned char)*p)) {
            weir_log(WEIR_LOG_ERROR, &r->span.trace,
                     "a response field is not sent, its value has a control character", "{s:s}",
                     "field", name);
            return;
        }
    }
    if (strcasecmp(name, "Cache-Control") == 0) {
        r->has_cache_control = true;
        if (r->is_private) {
            add_field(r, name, "private"); /* RFC 9110 section 5.3: both lines are one list */
        }
    }
    add_field(r, name, value);
}
