/*
 * The spans of the process: which traces are recorded, and the finished spans that wait for the
 * exporter (export/).
 *
 *   weir_open_span_t span;
 *
 *   weir_tracer_begin(&span, parent);
 *   …                                       span.trace is the parent of what happens meanwhile
 *   weir_tracer_end(&span, &(weir_span_t){.name = …, .kind = …, .attributes = …});
 *
 * A span that is not recorded has ids all the same: they are in the log, and go to others. A
 * finished span is encoded at once and put into a queue with a limit; at the limit it is dropped
 * and counted. Nothing waits. Spans of a trace that the caller may keep late are held first
 * (trace/late.h). All of it belongs to the event loop's thread.
 */
#ifndef WEIR_TRACER_H
#define WEIR_TRACER_H

#include "common/trace/span.h"
#include "log/trace.h"

#include <stdbool.h>
#include <stdint.h>

/* The names are those of OTEL_TRACES_SAMPLER. */
typedef enum {
    WEIR_SAMPLER_PARENTBASED_ALWAYS_ON,
    WEIR_SAMPLER_PARENTBASED_ALWAYS_OFF,
    WEIR_SAMPLER_PARENTBASED_TRACEIDRATIO,
    WEIR_SAMPLER_ALWAYS_ON,
    WEIR_SAMPLER_ALWAYS_OFF,
    WEIR_SAMPLER_TRACEIDRATIO,
    WEIR_SAMPLERS
} weir_sampler_t;

typedef struct {
    weir_span_format_t format;
    weir_span_resource_t resource; /* must live as long as the process */
    weir_sampler_t sampler;
    double ratio; /* of TRACEIDRATIO, 0 to 1 */

    /* Of traces that are not sampled, and may be kept late (trace/late.h). */
    size_t late_bytes; /* 0: no spans are held */
    unsigned late_hold_ms;
    unsigned late_remember_ms;
    void (*late_begin)(void *arg); /* called before the first span is held */
    void *late_arg;
} weir_tracer_settings_t;

/*
 * Without this call no span is recorded, and new traces are marked as sampled, for others that
 * record them.
 */
void weir_tracer_start(const weir_tracer_settings_t *settings);

/* A span under way; all of it is memory of the caller, and nothing needs to be freed. */
typedef struct {
    weir_trace_t trace;
    char parent_id[17]; /* empty: a root */
    bool remote;        /* the parent is another process's */
    bool recorded;
    uint64_t start;    /* ns since 1970 */
    uint64_t began_us; /* weir_clock_us() */
} weir_open_span_t;

/*
 * Begins a span now. parent is NULL for a new trace. The tracestate must live as long as the span;
 * a new trace may have one that lives as long as the process.
 */
void weir_tracer_begin(weir_open_span_t *span, const weir_trace_t *parent);
/* The same for a parent in another process. */
void weir_tracer_begin_remote(weir_open_span_t *span, const weir_trace_t *parent);
/* Moves the beginning to the time that weir_clock_us() had then. */
void weir_tracer_backdate(weir_open_span_t *span, uint64_t began_us);

/*
 * An event of the span, at the time that weir_clock_us() had then. Returns the number of events: 0,
 * and *event is not set, if the span had not begun then or is not recorded.
 */
size_t weir_tracer_event(const weir_open_span_t *span, const char *name, uint64_t at_us,
                         weir_span_event_t *event);

/*
 * Ends a span now; details has what is not known before: name, kind, attributes, events, links,
 * status. Must be called once for each span that was begun and shall be in the trace.
 */
void weir_tracer_end(const weir_open_span_t *span, const weir_span_t *details);
/* The same, with the end at the time that weir_clock_us() had then. */
void weir_tracer_end_at(const weir_open_span_t *span, const weir_span_t *details,
                        uint64_t ended_us);

/* The link to a span. */
weir_span_link_t weir_tracer_link(const weir_trace_t *trace);

/* True if spans are recorded at all. */
bool weir_tracer_is_on(void);
/* True if a trace is recorded, so that it is worth to gather what its spans say. */
bool weir_tracer_records(const weir_trace_t *trace);

/* True if the span will be held: nobody knows yet whether its trace is kept. */
bool weir_tracer_holds(const weir_open_span_t *span);

/* --- for the exporter ------------------------------------------------------------------------ */

/* How many finished spans wait. */
size_t weir_tracer_waiting(void);
/* Calls fn when that many wait; again only after weir_tracer_take(). */
void weir_tracer_when(size_t waiting, void (*fn)(void *arg), void *arg);

/*
 * Takes up to max spans, as one request of OTLP: *body, which the caller frees, with *len bytes.
 * Returns the number of spans; 0: none waits.
 */
size_t weir_tracer_take(size_t max, char **body, size_t *len);

/* Why spans that were taken, or could not be queued, reach no collector. */
typedef enum {
    WEIR_DROP_QUEUE_FULL,
    WEIR_DROP_REJECTED, /* the collector has said so */
    WEIR_DROP_UNSENT    /* it could not be reached for too long, or the process ends */
} weir_drop_t;

void weir_tracer_sent(size_t spans);
void weir_tracer_dropped(weir_drop_t why, size_t spans);

#endif
