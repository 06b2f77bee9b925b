/*
 * The worker: consumer groups, and which partitions of them this process handles.
 *
 * A (group, partition) is handled by one worker at a time, so that no two handle one aggregate at
 * once.  Who that is stands in PostgreSQL as a lease with an epoch: heartbeats and effects renew
 * it, a heartbeat takes over what has expired (worker_step() says when), and shares fairly when
 * workers come or go.  Every transaction with effects locks the lease's row and checks the epoch (a
 * fence): a worker that was stopped in its tracks and comes back late cannot commit.  An effect
 * outside is fenced as well as it can be: handlers ask weir_delivery_is_owned() right before it,
 * and made.h remembers what was made when a lease got lost.
 *
 * A group that an operator has paused (paused_groups) keeps its leases: each heartbeat tells, and
 * nothing more is taken until it goes on.
 *
 * Whether an event was handled stands in PostgreSQL too, committed together with its effects.
 * Redis's pending lists and acknowledgements are for people to look at.
 *
 * Groups without a handler commit without waiting for the disk (synchronous_commit off): such
 * waits, one for each partition after the other, were most of the time from a command to its
 * effects.  A crash of PostgreSQL may take back the last half second of effects, always together
 * with their marks. Then the events are handled again, if only this worker forgets what it knew:
 * with a group's session it loses its leases in memory, and opens them anew from what the database
 * still has.  Nothing goes on from an effect that is taken back: the log is written in order, so
 * what the relay publishes, what a handler's group marks and every acknowledged command is on the
 * disk only with all effects before it. Who just reads may see an effect, and for a moment after
 * the crash none.  A handler's effect outlives the crash; so groups with one wait for the disk, and
 * keep what they know.
 *
 * A lease is opened (its marks and delays are read), attached to its stream, and then
 * flows: reader.c fills its queue, handle.c empties it.  Each group has a database session and a
 * Redis connection of its own, so that none waits for another.
 */
#include "events/worker_private.h"

#include "events/refusal.h"
#include "log/alloc.h"
#include "log/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ms */
#define BEAT 500              /* a pause is known within it */
#define STRANGE_HOLD 2000     /* until a stream that is ahead is looked at again */
#define STRANGE_SILENCE 60000 /* without a strange stream, until the log is told again */

/* --- leases ---------------------------------------------------------------------------- */

void weir_lease_unref(weir_lease_t *l)
{
    assert(l->refs > 0);
    if (--l->refs > 0)
        return;
    if (l->queue != NULL)
        weir_queue_free(l->queue);
    free(l->ids);
    free(l);
}

/* Takes the lease out of its group; callbacks under way may still hold it. */
static void remove_lease(weir_lease_t *l)
{
    if (l->gone)
        return;
    l->gone = true;
    weir_handle_leave(l);
    l->group->leases[l->partition] = NULL;
    weir_lease_unref(l);
}

void weir_lease_lost(weir_lease_t *l, const char *why)
{
    if (l->gone)
        return;
    weir_log(WEIR_LOG_WARN, NULL, "partition is given up", "{s:s,s:i,s:s}", "group",
             l->group->consumer.group, "partition", l->partition, "reason", why);
    remove_lease(l);
}

void weir_lease_strange(weir_lease_t *l, int64_t position, bool ahead)
{
    weir_group_t *g = l->group;
    weir_worker_t *w = g->worker;
    uint64_t now = weir_now_ms();

    if (w->strange_at == 0 || now - w->strange_at > STRANGE_SILENCE)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "a stream has events that the database does not have: a standby was promoted that "
                 "lacks the last transactions, or a backup was restored. They are left alone; "
                 "where the relay says so, too, run: weirctl relay rebase",
                 "{s:s,s:i,s:I}", "group", g->consumer.group, "partition", l->partition, "position",
                 (json_int_t)position);
    w->strange_at = now;
    g->outbox_to[l->partition] = ahead || position < l->newest ? l->newest : position;
    if (ahead)
        g->stream_hold[l->partition] = now + STRANGE_HOLD;
    /* What is under way is finished first: its effects are made. */
    l->closing = true;
    weir_group_wake(g);
}

