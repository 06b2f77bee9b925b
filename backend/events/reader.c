/*
 * Events come from a consumer group of Redis Streams, by one blocking XREADGROUP over all
 * partitions that the group owns here, on a connection of its own.
 *
 * Attaching to a stream makes the group if it is not there and sets it to what PostgreSQL says is
 * handled, so that whatever an earlier owner read and did not finish is delivered again.  The Redis
 * consumer's name is the same for all owners; its pending list shows what is under way, and nothing
 * depends on it.
 *
 * Positions have no gaps.  When one is missing (a read of an earlier owner that was still
 * waiting took it, somebody deleted an entry) it is fetched from the outbox, at once when a later
 * one comes, else when a few heartbeats have passed.
 */
#include "events/worker_private.h"

#include "events/cloudevent.h"
#include "events/log_stream.h"
#include "events/refusal.h"
#include "log/alloc.h"
#include "log/log.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONSUMER "weir"
#define STALLED_BEATS 4

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

static void fetch(weir_lease_t *l);

/* For what an aggregate left behind. */
static bool has_room(const weir_lease_t *l)
{
    return weir_queue_count(l->queue) < WEIR_EVENTS_MAX - WEIR_READ_MAX - WEIR_LINE_MAX;
}

/* For what was never seen. */
static bool may_read(const weir_lease_t *l)
{
    return has_room(l) && weir_queue_aside(l->queue) < WEIR_ASIDE_MAX &&
           weir_queue_unseen(l->queue) - weir_queue_low(l->queue) <
               WEIR_QUEUE_WINDOW - WEIR_READ_MAX;
}

static void tell_crowded(weir_lease_t *l)
{
    /* It is over when there is some room, not with each that goes. */
    size_t limit = l->crowded ? WEIR_ASIDE_MAX / 4 * 3 : WEIR_ASIDE_MAX;
    bool crowded = weir_queue_aside(l->queue) >= limit;

    if (crowded && !l->crowded)
        weir_log(WEIR_LOG_WARN, NULL,
                 "too many aggregates wait, nothing new is read until the first may be tried again",
                 "{s:s,s:i,s:i}", "group", l->group->consumer.group, "partition", l->partition,
                 "waiting", WEIR_ASIDE_MAX);
    l->crowded = crowded;
}

static bool is_active(const weir_lease_t *l)
{
    return l != NULL && !l->gone && l->queue != NULL && !l->closing &&
           l->group->worker->stopped == NULL;
}

/* --- into the queue ------------------------------------------------------------ */

/* As consume() sees it, too. */
static bool wants(const weir_consumer_t *consumer, const weir_event_t *event)
{
    if (event->for_group != NULL && strcmp(event->for_group, consumer->group) != 0)
        return false;
    for (const char *const *t = consumer->types; *t != NULL; t++) {
        if (strcmp(*t, event->type) == 0)
            return true;
    }
    return false;
}

/* In the form in which PostgreSQL prints it; none when it is no UUID, which no outbox has. */
static void copy_id(weir_delivery_t *d)
{
    const char *id = d->event.id;

    if (strlen(id) != sizeof(d->id) - 1)
        return;
    for (size_t i = 0; i < sizeof(d->id) - 1; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;

        if (dash ? id[i] != '-' : !isxdigit((unsigned char)id[i]))
            return;
    }
    memcpy(d->id, id, sizeof(d->id));
    for (char *p = d->id; *p != '\0'; p++)
        *p = (char)tolower((unsigned char)*p);
}

