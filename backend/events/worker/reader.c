/*
 * Events come from a consumer group of Redis Streams, by one blocking XREADGROUP over all
 * partitions that the group owns here, on a connection of its own.
 *
 * Attaching to a stream creates the consumer group if it does not exist, and sets it to the
 * position that PostgreSQL has as handled, so that events which an earlier owner has read and not
 * finished are delivered again. The name of the Redis consumer is the same for all owners. Its
 * pending list shows events under way; nothing depends on it.
 *
 * Positions have no gaps. A missing position (taken by a pending read of an earlier owner, or
 * deleted by an operator) is read from the outbox: at once when a later position comes, otherwise
 * after a few heartbeats. A position that is missing in the outbox, too (the row was deleted), is
 * an event without content, which becomes a dead letter.
 */
#include "events/worker/reader.h"

#include "events/cloudevent.h"
#include "events/log_stream.h"
#include "db/refusal.h"
#include "events/worker/confirm.h"
#include "events/worker/lease/delivery.h"
#include "events/worker/lease/group.h"
#include "events/worker/lease/lease.h"
#include "log/clock.h"
#include "log/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONSUMER "weir"
#define STALLED_BEATS 4

/* XACK KEY GROUP ID... */
enum { ACK_KEY = 1, ACK_IDS = 3 };

/*
 * KEYS[1] stream, ARGV[1] group, ARGV[2] ID of the last handled entry, ARGV[3] consumer.
 */
static const char attach_script[] =
    "local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], ARGV[2], 'MKSTREAM')\n"
    "if type(made) == 'table' and made.err then\n"
    "  if string.sub(made.err, 1, 9) ~= 'BUSYGROUP' then return made end\n"
    "  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[3])\n"
    "  redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[2])\n"
    "end\n"
    "return redis.status_reply('OK')\n";

/* True when there is room for the parked events of an aggregate. */
static bool has_room(const weir_lease_t *l)
{
    return weir_queue_count(l->queue) < WEIR_EVENTS_MAX - WEIR_READ_MAX - WEIR_LINE_MAX;
}

/* True when there is room for new events. */
static bool may_read(const weir_lease_t *l)
{
    return has_room(l) && weir_queue_aside(l->queue) < WEIR_ASIDE_MAX &&
           weir_queue_unseen(l->queue) - weir_queue_low(l->queue) <
               WEIR_QUEUE_WINDOW - WEIR_READ_MAX;
}

static void tell_crowded(weir_lease_t *l)
{
    /* It ends at three quarters of the limit, so that it is not logged for each aggregate. */
    size_t limit = l->reader.crowded ? WEIR_ASIDE_MAX / 4 * 3 : WEIR_ASIDE_MAX;
    bool crowded = weir_queue_aside(l->queue) >= limit;

    if (crowded && !l->reader.crowded)
        weir_log(
            WEIR_LOG_WARN, NULL,
            "too many aggregates wait for a retry, no new events are read until the first retry",
            "{s:s,s:i,s:i}", "group", l->group->consumer.group, "partition", l->partition,
            "waiting", WEIR_ASIDE_MAX);
    l->reader.crowded = crowded;
}

static bool is_active(const weir_lease_t *l)
{
    return l != NULL && weir_lease_is_flowing(l) && weir_group_is_running(l->group);
}

/* --- into the queue ------------------------------------------------------------ */

/* Adds the event to the queue, unless it is known or earlier events are missing. */
static weir_queue_result_t deliver(weir_lease_t *l, int64_t position, const char *json, size_t len,
                                   bool from_outbox)
{
    weir_delivery_t *d;
    weir_queue_result_t result;
    char alone[32];

    if (!weir_queue_wants(l->queue, position))
        return WEIR_QUEUE_KNOWN;
    if (position > weir_queue_unseen(l->queue))
        return WEIR_QUEUE_GAP;

    d = weir_delivery_new(l, json, len);
    if (from_outbox)
        weir_confirm_from_outbox(d);
    /* An event that cannot be parsed has a line of its own. */
    snprintf(alone, sizeof(alone), "%" PRId64, position);
    result = weir_queue_add(l->queue, position, d->readable ? d->event.aggregate : alone, d);
    if (result != WEIR_QUEUE_ADDED)
        weir_delivery_free(d);
    else if (l->group->consumer.handle == NULL || !d->wanted)
        weir_delivery_slim(d);
    return result;
}

