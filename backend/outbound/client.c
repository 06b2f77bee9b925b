#include "outbound/client.h"

#include "log/alloc.h"
#include "outbound/transfer.h"
#include "trace/tracer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct weir_client {
    weir_transfers_t *transfers;
    char *url;
    char *host; /* of url; for spans */
    long timeout_ms;
    weir_tls_t *tls; /* or NULL */
};

/* A request in flight. */
typedef struct {
    weir_client_cb cb;
    void *arg;
    size_t max; /* bytes of the answer */
    const weir_client_t *client;
    weir_open_span_t span; /* if the request has a trace */
    char *url;             /* without user and query; for the span */
    struct curl_slist *headers;
    char *body;
    char *answer;
    size_t len;
    char error[CURL_ERROR_SIZE];
} call_t;

static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    call_t *c = arg;
    size_t n = size * count;

    assert(c->len <= c->max);
    if (c->len + n > c->max)
        return 0; /* ends the transfer with an error */
    c->answer = weir_alloc_resize(c->answer, c->len + n + 1, 1);
    memcpy(c->answer + c->len, data, n);
    c->len += n;
    c->answer[c->len] = '\0';
    return n;
}

/* True when the server did not get the request, because there was no connection. */
static bool is_unreached(CURL *easy, CURLcode code)
{
    curl_off_t asked_us = 0;

    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CERTPROBLEM:
        return true;
    case CURLE_OPERATION_TIMEDOUT:
        curl_easy_getinfo(easy, CURLINFO_PRETRANSFER_TIME_T, &asked_us);
        return asked_us == 0;
    default:
        return false;
    }
}

/* By the semantic conventions for HTTP clients. */
static void end_span(const call_t *c, const weir_client_answer_t *answer)
{
    const char *method = c->body != NULL ? "POST" : "GET";
    char status[12];
    weir_attribute_t attributes[6] = {
        {.name = "http.request.method",
         .type = WEIR_ATTRIBUTE_TEXT,
         .value.text = weir_str(method)},
        {.name = "url.full", .type = WEIR_ATTRIBUTE_TEXT, .value.text = weir_str(c->url)},
        {.name = "server.address",
         .type = WEIR_ATTRIBUTE_TEXT,
         .value.text = weir_str(c->client->host)},
    };
    size_t n = 3;
    weir_span_t span = {.name = weir_str(method), .kind = WEIR_SPAN_CLIENT};

    snprintf(status, sizeof(status), "%ld", answer->status);
    if (answer->status != 0)
        attributes[n++] = (weir_attribute_t){.name = "http.response.status_code",
                                             .type = WEIR_ATTRIBUTE_NUMBER,
                                             .value.number = answer->status};
    if (answer->status == 0 || answer->status >= 400) {
        attributes[n++] =
            (weir_attribute_t){.name = "error.type",
                               .type = WEIR_ATTRIBUTE_TEXT,
                               .value.text = weir_str(answer->status != 0 ? status
                                                      : answer->unreached ? "unreached"
                                                                          : "no_answer")};
        span.status = WEIR_SPAN_STATUS_ERROR;
        span.status_message = weir_str(answer->error != NULL ? answer->error : "");
    }
    span.attributes = (weir_attributes_t){attributes, n};
    weir_tracer_end(&c->span, &span);
}

static void on_answer(CURL *easy, CURLcode code, void *arg)
{
    call_t *c = arg;
    weir_client_answer_t answer = {.body = c->answer != NULL ? c->answer : "", .len = c->len};

    if (code == CURLE_OK) {
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
    } else {
        answer.unreached = is_unreached(easy, code);
        answer.error = c->error[0] != '\0' ? c->error : curl_easy_strerror(code);
    }
    answer.retry_after = weir_transfer_retry_after(easy);
    end_span(c, &answer);
    curl_easy_cleanup(easy);
    curl_slist_free_all(c->headers);
    c->cb(&answer, c->arg);
    free(c->url);
    free(c->body);
    free(c->answer);
    free(c);
}

static void add_header(call_t *c, const char *name, const char *value)
{
    char *line;

    if (value == NULL)
        return;
    line = weir_alloc_format("%s: %s", name, value);
    c->headers = weir_alloc_check(curl_slist_append(c->headers, line));
    free(line);
}

/* Begins the request's span, and sends it along. */
static void add_trace(call_t *c, const weir_trace_t *trace)
{
    char traceparent[WEIR_TRACEPARENT_LEN + 1];

    if (trace == NULL)
        return;
    weir_tracer_begin(&c->span, trace);
    weir_traceparent_format(&c->span.trace.at, traceparent);
    add_header(c, "traceparent", traceparent);
    add_header(c, "tracestate", trace->tracestate);
}

void weir_client_send(weir_client_t *client, const weir_client_request_t *request,
                      weir_client_cb cb, void *arg)
{
    CURL *easy = weir_alloc_check(curl_easy_init());
    call_t *c = weir_alloc(sizeof(*c));
    char *url;

    assert(request->path != NULL && cb != NULL);
    c->cb = cb;
    c->arg = arg;
    c->max = request->answer_max;
    c->client = client;
    c->url = weir_alloc_format("%.*s%s%.*s", client->url[4] == 's' ? 8 : 7, client->url,
                               client->host, (int)strcspn(request->path, "?"), request->path);
    url = weir_alloc_format("%s%s", client->url, request->path);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    free(url);
    add_trace(c, request->trace);
    if (request->body != NULL) {
        c->body = weir_alloc_text(request->body);
        add_header(c, "Content-Type", "application/json");
        add_header(c, "Idempotency-Key", request->idempotency_key);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, c->body);
    }
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, c->headers);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* ignores the proxy of the environment */
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, client->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, client->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, c);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, c->error);
    weir_transfer_use_tls(easy, client->tls);
    weir_transfers_add(client->transfers, easy, on_answer, c);
}

char *weir_client_escape(const char *text)
{
    char *escaped = weir_alloc_check(curl_easy_escape(NULL, text, 0)),
         *copy = weir_alloc_text(escaped);

    curl_free(escaped);
    return copy;
}

weir_client_t *weir_client_new(struct event_base *base, const char *url, unsigned timeout_ms,
                               long connections)
{
    weir_client_t *client = weir_alloc(sizeof(*client));
    size_t len = strlen(url);

    assert(connections > 0);
    while (len > 0 && url[len - 1] == '/')
        len--;
    client->url = weir_alloc_bytes(url, len);
    client->host = weir_transfer_host(client->url);
    client->timeout_ms = (long)timeout_ms;
    client->transfers = weir_transfers_new(base, connections);
    return client;
}

void weir_client_use_tls(weir_client_t *client, weir_tls_t *tls)
{
    client->tls = tls;
}

void weir_client_free(weir_client_t *client)
{
    weir_transfers_free(client->transfers);
    free(client->url);
    free(client->host);
    free(client);
}