/* proved: it comes from the outbox, in the group's session. */
static weir_queue_result_t deliver(weir_lease_t *l, int64_t position, const char *json, size_t len,
                                   bool proved)
{
    const weir_consumer_t *consumer = &l->group->consumer;
    weir_delivery_t *d;
    weir_queue_result_t result;
    char alone[32];

    if (!weir_queue_wants(l->queue, position))
        return WEIR_QUEUE_KNOWN;
    if (position > weir_queue_unseen(l->queue))
        return WEIR_QUEUE_GAP;

    d = weir_alloc(sizeof(*d));
    d->json = weir_alloc(len + 1);
    memcpy(d->json, json, len);
    d->json[len] = '\0';
    d->len = len;
    d->lease = l;
    d->root = weir_cloudevent_parse(json, len, &d->event, d->trace_id);
    d->readable = d->root != NULL;
    if (d->readable)
        copy_id(d);
    d->proved = proved ? l->group->session : 0;
    /* What cannot be read is nobody's next event. */
    snprintf(alone, sizeof(alone), "%" PRId64, position);
    d->wanted = !d->readable || wants(consumer, &d->event);
    result = weir_queue_add(l->queue, position, d->readable ? d->event.aggregate : alone, d);
    if (result != WEIR_QUEUE_ADDED) {
        weir_delivery_free(d);
    } else if (consumer->handle == NULL || !d->wanted) {
        json_decref(d->root);
        d->root = NULL;
        d->event = (weir_event_t){.trace_id = d->event.trace_id};
    }
    return result;
}

/* --- from the outbox ------------------------------------------------------------- */

static void on_fetched(PGresult *res, const char *error, const char *sqlstate, void *arg)
{
    weir_lease_t *l = arg;

    l->fetching = false;
    weir_refusal_note(&l->group->read_refused, l->group->consumer.group, "worker_read", error,
                      sqlstate);
    if (is_active(l) && error != NULL) {
        l->fetch_hold = weir_now_ms() + WEIR_BLOCK;
    } else if (is_active(l)) {
        for (int i = 0; i < PQntuples(res); i++) {
            weir_cloudevent_t e = weir_cloudevent_of_row(res, i, l->group->worker->settings.source);
            size_t len;
            char *json = weir_cloudevent_json(&e, &len);

            deliver(l, strtoll(PQgetvalue(res, i, 1), NULL, 10), json, len, true);
            free(json);
        }
        if (PQntuples(res) == 0 && l->filling)
            weir_lease_strange(l, l->gap_to, true);
        if (l->gap_to < weir_queue_unseen(l->queue))
            l->gap_to = 0;
    }
    weir_group_wake(l->group);
    weir_lease_unref(l);
}

/* Fetches what is missing, or what an aggregate left behind. */
static void fetch(weir_lease_t *l)
{
    static const char sql[] =
        "SELECT * FROM worker_read($1::smallint, $2::bigint, $3::text, $4::int, $5::bigint)";
    char partition[12], after[24], limit[12], last[24];
    int64_t from = weir_queue_unseen(l->queue), to = INT64_MAX;
    const char *aggregate = NULL;
    int n = WEIR_READ_MAX;

    l->filling = l->gap_to != 0 && may_read(l);
    if (!l->filling) {
        aggregate = weir_queue_reread(l->queue, &from, &to);
        n = WEIR_LINE_MAX + 1;
        if (aggregate == NULL)
            return;
    }
    snprintf(partition, sizeof(partition), "%d", l->partition);
    snprintf(after, sizeof(after), "%" PRId64, from - 1);
    snprintf(limit, sizeof(limit), "%d", n);
    snprintf(last, sizeof(last), "%" PRId64, to);
    l->fetching =
        weir_db_query(l->group->db, sql, 5,
                      (const char *[]){partition, after, aggregate, limit, last}, on_fetched, l);
    if (l->fetching)
        l->refs++;
    else
        l->fetch_hold = weir_now_ms() + WEIR_BLOCK;
}

void weir_reader_beat(weir_lease_t *l, int64_t newest)
{
    int64_t unseen;

    if (!is_active(l))
        return;
    if (newest > l->newest)
        l->newest = newest;
    unseen = weir_queue_unseen(l->queue);
    l->stalled = unseen <= newest && unseen == l->stalled_at && may_read(l) && !l->group->paused
                     ? l->stalled + 1
                     : 0;
    l->stalled_at = unseen;
    if (l->stalled >= STALLED_BEATS && l->gap_to == 0) {
        l->gap_to = newest;
        weir_group_wake(l->group);
    }
}

