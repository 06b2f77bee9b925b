#include "trace/tracer.h"

#include "common/trace/ids.h"
#include "common/trace/sampling.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "metrics/series.h"
#include "trace/late.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The queue's limits: spans, and bytes. */
#define QUEUE_SPANS 8192
#define QUEUE_BYTES (8u * 1024 * 1024)
#define SPAN_FIRST 4096 /* bytes; a longer span is encoded twice */

typedef weir_finished_t finished_t;

static struct {
    bool on;
    weir_tracer_settings_t settings;
    uint64_t threshold;                    /* of the ratio */
    char state[WEIR_TRACESTATE_VALUE + 4]; /* tracestate of new traces with a ratio: "ot=th:c" */

    struct weir_finished_queue queue;
    size_t spans, bytes;
    size_t when; /* 0: fn was called */
    size_t when_set;
    void (*fn)(void *arg);
    void *arg;

    bool has_held; /* spans of traces that may be kept late */

    weir_series_t *ended, *sent, *dropped[3], *waiting;
} tracer = {.queue = TAILQ_HEAD_INITIALIZER(tracer.queue)};

/* --- sampling -------------------------------------------------------------------------------- */

static bool is_parent_based(weir_sampler_t sampler)
{
    return sampler <= WEIR_SAMPLER_PARENTBASED_TRACEIDRATIO;
}

/* The decision without regard to the parent's. */
static bool samples(const weir_traceparent_t *at)
{
    uint8_t id[WEIR_TRACE_ID_LEN];

    switch (tracer.settings.sampler) {
    case WEIR_SAMPLER_PARENTBASED_ALWAYS_ON:
    case WEIR_SAMPLER_ALWAYS_ON:
        return true;
    case WEIR_SAMPLER_PARENTBASED_TRACEIDRATIO:
    case WEIR_SAMPLER_TRACEIDRATIO:
        return weir_context_read_id(at->trace_id, id, sizeof(id)) == 0 &&
               weir_sampling_randomness(id, (weir_str_t){NULL, 0}) >= tracer.threshold;
    default:
        return false;
    }
}

/* True if the trace may be kept late, so that its spans are held. */
static bool is_late(const weir_trace_t *trace)
{
    return trace->late && !(trace->at.flags & WEIR_CONTEXT_SAMPLED) &&
           tracer.settings.late_bytes > 0 && tracer.settings.sampler != WEIR_SAMPLER_ALWAYS_OFF;
}

static void decide(weir_open_span_t *span, bool is_root)
{
    weir_traceparent_t *at = &span->trace.at;
    bool sampled = at->flags & WEIR_CONTEXT_SAMPLED;

    if (!tracer.on)
        return;
    if (is_root || (span->remote && !is_parent_based(tracer.settings.sampler)))
        sampled = samples(at);
    at->flags =
        (uint8_t)(sampled ? at->flags | WEIR_CONTEXT_SAMPLED : at->flags & ~WEIR_CONTEXT_SAMPLED);
    if (is_root && sampled && tracer.state[0] != '\0')
        span->trace.tracestate = tracer.state;
    span->recorded = sampled || is_late(&span->trace);
}

bool weir_tracer_is_on(void)
{
    return tracer.on;
}

bool weir_tracer_records(const weir_trace_t *trace)
{
    return tracer.on && trace != NULL && (trace->at.flags & WEIR_CONTEXT_SAMPLED || is_late(trace));
}

bool weir_tracer_holds(const weir_open_span_t *span)
{
    return span->recorded && is_late(&span->trace);
}

/* --- spans ----------------------------------------------------------------------------------- */

static uint64_t real_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void begin(weir_open_span_t *span, const weir_trace_t *parent, bool remote)
{
    *span = (weir_open_span_t){.remote = remote};
    if (parent != NULL) {
        weir_traceparent_child(&parent->at, &span->trace.at);
        span->trace.tracestate = parent->tracestate;
        span->trace.late = parent->late;
        memcpy(span->parent_id, parent->at.parent_id, sizeof(span->parent_id));
    } else {
        weir_traceparent_new(&span->trace.at);
    }
    decide(span, parent == NULL);
    span->began_us = weir_clock_us();
    if (span->recorded)
        span->start = real_ns();
}

void weir_tracer_begin(weir_open_span_t *span, const weir_trace_t *parent)
{
    begin(span, parent, false);
}

void weir_tracer_begin_remote(weir_open_span_t *span, const weir_trace_t *parent)
{
    begin(span, parent, parent != NULL);
}

void weir_tracer_backdate(weir_open_span_t *span, uint64_t began_us)
{
    assert(began_us <= span->began_us);
    if (span->recorded)
        span->start -= (span->began_us - began_us) * 1000;
    span->began_us = began_us;
}

