#include "export/exporter.h"

#include "common/ids/random.h"
#include "common/trace/partial.h"
#include "common/version.h"
#include "export/kept.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"
#include "metrics/series.h"
#include "outbound/transfer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define BATCH 512        /* spans of one request */
#define INTERVAL_MS 1000 /* between requests, while fewer spans wait */
#define PAUSE_MIN_MS 500 /* after the first failure; doubles each time */
#define PAUSE_MAX_MS 15000
#define PATIENCE_MS 60000 /* after this time the spans of a request are dropped */
#define ANSWER_MAX 65536  /* bytes that are read of an answer */
#define OWN_ATTRIBUTES 7

typedef enum {
    WAITING, /* for spans, or for the end of the interval */
    SENDING, /* a request is under way */
    PAUSING  /* the request has failed, and is sent again when the timer fires */
} state_t;

struct weir_exporter {
    struct event_base *base;
    const weir_export_settings_t *settings;
    weir_kept_t *kept; /* NULL: no span was held yet */
    weir_transfers_t *transfers;
    struct event *timer;
    state_t state;
    struct curl_slist *headers;

    char *body; /* of the request */
    size_t len;
    size_t spans;      /* in it */
    uint64_t since_ms; /* when it was taken from the queue */
    unsigned pause_ms; /* the last pause; 0: it has not failed */
    char *answer;
    size_t answer_len;
    char error[CURL_ERROR_SIZE];

    bool failing; /* it was logged that the collector fails */
    bool rejecting;
    void (*stopped)(void *arg);
    void *stopped_arg;
    uint64_t stop_ms; /* until then */

    weir_attribute_t attributes[OWN_ATTRIBUTES + WEIR_EXPORT_ATTRIBUTES_MAX];
    char host[256], pid[16];
};

static void send_request(weir_exporter_t *e);

static void arm(weir_exporter_t *e, uint64_t ms)
{
    struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

    evtimer_add(e->timer, &tv);
}

/* --- the body -------------------------------------------------------------------------------- */

/* RFC 1952. */
static bool compress_body(weir_exporter_t *e)
{
    z_stream z = {0};
    size_t room;
    char *out;
    bool ok;

    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    room = deflateBound(&z, e->len);
    out = weir_alloc(room);
    z.next_in = (unsigned char *)e->body;
    z.avail_in = (unsigned)e->len;
    z.next_out = (unsigned char *)out;
    z.avail_out = (unsigned)room;
    ok = deflate(&z, Z_FINISH) == Z_STREAM_END;
    deflateEnd(&z);
    if (!ok) {
        free(out);
        return false;
    }
    free(e->body);
    e->body = out;
    e->len = room - z.avail_out;

    return true;
}

static void drop_body(weir_exporter_t *e)
{
    free(e->body);
    e->body = NULL;
    e->spans = 0;
}

/* --- the end of a request -------------------------------------------------------------------- */

/* Called in the state WAITING: goes on, or ends the stop. */
static void go_on(weir_exporter_t *e)
{
    size_t waiting = weir_tracer_waiting();

    assert(e->state == WAITING && e->body == NULL);
    if (e->stopped != NULL && (waiting == 0 || weir_clock_ms() >= e->stop_ms)) {
        void (*cb)(void *) = e->stopped;

        weir_tracer_dropped(WEIR_DROP_UNSENT, waiting);
        e->stopped = NULL;
        evtimer_del(e->timer);
        cb(e->stopped_arg);
        return;
    }
    arm(e, waiting >= BATCH || e->stopped != NULL ? 0 : INTERVAL_MS);
}

static void finish(weir_exporter_t *e)
{
    drop_body(e);
    e->pause_ms = 0;
    e->state = WAITING;
    go_on(e);
}

static void note_result(const char *result)
{
    weir_series_add(weir_series(WEIR_SPAN_EXPORTS, &result), 1);
}

/* An answer with status 200 may say that some spans were rejected. */
static void on_taken(weir_exporter_t *e)
{
    weir_str_t body = {e->answer, e->answer_len};
    weir_partial_t partial;
    bool read = e->settings->format == WEIR_SPAN_FORMAT_PROTOBUF
                    ? weir_partial_protobuf(body, &partial)
                    : weir_partial_json(body, &partial);
    size_t rejected = read && partial.rejected > 0 ? (size_t)partial.rejected : 0;

    if (rejected > e->spans)
        rejected = e->spans;
    if (rejected > 0 && !e->rejecting)
        weir_log(WEIR_LOG_WARN, NULL, "the collector has rejected spans", "{s:I,s:s}", "spans",
                 (json_int_t)rejected, "reason", partial.message);
    if (e->failing)
        weir_log(WEIR_LOG_INFO, NULL, "the collector takes spans again", NULL);
    e->rejecting = rejected > 0;
    e->failing = false;
    note_result(rejected > 0 ? "partial" : "ok");
    weir_tracer_sent(e->spans - rejected);
    weir_tracer_dropped(WEIR_DROP_REJECTED, rejected);
    finish(e);
}