/* --- from Redis -------------------------------------------------------------------- */

static bool is_string(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

/* The lease whose stream this is. */
static weir_lease_t *lease_of(weir_group_t *g, const char *stream)
{
    size_t prefix = strlen(WEIR_STREAM_PREFIX);
    long n = strncmp(stream, WEIR_STREAM_PREFIX, prefix) == 0 ? strtol(stream + prefix, NULL, 10)
                                                              : -1;

    return n >= 0 && n < WEIR_PARTITIONS_MAX ? g->leases[n] : NULL;
}

static void entry(weir_lease_t *l, const redisReply *e, const char **ack, size_t *acks)
{
    int64_t position;
    const redisReply *fields;
    weir_queue_result_t result;

    if (e->type != REDIS_REPLY_ARRAY || e->elements != 2 || !is_string(e->element[0]))
        return;
    position = strtoll(e->element[0]->str, NULL, 10);
    fields = e->element[1];
    if (fields->type == REDIS_REPLY_ARRAY && fields->elements >= 2 && is_string(fields->element[1]))
        result = deliver(l, position, fields->element[1]->str, fields->element[1]->len, false);
    else
        result = deliver(l, position, "", 0, false);
    if (result == WEIR_QUEUE_KNOWN)
        ack[(*acks)++] = e->element[0]->str;
    if (result == WEIR_QUEUE_GAP && position > l->gap_to)
        l->gap_to = position;
}

static void stream(weir_group_t *g, const redisReply *s)
{
    const char *argv[3 + WEIR_READ_MAX];
    const redisReply *entries;
    size_t acks = 0;
    weir_lease_t *l;

    if (s->type != REDIS_REPLY_ARRAY || s->elements != 2 || !is_string(s->element[0]) ||
        s->element[1]->type != REDIS_REPLY_ARRAY)
        return;
    l = lease_of(g, s->element[0]->str);
    entries = s->element[1];
    if (!is_active(l))
        return;
    for (size_t i = 0; i < entries->elements && i < WEIR_READ_MAX; i++)
        entry(l, entries->element[i], argv + 3, &acks);
    if (acks == 0)
        return;
    argv[0] = "XACK";
    argv[1] = s->element[0]->str;
    argv[2] = g->consumer.group;
    (void)!weir_redis_command(g->worker->redis, (int)acks + 3, argv, NULL, NULL, NULL);
}

static void on_read(redisReply *reply, void *arg)
{
    weir_group_t *g = arg;
    uint64_t now = weir_now_ms();
    bool refused = reply != NULL && reply->type == REDIS_REPLY_ERROR &&
                   strncmp(reply->str, "NOGROUP", 7) != 0 &&
                   strncmp(reply->str, "UNBLOCKED", 9) != 0;

    g->reading = g->kicked = false;
    if (refused && !g->undelivered)
        weir_log(WEIR_LOG_ERROR, NULL, "Redis refuses to deliver", "{s:s,s:s}", "group",
                 g->consumer.group, "error", reply->str);
    if (reply != NULL)
        g->undelivered = refused;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        weir_lease_t *l = g->leases[i];

        if (l == NULL)
            continue;
        l->in_read = false;
        /* A stream or its group has gone (FLUSHALL, DEL): all are looked at again. */
        if (reply == NULL || reply->type == REDIS_REPLY_ERROR)
            l->attached = false;
        if (refused)
            l->hold = now + WEIR_BLOCK;
    }
    if (reply != NULL && reply->type == REDIS_REPLY_ARRAY) {
        for (size_t i = 0; i < reply->elements; i++)
            stream(g, reply->element[i]);
    }
    weir_group_wake(g);
}