/* --- from the outbox ------------------------------------------------------------- */

/* Positions from the first unseen one on, up to last, are of rows that the outbox has no more. */
static void deliver_missing(weir_lease_t *l, int64_t last)
{
    char alone[32];

    for (int64_t n = weir_queue_unseen(l->queue); n <= last && has_room(l); n++) {
        weir_delivery_t *d = weir_delivery_new(l, "", 0);

        weir_confirm_missing(d);
        snprintf(alone, sizeof(alone), "%" PRId64, n);
        if (weir_queue_add(l->queue, n, alone, d) != WEIR_QUEUE_ADDED) {
            weir_delivery_free(d);
            return;
        }
    }
}

/* The next owner reads again what is not handled, and finds what is missing. */
static void give_up(weir_lease_t *l)
{
    weir_log(WEIR_LOG_WARN, NULL, "partition lost", "{s:s,s:i,s:s}", "group",
             l->group->consumer.group, "partition", l->partition, "reason",
             "the outbox lacks an event that was set aside");
    weir_lease_close(l);
    weir_group_wake(l->group);
}

/* An answer to WEIR_FETCH_GAP has rows from the first unseen position on. */
static void take_gap(weir_lease_t *l, const PGresult *res)
{
    weir_lease_reader_t *reader = &l->reader;
    int rows = PQntuples(res);

    if (rows > 0)
        deliver_missing(l, weir_column_int(res, 0, WEIR_CLOUDEVENT_POSITION) - 1);
    else if (reader->gap_to <= l->newest)
        deliver_missing(l, reader->gap_to);
    else
        weir_lease_strange(l, reader->gap_to, true);
}

static void take_rows(weir_lease_t *l, const PGresult *res)
{
    weir_lease_reader_t *reader = &l->reader;
    int rows = PQntuples(res);

    if (reader->fetch == WEIR_FETCH_GAP)
        take_gap(l, res);
    else if (rows == 0 || weir_column_int(res, 0, WEIR_CLOUDEVENT_POSITION) != reader->again_from)
        give_up(l);
    for (int i = 0; i < rows && is_active(l); i++) {
        weir_cloudevent_t e = weir_cloudevent_of_row(res, i, l->group->worker->settings.source);
        int64_t position = weir_column_int(res, i, WEIR_CLOUDEVENT_POSITION);
        size_t len;
        char *json = weir_cloudevent_json(&e, &len);

        if (reader->fetch == WEIR_FETCH_GAP)
            deliver_missing(l, position - 1);
        deliver(l, position, json, len, true);
        free(json);
    }
    if (reader->gap_to < weir_queue_unseen(l->queue))
        reader->gap_to = 0;
}

static void on_fetched(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;

    assert(l->reader.fetch != WEIR_FETCH_NONE);
    weir_refusal_note(&l->group->reader.read_refused, l->group->consumer.group, "worker_read",
                      error, sqlstate);
    if (is_active(l) && error != NULL)
        l->reader.fetch_hold = weir_clock_ms() + WEIR_BLOCK;
    else if (is_active(l))
        take_rows(l, res);
    l->reader.fetch = WEIR_FETCH_NONE;
    weir_group_wake(l->group);
    weir_lease_unref(l);
}

