/*
 * The outcome of each event that was handled, and of each event of a group without a handler.
 *
 *   results ─▶ batch ─consume()─▶ done, dead, or back
 *
 * A partition has one batch in a transaction at a time; events that are ready meanwhile form the
 * next batch. A batch that exceeds the time limit of a statement is retried in smaller ones; a
 * single event that exceeds it has failed.
 */
#include "events/worker/settle.h"

#include "common/text/str.h"
#include "db/array.h"
#include "events/worker/lease/delivery.h"
#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "events/worker/lease/spend.h"
#include "events/worker/span.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"
#include "metrics/series.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DEAD_MAX "10000" /* entries of weir:dead:<group>; PostgreSQL has all dead letters */
/* SQLSTATEs of consume(): the lease has another owner; it took too long */
#define NOT_OWNER "WE001"
#define CANCELED "57014"

/* Parameters of consume(), and its columns. */
enum {
    CONSUME_GROUP,
    CONSUME_PARTITION,
    CONSUME_EPOCH,
    CONSUME_APPLY,
    CONSUME_TYPES,
    CONSUME_PERMANENT,
    CONSUME_POSITIONS,
    CONSUME_ERRORS,
    CONSUME_FINAL,
    CONSUME_EXCUSED,
    CONSUME_WAITS,
    CONSUME_IDS,
    CONSUME_ATTEMPTS,
    CONSUME_BASE_MS,
    CONSUME_MAX_MS,
    CONSUME_TTL_MS,
    CONSUME_PARAMETERS
};

enum {
    OUTCOME_POSITION,
    OUTCOME_WORD,
    OUTCOME_ATTEMPTS,
    OUTCOME_WAIT_MS,
    OUTCOME_ERROR,
    OUTCOME_HANDLED
};

static const char consume_sql[] =
    "SELECT r_position, r_outcome, r_attempts, r_wait_ms, r_error, r_handled FROM consume("
    "p_group => $1::text, p_partition => $2::smallint, p_epoch => $3::bigint, p_apply => $4::text, "
    "p_types => $5::text[], p_permanent => $6::text[], p_positions => $7::bigint[], "
    "p_errors => $8::text[], p_final => $9::boolean[], p_excused => $10::boolean[], "
    "p_waits => $11::int[], p_ids => $12::uuid[], p_attempts => $13::int, p_base_ms => $14::int, "
    "p_max_ms => $15::int, p_ttl_ms => $16::int)";

static bool has_handler(const weir_lease_t *l)
{
    return l->group->consumer.handle != NULL;
}

/* --- effects outside -------------------------------------------------------------------------- */

void weir_settle_leave(const weir_delivery_t *d)
{
    weir_group_t *g = d->lease->group;

    if (g->consumer.handle != NULL && d->wanted && d->readable && d->result == WEIR_DELIVERY_OK)
        weir_made_note(&g->settle.made, d->event.id, weir_clock_ms());
}

void weir_settle_leave_all(const weir_lease_t *l)
{
    const weir_lease_settle_t *s = &l->settle;

    assert(weir_lease_is_gone(l));
    for (const weir_delivery_t *d = TAILQ_FIRST(&s->results); d != NULL; d = TAILQ_NEXT(d, link))
        weir_settle_leave(d);
    for (size_t i = 0; i < s->count; i++) {
        if (s->batch[i] != NULL)
            weir_settle_leave(s->batch[i]);
    }
}

bool weir_settle_was_made(const weir_delivery_t *d)
{
    return weir_made_take(&d->lease->group->settle.made, d->event.id, weir_clock_ms());
}

/* --- outcomes --------------------------------------------------------------------------------- */

/*
 * Removes and returns the batch's delivery of this position; results come in nearly the same order.
 */
