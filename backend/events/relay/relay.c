/*
 * The relay: from the outbox to the streams.
 *
 * One relay is active at a time: its database session holds an advisory lock, which others try to
 * get. A step is one transaction, relay_take(): it gives positions to the first waiting rows of
 * each partition. After the commit the rows are published. Events that were not published are found
 * again by their positions, so no state in memory is essential.
 *
 * Order. Rows are taken by id, without regard to transaction ids or a snapshot's xmin. Two events
 * of one aggregate are ordered by the lock on its row: the first one's transaction has committed
 * before the second one draws its id, so its id is lower, and a snapshot that sees the second sees
 * the first. A row with a low id that commits late gets a later position. No row is skipped,
 * because the condition is "position IS NULL" and not "id above the last one". (Waiting for xmin
 * would even break the order: of two such transactions the second may have the older transaction
 * id, and would be taken while the first still waits. Also, any long transaction would delay all
 * events.)
 *
 * Each partition has one of the states of weir_outlet_state_t (private.h).
 *
 * Terms. With the lock a relay begins a term, relay_lead(), and gets the token of its appends
 * (log_stream.h). It gives positions only after it has checked the streams, which has raised their
 * fences: appends of earlier relays either are in the stream and were seen, or will be refused.
 *
 * Events that all groups have handled are kept for replays until they are outbox_keep_s old. Then
 * the relay deletes them in small batches.
 *
 * A stream that was emptied starts again after the last position that all groups have handled, not
 * at the beginning of history. Streams are trimmed up to the same position.
 */
#include "events/relay/private.h"

#include "events/cloudevent.h"
#include "db/refusal.h"
#include "log/alloc.h"
#include "log/log.h"
#include "metrics/series.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAKE_MAX 128    /* events of one partition in one step */
#define IN_FLIGHT_MAX 2 /* batches of one partition on their way to Redis */
#define STREAM_LIMIT 100000

/* Columns of relay_state(), and of relay_lead(). */
enum { STATE_PARTITION, STATE_POSITION, STATE_HANDLED, STATE_SLOWEST, STATE_HALTED, STATE_ERA };
enum { LEAD_TOKEN, LEAD_ERA };

/* ms */
#define POLL_ACTIVE 5 /* the longest wait of an event when another process runs the command */
#define POLL_IDLE 200
#define ACTIVE_FOR 1000 /* after the last event */
#define TICK 1000       /* check the streams in Redis, and trim them */
#define LOCK_RETRY 300
#define HOUSEKEEPING 60000    /* when no event was old enough; less if outbox_keep is short */
#define HOUSEKEEPING_MORE 100 /* after a batch */
#define EXPIRE_MAX 250        /* events of one partition in a batch */

static void arm(struct event *timer, unsigned ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

    evtimer_add(timer, &tv);
}

static void poll_later(weir_relay_t *r)
{
    arm(r->poll, r->quiet < ACTIVE_FOR ? POLL_ACTIVE : POLL_IDLE);
}

/* True when the relay is stopping. Ends it when nothing is under way. */
static bool is_stopping(weir_relay_t *r)
{
    bool busy = r->taking || r->expiring || r->beginning;

    if (r->stopped == NULL)
        return false;
    for (int i = 0; i < r->count; i++)
        busy = busy || r->outlets[i].in_flight > 0 || r->outlets[i].marking > 0;
    if (!busy)
        event_active(r->gone, EV_TIMEOUT, 0);
    return true;
}

/* --- from the outbox -------------------------------------------------------- */

static void take(weir_relay_t *r);

static int partition_of(const PGresult *rows, int row)
{
    return (int)weir_column_int(rows, row, WEIR_CLOUDEVENT_PARTITION);
}

