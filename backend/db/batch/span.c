/*
 * The spans of a batch. Each request has one in its own trace, from the submit to the outcome. The
 * statement is a child of the first one that is sampled, and links all others; those link the
 * statement, because it is in another trace. Of requests that are not sampled and may be kept late,
 * each has a span of the statement of its own: nobody knows which of them will be kept.
 */
#include "db/batch/private.h"

#include "log/clock.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define LINKS_MAX 128 /* as the limit of OpenTelemetry's SDKs */
#define ATTRIBUTES 8

typedef weir_batch_group_t group_t;

static weir_attribute_t text(const char *name, const char *value)
{
    return (weir_attribute_t){
        .name = name, .type = WEIR_ATTRIBUTE_TEXT, .value.text = weir_str(value)};
}

static weir_attribute_t number(const char *name, int64_t value)
{
    return (weir_attribute_t){.name = name, .type = WEIR_ATTRIBUTE_NUMBER, .value.number = value};
}

static bool is_sampled(const weir_open_span_t *span)
{
    return span->recorded && !weir_tracer_holds(span);
}

/* The first request of [from, to) whose trace is sampled; -1: none is. */
static int first_sampled(const group_t *group, int from, int to)
{
    for (int i = from; i < to; i++) {
        if (is_sampled(&group->requests[i].span))
            return i;
    }

    return -1;
}

static size_t links_of(const group_t *group, int from, int to, weir_span_link_t links[LINKS_MAX])
{
    size_t n = 0;

    for (int i = from; i < to && n < LINKS_MAX; i++) {
        if (is_sampled(&group->requests[i].span))
            links[n++] = weir_tracer_link(&group->requests[i].span.trace);
    }

    return n;
}

static size_t describe(const weir_db_summary_t *summary, int count, const char *sqlstate,
                       weir_attribute_t attributes[ATTRIBUTES])
{
    size_t n = 0;

    attributes[n++] = text("db.system.name", "postgresql");
    attributes[n++] = text("db.operation.name", summary->operation);
    attributes[n++] = text("db.query.summary", summary->text);
    if (summary->procedure[0] != '\0')
        attributes[n++] = text("db.stored_procedure.name", summary->procedure);
    if (count > 1)
        attributes[n++] = number("db.operation.batch.size", count);
    if (sqlstate != NULL) {
        attributes[n++] = text("db.response.status_code", sqlstate);
        attributes[n++] = text("error.type", sqlstate);
    }
    assert(n <= ATTRIBUTES);

    return n;
}

static weir_trace_t end_statement(const weir_batch_request_t *request, const weir_span_t *span,
                                  uint64_t sent_us, uint64_t executed_us)
{
    weir_span_t with = *span;
    weir_span_event_t executed;
    weir_open_span_t open;

    weir_tracer_begin(&open, &request->span.trace);
    weir_tracer_backdate(&open, sent_us);
    with.events = &executed;
    with.event_count = weir_tracer_event(&open, "weir.db.executed", executed_us, &executed);
    weir_tracer_end(&open, &with);

    return open.trace;
}

void weir_batch_span_statement(group_t *group, int from, int to, const weir_db_t *db,
                               uint64_t sent_us, const char *error, const char *sqlstate)
{
    const weir_db_summary_t *summary = &group->batch->summary;
    weir_attribute_t attributes[ATTRIBUTES];
    weir_span_link_t links[LINKS_MAX];
    int parent = first_sampled(group, from, to);
    uint64_t executed_us = weir_db_executed_us(db);
    weir_span_t span = {.name = weir_str(summary->text), .kind = WEIR_SPAN_CLIENT};

    span.attributes =
        (weir_attributes_t){attributes, describe(summary, to - from, sqlstate, attributes)};
    if (error != NULL) {
        span.status = WEIR_SPAN_STATUS_ERROR;
        span.status_message = weir_str(error);
    }
    for (int i = from; i < to; i++) {
        weir_batch_request_t *request = &group->requests[i];

        if (weir_tracer_holds(&request->span))
            request->statement = end_statement(request, &span, sent_us, executed_us);
    }
    if (parent < 0)
        return;
    span.links = links;
    span.link_count = links_of(group, from, to, links);
    group->requests[parent].statement =
        end_statement(&group->requests[parent], &span, sent_us, executed_us);
    for (int i = from; i < to; i++) {
        if (is_sampled(&group->requests[i].span))
            group->requests[i].statement = group->requests[parent].statement;
    }
}

void weir_batch_span_end(const group_t *group, int i, const char *error)
{
    const weir_batch_request_t *request = &group->requests[i];
    const weir_batch_t *batch = group->batch;
    weir_attribute_t attributes[] = {number("weir.batch.requests", group->count)};
    weir_span_link_t link;
    char name[WEIR_DB_WORD_MAX + 16];
    weir_span_t span = {.kind = WEIR_SPAN_INTERNAL, .attributes = {attributes, 1}};

    if (!request->span.recorded)
        return;
    snprintf(name, sizeof(name), "batch %s", batch->name);
    span.name = weir_str(name);
    if (request->statement.at.trace_id[0] != '\0' &&
        strcmp(request->statement.at.trace_id, request->span.trace.at.trace_id) != 0) {
        link = weir_tracer_link(&request->statement);
        span.links = &link;
        span.link_count = 1;
    }
    if (error != NULL) {
        span.status = WEIR_SPAN_STATUS_ERROR;
        span.status_message = weir_str(error);
    }
    weir_tracer_end(&request->span, &span);
}
