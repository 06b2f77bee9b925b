/*
 * The worker: consumer groups, and which partitions of them this process handles.
 *
 * One worker at a time handles a (group, partition), so that no two workers handle one aggregate at
 * once. The owner is recorded in PostgreSQL as a lease with an epoch. Heartbeats and effects renew
 * a lease; a heartbeat takes expired leases (worker_step() has the rules), and shares them fairly
 * when workers come or go. Every transaction with effects locks the lease's row and checks the
 * epoch (a fence): a worker that was suspended and continues late cannot commit. An effect outside
 * of the database is fenced as far as possible: handlers call weir_delivery_is_owned() directly
 * before it, and made.h has the effects of lost leases.
 *
 * A group that an operator has paused (paused_groups) keeps its leases. Each heartbeat returns
 * whether the group is paused; a paused group takes no events.
 *
 * PostgreSQL also records whether an event was handled, in the transaction of its effects. Redis's
 * pending lists and acknowledgements are only for operators.
 *
 * Groups without a handler commit without waiting for the disk (synchronous_commit off): such
 * waits, one partition after the other, were most of the time from a command to its effects. A
 * crash of PostgreSQL may take back the last half second of effects, always together with their
 * marks. Then the events are handled again, provided that this worker discards its state: when a
 * group's session is lost, the worker drops the group's leases and opens them again from the state
 * in the database. No later effect depends on a lost one: PostgreSQL writes its log in order, so a
 * published event, a mark of a group with a handler and an acknowledged command are on the disk
 * only together with all effects before them. A client may read an effect that the crash takes back
 * for a moment. A handler's effect survives the crash; so groups with a handler wait for the disk,
 * and keep their state.
 *
 * private.h lists the files and the states of a worker, lease/lease.h the states of a lease. Each
 * group has its own database session and Redis connection, so that no group waits for another.
 */
#include "events/worker/handle.h"
#include "events/worker/lease/delivery.h"
#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "events/worker/measure.h"
#include "events/worker/ownership.h"
#include "events/worker/reader.h"
#include "events/worker/settle.h"
#include "events/worker/private.h"

#include "db/refusal.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#define BEAT 500 /* ms; a pause takes effect within this time */

static void move(weir_worker_t *w, weir_worker_state_t to)
{
    assert(to == w->state + 1); /* running, stopping, leaving */
    w->state = to;
}

/*
 * Without the database nothing can be finished, and the leases expire. Handlers are waited for in
 * any case: also those of lost leases call the group at their end.
 */
static bool is_idle(const weir_worker_t *w)
{
    bool up = weir_db_is_up(w->db);

    for (size_t i = 0; i < w->count; i++) {
        weir_group_t *g = &w->groups[i];
        bool busy = weir_handle_has_handlers(g);

        for (int n = 0; n < WEIR_PARTITIONS_MAX && up && !busy; n++)
            busy = g->leases[n] != NULL && !weir_ownership_is_idle(g->leases[n]);
        if (busy) {
            weir_reader_kick(g);
            return false;
        }
    }
    return true;
}

static void on_left(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_worker_t *w = arg;

    assert(w->state == WEIR_WORKER_LEAVING);
    (void)res;
    (void)error;
    (void)sqlstate;
    event_active(w->gone, EV_TIMEOUT, 0);
}

static void leave_when_idle(weir_worker_t *w)
{
    if (w->state != WEIR_WORKER_STOPPING || weir_ownership_is_stepping(w) || !is_idle(w))
        return;
    move(w, WEIR_WORKER_LEAVING);
    if (!weir_db_query(w->db, "SELECT worker_leave($1::text)", 1, (const char *[]){w->id}, on_left,
                       w))
        event_active(w->gone, EV_TIMEOUT, 0);
}

/* --- running -------------------------------------------------------------------------------- */

/* Does all work of the group that is possible now, and sets its timer for later work. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    weir_group_t *g = arg;
    uint64_t now = weir_clock_ms(), next = UINT64_MAX;

    (void)fd;
    (void)what;
    g->first = (g->first + 1) % WEIR_PARTITIONS_MAX;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        weir_lease_t *l = g->leases[(g->first + i) % WEIR_PARTITIONS_MAX];

        if (l == NULL || l->queue == NULL)
            continue;
        weir_handle_run(l, now, &next);
        if (weir_lease_is_closing(l))
            weir_ownership_release(l);
    }
    if (!weir_group_is_running(g)) {
        leave_when_idle(g->worker);
        return;
    }
    weir_reader_run(g);
    if (next != UINT64_MAX) {
        uint64_t ms = next > now ? next - now : 1;
        struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

        event_add(g->wake, &tv);
    }
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    weir_worker_t *w = arg;
    struct timeval tv = {BEAT / 1000, BEAT % 1000 * 1000};

    (void)fd;
    (void)what;
    weir_ownership_step(w);
    evtimer_add(w->beat, &tv);
}

static void on_worker_db(weir_db_t *db, bool up, void *arg)
{
    (void)db;
    if (up)
        weir_ownership_step(arg);
}

static bool waits_for_disk(const weir_group_t *g)
{
    return g->consumer.handle != NULL;
}

/*
 * The next heartbeat returns the leases that could not be opened without the session, or were
 * dropped with it.
 */