/* Reads missing positions, or the parked events of an aggregate. */
static void fetch(weir_lease_t *l)
{
    enum { PARTITION, AFTER, AGGREGATE, LIMIT, LAST, PARAMETERS };
    static const char sql[] =
        "SELECT " WEIR_CLOUDEVENT_COLUMNS " FROM worker_read(p_partition => $1::smallint, "
        "p_after => $2::bigint, p_aggregate => $3::text, p_limit => $4::int, p_last => $5::bigint)";
    weir_lease_reader_t *reader = &l->reader;
    int64_t from = weir_queue_unseen(l->queue), to = INT64_MAX;
    bool gap = reader->gap_to != 0 && may_read(l);
    const char *values[PARAMETERS] = {0};

    assert(reader->fetch == WEIR_FETCH_NONE);
    if (!gap) {
        values[AGGREGATE] = weir_queue_reread(l->queue, &from, &to);
        if (values[AGGREGATE] == NULL)
            return;
        reader->again_from = from;
    }
    values[PARTITION] = WEIR_NUMBER(l->partition);
    values[AFTER] = WEIR_NUMBER(from - 1);
    values[LIMIT] = WEIR_NUMBER(gap ? WEIR_READ_MAX : WEIR_LINE_MAX + 1);
    values[LAST] = WEIR_NUMBER(to);
    if (weir_db_query(l->group->db, sql, PARAMETERS, values, on_fetched, l)) {
        reader->fetch = gap ? WEIR_FETCH_GAP : WEIR_FETCH_AGAIN;
        weir_lease_ref(l);
    } else {
        reader->fetch_hold = weir_clock_ms() + WEIR_BLOCK;
    }
}

void weir_reader_beat(weir_lease_t *l, int64_t newest)
{
    weir_lease_reader_t *reader = &l->reader;
    int64_t unseen;

    if (!is_active(l))
        return;
    weir_lease_note_newest(l, newest);
    if (weir_queue_has_lost(l->queue)) {
        give_up(l);
        return;
    }
    unseen = weir_queue_unseen(l->queue);
    reader->stalled = unseen <= newest && unseen == reader->stalled_at && may_read(l) &&
                              !weir_group_is_paused(l->group)
                          ? reader->stalled + 1
                          : 0;
    reader->stalled_at = unseen;
    if (reader->stalled >= STALLED_BEATS && reader->gap_to == 0) {
        reader->gap_to = newest;
        weir_group_wake(l->group);
    }
}

void weir_reader_open(weir_lease_t *l)
{
    int64_t outbox_to;

    assert(weir_lease_is_flowing(l) && l->reader.stream == WEIR_STREAM_DETACHED);
    weir_lease_strange_limits(l, &outbox_to, &l->reader.hold);
    if (outbox_to >= weir_queue_unseen(l->queue))
        l->reader.gap_to = outbox_to;
}

bool weir_reader_is_idle(const weir_lease_t *l)
{
    return l->reader.fetch == WEIR_FETCH_NONE && l->reader.stream != WEIR_STREAM_ATTACHING &&
           l->reader.stream != WEIR_STREAM_IN_READ;
}

/* --- from Redis -------------------------------------------------------------------- */

/* A stream with its entries, an entry's ID with its fields, a field with its value. */
enum { PAIR_NAME, PAIR_VALUE };