static weir_delivery_t *find(weir_lease_settle_t *s, int64_t position, size_t *hint)
{
    assert(s->count <= WEIR_BATCH_MAX);
    for (size_t i = 0; i < s->count; i++) {
        size_t n = (*hint + i) % s->count;

        if (s->batch[n] != NULL && s->batch[n]->item->position == position) {
            weir_delivery_t *d = s->batch[n];

            s->batch[n] = NULL;
            *hint = n + 1;
            return d;
        }
    }
    return NULL;
}

static void send_dead(weir_lease_t *l, weir_delivery_t *d, const char *attempts, const char *error)
{
    char key[128], partition[12], position[24];

    assert(d->item != NULL && error != NULL);
    l->group->settle.died++;
    weir_log(WEIR_LOG_ERROR, d->event.trace, "event is a dead letter", "{s:s,s:i,s:I,s:s,s:s}",
             "group", l->group->consumer.group, "partition", l->partition, "position",
             (json_int_t)d->item->position, "attempts", attempts, "error", error);
    snprintf(key, sizeof(key), "weir:dead:%s", l->group->consumer.group);
    snprintf(partition, sizeof(partition), "%d", l->partition);
    snprintf(position, sizeof(position), "%" PRId64, d->item->position);
    (void)!weir_redis_command(l->group->worker->redis, 16,
                              (const char *[]){"XADD", key, "MAXLEN", "~", DEAD_MAX, "*", "event",
                                               d->json, "reason", error, "attempts", attempts,
                                               "partition", partition, "position", position},
                              NULL, NULL, NULL);
}

static void ack(weir_lease_t *l, const char *const *ids, int count)
{
    const char *argv[3 + WEIR_BATCH_MAX];
    char key[32];

    assert(count >= 0 && count <= WEIR_BATCH_MAX);
    if (count == 0)
        return;
    snprintf(key, sizeof(key), "weir:events:%d", l->partition);
    argv[0] = "XACK";
    argv[1] = key;
    argv[2] = l->group->consumer.group;
    memcpy(argv + 3, ids, (size_t)count * sizeof(*ids));
    (void)!weir_redis_command(l->group->worker->redis, count + 3, argv, NULL, NULL, NULL);
}

/* Puts the batch back, because its outcome is unknown or an error. */
static void put_back(weir_lease_t *l, uint64_t at)
{
    weir_lease_settle_t *s = &l->settle;

    assert(!s->consuming);
    s->retry = at;
    for (size_t i = 0; i < s->count; i++) {
        weir_delivery_t *d = s->batch[i];

        if (d == NULL)
            continue;
        if (has_handler(l)) {
            TAILQ_INSERT_TAIL(&s->results, d, link);
            continue;
        }
        weir_span_end(d, &(weir_span_outcome_t){.error = "the transaction has failed"});
        weir_queue_retry(l->queue, d->item, at);
    }
    s->count = 0;
}

/*
 * The kind of the event becomes FAILED if the dependency sent no answer, or if there is no handler
 * and the effects in the database failed.
 */
static void put_off(weir_delivery_t *d, uint64_t at)
{
    const weir_group_t *g = d->lease->group;

    if (d->result == WEIR_DELIVERY_UNAVAILABLE || g->consumer.handle == NULL)
        weir_queue_fail(d->lease->queue, d->item, at);
    else
        weir_queue_retry(d->lease->queue, d->item, at);
}

static void try_again(weir_delivery_t *d, const PGresult *res, int row, uint64_t now)
{
    const weir_lease_t *l = d->lease;
    weir_group_t *g = l->group;
    const char *attempts = PQgetvalue(res, row, OUTCOME_ATTEMPTS);

    g->settle.failed++;
    weir_log(strcmp(attempts, "1") == 0 ? WEIR_LOG_WARN : WEIR_LOG_DEBUG, d->event.trace,
             "event failed and will be retried", "{s:s,s:i,s:s,s:s,s:s}", "group",
             l->group->consumer.group, "partition", l->partition, "position",
             PQgetvalue(res, row, OUTCOME_POSITION), "attempts", attempts, "error",
             PQgetvalue(res, row, OUTCOME_ERROR));
    weir_settle_leave(d); /* an effect of the handler is not repeated */
    weir_span_end(d, &(weir_span_outcome_t){.attempt = atoi(attempts) + d->excused,
                                            .error = PQgetvalue(res, row, OUTCOME_ERROR)});
    if (g->consumer.handle == NULL) {
        free(d->error); /* the error of an attempt that took too long */
        d->error = NULL;
    }
    put_off(d, now + (uint64_t)weir_column_int(res, row, OUTCOME_WAIT_MS));
}