size_t weir_tracer_event(const weir_open_span_t *span, const char *name, uint64_t at_us,
                         weir_span_event_t *event)
{
    if (!span->recorded || at_us < span->began_us)
        return 0;
    *event =
        (weir_span_event_t){.time = span->start + (at_us - span->began_us) * 1000, .name = name};

    return 1;
}

/*
 * The block is exactly as long as the span. A longer one would be more memory than the limits of
 * the queue count; and one that is cut when the span is held leaves a hole beside it that is too
 * small for the next span.
 */
static finished_t *encode(const weir_span_t *span)
{
    char first[SPAN_FIRST];
    size_t len = weir_span_encode(tracer.settings.format, span, &tracer.settings.resource, first,
                                  sizeof(first));
    finished_t *f = weir_alloc(sizeof(*f) + len);

    if (len <= sizeof(first))
        memcpy(f->bytes, first, len);
    else
        len = weir_span_encode(tracer.settings.format, span, &tracer.settings.resource, f->bytes,
                               len);
    f->len = len;
    memcpy(f->trace_id, span->trace_id, sizeof(f->trace_id));
    memcpy(f->parent_id, span->parent_id, sizeof(f->parent_id));
    f->start = span->start;
    f->end = span->end;

    return f;
}

static void enqueue(finished_t *f)
{
    weir_series_add(tracer.ended, 1);
    if (tracer.spans == QUEUE_SPANS || tracer.bytes + f->len > QUEUE_BYTES) {
        weir_tracer_dropped(WEIR_DROP_QUEUE_FULL, 1);
        free(f);
        return;
    }
    TAILQ_INSERT_TAIL(&tracer.queue, f, link);
    tracer.spans++;
    tracer.bytes += f->len;
    weir_series_set(tracer.waiting, tracer.spans);
    if (tracer.when != 0 && tracer.spans >= tracer.when) {
        tracer.when = 0;
        tracer.fn(tracer.arg);
    }
}

/* --- traces that are kept late --------------------------------------------------------------- */

static void hold(finished_t *f)
{
    if (!tracer.has_held) {
        tracer.has_held = true;
        tracer.settings.late_begin(tracer.settings.late_arg);
    }
    weir_late_add(f);
}

/* A span in the place of those that are missing. */
static void say_incomplete(const weir_late_missing_t *missing)
{
    weir_attribute_t attributes[] = {
        {.name = "weir.trace.incomplete",
         .type = WEIR_ATTRIBUTE_TEXT,
         .value.text = WEIR_STR("evicted")},
        {.name = "weir.trace.missing_spans",
         .type = WEIR_ATTRIBUTE_NUMBER,
         .value.number = (int64_t)missing->spans},
    };
    weir_span_t span = {.name = WEIR_STR("missing spans"),
                        .kind = WEIR_SPAN_INTERNAL,
                        .start = missing->start,
                        .end = missing->end,
                        .attributes = {attributes, 2}};

    memcpy(span.trace_id, missing->trace_id, sizeof(span.trace_id));
    memcpy(span.parent_id, missing->parent_id, sizeof(span.parent_id));
    weir_trace_ids_span(span.span_id);
    enqueue(encode(&span));
}

void weir_tracer_end_at(const weir_open_span_t *open, const weir_span_t *details, uint64_t ended_us)
{
    const weir_traceparent_t *at = &open->trace.at;
    weir_span_t span = *details;

    if (!open->recorded)
        return;
    assert(tracer.on && details->name.len > 0);
    weir_context_read_id(at->trace_id, span.trace_id, sizeof(span.trace_id));
    weir_context_read_id(at->parent_id, span.span_id, sizeof(span.span_id));
    if (open->parent_id[0] != '\0')
        weir_context_read_id(open->parent_id, span.parent_id, sizeof(span.parent_id));
    span.remote_parent = open->remote;
    span.flags = at->flags;
    if (open->trace.tracestate != NULL)
        span.tracestate = weir_str(open->trace.tracestate);
    span.start = open->start;
    span.end = open->start + (ended_us > open->began_us ? (ended_us - open->began_us) * 1000 : 0);
    if (is_late(&open->trace))
        hold(encode(&span));
    else
        enqueue(encode(&span));
}

void weir_tracer_end(const weir_open_span_t *open, const weir_span_t *details)
{
    if (open->recorded)
        weir_tracer_end_at(open, details, weir_clock_us());
}