static bool is_string(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

static bool is_pair(const redisReply *r)
{
    return r->type == REDIS_REPLY_ARRAY && r->elements == 2;
}

/* The lease whose stream this is. */
static weir_lease_t *lease_of(const weir_group_t *g, const char *stream)
{
    size_t prefix = strlen(WEIR_STREAM_PREFIX);
    long n =
        strncmp(stream, WEIR_STREAM_PREFIX, prefix) == 0 ? strtol(stream + prefix, NULL, 10) : -1;

    assert(stream != NULL);
    return n >= 0 && n < WEIR_PARTITIONS_MAX ? g->leases[n] : NULL;
}

static void entry(weir_lease_t *l, const redisReply *e, const char **ack, size_t *acks)
{
    int64_t position;
    const redisReply *fields;
    weir_queue_result_t result;

    assert(*acks < WEIR_READ_MAX);
    if (!is_pair(e) || !is_string(e->element[PAIR_NAME]))
        return;
    position = strtoll(e->element[PAIR_NAME]->str, NULL, 10);
    fields = e->element[PAIR_VALUE];
    /* An entry has one field; its name is not checked. */
    if (fields->type == REDIS_REPLY_ARRAY && fields->elements >= 2 &&
        is_string(fields->element[PAIR_VALUE]))
        result = deliver(l, position, fields->element[PAIR_VALUE]->str,
                         fields->element[PAIR_VALUE]->len, false);
    else
        result = deliver(l, position, "", 0, false);
    if (result == WEIR_QUEUE_KNOWN)
        ack[(*acks)++] = e->element[PAIR_NAME]->str;
    if (result == WEIR_QUEUE_GAP && position > l->reader.gap_to)
        l->reader.gap_to = position;
}

static void stream(weir_group_t *g, const redisReply *s)
{
    const char *argv[ACK_IDS + WEIR_READ_MAX] = {"XACK", NULL, g->consumer.group};
    const redisReply *entries;
    size_t acks = 0;
    weir_lease_t *l;

    if (!is_pair(s) || !is_string(s->element[PAIR_NAME]) ||
        s->element[PAIR_VALUE]->type != REDIS_REPLY_ARRAY)
        return;
    l = lease_of(g, s->element[PAIR_NAME]->str);
    entries = s->element[PAIR_VALUE];
    if (!is_active(l))
        return;
    for (size_t i = 0; i < entries->elements && i < WEIR_READ_MAX; i++)
        entry(l, entries->element[i], argv + ACK_IDS, &acks);
    if (acks == 0)
        return;
    argv[ACK_KEY] = s->element[PAIR_NAME]->str;
    (void)!weir_redis_command(g->worker->redis, (int)(ACK_IDS + acks), argv, NULL, NULL, NULL);
}

/* A deleted stream or consumer group, and our own CLIENT UNBLOCK, are no refusals. */
static bool is_refusal(const redisReply *reply)
{
    return reply != NULL && reply->type == REDIS_REPLY_ERROR &&
           strncmp(reply->str, "NOGROUP", 7) != 0 && strncmp(reply->str, "UNBLOCKED", 9) != 0;
}

static void end_read(weir_lease_t *l, bool failed, bool refused)
{
    weir_lease_reader_t *reader = &l->reader;

    if (reader->stream == WEIR_STREAM_IN_READ)
        reader->stream = WEIR_STREAM_ATTACHED;
    /* A stream or its consumer group was deleted (FLUSHALL, DEL): all are attached again. */
    if (failed && reader->stream == WEIR_STREAM_ATTACHED)
        reader->stream = WEIR_STREAM_DETACHED;
    if (refused)
        reader->hold = weir_clock_ms() + WEIR_BLOCK;
}

static void on_read(redisReply *reply, void *arg)
{
    weir_group_t *g = arg;
    bool refused = is_refusal(reply);

    g->reader.reading = g->reader.kicked = false;
    if (refused && !g->reader.undelivered)
        weir_log(WEIR_LOG_ERROR, NULL, "Redis refuses to deliver events", "{s:s,s:s}", "group",
                 g->consumer.group, "error", reply->str);
    if (reply != NULL)
        g->reader.undelivered = refused;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        if (g->leases[i] != NULL)
            end_read(g->leases[i], reply == NULL || reply->type == REDIS_REPLY_ERROR, refused);
    }
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++)
            stream(g, reply->element[i]);
    }
    weir_group_wake(g);
}

/* The log is told of the first one of the group, and again when there was none between. */
static void note_unattached(weir_lease_t *l, const char *error)
{
    const weir_group_t *g = l->group;
    bool told = false;

    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++)
        told = told || (g->leases[i] != NULL && g->leases[i]->reader.unattached);
    if (!told)
        weir_log(WEIR_LOG_ERROR, NULL, "Redis refuses the consumer group", "{s:s,s:i,s:s}", "group",
                 g->consumer.group, "partition", l->partition, "error", error);
    l->reader.unattached = true;
    l->reader.hold = weir_clock_ms() + WEIR_BLOCK;
}

static void on_attached(redisReply *reply, void *arg)
{
    weir_lease_t *l = arg;
    weir_group_t *g = l->group;

    assert(l->reader.stream == WEIR_STREAM_ATTACHING);
    l->reader.stream = WEIR_STREAM_DETACHED;
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
        l->reader.stream = WEIR_STREAM_ATTACHED;
        l->reader.unattached = false;
    } else if (reply != NULL) {
        note_unattached(l, reply->str);
    }
    if (!weir_lease_is_gone(l))
        weir_group_wake(g);
    weir_lease_unref(l);
}