/* The event is done, or dead. */
static void settled(weir_lease_t *l, weir_delivery_t *d, const PGresult *res, int row)
{
    bool dead = strcmp(PQgetvalue(res, row, OUTCOME_WORD), "dead") == 0;
    const char *error = PQgetvalue(res, row, OUTCOME_ERROR);
    int failed = (int)weir_column_int(res, row, OUTCOME_ATTEMPTS); /* a dead one has failed now */

    l->group->settle.handled += !dead && d->wanted;
    if (dead)
        send_dead(l, d, PQgetvalue(res, row, OUTCOME_ATTEMPTS), error);
    weir_span_end(d, &(weir_span_outcome_t){.attempt = failed + !dead,
                                            .error = dead ? error : NULL,
                                            .is_dead_letter = dead});
}

static void take_outcomes(weir_lease_t *l, const PGresult *res)
{
    const char *ids[WEIR_BATCH_MAX] = {NULL};
    uint64_t now = weir_clock_ms();
    size_t hint = 0;
    int acks = 0;
    int64_t strange = 0;
    bool ahead = false;

    for (int i = 0; i < PQntuples(res); i++) {
        const char *word = PQgetvalue(res, i, OUTCOME_WORD);
        weir_delivery_t *d;

        if (strcmp(word, "handled") == 0) {
            weir_queue_handled(l->queue, weir_column_int(res, i, OUTCOME_HANDLED));
            continue;
        }
        d = find(&l->settle, weir_column_int(res, i, OUTCOME_POSITION), &hint);
        if (d == NULL)
            continue;
        if (strcmp(word, "retry") == 0) {
            try_again(d, res, i, now);
        } else if (strcmp(word, "unknown") == 0 || strcmp(word, "other") == 0) {
            ahead = ahead || strcmp(word, "unknown") == 0;
            if (d->item->position > strange)
                strange = d->item->position;
            weir_settle_leave(d);
            weir_span_end(d,
                          &(weir_span_outcome_t){.error = "the database has another event here"});
            weir_queue_retry(l->queue, d->item, now);
        } else {
            settled(l, d, res, i);
            ids[acks++] = PQgetvalue(res, i, OUTCOME_POSITION);
            weir_queue_done(l->queue, d->item);
        }
    }
    l->settle.count = 0;
    ack(l, ids, acks);
    if (strange != 0)
        weir_lease_strange(l, strange, ahead);
}

static void on_committed(weir_lease_t *l, const PGresult *res)
{
    weir_group_t *g = l->group;

    if (g->settle.uncommitted)
        weir_log(WEIR_LOG_INFO, NULL, "effects are committed again", "{s:s}", "group",
                 g->consumer.group);
    g->settle.uncommitted = false;
    if (l->settle.most > 0)
        l->settle.most = l->settle.most < WEIR_BATCH_MAX ? l->settle.most + 1 : 0;
    take_outcomes(l, res);
}