static void on_rejected(weir_exporter_t *e, long status)
{
    if (!e->rejecting)
        weir_log(WEIR_LOG_ERROR, NULL, "the collector refuses spans, they are dropped", "{s:i,s:I}",
                 "status", (int)status, "spans", (json_int_t)e->spans);
    e->rejecting = true;
    note_result("rejected");
    weir_tracer_dropped(WEIR_DROP_REJECTED, e->spans);
    finish(e);
}

/* The pause before the next attempt: half of it is random. */
static uint64_t next_pause(weir_exporter_t *e, uint64_t retry_after)
{
    unsigned random;

    e->pause_ms = e->pause_ms == 0 ? PAUSE_MIN_MS : e->pause_ms * 2;
    if (e->pause_ms > PAUSE_MAX_MS)
        e->pause_ms = PAUSE_MAX_MS;
    weir_random(&random, sizeof(random));

    return retry_after > 0 ? retry_after : e->pause_ms / 2 + random % (e->pause_ms / 2);
}

static void on_failed(weir_exporter_t *e, const char *error, uint64_t retry_after)
{
    uint64_t now = weir_clock_ms(), pause = next_pause(e, retry_after);
    uint64_t until = e->stopped != NULL ? e->stop_ms : e->since_ms + PATIENCE_MS;

    if (!e->failing)
        weir_log(WEIR_LOG_WARN, NULL, "the collector takes no spans, retrying", "{s:s}", "error",
                 error);
    e->failing = true;
    note_result("failed");
    if (now + pause > until) {
        weir_tracer_dropped(WEIR_DROP_UNSENT, e->spans);
        finish(e);
        return;
    }
    e->state = PAUSING;
    arm(e, pause);
}

static void on_answer(CURL *easy, CURLcode code, void *arg)
{
    weir_exporter_t *e = arg;
    uint64_t retry_after = weir_transfer_retry_after(easy);
    char error[64];
    long status = 0;

    assert(e->state == SENDING);
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    if (code != CURLE_OK) {
        on_failed(e, e->error[0] != '\0' ? e->error : curl_easy_strerror(code), 0);
        return;
    }
    switch (status) {
    case 429:
    case 502:
    case 503:
    case 504:
        snprintf(error, sizeof(error), "HTTP status %ld", status);
        on_failed(e, error, retry_after);
        break;
    default:
        if (status >= 200 && status < 300)
            on_taken(e);
        else
            on_rejected(e, status);
    }
}

/* --- requests -------------------------------------------------------------------------------- */

/* What is longer than ANSWER_MAX is not read. */
static size_t on_data(char *data, size_t size, size_t count, void *arg)
{
    weir_exporter_t *e = arg;
    size_t n = size * count, room = ANSWER_MAX - e->answer_len;

    memcpy(e->answer + e->answer_len, data, n < room ? n : room);
    e->answer_len += n < room ? n : room;

    return n;
}

static void send_request(weir_exporter_t *e)
{
    const weir_export_settings_t *s = e->settings;
    CURL *easy = weir_alloc_check(curl_easy_init());

    assert(e->body != NULL);
    e->state = SENDING;
    e->answer_len = 0;
    e->error[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_URL, s->url);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* ignores the proxy of the environment */
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, e->body);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)e->len);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, e->headers);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)s->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)s->timeout_ms);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, e);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, e->error);
    if (s->certificate != NULL)
        curl_easy_setopt(easy, CURLOPT_CAINFO, s->certificate);
    /* Changed files are used by the next connection. */
    curl_easy_setopt(easy, CURLOPT_CA_CACHE_TIMEOUT, 0L);
    if (s->client_certificate != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLCERT, s->client_certificate);
    if (s->client_key != NULL)
        curl_easy_setopt(easy, CURLOPT_SSLKEY, s->client_key);
    weir_transfers_add(e->transfers, easy, on_answer, e);
}

static void take(weir_exporter_t *e)
{
    e->spans = weir_tracer_take(BATCH, &e->body, &e->len);
    if (e->spans == 0) {
        go_on(e);
        return;
    }
    e->since_ms = weir_clock_ms();
    if (e->settings->gzip && !compress_body(e)) {
        weir_tracer_dropped(WEIR_DROP_UNSENT, e->spans);
        drop_body(e);
        go_on(e);
        return;
    }
    send_request(e);
}

