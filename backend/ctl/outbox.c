#include "ctl/ctl.h"
#include "events/log_stream.h"
#include "redis/url.h"

#include <hiredis/hiredis.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_TIMEOUT_S 2

/* The relay holds an advisory lock: relay.c. */
static const char summary_sql[] =
    "SELECT (SELECT count(*) FROM outbox o WHERE o.position IS NULL) AS waiting,"
    " (SELECT round(extract(epoch FROM clock_timestamp() - min(o.created_at)), 1)"
    "  FROM outbox o WHERE o.position IS NULL) AS oldest_s,"
    " coalesce((SELECT 'at work' FROM pg_locks l WHERE l.locktype = 'advisory'"
    "  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    "  AND l.classid = 2003134834 AND l.objid = 1 AND l.granted LIMIT 1), 'none') AS relay,"
    " (SELECT rfc3339(o.created_at) FROM outbox o ORDER BY o.id LIMIT 1) AS history_since";

static const char partitions_sql[] =
    "SELECT p.partition, (SELECT count(*) FROM outbox o WHERE o.partition = p.partition"
    "  AND o.position IS NULL) AS waiting, p.position, c.handled, c.group_name AS slowest_group"
    " FROM partitions p LEFT JOIN LATERAL (SELECT * FROM consumer_partitions c"
    "  WHERE c.partition = p.partition ORDER BY c.handled, c.group_name LIMIT 1) c ON true"
    " ORDER BY p.partition";

/* A connection, or NULL with what went wrong in error (a constant, or of the connection kept). */
static redisContext *connect_redis(const char *url, char *error, size_t size)
{
    const struct timeval timeout = {REDIS_TIMEOUT_S, 0};
    weir_redis_url_t at;
    const char *wrong = weir_redis_url_parse(&at, url);
    redisContext *redis = NULL;
    redisReply *reply = NULL;

    if (wrong != NULL) {
        snprintf(error, size, "%s", wrong);
        weir_redis_url_clear(&at);
        return NULL;
    }

    redis = at.path != NULL ? redisConnectUnixWithTimeout(at.path, timeout)
                            : redisConnectWithTimeout(at.host, at.port, timeout);
    if (redis == NULL)
        abort();
    if (redis->err == 0)
        redisSetTimeout(redis, timeout);
    if (redis->err == 0 && at.password != NULL)
        reply = at.user != NULL ? redisCommand(redis, "AUTH %s %s", at.user, at.password)
                                : redisCommand(redis, "AUTH %s", at.password);
    if (redis->err == 0 && (reply == NULL || reply->type != REDIS_REPLY_ERROR)) {
        if (reply != NULL)
            freeReplyObject(reply);
        reply = redisCommand(redis, "SELECT %d", at.db);
    }
    weir_redis_url_clear(&at);

    if (redis->err != 0 || (reply != NULL && reply->type == REDIS_REPLY_ERROR)) {
        snprintf(error, size, "%s", redis->err != 0 ? redis->errstr : reply->str);
        if (reply != NULL)
            freeReplyObject(reply);
        redisFree(redis);
        return NULL;
    }
    if (reply != NULL)
        freeReplyObject(reply);

    return redis;
}

/* The position of the stream's last entry and its length; without a stream 0 and 0. */
static bool look_at(redisContext *redis, int partition, json_int_t *last, json_int_t *length)
{
    redisReply *reply = redisCommand(redis, "XINFO STREAM " WEIR_STREAM_PREFIX "%d", partition);
    bool ok = reply != NULL;

    *last = *length = 0;
    for (size_t i = 0; ok && reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *value = reply->element[i + 1];

        if (strcmp(name->str, "length") == 0)
            *length = value->integer;
        else if (strcmp(name->str, "last-generated-id") == 0)
            *last = strtoll(value->str, NULL, 10);
    }
    if (reply != NULL)
        freeReplyObject(reply);

    return ok;
}

/*
 * In words of relay.c; it corrects them within a second.  Behind: Redis lacks what no group has
 * handled; ahead: it has what the database does not know.
 */
static const char *state_of(json_int_t last, json_int_t position, json_int_t handled)
{
    if (last > position)
        return "ahead";

    return last < position && handled < position ? "behind" : "following";
}

static void add_streams(redisContext *redis, json_t *partitions)
{
    json_t *row;
    size_t i;

    json_array_foreach(partitions, i, row)
    {
        json_int_t position = json_integer_value(json_object_get(row, "position"));
        json_int_t handled = json_integer_value(json_object_get(row, "handled"));
        json_int_t last, length;

        if (redis == NULL || !look_at(redis, (int)i, &last, &length)) {
            json_object_set_new(row, "stream_last", json_null());
            json_object_set_new(row, "stream_length", json_null());
            json_object_set_new(row, "state", json_string("unknown"));
            continue;
        }
        json_object_set_new(row, "stream_last", json_integer(last));
        json_object_set_new(row, "stream_length", json_integer(length));
        json_object_set_new(row, "state", json_string(state_of(last, position, handled)));
    }
}

weir_ctl_exit_t weir_ctl_outbox(weir_ctl_t *ctl)
{
    char error[256];
    redisContext *redis = connect_redis(ctl->config.redis, error, sizeof(error));
    json_t *summary = weir_ctl_rows(ctl, summary_sql, 0, NULL);
    json_t *partitions = weir_ctl_rows(ctl, partitions_sql, 0, NULL);
    json_t *object = json_array_get(summary, 0);

    add_streams(redis, partitions);
    json_object_set_new(object, "partitions", partitions);
    weir_ctl_print_object(ctl, object);
    json_decref(summary);

    if (redis == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error);
    redisFree(redis);

    return WEIR_CTL_OK;
}