static void on_opened(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;
    const weir_events_settings_t *settings = &l->group->worker->settings;
    /* A database whose clock was set back may name any time. */
    uint64_t longest = settings->retry_max_ms > WEIR_NOT_BEFORE_MAX ? settings->retry_max_ms
                                                                    : WEIR_NOT_BEFORE_MAX;
    uint64_t now = weir_now_ms();

    l->opening = false;
    weir_refusal_note(&l->group->open_refused, l->group->consumer.group, "worker_open", error,
                      sqlstate);
    if (error != NULL || PQntuples(res) == 0) {
        remove_lease(l); /* the next heartbeat finds it again, if it is ours */
    } else {
        l->queue = weir_queue_new(strtoll(PQgetvalue(res, 0, 0), NULL, 10), WEIR_LINE_MAX,
                                  WEIR_WAITING_MAX, weir_delivery_free);
        for (int i = 0; i < PQntuples(res); i++) {
            int64_t position = strtoll(PQgetvalue(res, i, 1), NULL, 10);
            uint64_t wait = strtoull(PQgetvalue(res, i, 2), NULL, 10);

            if (PQgetisnull(res, i, 1))
                continue;
            if (PQgetisnull(res, i, 2))
                weir_queue_mark(l->queue, position);
            else
                weir_queue_delay(l->queue, position, now + (wait < longest ? wait : longest));
        }
        l->hold = l->group->stream_hold[l->partition];
        if (l->group->outbox_to[l->partition] >= weir_queue_unseen(l->queue))
            l->gap_to = l->group->outbox_to[l->partition];
        if (!l->gone)
            weir_group_wake(l->group);
    }
    weir_lease_unref(l);
}

static void open_lease(weir_group_t *g, int partition, int64_t epoch)
{
    static const char sql[] = "SELECT * FROM worker_open($1::text, $2::smallint, $3::bigint)";
    weir_lease_t *l = weir_alloc(sizeof(*l));
    char number[12], text[24];

    *l = (weir_lease_t){.group = g, .partition = partition, .epoch = epoch, .refs = 1};
    TAILQ_INIT(&l->results);
    g->leases[partition] = l;
    snprintf(number, sizeof(number), "%d", partition);
    snprintf(text, sizeof(text), "%" PRId64, epoch);
    l->opening = weir_db_query(g->db, sql, 3, (const char *[]){g->consumer.group, number, text},
                               on_opened, l);
    if (l->opening)
        l->refs++;
    else
        remove_lease(l);
}

static bool is_idle(const weir_lease_t *l)
{
    return !l->opening && !l->in_read && !l->fetching && !l->attaching && weir_handle_idle(l);
}

/* Gives back what another worker should have; it must find nothing of ours under way. */
static void release(weir_lease_t *l)
{
    static const char sql[] = "SELECT worker_release($1::text, $2::text, $3::smallint, $4::bigint)";
    char partition[12], epoch[24];

    if (!is_idle(l)) {
        weir_reader_kick(l->group);
        return;
    }
    snprintf(partition, sizeof(partition), "%d", l->partition);
    snprintf(epoch, sizeof(epoch), "%" PRId64, l->epoch);
    if (weir_db_query(
            l->group->worker->db, sql, 4,
            (const char *[]){l->group->worker->id, l->group->consumer.group, partition, epoch},
            NULL, NULL))
        remove_lease(l);
}

/* --- running -------------------------------------------------------------------------------- */

static void stop_when_idle(weir_worker_t *w);

void weir_group_wake(weir_group_t *g)
{
    event_active(g->wake, EV_TIMEOUT, 0);
}

/* Whatever the group can do now; arms its timer for what it can do later. */
static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    weir_group_t *g = arg;
    uint64_t now = weir_now_ms(), next = UINT64_MAX;

    (void)fd;
    (void)what;
    g->first = (g->first + 1) % WEIR_PARTITIONS_MAX;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        weir_lease_t *l = g->leases[(g->first + i) % WEIR_PARTITIONS_MAX];

        if (l == NULL || l->queue == NULL)
            continue;
        weir_handle_run(l, now, &next);
        if (l->closing)
            release(l);
    }
    if (g->worker->stopped != NULL) {
        stop_when_idle(g->worker);
        return;
    }
    weir_reader_run(g);
    if (next != UINT64_MAX) {
        uint64_t ms = next > now ? next - now : 1;
        struct timeval tv = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};

        event_add(g->wake, &tv);
    }
}

/* --- heartbeats ------------------------------------------------------------------------------ */

static weir_group_t *group_named(weir_worker_t *w, const char *name)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->groups[i].consumer.group, name) == 0)
            return &w->groups[i];
    }
    return NULL;
}

static void set_paused(weir_group_t *g, bool paused)
{
    if (g->paused != paused)
        weir_log(WEIR_LOG_INFO, NULL, paused ? "group is paused" : "group goes on", "{s:s}",
                 "group", g->consumer.group);
    g->paused = paused;
}

