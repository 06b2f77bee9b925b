#include "events/worker/span.h"

#include "db/db.h"
#include "events/messaging.h"
#include "events/worker/lease/group.h"
#include "log/clock.h"

#include <assert.h>

#define LINKS_MAX 128 /* as the limit of OpenTelemetry's SDKs */

static weir_messaging_t message_of(const weir_delivery_t *d, const char *operation,
                                   weir_span_kind_t kind)
{
    return (weir_messaging_t){
        .operation = operation,
        .kind = kind,
        .partition = d->lease->partition,
        .id = d->id,
        .type = d->root != NULL ? d->event.type : NULL,
        .group = d->lease->group->consumer.group,
    };
}

static void receive(weir_delivery_t *d)
{
    weir_messaging_t message = message_of(d, "receive", WEIR_SPAN_CLIENT);
    weir_open_span_t span;

    weir_tracer_begin_remote(&span, &d->origin);
    weir_messaging_end(&span, &message, weir_clock_us());
    d->received = true;
}

void weir_span_begin(weir_delivery_t *d)
{
    if (d->event.trace == NULL || !d->wanted)
        return;
    assert(d->event.trace == &d->span.trace);
    if (!d->received && d->lease->group->consumer.handle != NULL)
        receive(d);
    weir_tracer_begin_remote(&d->span, &d->origin);
}

void weir_span_end(weir_delivery_t *d, const weir_span_outcome_t *outcome)
{
    weir_messaging_t message = message_of(d, "process", WEIR_SPAN_CONSUMER);

    message.attempt = outcome->attempt;
    message.error = outcome->error;
    message.is_dead_letter = outcome->is_dead_letter;
    weir_messaging_end(&d->span, &message, weir_clock_us());
    d->span.recorded = false;
}

static weir_attribute_t text(const char *name, const char *value)
{
    return (weir_attribute_t){
        .name = name, .type = WEIR_ATTRIBUTE_TEXT, .value.text = weir_str(value)};
}

static void end_consumed(const weir_trace_t *parent, const weir_span_t *span, uint64_t began_us,
                         uint64_t executed_us)
{
    weir_span_t with = *span;
    weir_span_event_t executed;
    weir_open_span_t open;

    weir_tracer_begin(&open, parent);
    weir_tracer_backdate(&open, began_us);
    with.events = &executed;
    with.event_count = weir_tracer_event(&open, "weir.db.executed", executed_us, &executed);
    weir_tracer_end(&open, &with);
}

/* As in db/batch/span.c, a trace that may be kept late has a span of its own. */
void weir_span_consumed(const weir_lease_t *l, const char *error, const char *sqlstate)
{
    const weir_lease_settle_t *s = &l->settle;
    weir_attribute_t attributes[] = {
        text("db.system.name", "postgresql"),
        text("db.operation.name", "SELECT"),
        text("db.stored_procedure.name", "consume"),
        text("db.query.summary", "SELECT consume"),
        text("messaging.consumer.group.name", l->group->consumer.group),
        text("db.response.status_code", sqlstate != NULL ? sqlstate : ""),
        text("error.type", sqlstate != NULL ? sqlstate : ""),
    };
    weir_span_link_t links[LINKS_MAX];
    weir_span_t span = {.name = WEIR_STR("SELECT consume"), .kind = WEIR_SPAN_CLIENT};
    const weir_trace_t *parent = NULL;
    size_t link_count = 0;
    uint64_t executed_us = weir_db_executed_us(l->group->db);

    span.attributes = (weir_attributes_t){attributes, sqlstate != NULL ? 7 : 5};
    if (error != NULL) {
        span.status = WEIR_SPAN_STATUS_ERROR;
        span.status_message = weir_str(error);
    }
    for (size_t i = 0; i < s->count; i++) {
        const weir_delivery_t *d = s->batch[i];

        if (d == NULL || !d->span.recorded)
            continue;
        if (weir_tracer_holds(&d->span)) {
            end_consumed(&d->span.trace, &span, s->began_us, executed_us);
            continue;
        }
        parent = parent == NULL ? &d->span.trace : parent;
        if (link_count < LINKS_MAX)
            links[link_count++] = weir_tracer_link(&d->span.trace);
    }
    if (parent == NULL)
        return;
    span.links = links;
    span.link_count = link_count;
    end_consumed(parent, &span, s->began_us, executed_us);
}
