/*
 * What becomes of an event that may be handled.
 *
 *   queue ─take─▶ (handler, several at a time) ─▶ results ─▶ batch ─▶ consume() ─▶ done, dead, or
 * back
 *
 * Groups without a handler take a whole batch at once.  One batch of a partition is in its
 * transaction at a time; what becomes ready meanwhile makes the next one.
 */
#include "events/worker_private.h"

#include "common/str.h"
#include "events/refusal.h"
#include "log/alloc.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEAD_MAX "10000" /* entries of weir:dead:<group>; PostgreSQL has them all */
#define COMMIT_RETRY 500 /* ms until effects that could not be committed are tried again */

void weir_delivery_free(void *delivery)
{
    weir_delivery_t *d = delivery;

    json_decref(d->root);
    free(d->json);
    free(d->error);
    free(d);
}

/* --- handlers ---------------------------------------------------------------------- */

static char *printable(const char *s)
{
    char *copy = weir_alloc_text(s != NULL && *s != '\0' ? s : "no reason was given");

    weir_str_make_printable(copy);
    return copy;
}

static void put_result(weir_delivery_t *d, weir_delivery_result_t result, const char *error)
{
    d->result = result;
    free(d->error);
    d->error = result == WEIR_DELIVERY_OK ? NULL : printable(error);
    TAILQ_INSERT_TAIL(&d->lease->results, d, link);
}

/* Its effect is made, and its mark will not be committed by this lease. */
static void leave(const weir_delivery_t *d)
{
    weir_group_t *g = d->lease->group;

    if (g->consumer.handle != NULL && d->wanted && d->readable && d->result == WEIR_DELIVERY_OK)
        weir_made_note(&g->made, d->event.id, weir_now_ms());
}

void weir_handle_leave(const weir_lease_t *l)
{
    for (const weir_delivery_t *d = TAILQ_FIRST(&l->results); d != NULL; d = TAILQ_NEXT(d, link))
        leave(d);
    for (size_t i = 0; i < l->batch_count; i++) {
        if (l->batch[i] != NULL)
            leave(l->batch[i]);
    }
}

bool weir_delivery_is_owned(const weir_delivery_t *d)
{
    return !d->lease->gone && weir_now_ms() < d->lease->until;
}

/* What a result says of the dependency. */
static weir_call_result_t call_result(weir_delivery_result_t result)
{
    switch (result) {
    case WEIR_DELIVERY_UNAVAILABLE:
        return WEIR_CALL_FAILED;
    case WEIR_DELIVERY_AWAY:
        return WEIR_CALL_UNREACHED;
    case WEIR_DELIVERY_GIVEN_UP:
        return WEIR_CALL_ABANDONED;
    default:
        return WEIR_CALL_ANSWERED;
    }
}

weir_delivery_result_t weir_delivery_not_asked(const char *sqlstate)
{
    return weir_db_is_away(sqlstate) ? WEIR_DELIVERY_GIVEN_UP : WEIR_DELIVERY_RETRY;
}

void weir_delivery_not_before(weir_delivery_t *d, uint64_t wait_ms)
{
    d->wait_ms = wait_ms < WEIR_NOT_BEFORE_MAX ? (unsigned)wait_ms : WEIR_NOT_BEFORE_MAX;
}

void weir_delivery_done(weir_delivery_t *d, weir_delivery_result_t result, const char *error)
{
    weir_lease_t *l = d->lease;
    weir_group_t *g = l->group;
    uint64_t now = weir_now_ms();
    bool blamed;

    g->handling--;
    g->handling_failed -= weir_queue_kind(d->item) == WEIR_QUEUE_FAILED;
    l->handling--;
    blamed = weir_dependency_end(&g->dependency, now, &d->call, call_result(result), error);

    d->excused =
        result == WEIR_DELIVERY_AWAY || (result == WEIR_DELIVERY_UNAVAILABLE && !blamed);
    if (result == WEIR_DELIVERY_GIVEN_UP)
        weir_queue_retry(l->queue, d->item, now + (uint64_t)random() % COMMIT_RETRY);
    else
        put_result(d, result, error);
    if (l->gone && result == WEIR_DELIVERY_OK)
        leave(d);
    weir_group_wake(g);
    weir_lease_unref(l);
}

