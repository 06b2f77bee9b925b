/*
 * A group of requests that are sent to the database together: one array literal per parameter.
 */
#include "db/batch/private.h"

#include "log/alloc.h"
#include "log/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* A group whose parameter has more bytes is not kept for reuse. */
#define KEEP_MAX 262144

typedef weir_batch_request_t request_t;
typedef weir_batch_group_t group_t;

group_t *weir_batch_group_new(weir_batch_t *batch)
{
    group_t *group = batch->spare;

    batch->spare = NULL;
    if (group == NULL) {
        group = weir_alloc(sizeof(*group));
        group->batch = batch;
        group->arrays = weir_alloc_array((size_t)batch->width, sizeof(*group->arrays));
        group->requests = weir_alloc_array((size_t)batch->max, sizeof(*group->requests));
        group->ends =
            weir_alloc_array((size_t)batch->max * (size_t)batch->width, sizeof(*group->ends));
    }
    assert(group->count == 0 && group->refs == 0);
    group->refs = 1;
    group->next = NULL;

    return group;
}

void weir_batch_group_add(group_t *group, const weir_trace_t *trace, uint64_t deadline_us,
                          const char *const *values, weir_batch_cb cb, void *arg)
{
    int width = group->batch->width;
    request_t *request = &group->requests[group->count];

    assert(group->count < group->batch->max && cb != NULL);
    for (int i = 0; i < width; i++) {
        weir_array_add(&group->arrays[i], values[i]);
        group->ends[group->count * width + i] = group->arrays[i].len;
    }
    *request =
        (request_t){.cb = cb, .arg = arg, .since_us = weir_clock_us(), .deadline_us = deadline_us};
    if (weir_tracer_records(trace))
        weir_tracer_begin(&request->span, trace);
    group->count++;
}

void weir_batch_group_free(group_t *group)
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

    assert(group->refs == 0);
    for (int i = 0; i < batch->width; i++) {
        if (batch->spare != NULL || group->arrays[i].cap > KEEP_MAX) {
            weir_batch_group_free(group);
            return;
        }
        group->arrays[i].len = 0;
    }

    group->count = 0;
    batch->spare = group;
}

void weir_batch_group_unref(group_t *group)
{
    assert(group->batch != NULL);
    assert(group->refs > 0);
    if (--group->refs == 0)
        retire_group(group);
}

/* --- outcomes ------------------------------------------------------------------------------- */

void weir_batch_group_fail(group_t *group, int from, int to, const char *error,
                           const char *sqlstate)
{
    assert(from >= 0 && to <= group->count);
    for (int i = from; i < to; i++) {
        weir_batch_cb cb = group->requests[i].cb;

        group->requests[i].cb = NULL;
        if (cb == NULL)
            continue;
        weir_batch_span_end(group, i, error);
        cb(NULL, 0, error, sqlstate, group->requests[i].arg);
    }
}

/* Passes each request the row with its index. */
void weir_batch_group_answer(group_t *group, int from, int to, PGresult *result)
{
    int rows = PQntuples(result);

    assert(from >= 0 && from < to && to <= group->count);
    for (int row = 0; row < rows; row++) {
        int place = PQnfields(result) > 0 ? atoi(PQgetvalue(result, row, 0)) - 1 + from : -1;
        weir_batch_cb cb;

        if (place < from || place >= to || group->requests[place].cb == NULL)
            continue;
        cb = group->requests[place].cb;
        group->requests[place].cb = NULL;
        weir_batch_span_end(group, place, NULL);
        cb(result, row, NULL, NULL, group->requests[place].arg);
    }
    weir_batch_group_fail(group, from, to, "the command returned no row for this request", "XX000");
}

/* --- deadlines ------------------------------------------------------------------------------ */

unsigned weir_batch_group_bound(const group_t *group, int from, int to, uint64_t now_us)
{
    uint64_t last = 0;

    assert(from >= 0 && from < to && to <= group->count);
    for (int i = from; i < to; i++) {
        uint64_t deadline = group->requests[i].deadline_us;

        if (deadline == 0)
            return 0;
        if (deadline > last)
            last = deadline;
    }

    return last < now_us + 1000 ? 1 : (unsigned)((last - now_us) / 1000);
}

/* Moves a request and its elements to the place of an earlier one. */
static void move_request(group_t *group, int i, int place)
{
    int width = group->batch->width;

    for (int a = 0; a < width; a++) {
        weir_array_t *array = &group->arrays[a];
        size_t from = i > 0 ? group->ends[(i - 1) * width + a] : 0;
        size_t to = place > 0 ? group->ends[(place - 1) * width + a] : 0;
        size_t len = group->ends[i * width + a] - from;

        assert(place < i && to < from);
        memmove(array->text + to, array->text + from, len);
        array->text[to] = place > 0 ? ',' : '{';
        group->ends[place * width + a] = to + len;
    }
    group->requests[place] = group->requests[i];
}

void weir_batch_group_expire(group_t *group, uint64_t now_us)
{
    int width = group->batch->width, kept = 0;

    for (int i = 0; i < group->count; i++) {
        uint64_t deadline = group->requests[i].deadline_us;

        if (deadline != 0 && deadline <= now_us) {
            weir_batch_group_fail(group, i, i + 1, "the deadline has passed", WEIR_BATCH_LATE);
            continue;
        }
        if (i != kept)
            move_request(group, i, kept);
        kept++;
    }
    group->count = kept;
    for (int a = 0; a < width; a++)
        group->arrays[a].len = kept > 0 ? group->ends[(kept - 1) * width + a] : 0;
}
