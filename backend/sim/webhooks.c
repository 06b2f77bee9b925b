/*
 * Webhooks are sent one at a time, in the order of the list or in reverse. A webhook that is not
 * answered with 2xx is retried with growing delays, while others are sent.
 */
#include "sim/sim.h"

#include "common/ids/uuid7.h"
#include "log/alloc.h"
#include "log/clock.h"

#include <event2/buffer.h>
#include <event2/keyvalq_struct.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#define ATTEMPTS_MAX 20
#define FIRST_WAIT_MS 100
#define LONGEST_WAIT_MS 5000
#define TIMEOUT_S 10

typedef struct webhook {
    TAILQ_ENTRY(webhook) link;
    char id[4 + 256];
    char *body;
    char *traceparent, *tracestate; /* or NULL */
    int attempts;                   /* so far */
    int again;                      /* repetitions after this one */
    long due;                       /* weir_clock_ms() */
    sim_sent_cb cb;
    void *arg;
} webhook_t;

struct sim_webhooks {
    sim_t *sim;
    struct evhttp_uri *uri;
    weir_secret_t secret;
    TAILQ_HEAD(webhooks, webhook) waiting;
    webhook_t *under_way;
    struct evhttp_connection *connection;
    struct event *timer;
    int count, delivered, refused;
};

/* Runs the timer on the next turn of the loop, or in ms. */
static void wake(sim_webhooks_t *w, long ms)
{
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};

    assert(ms >= 0);
    evtimer_add(w->timer, &tv);
}

static void tell(webhook_t *hook)
{
    sim_sent_cb cb = hook->cb;

    hook->cb = NULL;
    if (cb != NULL)
        cb(hook->arg);
}

static void drop(sim_webhooks_t *w, webhook_t *hook)
{
    w->count--;
    free(hook->body);
    free(hook->traceparent);
    free(hook->tracestate);
    free(hook);
}

static void on_answer(struct evhttp_request *request, void *arg)
{
    sim_webhooks_t *w = arg;
    webhook_t *hook = w->under_way;
    int status = request != NULL ? evhttp_request_get_response_code(request) : 0;
    long wait = FIRST_WAIT_MS;

    w->under_way = NULL;
    tell(hook);
    if (status >= 200 && status < 300) {
        w->delivered++;
        if (hook->again-- > 0)
            TAILQ_INSERT_HEAD(&w->waiting, hook, link);
        else
            drop(w, hook);
    } else if (++hook->attempts == ATTEMPTS_MAX) {
        w->refused++;
        fprintf(stderr, "weir-payments-sim: webhook %s is given up, last status %d\n", hook->id,
                status);
        drop(w, hook);
    } else {
        for (int i = 1; i < hook->attempts && wait < LONGEST_WAIT_MS; i++)
            wait *= 2;
        hook->due = (long)weir_clock_ms() + wait;
        TAILQ_INSERT_TAIL(&w->waiting, hook, link);
    }
    wake(w, 0); /* on the next turn, because the connection must not be freed in its own callback */
}

bool sim_secret_read(const char *file, weir_secret_t *secret)
{
    char line[256] = "";
    FILE *in = fopen(file, "re");
    bool ok = in != NULL && fgets(line, sizeof(line), in) != NULL;

    if (in != NULL)
        fclose(in);
    line[strcspn(line, "\r\n")] = '\0';
    return ok && weir_secret_parse(line, secret);
}

