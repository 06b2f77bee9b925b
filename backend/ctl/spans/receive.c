#include "ctl/spans/receive.h"

#include "ctl/spans/decode.h"
#include "ctl/spans/file.h"
#include "ctl/spans/find.h"
#include "ctl/spans/summary.h"
#include "http/http.h"
#include "log/alloc.h"
#include "log/log.h"

#include <arpa/inet.h>
#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <zlib.h>

#define BODY_MAX (8u * 1024 * 1024) /* bytes, as sent and inflated */
#define LIST_MAX 1000
#define LIST_DEFAULT 20
#define RETRY_AFTER "5" /* seconds */

#define PROTOBUF "application/x-protobuf"
#define JSON "application/json"

typedef struct {
    struct event_base *base;
    weir_http_t *http;
    const char *path;
    size_t limit;
    weir_spans_file_t *file;
    weir_spans_summary_t *summary;
    char failure[512]; /* why the file cannot be written; empty: it can */
} receiver_t;

/* --- spans ----------------------------------------------------------------------------------- */

/* The lines of one request. */
typedef struct {
    char *text;
    size_t len, size;
    size_t max;
    size_t tried; /* bytes, with those of spans that had no room */
} lines_t;

static int add_text(const char *text, size_t len, void *arg)
{
    lines_t *lines = arg;

    lines->tried += len;
    if (len > lines->max - lines->len)
        return -1;
    if (lines->len + len > lines->size) {
        lines->size = 2 * (lines->len + len);
        lines->text = weir_alloc_resize(lines->text, lines->size, 1);
    }
    memcpy(lines->text + lines->len, text, len);
    lines->len += len;

    return 0;
}

/* Each line repeats resource and scope: spans behind many that had no room are not tried. */
static bool add_span(const json_t *resource, const json_t *scope, const json_t *span, void *arg)
{
    lines_t *lines = arg;
    size_t before = lines->len;
    json_t *line;
    bool ok;

    if (lines->tried > 2 * lines->max)
        return false;
    line = weir_alloc_check(json_pack("{s:[{s:O,s:[{s:O,s:[O]}]}]}", "resourceSpans", "resource",
                                      resource, "scopeSpans", "scope", scope, "spans", span));
    ok = json_dump_callback(line, add_text, lines, JSON_COMPACT) == 0 &&
         add_text("\n", 1, lines) == 0;

    json_decref(line);
    if (!ok)
        lines->len = before;

    return ok;
}

/* The whole of a gzip body, for free(); NULL if it is none, or too large. */
static char *inflated(weir_str_t body, size_t *len)
{
    z_stream z = {.next_in = (Bytef *)body.data, .avail_in = (uInt)body.len};
    size_t size = BODY_MAX + 1;
    char *out = malloc(size);
    int rc = Z_MEM_ERROR;

    if (out != NULL && inflateInit2(&z, 15 + 16) == Z_OK) {
        z.next_out = (Bytef *)out;
        z.avail_out = (uInt)size;
        rc = inflate(&z, Z_FINISH);
        *len = z.total_out;
        inflateEnd(&z);
    }
    if (rc == Z_STREAM_END && z.avail_in == 0 && *len <= BODY_MAX)
        return out;
    free(out);

    return NULL;
}

/* --- answers --------------------------------------------------------------------------------- */

/* ExportTraceServiceResponse; partial.h reads it. */
static void accept_spans(weir_http_request_t *request, bool is_json, size_t rejected)
{
    static const char why[] = "without ids, or too large";
    char text[128], number[10];
    int len = 0;

    if (is_json && rejected > 0)
        len = snprintf(text, sizeof(text),
                       "{\"partialSuccess\":{\"rejectedSpans\":\"%zu\",\"errorMessage\":\"%s\"}}",
                       rejected, why);
    else if (is_json)
        len = snprintf(text, sizeof(text), "{}");
    else if (rejected > 0) {
        int digits = 0; /* of the varint */

        for (size_t n = rejected; n > 0x7f; n >>= 7)
            number[digits++] = (char)(n | 0x80);
        number[digits] = (char)(rejected >> 7 * digits);
        digits++;
        /* partial_success (1) has rejected_spans (1) and error_message (2). */
        len = snprintf(text, sizeof(text), "\x0a%c\x08%.*s\x12%c%s",
                       (char)(3 + digits + (int)sizeof(why) - 1), digits, number,
                       (char)(sizeof(why) - 1), why);
    }
    weir_http_reply(request, 200, is_json ? JSON : PROTOBUF, text, (size_t)len);
}

static void reply_json(weir_http_request_t *request, json_t *value)
{
    char *text = weir_alloc_check(json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(12)));

    json_decref(value);
    weir_http_reply(request, 200, JSON, text, strlen(text));
    free(text);
}

