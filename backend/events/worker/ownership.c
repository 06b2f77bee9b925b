/*
 * The leases of this worker. Heartbeats return and renew them.
 *
 * Each heartbeat, worker_step() (sql/functions/worker.sql), returns the leases of this worker. A
 * new lease is opened. A missing lease was taken by another worker. A surplus lease is closed, and
 * released when nothing of it is under way.
 */
#include "events/worker/ownership.h"

#include "db/array.h"
#include "db/refusal.h"
#include "events/worker/handle.h"
#include "events/worker/lease/delivery.h"
#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "events/worker/reader.h"
#include "log/clock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Columns of worker_step(), and of worker_open(). */
enum {
    STEP_GROUP,
    STEP_PARTITION,
    STEP_EPOCH,
    STEP_POSITION,
    STEP_SURPLUS,
    STEP_PAUSED,
    STEP_RENEWED
};

enum { OPEN_HANDLED, OPEN_POSITION, OPEN_WAIT_MS };

/* --- opening and releasing -------------------------------------------------------------------- */

/* Marks and delays. Each row has a position above handled, or NULL. */
static weir_queue_t *queue_of(const weir_events_settings_t *settings, const PGresult *res)
{
    /* If the database's clock was set back, the wait may be any time. */
    uint64_t longest =
        settings->retry_max_ms > WEIR_NOT_BEFORE_MAX ? settings->retry_max_ms : WEIR_NOT_BEFORE_MAX;
    uint64_t now = weir_clock_ms();
    weir_queue_t *queue = weir_queue_new(weir_column_int(res, 0, OPEN_HANDLED), WEIR_LINE_MAX,
                                         WEIR_WAITING_MAX, weir_delivery_free);

    for (int i = 0; i < PQntuples(res); i++) {
        int64_t position = weir_column_int(res, i, OPEN_POSITION);
        uint64_t wait = (uint64_t)weir_column_int(res, i, OPEN_WAIT_MS);

        if (PQgetisnull(res, i, OPEN_POSITION))
            continue;
        if (PQgetisnull(res, i, OPEN_WAIT_MS))
            weir_queue_mark(queue, position);
        else
            weir_queue_delay(queue, position, now + (wait < longest ? wait : longest));
    }
    return queue;
}

static void on_opened(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;
    weir_group_t *g = l->group;

    assert(l->queue == NULL);
    weir_refusal_note(&g->open_refused, g->consumer.group, "worker_open", error, sqlstate);
    if (error != NULL || PQntuples(res) == 0) {
        weir_lease_remove(l); /* the next heartbeat returns it again, if it is still ours */
    } else if (!weir_lease_is_gone(l)) {
        weir_lease_flow(l, queue_of(&g->worker->settings, res));
        weir_reader_open(l);
        weir_group_wake(g);
    }
    weir_lease_unref(l);
}

/* Lets other workers have the partition. False: the database gets no statement. */
static bool release(const weir_group_t *g, int partition, int64_t epoch)
{
    static const char sql[] = "SELECT worker_release($1::text, $2::text, $3::smallint, $4::bigint)";
    const char *values[] = {g->worker->id, g->consumer.group, WEIR_NUMBER(partition),
                            WEIR_NUMBER(epoch)};

    return weir_db_query(g->worker->db, sql, 4, values, NULL, NULL);
}

/* NULL if the group's session is not open. Then another worker may have the partition. */
static weir_lease_t *open_lease(weir_group_t *g, int partition, int64_t epoch)
{
    static const char sql[] = "SELECT handled, \"position\", wait_ms"
                              " FROM worker_open($1::text, $2::smallint, $3::bigint)";
    const char *values[] = {g->consumer.group, WEIR_NUMBER(partition), WEIR_NUMBER(epoch)};
    weir_lease_t *l = weir_lease_new(g, partition, epoch);

    if (weir_db_query(g->db, sql, 3, values, on_opened, l)) {
        weir_lease_ref(l);
        return l;
    }
    weir_lease_remove(l);
    (void)release(g, partition, epoch);
    return NULL;
}

bool weir_ownership_is_idle(const weir_lease_t *l)
{
    return l->queue != NULL && weir_reader_is_idle(l) && weir_handle_is_idle(l);
}