static void handle(weir_lease_t *l, weir_item_t *item)
{
    weir_group_t *g = l->group;
    weir_delivery_t *d = item->payload;
    bool is_fresh = weir_queue_kind(item) == WEIR_QUEUE_FRESH;

    d->item = item;
    if (!d->wanted || !d->readable || d->missing) {
        put_result(d, d->wanted ? WEIR_DELIVERY_PERMANENT : WEIR_DELIVERY_OK,
                   d->readable ? "the outbox has no such event"
                               : "the stream's entry is no CloudEvent");
        return;
    }
    if (weir_made_take(&g->made, d->event.id, weir_now_ms())) {
        put_result(d, WEIR_DELIVERY_OK, NULL);
        return;
    }
    d->call = weir_dependency_begin(&g->dependency, is_fresh);
    d->excused = false;
    d->wait_ms = 0;
    l->refs++;
    l->handling++;
    g->handling++;
    g->handling_failed += !is_fresh;
    g->consumer.handle(g->consumer.self, &d->event, d);
}

/*
 * An effect outside of the database cannot be taken back.  So no event gets to a handler before the
 * outbox is known to have it at its position: a stream may have events of a history that was rolled
 * back.  The relay publishes after the commit, so a question that is asked after the delivery is
 * enough.  It is asked for many events at once; what another session has answered does not count.
 */
static void on_confirmed(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;
    int64_t asked = l->asked;

    l->asked = 0;
    weir_refusal_note(&l->group->position_refused, l->group->consumer.group, "worker_ids", error,
                      sqlstate);
    if (error != NULL || PQntuples(res) == 0) {
        l->retry_ask = weir_now_ms() + COMMIT_RETRY;
    } else {
        memset(l->ids, 0, WEIR_IDS_MAX * sizeof(*l->ids));
        l->ids_from = asked;
        l->ids_session = l->group->session;
        l->ids_to = strtoll(PQgetvalue(res, 0, 0), NULL, 10);
        if (l->ids_to > l->newest)
            l->newest = l->ids_to;
        for (int i = 0; i < PQntuples(res); i++) {
            int64_t n = strtoll(PQgetvalue(res, i, 1), NULL, 10) - asked;

            if (n >= 0 && n < WEIR_IDS_MAX)
                snprintf(l->ids[n], sizeof(l->ids[n]), "%s", PQgetvalue(res, i, 2));
        }
    }
    weir_group_wake(l->group);
    weir_lease_unref(l);
}

/* Asks for the outbox's ids from the item's position on; the item is put back. */
static void ask_ids(weir_lease_t *l, weir_item_t *item, uint64_t now)
{
    static const char sql[] = "SELECT * FROM worker_ids($1::smallint, $2::bigint, $3::int)";
    char partition[12], from[24], limit[12];

    if (l->ids == NULL)
        l->ids = weir_alloc_array(WEIR_IDS_MAX, sizeof(*l->ids));
    snprintf(partition, sizeof(partition), "%d", l->partition);
    snprintf(from, sizeof(from), "%" PRId64, item->position);
    snprintf(limit, sizeof(limit), "%d", WEIR_IDS_MAX);
    l->ids_from = 0;
    if (weir_db_query(l->group->db, sql, 3, (const char *[]){partition, from, limit}, on_confirmed,
                      l)) {
        l->asked = item->position;
        l->refs++;
        weir_queue_return(l->queue, item);
    } else {
        weir_queue_retry(l->queue, item, now + COMMIT_RETRY);
    }
}

/*
 * False, and the item is put back, while this is not known, or when it is not so.  An entry that
 * cannot be read, and one whose event the outbox has no more, have no effect anyway.
 */
static bool is_confirmed(weir_lease_t *l, weir_item_t *item, uint64_t now)
{
    weir_delivery_t *d = item->payload;
    unsigned session = l->group->session;
    int64_t n = item->position - l->ids_from;
    const char *id;

    if (d->proved == session)
        return true;
    if (l->ids_from == 0 || l->ids_session != session || n < 0 || n >= WEIR_IDS_MAX ||
        item->position > l->ids_to) {
        bool answered = l->ids_from != 0 && l->ids_session == session && n == 0;

        if (answered) { /* for this very event: it has no such position */
            weir_lease_strange(l, item->position, true);
            weir_queue_retry(l->queue, item, now);
        } else {
            ask_ids(l, item, now);
        }
        return false;
    }
    id = l->ids[n];
    if (id[0] != '\0' && d->readable && strcmp(id, d->id) != 0) {
        weir_lease_strange(l, item->position, false);
        weir_queue_retry(l->queue, item, now);
        return false;
    }
    d->proved = session;
    d->missing = id[0] == '\0';
    return true;
}

