/*
 * Requests gather in groups of at most `max` (group.c).  The first group is sent when a
 * place in flight is free, so it never waits when idle.
 *
 * Invariant: requests wait only while a group is in flight. Each answer sends the next group, or,
 * if the session does not accept it, fails all waiting requests.
 *
 * If a group needs a row that another transaction has locked, its statement fails after
 * LOCK_TIMEOUT without any change, and the next group is sent. part.c finds out which requests of
 * the group need that row.
 */
#include "db/batch/private.h"

#include "db/summary.h"
#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Longer than transactions in normal operation hold a row. */
#define LOCK_TIMEOUT "SET lock_timeout = '200ms'"

typedef weir_batch_group_t group_t;

/* The group to which requests are added; a new one when the last is full. */
static group_t *gathering(weir_batch_t *batch)
{
    group_t *group = batch->last;

    if (group != NULL && group->count < batch->max)
        return group;

    group = weir_batch_group_new(batch);
    *batch->tail = group;
    batch->tail = &group->next;
    batch->last = group;

    return group;
}

static void fail_group(group_t *group, const char *error, const char *sqlstate)
{
    weir_batch_group_fail(group, 0, group->count, error, sqlstate);
}

static group_t *take_head(weir_batch_t *batch)
{
    group_t *group = batch->head;

    assert(group != NULL);
    batch->head = group->next;
    if (batch->head == NULL) {
        batch->tail = &batch->head;
        batch->last = NULL;
    }
    assert(batch->waiting >= group->count);
    batch->waiting -= group->count;

    return group;
}

static bool send_group(group_t *group);

static void send_waiting(weir_batch_t *batch)
{
    assert(batch->running >= 0 && batch->running <= batch->in_flight && !batch->is_sending);
    batch->is_sending = true;
    while (batch->head != NULL && batch->running < batch->in_flight) {
        group_t *group = take_head(batch);

        weir_batch_group_expire(group, weir_clock_us());
        if (group->count > 0 && send_group(group))
            continue;
        fail_group(group, "the database session is not open", "08003");
        weir_batch_group_unref(group);
    }
    batch->is_sending = false;
}

static void on_answer(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    group_t *group = arg;
    weir_batch_t *batch = group->batch;

    assert(batch->running > 0);
    if (result != NULL)
        weir_spent_add(batch->spent, (unsigned)group->count, (unsigned)group->count,
                       weir_db_spent_us(batch->db));
    else
        weir_spent_fail(batch->spent);
    /* Sends the next group before it delivers the answers, so that PostgreSQL does not wait. */
    batch->running--;
    weir_series_observe(batch->metrics.duration, weir_clock_us() - group->sent_us);
    weir_batch_span_statement(group, 0, group->count, batch->db, group->sent_us, error, sqlstate);
    send_waiting(batch);

    if (result == NULL && strcmp(sqlstate, WEIR_BATCH_LOCKED) == 0) {
        weir_series_add(batch->metrics.splits, 1);
        weir_parts_take(group);
        return;
    }
    if (result != NULL)
        weir_batch_group_answer(group, 0, group->count, result);
    else
        fail_group(group, error, sqlstate);
    weir_batch_group_unref(group);
}

static void measure_sent(group_t *group)
{
    const weir_batch_metrics_t *metrics = &group->batch->metrics;

    group->sent_us = weir_clock_us();
    weir_series_observe(metrics->size, (uint64_t)group->count);
    for (int i = 0; i < group->count; i++)
        weir_series_observe(metrics->wait, group->sent_us - group->requests[i].since_us);
}

static bool send_group(group_t *group)
{
    weir_batch_t *batch = group->batch;
    const char *values[WEIR_BATCH_WIDTH_MAX];

    assert(group->count > 0 && batch->running < batch->in_flight);
    for (int i = 0; i < batch->width; i++)
        values[i] = weir_array_text(&group->arrays[i]);

    weir_db_bound(batch->db, weir_batch_group_bound(group, 0, group->count, weir_clock_us()));
    if (!weir_spent_query(batch->spent, batch->db,
                          &(weir_db_statement_t){batch->sql, batch->width, values},
                          (unsigned)group->count, 1, on_answer, group))
        return false;

    batch->running++;
    measure_sent(group);

    return true;
}

static int ceiling = INT_MAX;

void weir_batch_ceiling(int max)
{
    assert(max > 0);
    ceiling = max;
}

/* The highest n of the parameters $n of the statement. */
static int parameters_of(const char *sql)
{
    int highest = 0;

    for (const char *p = strchr(sql, '$'); p != NULL; p = strchr(p + 1, '$')) {
        int n = atoi(p + 1);

        highest = n > highest ? n : highest;
    }

    return highest;
}

weir_batch_t *weir_batch_new(weir_db_t *db, const char *sql, int width, int max, int limit,
                             int in_flight)
{
    weir_batch_t *batch = weir_alloc(sizeof(*batch));

    assert(width > 0 && width <= WEIR_BATCH_WIDTH_MAX && max > 0 && limit > 0 && in_flight > 0);
    /* Otherwise PostgreSQL's error would look like a lost session. */
    assert(width == parameters_of(sql));
    batch->db = db;
    batch->sql = sql;
    batch->width = width;
    batch->max = max < ceiling ? max : ceiling;
    batch->limit = limit;
    batch->in_flight = in_flight;
    batch->tail = &batch->head;
    weir_db_summarize(sql, &batch->summary);
    weir_batch_name(batch, sql);
    weir_db_begin_with(db, LOCK_TIMEOUT);

    return batch;
}

void weir_batch_name(weir_batch_t *batch, const char *sql)
{
    weir_db_summary_t summary;
    const char *values[] = {summary.text};

    weir_db_summarize(sql, &summary);
    memcpy(batch->name, summary.procedure, sizeof(batch->name));
    if (batch->name[0] == '\0')
        memcpy(batch->name, summary.operation, sizeof(batch->name));
    batch->spent = weir_spent(summary.text, NULL, NULL);
    batch->metrics = (weir_batch_metrics_t){
        .size = weir_series(WEIR_BATCH_SIZE, values),
        .wait = weir_series(WEIR_BATCH_WAIT, values),
        .duration = weir_series(WEIR_BATCH_DURATION, values),
        .refused = weir_series(WEIR_BATCH_REFUSED, values),
        .splits = weir_series(WEIR_BATCH_SPLIT, values),
    };
}

void weir_batch_free(weir_batch_t *batch)
{
    if (batch == NULL)
        return;

    assert(batch->running == 0 && batch->head == NULL);
    weir_parts_free(batch->parts);
    weir_batch_group_free(batch->spare);
    free(batch);
}

bool weir_batch_submit(weir_batch_t *batch, const weir_trace_t *trace, uint64_t deadline_us,
                       const char *const *values, weir_batch_cb cb, void *arg)
{
    group_t *group;

    assert(cb != NULL);
    if (!weir_db_is_up(batch->db) || batch->waiting == batch->limit) {
        weir_series_add(batch->metrics.refused, 1);
        return false;
    }

    group = gathering(batch);
    weir_batch_group_add(group, trace, deadline_us, values, cb, arg);
    batch->waiting++;

    /* The caller may be the callback of a request that has failed while groups are sent. */
    if (batch->running == batch->in_flight || batch->is_sending)
        return true;

    /* Nothing is in flight, so nothing else waits: the request is sent at once, alone. */
    take_head(batch);
    if (send_group(group))
        return true;
    weir_batch_group_unref(group);

    return false;
}