/* Logs the state of the file when it changes. */
static void settle_state(receiver_t *r, const char *failure)
{
    if (failure[0] != '\0' && r->failure[0] == '\0')
        weir_log(WEIR_LOG_ERROR, NULL, "spans cannot be kept; exporters are asked to wait", "{s:s}",
                 "error", failure);
    if (failure[0] == '\0' && r->failure[0] != '\0')
        weir_log(WEIR_LOG_INFO, NULL, "spans are kept again", NULL);
    snprintf(r->failure, sizeof(r->failure), "%s", failure);
}

/* --- requests -------------------------------------------------------------------------------- */

/* The type without parameters. */
static bool is_type(weir_http_request_t *request, const char *type)
{
    const char *value = weir_http_header(request, "Content-Type");
    size_t len = value != NULL ? strcspn(value, "; \t") : 0;

    return len == strlen(type) && strncasecmp(value, type, len) == 0;
}

static void keep(receiver_t *r, weir_http_request_t *request, weir_str_t body, bool is_json)
{
    lines_t lines = {.max = r->limit / 2};
    weir_spans_decoded_t decoded;
    char error[512] = "";

    if (!(is_json ? weir_spans_decode_json : weir_spans_decode_protobuf)(body, add_span, &lines,
                                                                         &decoded)) {
        weir_http_error(request, 400, "The body is no ExportTraceServiceRequest.");
    } else {
        bool ok = weir_spans_file_append(r->file, (weir_str_t){lines.text, lines.len}, error,
                                         sizeof(error));

        settle_state(r, error);
        weir_spans_summary_settle(r->summary);
        if (ok) {
            accept_spans(request, is_json, decoded.rejected);
        } else {
            weir_http_add_header(request, "Retry-After", RETRY_AFTER);
            weir_http_error(request, 503, "The file of spans cannot be written.");
        }
    }
    free(lines.text);
}

static void post_traces(weir_http_request_t *request, void *arg)
{
    const char *encoding = weir_http_header(request, "Content-Encoding");
    bool is_json = is_type(request, JSON);
    weir_str_t body = weir_http_body(request);
    char *whole = NULL;

    if (!is_json && !is_type(request, PROTOBUF)) {
        weir_http_error(request, 415, "Spans come as " PROTOBUF " or " JSON ".");
        return;
    }
    if (encoding != NULL && strcasecmp(encoding, "identity") != 0) {
        if (strcasecmp(encoding, "gzip") != 0) {
            weir_http_error(request, 415, "The only content coding is gzip.");
            return;
        }
        whole = inflated(body, &body.len);
        if (whole == NULL) {
            weir_http_error(request, 400, "The body is not gzip, or of more than %u bytes.",
                            BODY_MAX);
            return;
        }
        body.data = whole;
    }
    keep(arg, request, body, is_json);
    free(whole);
}

/*
 * False, with an answer, if the host can be one of the web: a page whose name leads here (DNS
 * rebinding) may not read spans.
 */
static bool check_host(weir_http_request_t *request)
{
    const char *host = weir_http_header(request, "Host");
    size_t len = host != NULL ? strcspn(host, ":") : 0;

    if (len == 0 || host[0] == '[' || memchr(host, '.', len) == NULL ||
        strspn(host, "0123456789.") == len)
        return true;
    weir_http_error(request, 421, "Spans are shown to hosts that are addresses or plain names.");

    return false;
}

static void fail_to_read(weir_http_request_t *request, const char *error)
{
    weir_log(WEIR_LOG_ERROR, NULL, "spans cannot be read", "{s:s}", "error", error);
    weir_http_error(request, 503, "The file of spans cannot be read.");
}

static void get_trace(weir_http_request_t *request, void *arg)
{
    const receiver_t *r = arg;
    char id[WEIR_SPANS_ID_LEN + 1], error[512];
    json_t *trace;

    if (!check_host(request))
        return;
    if (!weir_spans_read_id(weir_http_param(request, 0), id)) {
        weir_http_error(request, 400, "The id of a trace has 32 hexadecimal digits.");
        return;
    }
    trace = weir_spans_find(r->path, id, error, sizeof(error));
    if (trace == NULL) {
        fail_to_read(request, error);
    } else if (json_array_size(json_object_get(trace, "resourceSpans")) == 0) {
        json_decref(trace);
        weir_http_error(request, 404, "There is no span of this trace, or not any more.");
    } else {
        reply_json(request, trace);
    }
}

/* The number of the parameter; 0 if it is none, or too large. */
static size_t limit_of(weir_str_t text)
{
    size_t n = 0;

    for (size_t i = 0; text.data != NULL && i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || n > LIST_MAX)
            return 0;
        n = 10 * n + (size_t)(text.data[i] - '0');
    }

    return n <= LIST_MAX ? n : 0;
}