static void earliest(uint64_t *next, uint64_t at)
{
    if (at < *next)
        *next = at;
}

/* The partition that has the newest of the fresh events; NULL when there is none. */
static const weir_lease_t *newest(const weir_group_t *g, uint64_t now)
{
    const weir_lease_t *found = NULL;
    uint64_t last = 0;

    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        const weir_lease_t *l = g->leases[i];
        uint64_t order;

        if (l == NULL || l->queue == NULL || l->closing || now >= l->until || l->retry_ask > now)
            continue;
        order = weir_queue_newest(l->queue, now);
        if (order > last) {
            last = order;
            found = l;
        }
    }
    return found;
}

/* A probe: the newest fresh event, or, while there is none, one that failed before. */
static weir_item_t *take_probe(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    weir_dependency_t *d = &l->group->dependency;
    const weir_lease_t *its = newest(l->group, now);
    weir_item_t *item = NULL;

    if (its == l && weir_dependency_admits(d, now, true))
        item = weir_queue_take_newest(l->queue, now);
    else if (its == NULL && weir_dependency_admits(d, now, false))
        item = weir_queue_take(l->queue, now, WEIR_QUEUE_FAILED);
    if (item != NULL)
        weir_group_wake(l->group); /* the next one may be another partition's */
    else if (its == NULL && weir_dependency_admits(d, now, false))
        earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FAILED));
    if (its == NULL)
        earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FRESH));
    return item;
}

/*
 * The event that is handled next, taken; NULL when there is none, with *next at the latest when to
 * come again.  Fresh events go first; those that failed before get half of the handlers at most, so
 * that slow failures do not take all.
 */
static weir_item_t *take(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    weir_group_t *g = l->group;
    weir_dependency_t *d = &g->dependency;
    bool fresh = weir_dependency_admits(d, now, true);
    bool failed = weir_dependency_admits(d, now, false) &&
                  g->handling_failed < (g->consumer.concurrency + 1) / 2;
    weir_item_t *item = NULL;

    if (weir_dependency_probes(d))
        return take_probe(l, now, next);
    if (fresh)
        item = weir_queue_take(l->queue, now, WEIR_QUEUE_FRESH);
    if (item == NULL && failed)
        item = weir_queue_take(l->queue, now, WEIR_QUEUE_FAILED);
    if (item != NULL)
        return item;
    earliest(next, weir_dependency_next(d));
    if (fresh)
        earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FRESH));
    if (failed)
        earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FAILED));
    return NULL;
}

static void run_handlers(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    weir_group_t *g = l->group;

    if (l->retry_ask > now) {
        earliest(next, l->retry_ask);
        return;
    }
    /* A lease that may have run out waits for the heartbeat. */
    while (l->asked == 0 && g->handling < g->consumer.concurrency && now < l->until) {
        weir_item_t *item = take(l, now, next);

        if (item == NULL || !is_confirmed(l, item, now))
            return;
        handle(l, item);
    }
}

/* --- settling ----------------------------------------------------------------------- */

/* The delivery in the batch that has this position; results come in nearly the same order. */
static weir_delivery_t *find(weir_lease_t *l, int64_t position, size_t *hint)
{
    for (size_t i = 0; i < l->batch_count; i++) {
        size_t n = (*hint + i) % l->batch_count;

        if (l->batch[n] != NULL && l->batch[n]->item->position == position) {
            weir_delivery_t *d = l->batch[n];

            l->batch[n] = NULL;
            *hint = n + 1;
            return d;
        }
    }
    return NULL;
}