static void send_hook(sim_webhooks_t *w, webhook_t *hook)
{
    struct evhttp_request *request = evhttp_request_new(on_answer, w);
    const char *host = evhttp_uri_get_host(w->uri), *path = evhttp_uri_get_path(w->uri);
    int port = evhttp_uri_get_port(w->uri);
    char timestamp[24], signature[WEIR_SIGNATURE_LEN + 1];
    struct evkeyvalq *headers;

    w->under_way = hook;
    if (w->sim->secret_file != NULL && !sim_secret_read(w->sim->secret_file, &w->secret))
        fprintf(stderr, "weir-payments-sim: the secret's file cannot be read; the old one signs\n");
    w->connection =
        evhttp_connection_base_new(w->sim->base, NULL, host, (uint16_t)(port > 0 ? port : 80));
    weir_alloc_check(request);
    weir_alloc_check(w->connection);
    evhttp_connection_set_timeout(w->connection, TIMEOUT_S);
    snprintf(timestamp, sizeof(timestamp), "%lld", (long long)time(NULL));
    weir_signature_make(&w->secret, hook->id, timestamp,
                        (weir_str_t){hook->body, strlen(hook->body)}, signature);
    headers = evhttp_request_get_output_headers(request);
    evhttp_add_header(headers, "Host", host);
    evhttp_add_header(headers, "Content-Type", "application/json");
    evhttp_add_header(headers, "Connection", "close");
    evhttp_add_header(headers, "webhook-id", hook->id);
    evhttp_add_header(headers, "webhook-timestamp", timestamp);
    evhttp_add_header(headers, "webhook-signature", signature);
    if (hook->traceparent != NULL)
        evhttp_add_header(headers, "traceparent", hook->traceparent);
    if (hook->tracestate != NULL)
        evhttp_add_header(headers, "tracestate", hook->tracestate);
    evbuffer_add(evhttp_request_get_output_buffer(request), hook->body, strlen(hook->body));
    if (evhttp_make_request(w->connection, request, EVHTTP_REQ_POST, path) != 0)
        on_answer(NULL, w);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    sim_webhooks_t *w = arg;
    webhook_t *hook, *found = NULL;
    long now = (long)weir_clock_ms(), next = -1;

    (void)fd;
    (void)what;
    if (w->under_way != NULL || w->sim->switches.hold != 0)
        return;
    if (w->connection != NULL)
        evhttp_connection_free(w->connection);
    w->connection = NULL;

    TAILQ_FOREACH(hook, &w->waiting, link)
    {
        if (hook->due <= now) {
            if (found == NULL || w->sim->switches.reverse)
                found = hook;
        } else if (next < 0 || hook->due < next) {
            next = hook->due;
        }
    }
    if (found != NULL) {
        TAILQ_REMOVE(&w->waiting, found, link);
        send_hook(w, found);
    } else if (next >= 0) {
        wake(w, next - now);
    }
}

/* Removes the member; a copy of its text, or NULL. */
static char *take_text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    char *copy = value != NULL ? weir_alloc_text(value) : NULL;

    json_object_del(object, name);
    return copy;
}

void sim_webhook(sim_t *sim, const json_t *charge, const char *status, const char *id,
                 sim_sent_cb cb, void *arg)
{
    sim_webhooks_t *w = sim->webhooks;
    webhook_t *hook;
    json_t *data, *body;
    char type[64];

    if (w == NULL || w->count == SIM_WEBHOOKS_MAX) {
        if (cb != NULL)
            cb(arg);
        return;
    }
    hook = weir_alloc(sizeof(*hook));
    if (id != NULL) {
        snprintf(hook->id, sizeof(hook->id), "%s", id);
    } else {
        memcpy(hook->id, "msg_", 4);
        weir_uuid7(hook->id + 4);
    }
    data = json_deep_copy(charge);
    json_object_set_new(data, "status", json_string(status));
    json_object_del(data, "requests");
    hook->traceparent = take_text(data, "traceparent");
    hook->tracestate = take_text(data, "tracestate");
    snprintf(type, sizeof(type), "charge.%s", status);
    body = json_pack("{s:s,s:o}", "type", type, "data", data);
    hook->body = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    hook->again = sim->switches.duplicates;
    hook->cb = cb;
    hook->arg = arg;
    TAILQ_INSERT_TAIL(&w->waiting, hook, link);
    w->count++;
    sim_webhooks_go(sim);
}

void sim_webhooks_go(sim_t *sim)
{
    if (sim->webhooks != NULL && sim->webhooks->under_way == NULL)
        wake(sim->webhooks, 0);
}

json_t *sim_webhooks_counts(const sim_t *sim)
{
    const sim_webhooks_t *w = sim->webhooks;

    return json_pack("{s:i,s:i,s:i}", "waiting", w != NULL ? w->count : 0, "delivered",
                     w != NULL ? w->delivered : 0, "refused", w != NULL ? w->refused : 0);
}

sim_webhooks_t *sim_webhooks_new(sim_t *sim, const char *url, const weir_secret_t *secret,
                                 char *error, size_t error_size)
{
    struct evhttp_uri *uri = evhttp_uri_parse(url);
    sim_webhooks_t *w;

    if (uri == NULL || evhttp_uri_get_scheme(uri) == NULL ||
        strcmp(evhttp_uri_get_scheme(uri), "http") != 0 || evhttp_uri_get_host(uri) == NULL ||
        *evhttp_uri_get_path(uri) != '/') {
        snprintf(error, error_size, "webhook URL \"%s\": it must be http://HOST:PORT/PATH", url);
        return NULL;
    }
    w = weir_alloc(sizeof(*w));
    w->sim = sim;
    w->uri = uri;
    w->secret = *secret;
    TAILQ_INIT(&w->waiting);
    w->timer = evtimer_new(sim->base, on_timer, w);
    return w;
}
