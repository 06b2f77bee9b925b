/*
 * The spans of a batch on its way to Redis: "outbox" and "send" of each event whose trace is
 * recorded.
 */
#include "events/relay/private.h"

#include "events/cloudevent.h"
#include "events/messaging.h"
#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    weir_open_span_t span;
    char id[37];
    char type[64];
} event_t;

struct weir_send {
    weir_outlet_t *outlet;
    size_t n;
    event_t events[]; /* those that are recorded */
};

static bool read_trace(const weir_cloudevent_t *e, weir_trace_t *trace)
{
    if (e->traceparent == NULL || weir_traceparent_parse(weir_str(e->traceparent), &trace->at) != 0)
        return false;
    weir_trace_set_state(trace, e->tracestate);
    trace->tracestate = NULL; /* the row does not live as long as the span */

    return weir_tracer_records(trace);
}

weir_send_t *weir_send_new(weir_outlet_t *outlet, const weir_cloudevent_t *events, size_t count)
{
    weir_send_t *s = weir_alloc(sizeof(*s) + count * sizeof(s->events[0]));

    s->outlet = outlet;
    for (size_t i = 0; i < count; i++) {
        weir_trace_t trace;
        event_t *event = &s->events[s->n];

        if (!read_trace(&events[i], &trace))
            continue;
        weir_messaging_outbox(&trace, events[i].time, outlet->number);
        weir_tracer_begin_remote(&event->span, &trace);
        snprintf(event->id, sizeof(event->id), "%s", events[i].id);
        snprintf(event->type, sizeof(event->type), "%s", events[i].type);
        s->n++;
    }

    return s;
}

weir_outlet_t *weir_send_outlet(const weir_send_t *s)
{
    return s->outlet;
}

void weir_send_end(weir_send_t *s, const char *error)
{
    uint64_t now = weir_clock_us();

    assert(s->outlet != NULL);
    for (size_t i = 0; i < s->n; i++) {
        const weir_messaging_t message = {
            .operation = "send",
            .kind = WEIR_SPAN_PRODUCER,
            .partition = s->outlet->number,
            .id = s->events[i].id,
            .type = s->events[i].type,
            .error = error,
        };

        weir_messaging_end(&s->events[i].span, &message, now);
    }
    free(s);
}
