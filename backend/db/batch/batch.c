/*
 * Requests gather in groups of at most `max` (group.c).  The first group is sent when a
 * place in flight is free, so it never waits when idle.
 *
 * Invariant: something waits only while something is in flight.  Each answer
 * sends the next group, or, when the session does not take it, fails all that wait.
 *
 * A group that needs a row which another transaction has locked ends after LOCK_TIMEOUT with
 * nothing done, and leaves the way: part.c finds out which of its requests need that row.
 */
#include "db/batch/private.h"

#include "log/alloc.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A transaction that is at work lets go of its rows sooner. */
#define LOCK_TIMEOUT "SET lock_timeout = '200ms'"

typedef weir_batch_group_t group_t;

/* The group that gathers; a new one when the last is full. */
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
    batch->waiting -= group->count;

    return group;
}

static bool send_group(group_t *group);

static void send_waiting(weir_batch_t *batch)
{
    while (batch->head != NULL && batch->running < batch->in_flight) {
        group_t *group = take_head(batch);

        if (send_group(group))
            continue;
        fail_group(group, "the database session is not open", "08003");
        weir_batch_group_unref(group);
    }
}

static void on_answer(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    group_t *group = arg;
    weir_batch_t *batch = group->batch;

    /* First the next group on its way, then the answers: PostgreSQL need not wait for us. */
    batch->running--;
    send_waiting(batch);

    if (result == NULL && strcmp(sqlstate, WEIR_BATCH_LOCKED) == 0) {
        weir_parts_take(group);
        return;
    }
    if (result != NULL)
        weir_batch_group_answer(group, 0, group->count, result);
    else
        fail_group(group, error, sqlstate);
    weir_batch_group_unref(group);
}

static bool send_group(group_t *group)
{
    weir_batch_t *batch = group->batch;
    const char *values[WEIR_BATCH_WIDTH_MAX];

    for (int i = 0; i < batch->width; i++)
        values[i] = weir_array_text(&group->arrays[i]);

    if (!weir_db_query(batch->db, batch->sql, batch->width, values, on_answer, group))
        return false;

    batch->running++;

    return true;
}

static int ceiling = INT_MAX;

void weir_batch_ceiling(int max)
{
    assert(max > 0);
    ceiling = max;
}

/* The highest n of the statement's $n. */
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
    assert(width == parameters_of(sql)); /* PostgreSQL's refusal would look like a lost session */
    batch->db = db;
    batch->sql = sql;
    batch->width = width;
    batch->max = max < ceiling ? max : ceiling;
    batch->limit = limit;
    batch->in_flight = in_flight;
    batch->tail = &batch->head;
    weir_db_begin_with(db, LOCK_TIMEOUT);

    return batch;
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

bool weir_batch_submit(weir_batch_t *batch, const char *const *values, weir_batch_cb cb, void *arg)
{
    group_t *group;

    if (!weir_db_is_up(batch->db) || batch->waiting == batch->limit)
        return false;

    group = gathering(batch);
    weir_batch_group_add(group, values, cb, arg);
    batch->waiting++;

    if (batch->running == batch->in_flight)
        return true;

    /* Idle: it goes at once, and alone; nothing else can be waiting. */
    take_head(batch);
    if (send_group(group))
        return true;
    weir_batch_group_unref(group);

    return false;
}