/* The request ends without an answer, during the call. */
static void end_transfer(weir_exporter_t *e)
{
    weir_transfers_t *transfers = e->transfers;

    assert(e->stopped != NULL);
    e->transfers = NULL;
    weir_transfers_free(transfers);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    weir_exporter_t *e = arg;

    (void)fd;
    (void)what;
    switch (e->state) {
    case PAUSING:
        send_request(e);
        break;
    case WAITING:
        take(e);
        break;
    case SENDING: /* the time of a stop is over */
        end_transfer(e);
        break;
    }
}

static void on_many(void *arg)
{
    weir_exporter_t *e = arg;

    if (e->state == WAITING)
        arm(e, 0);
}

/* The first span is held. */
static void on_late(void *arg)
{
    weir_exporter_t *e = arg;
    const weir_export_settings_t *s = e->settings;

    assert(e->kept == NULL);
    e->kept = weir_kept_start(e->base, s->late_redis, s->late_remember_ms);
}

/* --- start and stop -------------------------------------------------------------------------- */

static void add_attribute(weir_exporter_t *e, size_t *n, const char *name, const char *value)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(e->attributes[i].name, name) == 0)
            return; /* the operator's goes first */
    }
    e->attributes[(*n)++] = (weir_attribute_t){
        .name = name, .type = WEIR_ATTRIBUTE_TEXT, .value.text = weir_str(value)};
}

static size_t describe_process(weir_exporter_t *e, const char *roles)
{
    const weir_export_settings_t *s = e->settings;
    size_t n = 0;

    if (gethostname(e->host, sizeof(e->host) - 1) != 0)
        e->host[0] = '\0';
    snprintf(e->pid, sizeof(e->pid), "%d", (int)getpid());
    add_attribute(e, &n, "service.name", s->service_name);
    for (size_t i = 0; i < s->n_attributes; i++)
        add_attribute(e, &n, s->names[i], s->values[i]);
    add_attribute(e, &n, "service.version", WEIR_VERSION);
    add_attribute(e, &n, "host.name", e->host);
    add_attribute(e, &n, "process.pid", e->pid);
    add_attribute(e, &n, "telemetry.sdk.name", "weir");
    add_attribute(e, &n, "telemetry.sdk.language", "c");
    add_attribute(e, &n, "weir.roles", roles);

    return n;
}

static void add_header(weir_exporter_t *e, const char *line)
{
    e->headers = weir_alloc_check(curl_slist_append(e->headers, line));
}

weir_exporter_t *weir_exporter_start(struct event_base *base,
                                     const weir_export_settings_t *settings, const char *roles)
{
    weir_exporter_t *e = weir_alloc(sizeof(*e));
    char *type = weir_alloc_format("Content-Type: %s", weir_span_media_type(settings->format));
    weir_tracer_settings_t tracer = {
        .format = settings->format,
        .sampler = settings->sampler,
        .ratio = settings->ratio,
        .late_bytes = settings->late_bytes,
        .late_hold_ms = settings->late_hold_ms,
        .late_remember_ms = settings->late_remember_ms,
        .late_begin = on_late,
        .late_arg = e,
    };

    assert(settings->on && settings->url != NULL);
    e->base = base;
    e->settings = settings;
    e->answer = weir_alloc(ANSWER_MAX);
    e->transfers = weir_transfers_new(base, 1);
    e->timer = evtimer_new(base, on_timer, e);
    add_header(e, type);
    add_header(e, "User-Agent: weir-backend/" WEIR_VERSION);
    add_header(e, "Expect:");
    if (settings->gzip)
        add_header(e, "Content-Encoding: gzip");
    for (char **h = settings->headers; h != NULL && *h != NULL; h++)
        add_header(e, *h);
    free(type);
    tracer.resource.attributes = (weir_attributes_t){e->attributes, describe_process(e, roles)};
    weir_tracer_start(&tracer);
    weir_tracer_when(BATCH, on_many, e);
    arm(e, INTERVAL_MS);

    return e;
}

void weir_exporter_stop(weir_exporter_t *e, void (*cb)(void *arg), void *arg)
{
    assert(cb != NULL && e->stopped == NULL);
    e->stopped = cb;
    e->stopped_arg = arg;
    e->stop_ms = weir_clock_ms() + WEIR_EXPORTER_STOP_MS;
    arm(e, e->state == SENDING ? WEIR_EXPORTER_STOP_MS : 0);
}

void weir_exporter_free(weir_exporter_t *e)
{
    if (e == NULL)
        return;
    assert(e->state != SENDING);
    weir_kept_free(e->kept);
    drop_body(e);
    if (e->transfers != NULL)
        weir_transfers_free(e->transfers);
    event_free(e->timer);
    curl_slist_free_all(e->headers);
    free(e->answer);
    free(e);
}