static void on_refused(weir_lease_t *l, const char *error, const char *sqlstate)
{
    weir_group_t *g = l->group;
    bool lost = strcmp(sqlstate, NOT_OWNER) == 0;

    if (!g->settle.uncommitted && !lost)
        weir_log(WEIR_LOG_WARN, NULL, "effects cannot be committed, retrying",
                 "{s:s,s:i,s:s,s:s,s:s*}", "group", g->consumer.group, "partition", l->partition,
                 "error", error, "sqlstate", sqlstate, "advice", weir_db_advice(sqlstate));
    g->settle.uncommitted = g->settle.uncommitted || !lost;
    put_back(l, weir_clock_ms() + WEIR_COMMIT_RETRY / 2 + (uint64_t)random() % WEIR_COMMIT_RETRY);
    if (lost)
        weir_lease_lose(l, "another worker has it");
}

static void consume(weir_lease_t *l);

/* True when the batch has one event, which has failed by that and is on its way again. */
static bool fail_slow(weir_lease_t *l, const char *error)
{
    weir_lease_settle_t *s = &l->settle;
    weir_delivery_t *d = s->batch[0];

    s->most = s->count > 1 ? s->count / 2 : 1;
    if (s->count > 1 || d->error != NULL)
        return false;
    d->error = weir_alloc_text(error);
    weir_str_make_printable(d->error);
    consume(l);
    return true;
}

/* The time of a group with a handler is measured in handle.c. */
static void measure(const weir_lease_t *l, const char *error, const char *sqlstate)
{
    const char *values[] = {"redis", l->group->consumer.group, NULL};

    if (has_handler(l))
        return;
    if (error != NULL)
        values[2] = weir_db_is_away(sqlstate) ? "unavailable" : "refused";
    weir_series_observe(weir_series(WEIR_GROUP_DURATION, values),
                        weir_clock_us() - l->settle.began_us);
}

static void on_consumed(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;

    assert(l->settle.consuming);
    l->settle.consuming = false;
    measure(l, error, sqlstate);
    weir_spend_add(l, consume_sql, error == NULL);
    weir_span_consumed(l, error, sqlstate);
    if (error == NULL)
        on_committed(l, res);
    else if (strcmp(sqlstate, CANCELED) != 0 || weir_lease_is_gone(l) || !fail_slow(l, error))
        on_refused(l, error, sqlstate);
    weir_group_wake(l->group);
    weir_lease_unref(l);
}

/* --- batches ---------------------------------------------------------------------------------- */

/*
 * The batch as arrays, which the caller frees: one for each parameter from CONSUME_POSITIONS to
 * CONSUME_IDS.
 */
static void put_batch(const weir_lease_settle_t *s, char *arrays[CONSUME_PARAMETERS])
{
    weir_array_t positions = {0}, errors = {0}, final = {0}, excused = {0}, waits = {0}, ids = {0};

    assert(s->count > 0 && s->count <= WEIR_BATCH_MAX);
    for (size_t i = 0; i < s->count; i++) {
        const weir_delivery_t *d = s->batch[i];

        weir_array_add_int(&positions, d->item->position);
        weir_array_add(&errors, d->error);
        weir_array_add(&final, d->result == WEIR_DELIVERY_PERMANENT ? "t" : "f");
        weir_array_add(&excused, d->excused ? "t" : "f");
        weir_array_add_int(&waits, d->wait_ms);
        weir_array_add(&ids, d->id[0] != '\0' ? d->id : NULL);
    }
    arrays[CONSUME_POSITIONS] = weir_array_close(&positions);
    arrays[CONSUME_ERRORS] = weir_array_close(&errors);
    arrays[CONSUME_FINAL] = weir_array_close(&final);
    arrays[CONSUME_EXCUSED] = weir_array_close(&excused);
    arrays[CONSUME_WAITS] = weir_array_close(&waits);
    arrays[CONSUME_IDS] = weir_array_close(&ids);
}

