/*
 * Requests gather in groups of at most `max`, already as PostgreSQL array
 * literals, one per parameter (manual, 8.15.6): {"a","b",NULL}.  The first group
 * is sent when a place in flight is free, so it never waits when idle.
 *
 * Invariant: something waits only while something is in flight.  Each answer
 * sends the next group, or, when the session does not take it, fails all that wait.
 *
 * A group that needs a row which another transaction has locked ends after LOCK_TIMEOUT with
 * nothing done, and leaves the way: part.c finds out which of its requests need that row.
 */
#include "db/batch_private.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* A group that has grown larger than this (bytes of a parameter) is not kept for the next. */
#define KEEP_MAX 262144

/* A transaction that is at work lets go of its rows sooner. */
#define LOCK_TIMEOUT "SET lock_timeout = '200ms'"

typedef weir_batch_array_t array_t;
typedef weir_batch_request_t request_t;
typedef weir_batch_group_t group_t;

static void *checked(void *p)
{
    if (p == NULL)
        abort();

    return p;
}

static void make_room(array_t *a, size_t more)
{
    if (a->len + more <= a->cap)
        return;

    while (a->len + more > a->cap)
        a->cap = a->cap > 0 ? a->cap * 2 : 1024;
    a->text = checked(realloc(a->text, a->cap));
}

static void append_value(array_t *a, const char *value)
{
    char *p;

    /* twice the text, quotes, separator, and the end that send_group() puts */
    make_room(a, (value != NULL ? 2 * strlen(value) : 4) + 5);
    p = a->text + a->len;
    *p++ = a->len == 0 ? '{' : ',';

    if (value == NULL) {
        memcpy(p, "NULL", 4);
        p += 4;
    } else {
        *p++ = '"';
        for (; *value != '\0'; value++) {
            if (*value == '"' || *value == '\\')
                *p++ = '\\';
            *p++ = *value;
        }
        *p++ = '"';
    }

    a->len = (size_t)(p - a->text);
}

static void free_group(group_t *group)
{
    if (group == NULL)
        return;

    for (int i = 0; i < group->batch->width; i++)
        free(group->arrays[i].text);
    free(group->arrays);
    free(group->ends);
    free(group->requests);
    free(group);
}

static void retire_group(group_t *group)
{
    weir_batch_t *batch = group->batch;

    for (int i = 0; i < batch->width; i++) {
        if (batch->spare != NULL || group->arrays[i].cap > KEEP_MAX) {
            free_group(group);
            return;
        }
        group->arrays[i].len = 0;
    }

    group->count = 0;
    batch->spare = group;
}

/* The group that gathers; a new one when the last is full. */
static group_t *gathering(weir_batch_t *batch)
{
    group_t *group = batch->last;

    if (group != NULL && group->count < batch->max)
        return group;

    group = batch->spare;
    batch->spare = NULL;
    if (group == NULL) {
        group = checked(calloc(1, sizeof(*group)));
        group->batch = batch;
        group->arrays = checked(calloc((size_t)batch->width, sizeof(*group->arrays)));
        group->requests = checked(calloc((size_t)batch->max, sizeof(*group->requests)));
        group->ends =
            checked(calloc((size_t)batch->max * (size_t)batch->width, sizeof(*group->ends)));
    }
    group->refs = 1;

    group->next = NULL;
    *batch->tail = group;
    batch->tail = &group->next;
    batch->last = group;

    return group;
}

void weir_batch_unref(group_t *group)
{
    if (--group->refs == 0)
        retire_group(group);
}

void weir_batch_fail(group_t *group, int from, int to, const char *error, const char *sqlstate)
{
    for (int i = from; i < to; i++) {
        weir_batch_cb cb = group->requests[i].cb;

        group->requests[i].cb = NULL;
        if (cb != NULL)
            cb(NULL, 0, error, sqlstate, group->requests[i].arg);
    }
}

static void fail_group(group_t *group, const char *error, const char *sqlstate)
{
    weir_batch_fail(group, 0, group->count, error, sqlstate);
}

static group_t *take_head(weir_batch_t *batch)
{
    group_t *group = batch->head;

    batch->head = group->next;
    if (batch->head == NULL) {
        batch->tail = &batch->head;
        batch->last = NULL;
    }
    batch->waiting -= group->count;

    return group;
}

/* Gives each request the row that has its place. */
void weir_batch_answer(group_t *group, int from, int to, PGresult *result)
{
    int rows = PQntuples(result);

    for (int row = 0; row < rows; row++) {
        int place = PQnfields(result) > 0 ? atoi(PQgetvalue(result, row, 0)) - 1 + from : -1;
        weir_batch_cb cb;

        if (place < from || place >= to || group->requests[place].cb == NULL)
            continue;
        cb = group->requests[place].cb;
        group->requests[place].cb = NULL;
        cb(result, row, NULL, NULL, group->requests[place].arg);
    }
    weir_batch_fail(group, from, to, "the command returned no row for this request", "XX000");
}

static bool send_group(group_t *group);

static void send_waiting(weir_batch_t *batch)
{
    while (batch->head != NULL && batch->running < batch->in_flight) {
        group_t *group = take_head(batch);

        if (send_group(group))
            continue;
        fail_group(group, "the database session is not open", "08003");
        weir_batch_unref(group);
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
        weir_batch_answer(group, 0, group->count, result);
    else
        fail_group(group, error, sqlstate);
    weir_batch_unref(group);
}

static bool send_group(group_t *group)
{
    weir_batch_t *batch = group->batch;
    const char *values[WEIR_BATCH_WIDTH_MAX];

    for (int i = 0; i < batch->width; i++) {
        memcpy(group->arrays[i].text + group->arrays[i].len, "}", 2);
        values[i] = group->arrays[i].text;
    }

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

weir_batch_t *weir_batch_new(weir_db_t *db, const char *sql, int width, int max, int limit,
                             int in_flight)
{
    weir_batch_t *batch = checked(calloc(1, sizeof(*batch)));

    assert(width > 0 && width <= WEIR_BATCH_WIDTH_MAX && max > 0 && limit > 0 && in_flight > 0);
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
    free_group(batch->spare);
    free(batch);
}

bool weir_batch_submit(weir_batch_t *batch, const char *const *values, weir_batch_cb cb, void *arg)
{
    group_t *group;

    if (!weir_db_is_up(batch->db) || batch->waiting == batch->limit)
        return false;

    group = gathering(batch);
    for (int i = 0; i < batch->width; i++) {
        append_value(&group->arrays[i], values[i]);
        group->ends[group->count * batch->width + i] = group->arrays[i].len;
    }
    group->requests[group->count++] = (request_t){cb, arg};
    batch->waiting++;

    if (batch->running == batch->in_flight)
        return true;

    /* Idle: it goes at once, and alone; nothing else can be waiting. */
    take_head(batch);
    if (send_group(group))
        return true;
    weir_batch_unref(group);

    return false;
}