static void on_attached(redisReply *reply, void *arg)
{
    weir_lease_t *l = arg;

    l->attaching = false;
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR) {
        l->attached = true;
    } else if (reply != NULL) {
        if (!l->group->undelivered)
            weir_log(WEIR_LOG_ERROR, NULL, "Redis refuses the consumer group", "{s:s,s:i,s:s}",
                     "group", l->group->consumer.group, "partition", l->partition, "error",
                     reply->str);
        l->group->undelivered = true;
        l->hold = weir_now_ms() + WEIR_BLOCK;
    }
    if (!l->gone)
        weir_group_wake(l->group);
    weir_lease_unref(l);
}

static void attach(weir_lease_t *l)
{
    char key[32], id[24];

    snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", l->partition);
    snprintf(id, sizeof(id), "%" PRId64 "-0", weir_queue_low(l->queue));
    l->attaching = weir_redis_script(l->group->reader, attach_script, 1, 4,
                                     (const char *[]){key, l->group->consumer.group, id, CONSUMER},
                                     NULL, on_attached, l);
    if (l->attaching)
        l->refs++;
}

/* One read over all streams that are attached and have room. */
static void read_streams(weir_group_t *g, uint64_t now)
{
    const char *argv[10 + 2 * WEIR_PARTITIONS_MAX] = {"XREADGROUP", "GROUP", g->consumer.group,
                                                      CONSUMER,     "COUNT", NULL,
                                                      "BLOCK",      NULL,    "STREAMS"};
    weir_lease_t *named[WEIR_PARTITIONS_MAX];
    char keys[WEIR_PARTITIONS_MAX][32], count[12], block[12];
    int n = 0;

    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        weir_lease_t *l = g->leases[i];

        if (!is_active(l) || !l->attached || l->gap_to != 0 || l->hold > now || !may_read(l))
            continue;
        snprintf(keys[n], sizeof(keys[n]), WEIR_STREAM_PREFIX "%d", i);
        argv[9 + n] = keys[n];
        named[n++] = l;
    }
    if (n == 0)
        return;
    for (int i = 0; i < n; i++)
        argv[9 + n + i] = ">";
    snprintf(count, sizeof(count), "%d", WEIR_READ_MAX);
    argv[5] = count;
    snprintf(block, sizeof(block), "%d", WEIR_BLOCK);
    argv[7] = block;
    g->reading = weir_redis_command(g->reader, 9 + 2 * n, argv, NULL, on_read, g);
    for (int i = 0; i < n; i++)
        named[i]->in_read = g->reading;
}

void weir_reader_run(weir_group_t *g)
{
    uint64_t now = weir_now_ms();
    bool missing = false; /* a stream that could be read is not in the read */

    if (g->paused)
        return;
    for (int i = 0; i < WEIR_PARTITIONS_MAX; i++) {
        weir_lease_t *l = g->leases[i];

        if (!is_active(l) || !has_room(l))
            continue;
        if (!l->fetching && l->fetch_hold <= now)
            fetch(l);
        tell_crowded(l);
        if (l->hold > now || !may_read(l))
            continue;
        if (!l->attached && !l->attaching && weir_redis_is_up(g->reader))
            missing = true;
        if (!l->attached && !l->attaching && !g->reading)
            attach(l);
        if (l->attached && !l->in_read && l->gap_to == 0)
            missing = true;
    }
    if (!g->reading)
        read_streams(g, now);
    else if (missing)
        weir_reader_kick(g);
}

void weir_reader_kick(weir_group_t *g)
{
    char id[24];

    if (!g->reading || g->kicked || g->client_id == 0)
        return;
    snprintf(id, sizeof(id), "%lld", g->client_id);
    g->kicked = weir_redis_command(g->worker->redis, 3, (const char *[]){"CLIENT", "UNBLOCK", id},
                                   NULL, NULL, NULL);
}

static void on_client_id(redisReply *reply, void *arg)
{
    weir_group_t *g = arg;

    if (reply != NULL && reply->type == REDIS_REPLY_INTEGER)
        g->client_id = reply->integer;
}

void weir_reader_up(weir_group_t *g)
{
    g->client_id = 0;
    (void)!weir_redis_command(g->reader, 2, (const char *[]){"CLIENT", "ID"}, NULL, on_client_id,
                              g);
    weir_group_wake(g);
}