static void on_stepped(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_worker_t *w = arg;
    bool owned[WEIR_PARTITIONS_MAX];

    w->stepping = false;
    if (w->stopped != NULL) {
        stop_when_idle(w);
        return;
    }
    weir_refusal_note(&w->refused, w->id, "worker_step", error, sqlstate);
    if (error != NULL)
        return;

    for (size_t i = 0; i < w->count; i++) {
        weir_group_t *g = &w->groups[i];

        memset(owned, 0, sizeof(owned));
        for (int row = 0; row < PQntuples(res); row++) {
            int partition = atoi(PQgetvalue(res, row, 1));
            int64_t epoch = strtoll(PQgetvalue(res, row, 2), NULL, 10);
            weir_lease_t *l;

            if (group_named(w, PQgetvalue(res, row, 0)) != g || partition < 0 ||
                partition >= WEIR_PARTITIONS_MAX)
                continue;
            owned[partition] = true;
            set_paused(g, *PQgetvalue(res, row, 6) == 't');
            l = g->leases[partition];
            if (l != NULL && l->epoch != epoch) {
                weir_lease_lost(l, "its lease had expired");
                l = NULL;
            }
            if (l == NULL)
                open_lease(g, partition, epoch);
            else if (*PQgetvalue(res, row, 5) == 't')
                l->closing = true;
            else
                weir_reader_beat(l, strtoll(PQgetvalue(res, row, 4), NULL, 10));
            l = g->leases[partition];
            if (l != NULL && *PQgetvalue(res, row, 7) == 't')
                l->until = w->asked + WEIR_LEASE_TTL;
        }
        for (int n = 0; n < WEIR_PARTITIONS_MAX; n++) {
            if (g->leases[n] != NULL && !owned[n])
                weir_lease_lost(g->leases[n], "another worker has it");
        }
        weir_group_wake(g);
    }
}

static void step(weir_worker_t *w)
{
    static const char sql[] = "SELECT * FROM worker_step($1::text, $2::text[], $3::int)";
    char ttl[12];

    if (w->stepping || w->stopped != NULL)
        return;
    for (size_t i = 0; i < w->count; i++) {
        if (!weir_db_is_up(w->groups[i].db))
            return; /* takes no lease that it could not use */
    }
    snprintf(ttl, sizeof(ttl), "%d", WEIR_LEASE_TTL);
    w->stepping =
        weir_db_query(w->db, sql, 3, (const char *[]){w->id, w->group_names, ttl}, on_stepped, w);
    /* The database counts from when it gets this, which is later. */
    if (w->stepping)
        w->asked = weir_now_ms();
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    weir_worker_t *w = arg;
    struct timeval tv = {BEAT / 1000, BEAT % 1000 * 1000};

    (void)fd;
    (void)what;
    step(w);
    evtimer_add(w->beat, &tv);
}

static void on_worker_db(weir_db_t *db, bool up, void *arg)
{
    (void)db;
    if (up)
        step(arg);
}

static bool waits_for_disk(const weir_group_t *g)
{
    return g->consumer.handle != NULL;
}

/* Leases that were not opened without the session, or were forgotten with it, are found again. */
static void on_group_db(weir_db_t *db, bool up, void *arg)
{
    weir_group_t *g = arg;

    /* The next session may be another server's, with another history: see is_confirmed(). */
    g->session++;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        if (g->leases[i] != NULL)
            g->leases[i]->newest = 0;
    }
    if (!up && !waits_for_disk(g)) {
        for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
            if (g->leases[i] != NULL)
                remove_lease(g->leases[i]);
        }
    }
    if (!up)
        return;
    /* If it is refused, commits wait for the disk: slower, and no worse. */
    if (!waits_for_disk(g))
        (void)!weir_db_query(db, "SET synchronous_commit = off", 0, NULL, NULL, NULL);
    step(g->worker);
    weir_group_wake(g);
}

static void on_reader(weir_redis_t *redis, bool up, void *arg)
{
    (void)redis;
    if (up)
        weir_reader_up(arg);
}

/* --- start and stop ------------------------------------------------------------------------------
 */

static void free_worker(weir_worker_t *w)
{
    for (size_t i = 0; i < w->count; i++) {
        weir_group_t *g = &w->groups[i];

        if (g->reader != NULL)
            weir_redis_free(g->reader);
        if (g->db != NULL)
            weir_db_free(g->db);
        for (int n = 0; n < WEIR_PARTITIONS_MAX; n++) {
            if (g->leases[n] != NULL)
                remove_lease(g->leases[n]);
        }
        if (g->wake != NULL)
            event_free(g->wake);
        free(g->types);
        free(g->permanent);
    }
    if (w->redis != NULL)
        weir_redis_free(w->redis);
    if (w->db != NULL)
        weir_db_free(w->db);
    event_free(w->beat);
    event_free(w->gone);
    free(w->group_names);
    free(w->groups);
    free(w);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    weir_worker_t *w = arg;
    weir_stopped_cb cb = w->stopped;
    void *cb_arg = w->stopped_arg;

    (void)fd;
    (void)what;
    weir_log(WEIR_LOG_INFO, NULL, "worker has stopped", "{s:s}", "worker", w->id);
    free_worker(w);
    cb(cb_arg);
}