static void get_traces(weir_http_request_t *request, void *arg)
{
    const receiver_t *r = arg;
    weir_str_t limit = weir_http_query(request, "limit"), sort = weir_http_query(request, "sort");
    weir_spans_choice_t choice = {
        .slowest = weir_str_eq(sort, WEIR_STR("slow")),
        .errors = weir_str_eq(weir_http_query(request, "errors"), WEIR_STR("1")),
        .limit = limit.data != NULL ? limit_of(limit) : LIST_DEFAULT,
    };
    char error[512];

    if (!check_host(request))
        return;
    if (choice.limit == 0 || (sort.data != NULL && !choice.slowest)) {
        weir_http_error(request, 400, "limit is a number from 1 to %d, and sort is slow.",
                        LIST_MAX);
    } else if (!weir_spans_summary_read(r->summary, error, sizeof(error))) {
        fail_to_read(request, error);
    } else {
        reply_json(request, weir_alloc_check(json_pack(
                                "{s:o}", "traces", weir_spans_summary_list(r->summary, &choice))));
    }
}

static void get_health(weir_http_request_t *request, void *arg)
{
    const receiver_t *r = arg;

    if (r->failure[0] != '\0')
        weir_http_error(request, 503, "The file of spans cannot be written.");
    else
        weir_http_reply(request, 200, JSON, "{\"status\":\"ok\"}\n", 16);
}

/* --- running --------------------------------------------------------------------------------- */

/* A unix socket, or an address of the loopback interface. */
static bool is_local(const char *listen)
{
    struct in_addr four;
    char host[16];
    const char *colon = strchr(listen, ':');

    if (strncmp(listen, "unix:", 5) == 0 || strncmp(listen, "[::1]:", 6) == 0)
        return true;
    if (colon == NULL || colon - listen >= (ptrdiff_t)sizeof(host))
        return false;
    snprintf(host, sizeof(host), "%.*s", (int)(colon - listen), listen);

    return inet_pton(AF_INET, host, &four) == 1 && ntohl(four.s_addr) >> 24 == 127;
}

static void on_stopped(void *arg)
{
    event_base_loopexit(arg, NULL);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
    receiver_t *r = arg;

    (void)fd;
    (void)what;
    weir_http_stop(r->http, on_stopped, r->base);
}

static void run(receiver_t *r, const char *listen)
{
    static const int signals[] = {SIGTERM, SIGINT};
    struct event *events[2];

    for (int i = 0; i < 2; i++) {
        events[i] = weir_alloc_check(evsignal_new(r->base, signals[i], on_signal, r));
        event_add(events[i], NULL);
    }
    weir_log(WEIR_LOG_INFO, NULL, "started", "{s:s,s:s}", "listen", listen, "file", r->path);
    event_base_dispatch(r->base);
    for (int i = 0; i < 2; i++)
        event_free(events[i]);
    weir_log(WEIR_LOG_INFO, NULL, "stopped", NULL);
}

bool weir_spans_receive(const char *listen, const char *path, size_t limit,
                        const weir_tls_settings_t *settings, char *error, size_t size)
{
    receiver_t r = {.path = path, .limit = limit};
    weir_tls_t *tls = NULL;
    bool ok = true;

    assert(size > 0);
    if (!is_local(listen)) {
        snprintf(error, size,
                 "cannot listen on %s: only 127.0.0.1, [::1] and unix: are allowed, as everyone "
                 "who reaches the receiver can read all spans",
                 listen);
        return false;
    }
    signal(SIGPIPE, SIG_IGN);
    weir_log_init(WEIR_LOG_INFO, "traces");
    r.file = weir_spans_file_open(path, limit, error, size);
    if (r.file == NULL)
        return false;

    r.summary = weir_spans_summary_new(path);
    r.base = weir_alloc_check(event_base_new());
    r.http = weir_http_new(r.base, BODY_MAX);
    weir_http_be_quiet(r.http);
    weir_http_route(r.http, "POST", "/v1/traces", post_traces, &r);
    weir_http_route(r.http, "GET", "/traces", get_traces, &r);
    weir_http_route(r.http, "GET", "/traces/{id}", get_trace, &r);
    weir_http_route(r.http, "GET", "/health", get_health, &r);
    if (settings != NULL) {
        tls = weir_tls_new(r.base, settings, error, size);
        ok = tls != NULL;
        weir_http_use_tls(r.http, tls);
    }
    ok = ok && weir_spans_summary_read(r.summary, error, size) &&
         weir_http_listen(r.http, listen, error, size);
    if (ok)
        run(&r, listen);
    weir_http_free(r.http);
    weir_tls_free(tls);
    event_base_free(r.base);
    weir_spans_summary_free(r.summary);
    weir_spans_file_close(r.file);

    return ok;
}
