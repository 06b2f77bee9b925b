/*
 * The relay: from the outbox to the streams.
 *
 * One relay is at work at a time: its database session holds an advisory lock; others try for it. A
 * step is one transaction, relay_take(): it gives the first waiting rows of each partition their
 * positions.  After the commit they are published.  What is not published for whatever reason is
 * found again by its position, so nothing that is in memory here matters.
 *
 * Order.  Rows are taken by id, without regard to transaction ids or a snapshot's xmin.  Two events
 * of one aggregate are ordered by the lock on its row: the first one's transaction has committed
 * before the second one draws its id, so its id is lower, and a snapshot that sees the second sees
 * the first.  A row with a low id that commits late just gets a later position; none is passed
 * over, because what waits is "position IS NULL" and not "id above the last one".  (Waiting for
 * xmin would even break the order: of two such transactions the second may have the older
 * transaction id, and would be taken while the first still waits.  It would also let any long
 * transaction hold up all events.)
 *
 * Each partition is in one of these states:
 *
 *   unknown    what Redis has is not known; it is asked at the next tick
 *   following  all that has a position was sent; new rows may be taken
 *   behind     the stream lacks what the outbox has: FLUSHALL, a lost tail, a pause; it is read
 * from the outbox and published, new rows wait full       it has stream_limit entries because some
 * group does not follow; new rows wait ahead      its last ID is beyond the database's last
 * position: the database was restored from a backup.  Nothing is published or taken until the
 * operator has decided.
 *
 * A stream that was emptied starts again behind what all groups have handled, not at the beginning
 * of history.  Streams are trimmed behind the same mark.
 */
#include "events/events.h"

#include "db/db.h"
#include "events/cloudevent.h"
#include "events/log_stream.h"
#include "log/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAKE_MAX 128    /* events of one partition in one step */
#define READ_MAX 256    /* events read again at once */
#define IN_FLIGHT_MAX 2 /* batches of one partition on their way to Redis */
#define STREAM_LIMIT 100000
#define PARTITIONS_MAX 64

/* ms */
#define POLL_ACTIVE 20
#define POLL_IDLE 200
#define ACTIVE_FOR 1000 /* after the last event */
#define TICK 1000       /* look at Redis's streams, trim them */
#define LOCK_RETRY 300

typedef enum { UNKNOWN, FOLLOWING, BEHIND, FULL, AHEAD } state_t;

typedef struct {
    weir_relay_t *relay;
    int number;
    state_t state;
    state_t told;    /* the last state that the log knows of; not UNKNOWN */
    int64_t given;   /* last position in the database */
    int64_t handled; /* by all groups */
    int64_t tail;    /* the stream's last ID when all that was sent is in */
    int64_t trimmed;
    unsigned in_flight; /* scripts */
    bool reading;
} partition_t;

struct weir_relay {
    struct event_base *base;
    weir_db_t *db;
    weir_redis_t *redis;
    int64_t stream_limit;
    struct event *poll;
    struct event *tick;
    struct event *lock_retry;
    struct event *gone;
    bool locked;    /* this session has the lock */
    bool leads;     /* and knows the positions */
    bool waits;     /* the log knows that another one leads */
    bool asking;    /* relay_state() is under way */
    bool taking;    /* relay_take() is under way */
    bool woken;     /* while taking */
    bool congested; /* a partition waits for Redis */
    unsigned quiet; /* ms without an event */
    partition_t partitions[PARTITIONS_MAX];
    int count;
    weir_stopped_cb stopped;
    void *stopped_arg;
};

static void take(weir_relay_t *r);
static void read_again(partition_t *p);

static void arm(struct event *timer, unsigned ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

    evtimer_add(timer, &tv);
}

/* Returns true when the relay is to stop; ends it when nothing is under way. */
static bool stopping(weir_relay_t *r)
{
    bool busy = r->taking;

    if (r->stopped == NULL)
        return false;
    for (int i = 0; i < r->count; i++)
        busy = busy || r->partitions[i].in_flight > 0;
    if (!busy)
        event_active(r->gone, EV_TIMEOUT, 0);
    return true;
}

