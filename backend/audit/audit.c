/*
 * The audit log's component: which process seals, and what it does next.
 *
 * One process at a time is the sealer: its database session holds an advisory lock, which others
 * try to get. At each tick, and when a statement has ended, the next one is chosen: records are
 * sealed first, then a head is signed, then heads are exported. All state that matters is in
 * PostgreSQL, so a killed sealer leaves nothing behind that the next one needs.
 */
#include "audit/private.h"

#include "db/refusal.h"
#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"
#include "metrics/series.h"

#include <assert.h>
#include <stdlib.h>
#include <time.h>

/* ms */
#define TICK 1000 /* the longest time until a committed record is looked for */
#define PREPARE_EVERY 3600000

static void next(weir_audit_t *a);

static void arm(struct event *timer, unsigned ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

    evtimer_add(timer, &tv);
}

/* --- the lock -------------------------------------------------------------------------------- */

static void done(weir_audit_t *a, bool failed)
{
    assert(a->busy);
    a->busy = false;
    if (a->stopped != NULL)
        arm(a->gone, 0);
    else if (!failed)
        next(a);
}

static void on_lock(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;

    weir_refusal_note(&a->lock_refused, "audit", "lock", error, sqlstate);
    a->locked = error == NULL && weir_column_bool(res, 0, 0); /* the only column */
    if (a->locked)
        weir_log(WEIR_LOG_INFO, NULL, "audit records are sealed by this process", "{s:s}", "key",
                 a->key.pkey != NULL ? a->key.id : "none, so no head is signed");
    else if (error == NULL && !a->waits)
        weir_log(WEIR_LOG_INFO, NULL, "another process seals audit records, waiting for it to stop",
                 NULL);
    a->waits = error == NULL && !a->locked;
    a->prepare_at = a->sign_at = 0;
    a->newest_known = false;
    done(a, !a->locked);
}

static bool lock(weir_audit_t *a)
{
    static const char sql[] = "SELECT pg_try_advisory_lock(2003134834, 5)"; /* 'weir', 5 */

    return weir_db_query(a->db, sql, 0, NULL, on_lock, a);
}

/* --- what is next ---------------------------------------------------------------------------- */

static void on_prepared(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_audit_t *a = arg;

    (void)res;
    weir_refusal_note(&a->prepare_refused, "audit", "audit_prepare", error, sqlstate);
    a->prepare_at = weir_clock_ms() + (error == NULL ? PREPARE_EVERY : TICK);
    done(a, error != NULL);
}

/* Sends the next statement; false if there is nothing to do, or no session. */
static bool choose(weir_audit_t *a)
{
    uint64_t now = weir_clock_ms();

    if (!a->locked)
        return lock(a);
    if (a->may_seal) {
        a->may_seal = false;
        return weir_audit_seal(a);
    }
    if (now >= a->prepare_at)
        return weir_db_query(a->db, "SELECT audit_prepare()", 0, NULL, on_prepared, a);
    if (weir_audit_refused_write(a))
        return true;
    if (a->key.pkey == NULL)
        return false;
    if (a->newest_known && now >= a->sign_at) {
        a->sign_at = now + a->settings.interval_ms;
        return weir_audit_sign_next(a);
    }
    if (!a->newest_known && (!a->diverged || now >= a->sign_at)) {
        if (a->diverged)
            a->sign_at = now + a->settings.interval_ms;
        return weir_audit_read_newest(a);
    }

    return weir_audit_export(a);
}

static void next(weir_audit_t *a)
{
    if (a->busy || a->stopped != NULL || !weir_db_is_up(a->db))
        return;
    a->busy = true; /* a callback never runs within the call that sends its statement */
    a->busy = choose(a);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    weir_audit_t *a = arg;

    (void)fd;
    (void)what;
    arm(a->tick, TICK);
    a->may_seal = true;
    if (a->locked)
        weir_audit_refused_read(a);
    next(a);
}

static void on_db(weir_db_t *db, bool up, void *arg)
{
    weir_audit_t *a = arg;

    (void)db;
    a->locked = false;
    weir_audit_refused_forget(a);
    if (up)
        next(a);
}