/* For a lease that another worker should get: nothing of it may be under way here. */
void weir_ownership_release(weir_lease_t *l)
{
    assert(weir_lease_is_closing(l));
    if (!weir_ownership_is_idle(l))
        weir_reader_kick(l->group);
    else if (release(l->group, l->partition, l->epoch))
        weir_lease_remove(l);
}

/* --- heartbeats ------------------------------------------------------------------------------ */

/* A row of worker_step(): this partition of the group is ours. */
static void take_row(weir_group_t *g, int partition, const PGresult *res, int row)
{
    int64_t epoch = weir_column_int(res, row, STEP_EPOCH);
    weir_lease_t *l;

    assert(partition >= 0 && partition < WEIR_PARTITIONS_MAX);
    l = g->leases[partition];
    weir_group_pause(g, weir_column_bool(res, row, STEP_PAUSED));
    if (l != NULL && l->epoch != epoch) {
        weir_lease_lose(l, "its lease had expired");
        l = NULL;
    }
    if (l == NULL)
        l = open_lease(g, partition, epoch);
    else if (weir_column_bool(res, row, STEP_SURPLUS))
        weir_lease_close(l);
    else
        weir_reader_beat(l, weir_column_int(res, row, STEP_POSITION));
    if (l != NULL && weir_column_bool(res, row, STEP_RENEWED))
        weir_lease_renew(l, g->worker->stepped_at + WEIR_LEASE_TTL);
}

static void take_rows(weir_group_t *g, const PGresult *res)
{
    bool owned[WEIR_PARTITIONS_MAX] = {false};

    for (int row = 0; row < PQntuples(res); row++) {
        int64_t partition = weir_column_int(res, row, STEP_PARTITION);

        if (strcmp(PQgetvalue(res, row, STEP_GROUP), g->consumer.group) != 0 || partition < 0 ||
            partition >= WEIR_PARTITIONS_MAX)
            continue;
        owned[partition] = true;
        take_row(g, (int)partition, res, row);
    }
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        if (g->leases[i] != NULL && !owned[i])
            weir_lease_lose(g->leases[i], "another worker has it");
    }
}

static void on_stepped(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_worker_t *w = arg;

    assert(w->stepping);
    w->stepping = false;
    if (w->state == WEIR_WORKER_LEAVING)
        return;
    if (w->state == WEIR_WORKER_RUNNING) {
        weir_refusal_note(&w->step_refused, w->id, "worker_step", error, sqlstate);
        if (error != NULL)
            return;
        w->registered = true;
    }
    for (size_t i = 0; i < w->count; i++) {
        if (w->state == WEIR_WORKER_RUNNING && w->groups[i].asked)
            take_rows(&w->groups[i], res);
        weir_group_wake(&w->groups[i]);
    }
}

void weir_ownership_step(weir_worker_t *w)
{
    static const char sql[] =
        "SELECT group_name, partition, epoch, \"position\", surplus, paused, renewed"
        " FROM worker_step($1::text, $2::text[], $3::int)";
    weir_array_t names = {0};
    bool any = false;
    char *list;

    if (w->stepping || w->state != WEIR_WORKER_RUNNING)
        return;
    for (size_t i = 0; i < w->count; i++) {
        weir_group_t *g = &w->groups[i];

        /*
         * Without its session a group could not use a lease: its leases expire. But the first
         * heartbeat names all groups: a new group begins where the slowest other one is, and would
         * miss what they handle until it is named. What it gets and cannot open is released.
         */
        g->asked = weir_db_is_up(g->db) || !w->registered;
        if (g->asked)
            weir_array_add(&names, g->consumer.group);
        any = any || weir_db_is_up(g->db);
    }
    list = weir_array_close(&names);
    w->stepping = any && weir_db_query(w->db, sql, 3,
                                       (const char *[]){w->id, list, WEIR_NUMBER(WEIR_LEASE_TTL)},
                                       on_stepped, w);
    free(list);
    /* The database's time begins later, when it receives the statement. */
    if (w->stepping)
        w->stepped_at = weir_clock_ms();
}

bool weir_ownership_is_stepping(const weir_worker_t *w)
{
    return w->stepping;
}