/* --- what Redis has --------------------------------------------------------- */

static void follow(partition_t *p)
{
    p->state = FOLLOWING;
    if (p->told != FOLLOWING)
        weir_log(WEIR_LOG_INFO, NULL, "stream is followed again", "{s:i,s:I}", "partition",
                 p->number, "position", (json_int_t)p->given);
    p->told = FOLLOWING;
}

static void ahead(partition_t *p, int64_t last)
{
    if (p->told != AHEAD)
        weir_log(WEIR_LOG_ERROR, NULL,
                 "stream is ahead of the database, which seems to be restored from a backup; "
                 "nothing is published to it. DEL weir:events:<partition> publishes what the "
                 "database has and no group has handled",
                 "{s:i,s:I,s:I}", "partition", p->number, "last", (json_int_t)last, "position",
                 (json_int_t)p->given);
    p->state = p->told = AHEAD;
}

static void full(partition_t *p, int64_t length)
{
    if (p->told != FULL)
        weir_log(WEIR_LOG_WARN, NULL,
                 "stream is full, events wait in the outbox until the slowest group goes on",
                 "{s:i,s:I,s:I}", "partition", p->number, "entries", (json_int_t)length, "handled",
                 (json_int_t)p->handled);
    p->state = p->told = FULL;
}

/* Redis's stream ends at last; decides where publication goes on. */
static void found(partition_t *p, int64_t last, int64_t length)
{
    int64_t from = last > p->handled ? last : p->handled;

    if (last > p->given) {
        ahead(p, last);
        return;
    }
    p->tail = last;
    if (length >= p->relay->stream_limit) {
        full(p, length);
        return;
    }
    if (from >= p->given) {
        follow(p);
        return;
    }
    if (p->told == FOLLOWING)
        weir_log(WEIR_LOG_WARN, NULL, "stream is behind, publishing again", "{s:i,s:I,s:I,s:I}",
                 "partition", p->number, "last", (json_int_t)last, "from", (json_int_t)from + 1,
                 "to", (json_int_t)p->given);
    p->state = p->told = BEHIND;
    read_again(p);
}

static void on_appended(bool ok, int64_t last, int64_t length, const char *error, void *arg)
{
    partition_t *p = arg;
    weir_relay_t *r = p->relay;

    p->in_flight--;
    if (stopping(r))
        return;
    if (error != NULL) {
        if (weir_redis_is_up(r->redis))
            weir_log(WEIR_LOG_WARN, NULL, "Redis refuses events", "{s:i,s:s}", "partition",
                     p->number, "error", error);
        p->state = UNKNOWN;
        return;
    }

    if (p->state == FOLLOWING || p->state == BEHIND) {
        if (ok && length < r->stream_limit) {
            if (p->state == BEHIND && p->in_flight == 0)
                read_again(p);
            else if (r->congested)
                take(r);
            return;
        }
        p->state = UNKNOWN;
    }
    /* What was sent after a refused batch is refused, too; with the last answer the end is certain.
     */
    if (p->in_flight == 0 && r->leads)
        found(p, last, length);
}

static void append(partition_t *p, const weir_log_entry_t *entries, size_t count)
{
    int64_t expected = p->tail;

    if (count > 0)
        p->tail = entries[count - 1].position;
    p->in_flight++;
    if (!weir_log_stream_append(p->relay->redis, p->number, expected, entries, count, on_appended,
                                p)) {
        p->in_flight--;
        p->state = UNKNOWN;
    }
}

/* --- from the outbox -------------------------------------------------------- */

/* Publishes rows [from, to) of relay_take() or relay_read(), all of one partition. */
static void publish(partition_t *p, PGresult *res, int from, int to)
{
    weir_log_entry_t entries[READ_MAX];
    size_t n = 0;

    for (int i = from; i < to && n < READ_MAX; i++, n++) {
        weir_cloudevent_t e = {
            .id = PQgetvalue(res, i, 2),
            .type = PQgetvalue(res, i, 3),
            .aggregate = PQgetvalue(res, i, 4),
            .data = PQgetvalue(res, i, 5),
            .traceparent = PQgetisnull(res, i, 6) ? NULL : PQgetvalue(res, i, 6),
            .time = PQgetvalue(res, i, 7),
        };

        entries[n].position = strtoll(PQgetvalue(res, i, 1), NULL, 10);
        entries[n].json = weir_cloudevent_json(&e, &entries[n].len);
    }
    append(p, entries, n);
}