static void attach(weir_lease_t *l)
{
    char key[32], id[24];

    assert(l->reader.stream == WEIR_STREAM_DETACHED);
    snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", l->partition);
    snprintf(id, sizeof(id), "%" PRId64 "-0", weir_queue_low(l->queue));
    if (weir_redis_script(l->group->redis, attach_script, 1, 4,
                          (const char *[]){key, l->group->consumer.group, id, CONSUMER}, NULL,
                          on_attached, l)) {
        l->reader.stream = WEIR_STREAM_ATTACHING;
        weir_lease_ref(l);
    }
}

/* One read over all streams that are attached and have room. */
static void read_streams(weir_group_t *g, uint64_t now)
{
    enum { KEYS = 9 };
    const char *argv[KEYS + 2 * WEIR_PARTITIONS_MAX] = {
        "XREADGROUP",      "GROUP",
        g->consumer.group, CONSUMER,
        "COUNT",           WEIR_NUMBER(WEIR_READ_MAX),
        "BLOCK",           WEIR_NUMBER(WEIR_BLOCK),
        "STREAMS"};
    weir_lease_t *named[WEIR_PARTITIONS_MAX];
    char keys[WEIR_PARTITIONS_MAX][32];
    int n = 0;

    assert(!weir_group_is_paused(g));
    assert(!g->reader.reading);
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        weir_lease_t *l = g->leases[i];

        if (!is_active(l) || l->reader.stream != WEIR_STREAM_ATTACHED || l->reader.gap_to != 0 ||
            l->reader.hold > now || !may_read(l))
            continue;
        snprintf(keys[n], sizeof(keys[n]), WEIR_STREAM_PREFIX "%d", i);
        argv[KEYS + n] = keys[n];
        named[n++] = l;
    }
    if (n == 0)
        return;
    for (int i = 0; i < n; i++)
        argv[KEYS + n + i] = ">";
    g->reader.reading = weir_redis_command(g->redis, KEYS + 2 * n, argv, NULL, on_read, g);
    for (int i = 0; i < n && g->reader.reading; i++)
        named[i]->reader.stream = WEIR_STREAM_IN_READ;
}

/* True when the lease's stream can be read, and is not part of the read in flight. */
static bool run_lease(weir_lease_t *l, uint64_t now)
{
    const weir_group_t *g = l->group;
    weir_lease_reader_t *reader = &l->reader;
    bool missing = false;

    assert(weir_lease_is_flowing(l));
    if (reader->fetch == WEIR_FETCH_NONE && reader->fetch_hold <= now)
        fetch(l);
    tell_crowded(l);
    if (reader->hold > now || !may_read(l))
        return false;
    if (reader->stream == WEIR_STREAM_DETACHED) {
        missing = weir_redis_is_up(g->redis);
        if (!g->reader.reading)
            attach(l);
    }
    return missing || (reader->stream == WEIR_STREAM_ATTACHED && reader->gap_to == 0);
}

void weir_reader_run(weir_group_t *g)
{
    uint64_t now = weir_clock_ms();
    bool missing = false;

    if (weir_group_is_paused(g))
        return;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        weir_lease_t *l = g->leases[i];

        if (is_active(l) && has_room(l) && run_lease(l, now))
            missing = true;
    }
    if (!g->reader.reading)
        read_streams(g, now);
    else if (missing)
        weir_reader_kick(g);
}

void weir_reader_kick(weir_group_t *g)
{
    char id[24];

    if (!g->reader.reading || g->reader.kicked || g->reader.client_id == 0)
        return;
    snprintf(id, sizeof(id), "%lld", g->reader.client_id);
    g->reader.kicked = weir_redis_command(
        g->worker->redis, 3, (const char *[]){"CLIENT", "UNBLOCK", id}, NULL, NULL, NULL);
}

static void on_client_id(redisReply *reply, void *arg)
{
    weir_group_t *g = arg;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER)
        g->reader.client_id = reply->integer;
}

void weir_reader_up(weir_group_t *g)
{
    g->reader.client_id = 0;
    (void)!weir_redis_command(g->redis, 2, (const char *[]){"CLIENT", "ID"}, NULL, on_client_id, g);
    weir_group_wake(g);
}