static void send_dead(weir_lease_t *l, weir_delivery_t *d, const char *attempts, const char *error)
{
    char key[128], partition[12], position[24];

    weir_log(WEIR_LOG_ERROR, d->event.trace_id, "event is a dead letter", "{s:s,s:i,s:I,s:s,s:s}",
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

    if (count == 0)
        return;
    snprintf(key, sizeof(key), "weir:events:%d", l->partition);
    argv[0] = "XACK";
    argv[1] = key;
    argv[2] = l->group->consumer.group;
    memcpy(argv + 3, ids, (size_t)count * sizeof(*ids));
    (void)!weir_redis_command(l->group->worker->redis, count + 3, argv, NULL, NULL, NULL);
}

/* Puts the batch back: nothing is known to have happened. */
static void put_back(weir_lease_t *l, uint64_t at)
{
    l->retry_consume = at;
    for (size_t i = 0; i < l->batch_count; i++) {
        weir_delivery_t *d = l->batch[i];

        if (d == NULL)
            continue;
        if (l->group->consumer.handle != NULL)
            TAILQ_INSERT_TAIL(&l->results, d, link);
        else
            weir_queue_retry(l->queue, d->item, at);
    }
    l->batch_count = 0;
}

/*
 * Of the failed ones from now on is an event that the dependency left without an answer, or whose
 * effects in the database failed where there is no handler.
 */
static void put_off(weir_delivery_t *d, uint64_t at)
{
    const weir_group_t *g = d->lease->group;

    if (d->result == WEIR_DELIVERY_UNAVAILABLE || g->consumer.handle == NULL)
        weir_queue_fail(d->lease->queue, d->item, at);
    else
        weir_queue_retry(d->lease->queue, d->item, at);
}

static void outcomes(weir_lease_t *l, PGresult *res)
{
    const char *ids[WEIR_BATCH_MAX];
    uint64_t now = weir_now_ms();
    size_t hint = 0;
    int acks = 0;
    int64_t strange = 0;
    bool ahead = false;

    for (int i = 0; i < PQntuples(res); i++) {
        const char *position = PQgetvalue(res, i, 0), *outcome = PQgetvalue(res, i, 1);
        const char *attempts = PQgetvalue(res, i, 2), *error = PQgetvalue(res, i, 4);
        weir_delivery_t *d;

        if (strcmp(outcome, "handled") == 0) {
            weir_queue_handled(l->queue, strtoll(PQgetvalue(res, i, 5), NULL, 10));
            continue;
        }
        d = find(l, strtoll(position, NULL, 10), &hint);
        if (d == NULL)
            continue;
        if (strcmp(outcome, "retry") == 0) {
            weir_log(strcmp(attempts, "1") == 0 ? WEIR_LOG_WARN : WEIR_LOG_DEBUG, d->event.trace_id,
                     "event failed and will be tried again", "{s:s,s:i,s:s,s:s,s:s}", "group",
                     l->group->consumer.group, "partition", l->partition, "position", position,
                     "attempts", attempts, "error", error);
            leave(d); /* what the handler has made is not made again */
            put_off(d, now + strtoull(PQgetvalue(res, i, 3), NULL, 10));
            continue;
        }
        if (strcmp(outcome, "unknown") == 0 || strcmp(outcome, "other") == 0) {
            ahead = ahead || *outcome == 'u';
            if (d->item->position > strange)
                strange = d->item->position;
            leave(d);
            weir_queue_retry(l->queue, d->item, now);
            continue;
        }
        if (strcmp(outcome, "dead") == 0)
            send_dead(l, d, attempts, error);
        ids[acks++] = position;
        weir_queue_done(l->queue, d->item);
    }
    l->batch_count = 0;
    ack(l, ids, acks);
    if (strange != 0)
        weir_lease_strange(l, strange, ahead);
}

static void on_consumed(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;
    weir_group_t *g = l->group;

    l->consuming = false;
    if (error == NULL) {
        if (g->uncommitted)
            weir_log(WEIR_LOG_INFO, NULL, "effects are committed again", "{s:s}", "group",
                     g->consumer.group);
        g->uncommitted = false;
        outcomes(l, res);
    } else {
        if (!g->uncommitted && strcmp(sqlstate, "WE001") != 0)
            weir_log(WEIR_LOG_WARN, NULL, "effects cannot be committed, trying again",
                     "{s:s,s:i,s:s,s:s,s:s*}", "group", g->consumer.group, "partition",
                     l->partition, "error", error, "sqlstate", sqlstate, "advice",
                     weir_db_advice(sqlstate));
        g->uncommitted = g->uncommitted || strcmp(sqlstate, "WE001") != 0;
        put_back(l, weir_now_ms() + COMMIT_RETRY / 2 + (uint64_t)random() % COMMIT_RETRY);
        if (strcmp(sqlstate, "WE001") == 0)
            weir_lease_lost(l, "another worker has it");
    }
    weir_group_wake(g);
    weir_lease_unref(l);
}

static void consume(weir_lease_t *l)
{
    static const char sql[] =
        "SELECT * FROM consume($1::text, $2::smallint, $3::bigint, $4::text, $5::text[], "
        "$6::text[], "
        "$7::bigint[], $8::text[], $9::boolean[], $10::boolean[], $11::int[], $12::int, $13::int, "
        "$14::int, $15::int, $16::uuid[])";
    const weir_group_t *g = l->group;
    const weir_events_settings_t *s = &g->worker->settings;
    weir_array_t positions = {0}, errors = {0}, finals = {0}, excused = {0}, waits = {0};
    weir_array_t ids = {0};
    char partition[12], epoch[24], attempts[12], base[12], max[12], ttl[12];
    char *lists[6];

    for (size_t i = 0; i < l->batch_count; i++) {
        const weir_delivery_t *d = l->batch[i];

        weir_array_add_int(&positions, d->item->position);
        weir_array_add(&errors, d->error);
        weir_array_add(&finals, d->result == WEIR_DELIVERY_PERMANENT ? "t" : "f");
        weir_array_add(&excused, d->excused ? "t" : "f");
        weir_array_add_int(&waits, d->wait_ms);
        weir_array_add(&ids, d->id[0] != '\0' ? d->id : NULL);
    }
    lists[0] = weir_array_close(&positions);
    lists[1] = weir_array_close(&errors);
    lists[2] = weir_array_close(&finals);
    lists[3] = weir_array_close(&excused);
    lists[4] = weir_array_close(&waits);
    lists[5] = weir_array_close(&ids);
    snprintf(partition, sizeof(partition), "%d", l->partition);
    snprintf(epoch, sizeof(epoch), "%" PRId64, l->epoch);
    snprintf(attempts, sizeof(attempts), "%u", g->consumer.retry_attempts);
    snprintf(base, sizeof(base), "%u", s->retry_base_ms);
    snprintf(max, sizeof(max), "%u", s->retry_max_ms);
    snprintf(ttl, sizeof(ttl), "%d", WEIR_LEASE_TTL);
    l->consuming =
        weir_db_query(g->db, sql, 16,
                      (const char *[]){g->consumer.group, partition, epoch, g->consumer.apply,
                                       g->types, g->permanent, lists[0], lists[1], lists[2],
                                       lists[3], lists[4], attempts, base, max, ttl, lists[5]},
                      on_consumed, l);
    if (l->consuming)
        l->refs++;
    else
        put_back(l, weir_now_ms() + COMMIT_RETRY); /* or when the session is back */
    for (int i = 0; i < 6; i++)
        free(lists[i]);
}

static void batch_results(weir_lease_t *l)
{
    weir_delivery_t *d;

    while (l->batch_count < WEIR_BATCH_MAX && (d = TAILQ_FIRST(&l->results)) != NULL) {
        TAILQ_REMOVE(&l->results, d, link);
        l->batch[l->batch_count++] = d;
    }
}

static void batch_kind(weir_lease_t *l, uint64_t now, weir_queue_kind_t kind)
{
    weir_item_t *item;

    while (l->batch_count < WEIR_BATCH_MAX &&
           (item = weir_queue_take(l->queue, now, kind)) != NULL) {
        weir_delivery_t *d = item->payload;

        d->item = item;
        l->batch[l->batch_count++] = d;
    }
}

/* Events that failed before have batches of their own, in turn: the others' do not fail by them. */
static void batch_events(weir_lease_t *l, uint64_t now)
{
    l->failed_next = !l->failed_next;
    batch_kind(l, now, l->failed_next ? WEIR_QUEUE_FAILED : WEIR_QUEUE_FRESH);
    if (l->batch_count == 0)
        batch_kind(l, now, l->failed_next ? WEIR_QUEUE_FRESH : WEIR_QUEUE_FAILED);
}

void weir_handle_run(weir_lease_t *l, uint64_t now, uint64_t *next)
{
    bool takes = !l->closing && !l->group->paused && l->group->worker->stopped == NULL;

    if (takes && l->group->consumer.handle != NULL)
        run_handlers(l, now, next);
    if (l->consuming)
        return;
    if (l->retry_consume > now) {
        earliest(next, l->retry_consume);
        return;
    }
    if (l->group->consumer.handle != NULL)
        batch_results(l);
    else if (takes)
        batch_events(l, now);
    if (l->batch_count > 0)
        consume(l);
    if (l->batch_count == 0 && takes && l->group->consumer.handle == NULL) {
        earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FRESH));
        earliest(next, weir_queue_next(l->queue, WEIR_QUEUE_FAILED));
    }
}

bool weir_handle_idle(const weir_lease_t *l)
{
    return l->handling == 0 && l->asked == 0 && !l->consuming && TAILQ_EMPTY(&l->results);
}