static void on_read(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    partition_t *p = arg;

    (void)sqlstate;
    p->reading = false;
    if (stopping(p->relay))
        return;
    if (error != NULL || p->state != BEHIND)
        p->state = UNKNOWN;
    else if (PQntuples(res) == 0)
        follow(p);
    else
        publish(p, res, 0, PQntuples(res));
}

static void read_again(partition_t *p)
{
    static const char sql[] = "SELECT * FROM relay_read($1::smallint, $2::bigint, $3::int)";
    char number[12], after[24], limit[12];
    int64_t from = p->tail > p->handled ? p->tail : p->handled;

    if (p->reading)
        return;
    if (from >= p->given) {
        follow(p);
        return;
    }
    snprintf(number, sizeof(number), "%d", p->number);
    snprintf(after, sizeof(after), "%" PRId64, from);
    snprintf(limit, sizeof(limit), "%d", READ_MAX);
    p->reading =
        weir_db_query(p->relay->db, sql, 3, (const char *[]){number, after, limit}, on_read, p);
    if (!p->reading)
        p->state = UNKNOWN;
}

static void on_taken(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_relay_t *r = arg;
    int n = error == NULL ? PQntuples(res) : 0;
    bool more = false;

    r->taking = false;
    if (error != NULL) {
        if (strcmp(sqlstate, "08006") != 0)
            weir_log(WEIR_LOG_ERROR, NULL, "relay cannot take events", "{s:s,s:s}", "error", error,
                     "sqlstate", sqlstate);
        r->leads = false; /* did it commit? the positions are asked for again */
        arm(r->tick, LOCK_RETRY);
    }

    for (int i = 0, next; i < n; i = next) {
        int number = atoi(PQgetvalue(res, i, 0));
        partition_t *p = &r->partitions[number];

        for (next = i; next < n && atoi(PQgetvalue(res, next, 0)) == number; next++)
            ;
        more = more || next - i == TAKE_MAX;
        p->given = strtoll(PQgetvalue(res, next - 1, 1), NULL, 10);
        if (p->state == FOLLOWING)
            publish(p, res, i, next);
    }
    if (stopping(r))
        return;
    if (n > 0)
        r->quiet = 0;
    if (more || (error == NULL && r->woken))
        take(r);
    else
        arm(r->poll, r->quiet < ACTIVE_FOR ? POLL_ACTIVE : POLL_IDLE);
}

static void take(weir_relay_t *r)
{
    static const char sql[] = "SELECT * FROM relay_take($1::int, $2::smallint[])";
    char list[PARTITIONS_MAX * 4 + 3] = "{", limit[12];
    size_t len = 1;

    if (r->taking || r->stopped != NULL)
        return;
    r->woken = r->congested = false;
    for (int i = 0; i < r->count && r->leads; i++) {
        const partition_t *p = &r->partitions[i];

        if (p->state != FOLLOWING)
            continue;
        if (p->in_flight < IN_FLIGHT_MAX)
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%d", len > 1 ? "," : "",
                                    p->number);
        else
            r->congested = true;
    }
    snprintf(list + len, sizeof(list) - len, "}");
    snprintf(limit, sizeof(limit), "%d", TAKE_MAX);
    if (len > 1)
        r->taking = weir_db_query(r->db, sql, 2, (const char *[]){limit, list}, on_taken, r);
    if (!r->taking)
        arm(r->poll, POLL_ACTIVE);
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