static void on_taken(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_relay_t *r = arg;
    int n = error == NULL ? PQntuples(res) : 0;
    bool more = false;

    assert(r->taking);
    r->taking = false;
    weir_refusal_note(&r->take_refused, "relay", "relay_take", error, sqlstate);
    if (error != NULL) {
        r->leads = false; /* it is unknown whether it committed: the positions are read again */
        arm(r->tick, LOCK_RETRY);
    }

    for (int i = 0, next; i < n; i = next) {
        int number = partition_of(res, i);
        weir_outlet_t *p;

        if (number < 0 || number >= r->count)
            break; /* not a partition of the query */
        p = &r->outlets[number];
        for (next = i; next < n && partition_of(res, next) == number; next++)
            ;
        more = more || next - i == TAKE_MAX;
        p->given = weir_column_int(res, next - 1, WEIR_CLOUDEVENT_POSITION);
        if (p->state == WEIR_FOLLOWING)
            weir_outlet_publish(p, res, i, next);
    }
    if (is_stopping(r))
        return;
    if (n > 0)
        r->quiet = 0;
    if (more || (error == NULL && r->woken))
        take(r);
    else
        poll_later(r);
}

/* Takes rows for all outlets that can accept some. */
static void take(weir_relay_t *r)
{
    static const char sql[] =
        "SELECT " WEIR_CLOUDEVENT_COLUMNS " FROM relay_take($1::int, $2::smallint[])";
    char list[WEIR_OUTLETS_MAX * 4 + 3] = "{";
    size_t len = 1;

    if (r->taking || r->stopped != NULL)
        return;
    r->woken = r->congested = false;
    for (int i = 0; i < r->count && r->leads; i++) {
        const weir_outlet_t *p = &r->outlets[i];

        if (p->state != WEIR_FOLLOWING)
            continue;
        if (p->in_flight < IN_FLIGHT_MAX)
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%d", len > 1 ? "," : "",
                                    p->number);
        else
            r->congested = true;
    }
    snprintf(list + len, sizeof(list) - len, "}");
    if (len > 1)
        r->taking = weir_db_query(r->db, sql, 2, (const char *[]){WEIR_NUMBER(TAKE_MAX), list},
                                  on_taken, r);
    if (!r->taking)
        poll_later(r);
}

static void on_poll(evutil_socket_t fd, short what, void *arg)
{
    weir_relay_t *r = arg;

    (void)fd;
    (void)what;
    if (r->quiet < ACTIVE_FOR)
        r->quiet += POLL_ACTIVE;
    take(r);
}

void weir_relay_wake(weir_relay_t *r)
{
    if (r == NULL || r->stopped != NULL)
        return;
    r->quiet = 0;
    r->woken = true;
    if (!r->taking)
        arm(r->poll, 0);
}

/* --- leading ----------------------------------------------------------------- */

static void begin_term(weir_relay_t *r);

/* Takes a row of relay_state(). */
static void look_at(weir_relay_t *r, int number, PGresult *res, int row)
{
    weir_outlet_t *p;

    assert(number >= 0 && number < WEIR_OUTLETS_MAX);
    p = &r->outlets[number];
    p->handled = weir_column_int(res, row, STATE_HANDLED);
    snprintf(p->slowest, sizeof(p->slowest), "%s", PQgetvalue(res, row, STATE_SLOWEST));
    if (p->marking == 0)
        p->halted = *PQgetvalue(res, row, STATE_HALTED) != '\0';
    /* A row may be new while the relay leads: an operator has put it back. */
    if (!r->leads || p->relay == NULL) {
        p->relay = r;
        p->number = number;
        p->given = weir_column_int(res, row, STATE_POSITION);
        p->state = WEIR_UNKNOWN;
        if (p->told == WEIR_UNKNOWN)
            p->told = WEIR_FOLLOWING;
        if (number >= r->count)
            r->count = number + 1;
    }
    /* Redis answers after this loop, when all positions are known. */
    weir_outlet_check(p);
}

static void on_state(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_relay_t *r = arg;

    assert(r->asking);
    r->asking = false;
    weir_refusal_note(&r->state_refused, "relay", "relay_state", error, sqlstate);
    if (is_stopping(r) || error != NULL || !r->locked || r->token[0] == '\0')
        return;
    if (PQntuples(res) > 0 && strcmp(PQgetvalue(res, 0, STATE_ERA), r->era) != 0) {
        begin_term(r); /* an operator has begun a new era */
        return;
    }
    for (int i = 0; i < PQntuples(res); i++) {
        int number = (int)weir_column_int(res, i, STATE_PARTITION);

        if (number >= 0 && number < WEIR_OUTLETS_MAX)
            look_at(r, number, res, i);
    }
    if (!r->leads)
        arm(r->poll, POLL_ACTIVE);
    r->leads = true;
}

