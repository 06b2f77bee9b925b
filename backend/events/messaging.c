#include "events/messaging.h"

#include "events/log_stream.h"
#include "log/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ATTRIBUTES 12

typedef struct {
    weir_attribute_t elts[ATTRIBUTES];
    size_t n;
} attributes_t;

static void add(attributes_t *a, const char *name, const char *value)
{
    assert(a->n < ATTRIBUTES);
    if (value != NULL)
        a->elts[a->n++] = (weir_attribute_t){
            .name = name, .type = WEIR_ATTRIBUTE_TEXT, .value.text = weir_str(value)};
}

static void add_number(attributes_t *a, const char *name, int64_t value)
{
    assert(a->n < ATTRIBUTES);
    a->elts[a->n++] =
        (weir_attribute_t){.name = name, .type = WEIR_ATTRIBUTE_NUMBER, .value.number = value};
}

void weir_messaging_end(const weir_open_span_t *open, const weir_messaging_t *m, uint64_t ended_us)
{
    char name[64], destination[64], partition[12];
    weir_span_event_t dead = {.name = "dead letter"};
    weir_span_t span = {.kind = m->kind};
    attributes_t a = {.n = 0};

    if (!open->recorded)
        return;
    snprintf(name, sizeof(name), "%s weir:events", m->operation);
    snprintf(destination, sizeof(destination), WEIR_STREAM_PREFIX "%d", m->partition);
    snprintf(partition, sizeof(partition), "%d", m->partition);
    add(&a, "messaging.system", "redis");
    add(&a, "messaging.operation.name", m->operation);
    add(&a, "messaging.operation.type", m->operation);
    add(&a, "messaging.destination.name", destination);
    add(&a, "messaging.destination.partition.id", partition);
    add(&a, "messaging.message.id", m->id);
    add(&a, "messaging.consumer.group.name", m->group);
    add(&a, "weir.event.type", m->type);
    if (m->attempt > 0)
        add_number(&a, "weir.attempt", m->attempt);
    if (m->error != NULL) {
        add(&a, "error.type", "_OTHER");
        span.status = WEIR_SPAN_STATUS_ERROR;
        span.status_message = weir_str(m->error);
    }
    if (m->is_dead_letter) {
        dead.time = open->start + (ended_us - open->began_us) * 1000;
        span.events = &dead;
        span.event_count = 1;
    }
    span.name = weir_str(name);
    span.attributes = (weir_attributes_t){a.elts, a.n};
    weir_tracer_end_at(open, &span, ended_us);
}

/* Microseconds since 1970 of "2026-01-01T00:00:00.000001Z"; 0 if the text has another form. */
static uint64_t us_of(const char *time)
{
    struct tm tm = {0};
    const char *rest = strptime(time, "%Y-%m-%dT%H:%M:%S", &tm);
    time_t seconds = timegm(&tm);

    if (rest == NULL || *rest != '.' || seconds <= 0)
        return 0;

    return (uint64_t)seconds * 1000000 + strtoul(rest + 1, NULL, 10);
}

void weir_messaging_outbox(const weir_trace_t *trace, const char *time, int partition)
{
    weir_open_span_t open;
    char number[12];
    attributes_t a = {.n = 0};
    weir_span_t span = {.name = WEIR_STR("outbox"), .kind = WEIR_SPAN_INTERNAL};
    uint64_t since = us_of(time) * 1000, waited_us;

    weir_tracer_begin_remote(&open, trace);
    if (!open.recorded)
        return;
    /* The database's clock may be ahead of ours. */
    waited_us = since != 0 && since < open.start ? (open.start - since) / 1000 : 0;
    open.start -= waited_us * 1000;
    snprintf(number, sizeof(number), "%d", partition);
    add(&a, "messaging.destination.partition.id", number);
    span.attributes = (weir_attributes_t){a.elts, a.n};
    weir_tracer_end_at(&open, &span, open.began_us + waited_us);
}