weir_span_link_t weir_tracer_link(const weir_trace_t *trace)
{
    weir_span_link_t link = {.attributes = {NULL, 0}};

    weir_context_read_id(trace->at.trace_id, link.trace_id, sizeof(link.trace_id));
    weir_context_read_id(trace->at.parent_id, link.span_id, sizeof(link.span_id));

    return link;
}

/* --- for the exporter ------------------------------------------------------------------------- */

size_t weir_tracer_waiting(void)
{
    return tracer.spans;
}

void weir_tracer_when(size_t waiting, void (*fn)(void *arg), void *arg)
{
    assert(waiting > 0 && fn != NULL);
    tracer.when = tracer.when_set = waiting;
    tracer.fn = fn;
    tracer.arg = arg;
}

static finished_t *take_first(void)
{
    finished_t *f = TAILQ_FIRST(&tracer.queue);

    TAILQ_REMOVE(&tracer.queue, f, link);
    tracer.spans--;
    tracer.bytes -= f->len;

    return f;
}

/* The length of the first n spans with what is between them. */
static size_t length_of(size_t n)
{
    size_t separator = weir_span_separator(tracer.settings.format).len, len = 0;
    const finished_t *f = TAILQ_FIRST(&tracer.queue);

    for (size_t i = 0; i < n; i++, f = TAILQ_NEXT(f, link))
        len += f->len + (i > 0 ? separator : 0);

    return len;
}

static char *put(char *p, const char *bytes, size_t len)
{
    if (len > 0)
        memcpy(p, bytes, len);
    return p + len;
}

size_t weir_tracer_take(size_t max, char **body, size_t *len)
{
    weir_span_format_t format = tracer.settings.format;
    const weir_span_resource_t *resource = &tracer.settings.resource;
    weir_str_t separator = weir_span_separator(format), tail = weir_span_tail(format);
    size_t n = tracer.spans < max ? tracer.spans : max, spans, head;
    char *p;

    if (n == 0)
        return 0;
    spans = length_of(n);
    head = weir_span_head(format, resource, spans, NULL, 0);
    *body = weir_alloc(head + spans + tail.len);
    head = weir_span_head(format, resource, spans, *body, head);
    p = *body + head;
    for (size_t i = 0; i < n; i++) {
        finished_t *f = take_first();

        if (i > 0)
            p = put(p, separator.data, separator.len);
        p = put(p, f->bytes, f->len);
        free(f);
    }
    p = put(p, tail.data, tail.len);
    *len = (size_t)(p - *body);
    assert(*len == head + spans + tail.len);
    tracer.when = tracer.when_set;
    weir_series_set(tracer.waiting, tracer.spans);

    return n;
}

void weir_tracer_sent(size_t spans)
{
    weir_series_add(tracer.sent, spans);
}

void weir_tracer_dropped(weir_drop_t why, size_t spans)
{
    weir_series_add(tracer.dropped[why], spans);
}

/* --- start ------------------------------------------------------------------------------------ */

static void set_threshold(void)
{
    size_t len;

    tracer.threshold = weir_sampling_threshold(tracer.settings.ratio);
    if (tracer.settings.sampler != WEIR_SAMPLER_PARENTBASED_TRACEIDRATIO &&
        tracer.settings.sampler != WEIR_SAMPLER_TRACEIDRATIO)
        return;
    memcpy(tracer.state, "ot=", 3);
    len = weir_sampling_member((weir_str_t){NULL, 0}, tracer.threshold, tracer.state + 3);
    tracer.state[len > 0 ? 3 + len : 0] = '\0';
}

void weir_tracer_start(const weir_tracer_settings_t *settings)
{
    static const char *const reasons[] = {
        [WEIR_DROP_QUEUE_FULL] = "queue_full",
        [WEIR_DROP_REJECTED] = "rejected",
        [WEIR_DROP_UNSENT] = "unsent",
    };

    const weir_late_settings_t late = {
        .bytes = settings->late_bytes,
        .hold_ms = settings->late_hold_ms,
        .remember_ms = settings->late_remember_ms,
        .keep = enqueue,
        .missing = say_incomplete,
    };

    assert(!tracer.on && settings->sampler < WEIR_SAMPLERS);
    tracer.settings = *settings;
    if (settings->late_bytes > 0) {
        assert(settings->late_begin != NULL);
        weir_late_start(&late);
    }
    set_threshold();
    tracer.ended = weir_series(WEIR_SPANS_ENDED, NULL);
    tracer.sent = weir_series(WEIR_SPANS_SENT, NULL);
    tracer.waiting = weir_series(WEIR_SPANS_WAITING, NULL);
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        tracer.dropped[i] = weir_series(WEIR_SPANS_DROPPED, &reasons[i]);
    tracer.on = true;
}