/* Takes over what the database says of a partition, and asks Redis for its stream. */
static void look_at(weir_relay_t *r, int number, int64_t given, int64_t handled)
{
    partition_t *p = &r->partitions[number];

    p->handled = handled;
    if (!r->leads) {
        p->relay = r;
        p->number = number;
        p->given = given;
        p->state = UNKNOWN;
        if (p->told == UNKNOWN)
            p->told = FOLLOWING;
        if (number >= r->count)
            r->count = number + 1;
    }
    if (handled > p->trimmed && (p->state == FOLLOWING || p->state == FULL)) {
        weir_log_stream_trim(r->redis, number, handled);
        p->trimmed = handled;
    }
    /* The answer comes later than this loop, when all positions are known. */
    if (p->in_flight == 0 && !p->reading)
        append(p, NULL, 0);
}

static void on_state(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_relay_t *r = arg;

    (void)sqlstate;
    r->asking = false;
    if (stopping(r) || error != NULL || !r->locked)
        return;
    for (int i = 0; i < PQntuples(res); i++) {
        int number = atoi(PQgetvalue(res, i, 0));

        if (number >= 0 && number < PARTITIONS_MAX)
            look_at(r, number, strtoll(PQgetvalue(res, i, 1), NULL, 10),
                    strtoll(PQgetvalue(res, i, 2), NULL, 10));
    }
    if (!r->leads)
        arm(r->poll, POLL_ACTIVE);
    r->leads = true;
}

/*
 * Positions are only given while Redis is there to be compared with: a database that was restored
 * while we were away must be recognised before it gives positions that a stream has already.
 */
static void ask_state(weir_relay_t *r)
{
    if (r->locked && !r->asking && r->stopped == NULL && weir_redis_is_up(r->redis))
        r->asking = weir_db_query(r->db, "SELECT * FROM relay_state()", 0, NULL, on_state, r);
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

    (void)sqlstate;
    if (stopping(r) || error != NULL) {
        arm(r->lock_retry, LOCK_RETRY);
        return;
    }
    r->locked = *PQgetvalue(res, 0, 0) == 't';
    if (r->locked) {
        weir_log(WEIR_LOG_INFO, NULL, "relay is at work", NULL);
        ask_state(r);
    } else {
        if (!r->waits)
            weir_log(WEIR_LOG_INFO, NULL, "another relay is at work, waiting for its end", NULL);
        arm(r->lock_retry, LOCK_RETRY);
    }
    r->waits = !r->locked;
}

/* Tries, rather than waits in the server: a waiting statement would hold back vacuum. */
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

/* --- start and stop ------------------------------------------------------------ */

static void free_relay(weir_relay_t *r)
{
    if (r->redis != NULL)
        weir_redis_free(r->redis);
    if (r->db != NULL)
        weir_db_free(r->db);
    event_free(r->poll);
    event_free(r->tick);
    event_free(r->lock_retry);
    event_free(r->gone);
    free(r);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    weir_relay_t *r = arg;
    weir_stopped_cb cb = r->stopped;
    void *cb_arg = r->stopped_arg;

    (void)fd;
    (void)what;
    weir_log(WEIR_LOG_INFO, NULL, "relay has stopped", NULL);
    free_relay(r);
    cb(cb_arg);
}

weir_relay_t *weir_relay_start(struct event_base *base, const weir_events_settings_t *settings,
                               char *error, size_t error_size)
{
    weir_relay_t *r = calloc(1, sizeof(*r));

    if (r == NULL)
        abort();
    r->base = base;
    r->stream_limit = settings->stream_limit != 0 ? settings->stream_limit : STREAM_LIMIT;
    r->poll = evtimer_new(base, on_poll, r);
    r->tick = evtimer_new(base, on_tick, r);
    r->lock_retry = evtimer_new(base, on_lock_retry, r);
    r->gone = evtimer_new(base, on_gone, r);
    r->redis = weir_redis_new(base, settings->redis, "relay", on_redis, r, error, error_size);
    if (r->redis == NULL) {
        free_relay(r);
        return NULL;
    }
    r->db = weir_db_new(base, settings->database, "relay", on_db, r);
    arm(r->tick, TICK);
    return r;
}

void weir_relay_stop(weir_relay_t *r, weir_stopped_cb cb, void *arg)
{
    r->stopped = cb;
    r->stopped_arg = arg;
    stopping(r);
}