static void on_left(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_worker_t *w = arg;

    (void)res;
    (void)error;
    (void)sqlstate;
    event_active(w->gone, EV_TIMEOUT, 0);
}

/* Without the database nothing can be finished: the leases expire by themselves. */
static void stop_when_idle(weir_worker_t *w)
{
    bool up = weir_db_is_up(w->db);

    if (w->leaving || w->stepping)
        return;
    for (size_t i = 0; i < w->count; i++) {
        for (int n = 0; n < WEIR_PARTITIONS_MAX; n++) {
            const weir_lease_t *l = w->groups[i].leases[n];

            if (l == NULL || is_idle(l))
                continue;
            if (l->handling > 0 || up) {
                weir_reader_kick(&w->groups[i]);
                return;
            }
        }
    }
    w->leaving = true;
    if (!weir_db_query(w->db, "SELECT worker_leave($1::text)", 1, (const char *[]){w->id}, on_left,
                       w))
        event_active(w->gone, EV_TIMEOUT, 0);
}

void weir_worker_stop(weir_worker_t *w, weir_stopped_cb cb, void *arg)
{
    w->stopped = cb;
    w->stopped_arg = arg;
    evtimer_del(w->beat);
    for (size_t i = 0; i < w->count; i++)
        weir_group_wake(&w->groups[i]);
    if (w->count == 0)
        event_active(w->gone, EV_TIMEOUT, 0);
}

static char *list(const char *const *names)
{
    weir_array_t a = {0};

    for (; *names != NULL; names++)
        weir_array_add(&a, *names);
    return weir_array_close(&a);
}

static char *permanent_list(const char *text)
{
    weir_array_t a = {0};
    char *copy = weir_alloc_text(text != NULL ? text : ""), *rest = copy, *part;

    while ((part = strsep(&rest, ",")) != NULL) {
        if (*part != '\0')
            weir_array_add(&a, part);
    }
    free(copy);
    return weir_array_close(&a);
}

static bool start_group(weir_worker_t *w, weir_group_t *g, const weir_consumer_t *consumer,
                        char *error, size_t error_size)
{
    char name[64];

    g->worker = w;
    g->consumer = *consumer;
    g->types = list(consumer->types);
    g->permanent = permanent_list(consumer->permanent);
    g->wake = evtimer_new(w->base, on_wake, g);
    weir_dependency_init(&g->dependency, consumer->dependency);
    snprintf(name, sizeof(name), "worker-%s", consumer->group);
    g->db = weir_db_new(w->base, w->settings.database, name, on_group_db, g);
    weir_db_begin_with(g->db, WEIR_LOCK_TIMEOUT);
    g->reader = weir_redis_new(w->base, w->settings.redis, name, on_reader, g, error, error_size);
    return g->reader != NULL;
}

weir_worker_t *weir_worker_start(struct event_base *base, const weir_events_settings_t *settings,
                                 const weir_consumer_t *consumers, size_t count, char *error,
                                 size_t error_size)
{
    weir_worker_t *w = weir_alloc(sizeof(*w));
    weir_array_t names = {0};
    char host[64] = "";
    uint32_t unique;
    struct timeval now = {0, 0};

    w->base = base;
    w->settings = *settings;
    gethostname(host, sizeof(host) - 1);
    evutil_secure_rng_get_bytes(&unique, sizeof(unique));
    snprintf(w->id, sizeof(w->id), "%s-%d-%08x", host, (int)getpid(), unique);
    w->beat = evtimer_new(base, on_beat, w);
    w->gone = evtimer_new(base, on_gone, w);
    w->groups = weir_alloc_array(count + 1, sizeof(*w->groups));
    w->redis = weir_redis_new(base, settings->redis, "worker", NULL, NULL, error, error_size);
    for (size_t i = 0; w->redis != NULL && i < count; i++) {
        weir_array_add(&names, consumers[i].group);
        w->count = i + 1;
        if (!start_group(w, &w->groups[i], &consumers[i], error, error_size)) {
            free(weir_array_close(&names));
            free_worker(w);
            return NULL;
        }
    }
    if (w->redis == NULL) {
        free_worker(w);
        return NULL;
    }
    w->group_names = weir_array_close(&names);
    w->db = weir_db_new(base, settings->database, "worker", on_worker_db, w);
    weir_db_begin_with(w->db, "SET lock_timeout = '1s'"); /* heartbeats wait for each other */
    evtimer_add(w->beat, &now);
    return w;
}
