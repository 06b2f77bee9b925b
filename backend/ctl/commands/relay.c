/*
 * Partitions that are halted because their stream has events of another history than the database,
 * and how to continue. events/relay/relay.c explains when this happens.
 */
#include "ctl/commands/commands.h"
#include "ctl/redis/streams.h"
#include "events/log_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char partitions_sql[] =
    "SELECT p.partition, p.position, coalesce(p.halted, '') AS halted,"
    " (SELECT count(*) FROM outbox o WHERE o.partition = p.partition AND o.position IS NULL)"
    "  AS waiting"
    " FROM partitions p ORDER BY p.partition";

bool weir_ctl_none_halted(weir_ctl_t *ctl)
{
    json_t *rows =
        weir_ctl_rows(ctl,
                      "SELECT string_agg(p.partition::text, ', ' ORDER BY p.partition) AS halted,"
                      " (SELECT count(*) FROM outbox o JOIN partitions h USING (partition)"
                      "  WHERE o.position IS NULL AND h.halted IS NOT NULL) AS waiting"
                      " FROM partitions p WHERE p.halted IS NOT NULL",
                      0, NULL);
    const json_t *row = json_array_get(rows, 0);
    const char *halted = json_string_value(json_object_get(row, "halted"));
    bool none = halted == NULL;

    if (!none)
        weir_ctl_fail(WEIR_CTL_REFUSED,
                      "partitions %s are halted, %" JSON_INTEGER_FORMAT
                      " events wait in the outbox: their streams have another history than the "
                      "database, see \"weirctl help relay rebase\"",
                      halted, json_integer_value(json_object_get(row, "waiting")));
    json_decref(rows);

    return none;
}

/* The stream's fence (log_stream.h), or "". */
static void read_fence(weir_ctl_redis_t *redis, int partition, char fence[WEIR_TOKEN_LEN + 1])
{
    char key[64], why[200];
    redisReply *reply;

    snprintf(key, sizeof(key), WEIR_FENCE_FORMAT, partition);
    reply = weir_ctl_redis_ask(redis, 2, (const char *[]){"GET", key}, NULL, why, sizeof(why));
    fence[0] = '\0';
    if (reply != NULL && reply->type == REDIS_REPLY_STRING && reply->len == WEIR_TOKEN_LEN)
        memcpy(fence, reply->str, WEIR_TOKEN_LEN + 1);
    if (reply != NULL)
        freeReplyObject(reply);
}

/*
 * The partitions as objects, with the state of their streams. Exits when Redis is away. *era is the
 * greatest era of the fences.
 */
static json_t *look(weir_ctl_t *ctl, weir_ctl_redis_t *redis, int64_t *era)
{
    char error[256] = "";
    json_t *streams = weir_ctl_streams(ctl, redis, error, sizeof(error)); /* before the positions */
    json_t *rows = weir_ctl_rows(ctl, partitions_sql, 0, NULL), *row;
    size_t i;

    *era = 0;
    json_array_foreach(rows, i, row)
    {
        int partition = (int)json_integer_value(json_object_get(row, "partition"));
        json_int_t position = json_integer_value(json_object_get(row, "position"));
        json_t *stream_last = json_object_get(json_array_get(streams, i), "stream_last");
        json_int_t last = json_integer_value(stream_last);
        char fence[WEIR_TOKEN_LEN + 1], digits[WEIR_TOKEN_ERA_DIGITS + 1];

        if (!json_is_integer(stream_last))
            exit(weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error));
        read_fence(redis, partition, fence);
        snprintf(digits, sizeof(digits), "%s", fence);
        if (strtoll(digits, NULL, 10) > *era)
            *era = strtoll(digits, NULL, 10);
        if (last > position && *json_string_value(json_object_get(row, "halted")) == '\0')
            json_object_set_new(row, "halted", json_string("ahead"));
        json_object_set(row, "stream_last", stream_last);
        json_object_set_new(row, "unknown", json_integer(last > position ? last - position : 0));
    }
    json_decref(streams);
    return rows;
}

static bool is_halted(const json_t *row)
{
    return *json_string_value(json_object_get(row, "halted")) != '\0';
}

static weir_ctl_redis_t *open_redis(const weir_ctl_t *ctl)
{
    char error[256];
    weir_ctl_redis_t *redis = weir_ctl_redis_open(ctl, error, sizeof(error));

    if (redis == NULL)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error));
    return redis;
}

weir_ctl_exit_t weir_ctl_relay(weir_ctl_t *ctl)
{
    weir_ctl_redis_t *redis = open_redis(ctl);
    bool halted = false;
    int64_t era;
    json_t *rows = look(ctl, redis, &era), *row;
    json_t *terms = weir_ctl_rows(ctl, "SELECT t.era, t.term FROM relay_term t", 0, NULL);
    json_t *object = json_array_get(terms, 0);
    size_t i;

    json_array_foreach(rows, i, row) halted = halted || is_halted(row);
    json_object_set_new(object, "partitions", rows);
    weir_ctl_print_object(ctl, object);
    json_decref(terms);
    weir_ctl_redis_close(redis);

    return halted ? WEIR_CTL_REFUSED : WEIR_CTL_OK;
}

/*
 * The era is raised first: from then on all earlier tokens are refused, and the relay makes no mark
 * because of an earlier check. Then the stream is deleted, and the mark last: while the mark
 * exists, the relay does nothing in the partition unless the stream is gone.
 */
static json_t *rebase(weir_ctl_t *ctl, weir_ctl_redis_t *redis, json_t *rows, int64_t era)
{
    json_t *done = json_array(), *row;
    char text[24], key[32], error[256];
    size_t i;

    snprintf(text, sizeof(text), "%" PRId64, era);
    json_decref(weir_ctl_rows(ctl, "SELECT relay_rebase($1::bigint, $2)", 2,
                              (const char *[]){text, weir_ctl_caller(ctl)}));
    json_array_foreach(rows, i, row)
    {
        int partition = (int)json_integer_value(json_object_get(row, "partition"));
        redisReply *reply;

        if (!is_halted(row))
            continue;
        snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", partition);
        reply =
            weir_ctl_redis_ask(redis, 2, (const char *[]){"DEL", key}, NULL, error, sizeof(error));
        if (reply == NULL)
            exit(weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error));
        freeReplyObject(reply);
        snprintf(text, sizeof(text), "%d", partition);
        weir_ctl_run(ctl, "SELECT relay_resume($1::smallint)", 1, (const char *[]){text});
        json_array_append(done, row);
    }
    return done;
}

weir_ctl_exit_t weir_ctl_relay_rebase(weir_ctl_t *ctl)
{
    weir_ctl_redis_t *redis = open_redis(ctl);
    int64_t era;
    json_t *rows = look(ctl, redis, &era), *done;
    bool halted = false;
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) halted = halted || is_halted(row);
    done = halted ? rebase(ctl, redis, rows, era) : json_array();
    weir_ctl_print_rows(ctl, done, "No partition is halted.");
    json_decref(done);
    json_decref(rows);
    weir_ctl_redis_close(redis);

    return WEIR_CTL_OK;
}