static void on_redis(weir_redis_t *redis, bool up, void *arg)
{
    (void)redis;
    (void)up;
    weir_audit_forget_stream(arg);
}

/* --- metrics --------------------------------------------------------------------------------- */

static void set_waiting(const weir_audit_t *a, const weir_audit_outlet_t *outlet, const char *to)
{
    uint64_t waiting = outlet->known && outlet->last < a->newest ? a->newest - outlet->last : 0;

    /* Where the last one is not known, all may be missing. */
    weir_series_set(weir_series(WEIR_AUDIT_WAITING, &to), outlet->known ? waiting : a->newest);
}

static void collect(void *arg)
{
    const weir_audit_t *a = arg;
    int64_t age = a->locked && a->newest_time > 0 ? (int64_t)time(NULL) - a->newest_time : 0;

    weir_series_set(weir_series(WEIR_AUDIT_ACTIVE, NULL), a->locked);
    weir_series_set(weir_series(WEIR_AUDIT_SEALED, NULL), a->sealed);
    weir_series_set(weir_series(WEIR_AUDIT_UNSEALED, NULL), a->locked ? a->unsealed : 0);
    weir_series_set(weir_series(WEIR_AUDIT_SIGNED, NULL), a->signed_heads);
    weir_series_set(weir_series(WEIR_AUDIT_AGE, NULL), age > 0 ? (uint64_t)age * 1000 : 0);
    weir_series_set(weir_series(WEIR_AUDIT_DIVERGED, NULL), a->locked && a->diverged);
    if (a->locked && a->key.pkey != NULL && a->newest_known) {
        set_waiting(a, &a->stream, "redis");
        if (a->settings.heads[0] != '\0')
            set_waiting(a, &a->file, "file");
    }
}

/* --- start and stop -------------------------------------------------------------------------- */

static void free_audit(weir_audit_t *a)
{
    weir_series_forget(collect, a);
    if (a->redis != NULL)
        weir_redis_free(a->redis);
    if (a->db != NULL)
        weir_db_free(a->db);
    weir_audit_refused_close(a);
    event_free(a->tick);
    event_free(a->gone);
    weir_audit_key_release(&a->key);
    free(a->head);
    free(a->head_chains);
    free(a);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    weir_audit_t *a = arg;
    void (*cb)(void *arg) = a->stopped;
    void *cb_arg = a->stopped_arg;

    (void)fd;
    (void)what;
    assert(cb != NULL && !a->busy);
    free_audit(a);
    cb(cb_arg);
}

weir_audit_t *weir_audit_start(struct event_base *base, const weir_audit_settings_t *settings,
                               char *error, size_t error_size)
{
    weir_audit_t *a = weir_alloc(sizeof(*a));

    assert(settings->key != NULL && settings->heads != NULL && settings->interval_ms > 0);
    a->base = base;
    a->settings = *settings;
    a->done = done;
    weir_audit_refused_open(a);
    a->may_seal = true;
    a->tick = evtimer_new(base, on_tick, a);
    a->gone = evtimer_new(base, on_gone, a);
    a->head = weir_alloc(sizeof(*a->head));
    a->head_chains = weir_alloc(sizeof(*a->head_chains));
    if (settings->key[0] != '\0' &&
        !weir_audit_key_read(&a->key, settings->key, error, error_size)) {
        free_audit(a);
        return NULL;
    }
    a->redis = weir_redis_new(base, settings->redis, "audit", on_redis, a, error, error_size);
    if (a->redis == NULL) {
        free_audit(a);
        return NULL;
    }
    a->db = weir_db_new(base, settings->database, "audit", on_db, a);
    weir_db_begin_with(a->db, WEIR_LOCK_TIMEOUT);
    arm(a->tick, TICK);
    weir_series_collect(collect, a);

    return a;
}

void weir_audit_stop(weir_audit_t *a, void (*cb)(void *arg), void *arg)
{
    assert(cb != NULL && a->stopped == NULL);
    a->stopped = cb;
    a->stopped_arg = arg;
    if (!a->busy)
        arm(a->gone, 0);
}