static void on_group_db(weir_db_t *db, bool up, void *arg)
{
    weir_group_t *g = arg;

    /* The next session may be on another server, with another history: see confirm.c. */
    g->session++;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        if (g->leases[i] != NULL)
            weir_lease_forget_newest(g->leases[i]);
    }
    if (!up && !waits_for_disk(g)) {
        for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
            if (g->leases[i] != NULL)
                weir_lease_remove(g->leases[i]);
        }
    }
    if (!up)
        return;
    /* If this is refused, commits wait for the disk, which is slower but safe. */
    if (!waits_for_disk(g))
        (void)!weir_db_query(db, "SET synchronous_commit = off", 0, NULL, NULL, NULL);
    weir_ownership_step(g->worker);
    weir_group_wake(g);
}

static void on_reader(weir_redis_t *redis, bool up, void *arg)
{
    (void)redis;
    if (up)
        weir_reader_up(arg);
}

/* --- start and stop -------------------------------------------------------------------------- */

static void free_worker(weir_worker_t *w)
{
    weir_measure_close(w);
    for (size_t i = 0; i < w->count; i++) {
        weir_group_t *g = &w->groups[i];

        if (g->redis != NULL)
            weir_redis_free(g->redis);
        if (g->db != NULL)
            weir_db_free(g->db);
        for (int n = 0; n < WEIR_PARTITIONS_MAX; n++) {
            if (g->leases[n] != NULL)
                weir_lease_remove(g->leases[n]);
        }
        if (g->wake != NULL)
            event_free(g->wake);
        weir_group_clear(g);
    }
    if (w->redis != NULL)
        weir_redis_free(w->redis);
    if (w->db != NULL)
        weir_db_free(w->db);
    event_free(w->beat);
    event_free(w->gone);
    free(w->groups);
    free(w);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    weir_worker_t *w = arg;
    weir_stopped_cb cb = w->stopped;
    void *cb_arg = w->stopped_arg;

    assert(w->state == WEIR_WORKER_LEAVING && cb != NULL);
    (void)fd;
    (void)what;
    weir_log(WEIR_LOG_INFO, NULL, "worker has stopped", "{s:s}", "worker", w->id);
    free_worker(w);
    cb(cb_arg);
}

void weir_worker_stop(weir_worker_t *w, weir_stopped_cb cb, void *arg)
{
    assert(cb != NULL);
    move(w, WEIR_WORKER_STOPPING);
    w->stopped = cb;
    w->stopped_arg = arg;
    evtimer_del(w->beat);
    for (size_t i = 0; i < w->count; i++)
        weir_group_wake(&w->groups[i]);
    if (w->count == 0) {
        move(w, WEIR_WORKER_LEAVING);
        event_active(w->gone, EV_TIMEOUT, 0);
    }
}

static bool start_group(weir_worker_t *w, weir_group_t *g, const weir_consumer_t *consumer,
                        char *error, size_t error_size)
{
    char name[64];

    weir_group_init(g, w, consumer);
    weir_handle_init(g);
    g->wake = evtimer_new(w->base, on_wake, g);
    snprintf(name, sizeof(name), "worker-%s", consumer->group);
    g->db = weir_db_new(w->base, w->settings.database, name, on_group_db, g);
    weir_db_begin_with(g->db, WEIR_LOCK_TIMEOUT);
    g->redis = weir_redis_new(w->base, w->settings.redis, name, on_reader, g, error, error_size);
    return g->redis != NULL;
}

weir_worker_t *weir_worker_start(struct event_base *base, const weir_events_settings_t *settings,
                                 const weir_consumer_t *consumers, size_t count, char *error,
                                 size_t error_size)
{
    weir_worker_t *w = weir_alloc(sizeof(*w));
    char host[64] = "";
    uint32_t unique;
    struct timeval now = {0, 0};

    assert(settings->database != NULL && settings->redis != NULL);
    assert(consumers != NULL || count == 0);
    w->base = base;
    w->settings = *settings;
    gethostname(host, sizeof(host) - 1);
    evutil_secure_rng_get_bytes(&unique, sizeof(unique));
    snprintf(w->id, sizeof(w->id), "%s-%d-%08x", host, (int)getpid(), unique);
    w->removed = weir_settle_leave_all;
    w->beat = evtimer_new(base, on_beat, w);
    w->gone = evtimer_new(base, on_gone, w);
    w->groups = weir_alloc_array(count + 1, sizeof(*w->groups));
    w->redis = weir_redis_new(base, settings->redis, "worker", NULL, NULL, error, error_size);
    for (size_t i = 0; w->redis != NULL && i < count; i++) {
        w->count = i + 1;
        if (!start_group(w, &w->groups[i], &consumers[i], error, error_size)) {
            free_worker(w);
            return NULL;
        }
    }
    if (w->redis == NULL) {
        free_worker(w);
        return NULL;
    }
    w->db = weir_db_new(base, settings->database, "worker", on_worker_db, w);
    weir_db_begin_with(w->db, "SET lock_timeout = '1s'"); /* heartbeats wait for each other */
    evtimer_add(w->beat, &now);
    weir_measure_open(w);
    return w;
}