/*
 * Positions are given only while the streams in Redis can be compared: a database that was restored
 * meanwhile must be detected before it gives positions that a stream already has.
 */
static void ask_state(weir_relay_t *r)
{
    if (r->locked && r->token[0] == '\0')
        begin_term(r);
    else if (r->locked && !r->asking && r->stopped == NULL && weir_redis_is_up(r->redis))
        r->asking = weir_db_query(
            r->db,
            "SELECT partition, \"position\", handled, slowest, halted, era FROM relay_state()", 0,
            NULL, on_state, r);
}

static void on_begun(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_relay_t *r = arg;
    uint32_t own;

    assert(r->beginning);
    r->beginning = false;
    weir_refusal_note(&r->lead_refused, "relay", "relay_lead", error, sqlstate);
    if (is_stopping(r) || error != NULL || !r->locked || PQntuples(res) != 1 ||
        PQgetlength(res, 0, LEAD_TOKEN) != WEIR_TOKEN_DIGITS)
        return; /* the next tick tries again */
    evutil_secure_rng_get_bytes(&own, sizeof(own));
    snprintf(r->token, sizeof(r->token), "%s%08" PRIx32, PQgetvalue(res, 0, LEAD_TOKEN), own);
    snprintf(r->era, sizeof(r->era), "%s", PQgetvalue(res, 0, LEAD_ERA));
    weir_log(WEIR_LOG_INFO, NULL, "relay is active", "{s:s}", "term", r->token);
    ask_state(r);
}

static void begin_term(weir_relay_t *r)
{
    r->leads = false;
    r->token[0] = '\0';
    if (!r->beginning && r->stopped == NULL)
        r->beginning =
            weir_db_query(r->db, "SELECT token, era FROM relay_lead()", 0, NULL, on_begun, r);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    weir_relay_t *r = arg;

    (void)fd;
    (void)what;
    ask_state(r);
    arm(r->tick, TICK);
}

static void on_lock(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_relay_t *r = arg;

    assert(!r->locked);
    weir_refusal_note(&r->lock_refused, "relay", "lock", error, sqlstate);
    if (is_stopping(r) || error != NULL) {
        arm(r->lock_retry, LOCK_RETRY);
        return;
    }
    r->locked = weir_column_bool(res, 0, 0); /* the only column */
    if (r->locked) {
        begin_term(r);
    } else {
        if (!r->waits)
            weir_log(WEIR_LOG_INFO, NULL, "another relay is active, waiting for it to stop", NULL);
        arm(r->lock_retry, LOCK_RETRY);
    }
    r->waits = !r->locked;
}

/* Polls instead of waiting in the server: a waiting statement would block vacuum. */
static void on_lock_retry(evutil_socket_t fd, short what, void *arg)
{
    static const char sql[] = "SELECT pg_try_advisory_lock(2003134834, 1)"; /* 'weir', 1 */
    weir_relay_t *r = arg;

    (void)fd;
    (void)what;
    if (!r->locked && r->stopped == NULL)
        (void)!weir_db_query(r->db, sql, 0, NULL, on_lock, r);
}

static void on_db(weir_db_t *db, bool up, void *arg)
{
    weir_relay_t *r = arg;

    (void)db;
    r->locked = r->leads = false;
    r->token[0] = '\0';
    if (up)
        arm(r->lock_retry, 0);
}

static void on_redis(weir_redis_t *redis, bool up, void *arg)
{
    weir_relay_t *r = arg;

    (void)redis;
    if (up)
        ask_state(r);
}

/* --- history ---------------------------------------------------------------- */

static void plan_housekeeping(weir_relay_t *r, bool more)
{
    unsigned idle = r->keep_s < HOUSEKEEPING / 500 ? r->keep_s * 500 : HOUSEKEEPING;

    if (r->keep_s > 0)
        arm(r->housekeeping, more ? HOUSEKEEPING_MORE : idle);
}

static void on_expired(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_relay_t *r = arg;

    assert(r->expiring);
    r->expiring = false;
    weir_refusal_note(&r->expire_refused, "relay", "outbox_expire", error, sqlstate);
    if (is_stopping(r))
        return;
    plan_housekeeping(r, error == NULL && strcmp(PQgetvalue(res, 0, 0), "0") != 0);
}