static void consume(weir_lease_t *l)
{
    weir_lease_settle_t *s = &l->settle;
    const weir_group_t *g = l->group;
    const weir_events_settings_t *settings = &g->worker->settings;
    char *arrays[CONSUME_PARAMETERS] = {0};
    const char *values[CONSUME_PARAMETERS] = {
        [CONSUME_GROUP] = g->consumer.group,
        [CONSUME_PARTITION] = WEIR_NUMBER(l->partition),
        [CONSUME_EPOCH] = WEIR_NUMBER(l->epoch),
        [CONSUME_APPLY] = g->consumer.apply,
        [CONSUME_TYPES] = g->types,
        [CONSUME_PERMANENT] = g->permanent,
        [CONSUME_ATTEMPTS] = WEIR_NUMBER(g->consumer.retry_attempts),
        [CONSUME_BASE_MS] = WEIR_NUMBER(settings->retry_base_ms),
        [CONSUME_MAX_MS] = WEIR_NUMBER(settings->retry_max_ms),
        [CONSUME_TTL_MS] = WEIR_NUMBER(WEIR_LEASE_TTL),
    };

    assert(!s->consuming && s->count > 0);
    put_batch(s, arrays);
    for (int i = CONSUME_POSITIONS; i <= CONSUME_IDS; i++)
        values[i] = arrays[i];
    s->consuming = weir_spend_query(l, consume_sql, CONSUME_PARAMETERS, values, on_consumed);
    s->began_us = weir_clock_us();
    if (s->consuming)
        weir_lease_ref(l);
    else
        put_back(l, weir_clock_ms() + WEIR_COMMIT_RETRY); /* or when the session is back */
    for (int i = CONSUME_POSITIONS; i <= CONSUME_IDS; i++)
        free(arrays[i]);
}

static size_t most_of(const weir_lease_settle_t *s)
{
    return s->most > 0 ? s->most : WEIR_BATCH_MAX;
}

static void batch_results(weir_lease_settle_t *s)
{
    weir_delivery_t *d;

    while (s->count < most_of(s) && (d = TAILQ_FIRST(&s->results)) != NULL) {
        TAILQ_REMOVE(&s->results, d, link);
        s->batch[s->count++] = d;
    }
}

static void batch_kind(weir_lease_t *l, uint64_t now, weir_queue_kind_t kind)
{
    weir_lease_settle_t *s = &l->settle;
    weir_item_t *item;

    while (s->count < most_of(s) && (item = weir_queue_take(l->queue, now, kind)) != NULL) {
        weir_delivery_t *d = item->payload;

        d->item = item;
        weir_span_begin(d);
        s->batch[s->count++] = d;
    }
}

/*
 * Events that failed before have batches of their own, in turn with the others, so that they do not
 * make other batches fail.
 */
static void batch_events(weir_lease_t *l, uint64_t now)
{
    weir_lease_settle_t *s = &l->settle;

    s->failed_next = !s->failed_next;
    batch_kind(l, now, s->failed_next ? WEIR_QUEUE_FAILED : WEIR_QUEUE_FRESH);
    if (s->count == 0)
        batch_kind(l, now, s->failed_next ? WEIR_QUEUE_FRESH : WEIR_QUEUE_FAILED);
}

void weir_settle_add(weir_delivery_t *d)
{
    assert(has_handler(d->lease) && d->item != NULL);
    TAILQ_INSERT_TAIL(&d->lease->settle.results, d, link);
}

void weir_settle_run(weir_lease_t *l, bool takes, uint64_t now, uint64_t *next)
{
    weir_lease_settle_t *s = &l->settle;

    if (s->consuming)
        return;
    if (s->retry > now) {
        weir_earliest(next, s->retry);
        return;
    }
    assert(s->count == 0);
    if (has_handler(l))
        batch_results(s);
    else if (takes)
        batch_events(l, now);
    if (s->count > 0)
        consume(l);
    if (s->count == 0 && takes && !has_handler(l)) {
        weir_earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FRESH));
        weir_earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FAILED));
    }
}

bool weir_settle_is_idle(const weir_lease_t *l)
{
    return !l->settle.consuming && TAILQ_EMPTY(&l->settle.results);
}