static void on_housekeeping(evutil_socket_t fd, short what, void *arg)
{
    static const char sql[] = "SELECT outbox_expire($1::int, $2::int)";
    weir_relay_t *r = arg;

    (void)fd;
    (void)what;
    if (r->leads && r->stopped == NULL)
        r->expiring = weir_db_query(
            r->db, sql, 2, (const char *[]){WEIR_NUMBER(r->keep_s), WEIR_NUMBER(EXPIRE_MAX)},
            on_expired, r);
    if (!r->expiring)
        plan_housekeeping(r, false);
}

/* --- metrics ------------------------------------------------------------------- */

static void collect(void *arg)
{
    static const char *const states[] = {
        [WEIR_UNKNOWN] = "unknown", [WEIR_FOLLOWING] = "following", [WEIR_BEHIND] = "behind",
        [WEIR_FULL] = "full",       [WEIR_HALTED] = "halted",
    };
    const weir_relay_t *r = arg;
    uint64_t partitions[sizeof(states) / sizeof(states[0])] = {0};

    for (int i = 0; i < r->count && r->leads; i++)
        partitions[r->outlets[i].state]++;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        weir_series_set(weir_series(WEIR_RELAY_PARTITIONS, &states[i]), partitions[i]);
    weir_series_set(weir_series(WEIR_RELAY_ACTIVE, NULL), r->leads);
    weir_series_set(weir_series(WEIR_RELAY_TERM, NULL),
                    r->token[0] != '\0' ? weir_log_stream_term(r->token) : 0);
    weir_series_set(weir_series(WEIR_RELAY_PUBLISHED, NULL), r->published);
    weir_series_set(weir_series(WEIR_RELAY_BATCHES, NULL), r->batches);
    weir_series_set(weir_series(WEIR_RELAY_REFUSED, NULL), r->refused);
}

/* --- start and stop ------------------------------------------------------------ */

static void free_relay(weir_relay_t *r)
{
    weir_series_forget(collect, r);
    if (r->redis != NULL)
        weir_redis_free(r->redis);
    if (r->db != NULL)
        weir_db_free(r->db);
    event_free(r->poll);
    event_free(r->tick);
    event_free(r->lock_retry);
    event_free(r->housekeeping);
    event_free(r->gone);
    free(r);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    weir_relay_t *r = arg;
    weir_stopped_cb cb = r->stopped;
    void *cb_arg = r->stopped_arg;

    assert(cb != NULL && !r->taking && !r->beginning && !r->expiring);
    (void)fd;
    (void)what;
    weir_log(WEIR_LOG_INFO, NULL, "relay has stopped", NULL);
    free_relay(r);
    cb(cb_arg);
}

weir_relay_t *weir_relay_start(struct event_base *base, const weir_events_settings_t *settings,
                               char *error, size_t error_size)
{
    weir_relay_t *r = weir_alloc(sizeof(*r));

    assert(settings->source != NULL && settings->database != NULL && settings->redis != NULL);
    r->base = base;
    r->stopping = is_stopping;
    r->take = take;
    r->source = settings->source;
    r->stream_limit = settings->stream_limit != 0 ? settings->stream_limit : STREAM_LIMIT;
    r->poll = evtimer_new(base, on_poll, r);
    r->tick = evtimer_new(base, on_tick, r);
    r->lock_retry = evtimer_new(base, on_lock_retry, r);
    r->housekeeping = evtimer_new(base, on_housekeeping, r);
    r->gone = evtimer_new(base, on_gone, r);
    r->redis = weir_redis_new(base, settings->redis, "relay", on_redis, r, error, error_size);
    if (r->redis == NULL) {
        free_relay(r);
        return NULL;
    }
    r->db = weir_db_new(base, settings->database, "relay", on_db, r);
    weir_db_begin_with(r->db, WEIR_LOCK_TIMEOUT);
    r->keep_s = settings->outbox_keep_s;
    plan_housekeeping(r, false);
    arm(r->tick, TICK);
    weir_series_collect(collect, r);
    return r;
}

void weir_relay_stop(weir_relay_t *r, weir_stopped_cb cb, void *arg)
{
    assert(cb != NULL && r->stopped == NULL);
    r->stopped = cb;
    r->stopped_arg = arg;
    is_stopping(r);
}
