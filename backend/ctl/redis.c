/* weirctl's connection to Redis, and its queries about streams. */
#include "ctl/ctl.h"
#include "events/log_stream.h"
#include "log/alloc.h"
#include "redis/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REDIS_TIMEOUT_S 2

redisContext *weir_ctl_redis(const weir_ctl_t *ctl, char *error, size_t size)
{
    const struct timeval timeout = {REDIS_TIMEOUT_S, 0};
    weir_redis_url_t at;
    const char *wrong = weir_redis_url_parse(&at, ctl->settings.redis);
    redisContext *redis = NULL;
    redisReply *reply = NULL;

    if (wrong == NULL && at.tls)
        wrong = "weirctl has no TLS for Redis; give it redis:// or unix:/ by WEIR_REDIS";
    if (wrong != NULL) {
        snprintf(error, size, "%s", wrong);
        weir_redis_url_clear(&at);
        return NULL;
    }

    redis = at.path != NULL ? redisConnectUnixWithTimeout(at.path, timeout)
                            : redisConnectWithTimeout(at.host, at.port, timeout);
    weir_alloc_check(redis);
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

/* Returns false with the reason when Redis does not answer. Both values are 0 without a stream. */
static bool look_at(redisContext *redis, int partition, int64_t *last, int64_t *length, char *error,
                    size_t size)
{
    redisReply *reply = redisCommand(redis, "XINFO STREAM " WEIR_STREAM_PREFIX "%d", partition);
    bool is_error = reply != NULL && reply->type == REDIS_REPLY_ERROR;
    bool ok = is_error ? strcmp(reply->str, "ERR no such key") == 0 : reply != NULL;

    *last = *length = 0;
    for (size_t i = 0; ok && reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *value = reply->element[i + 1];

        if (name->type != REDIS_REPLY_STRING)
            ok = false;
        else if (strcmp(name->str, "length") == 0)
            *length = value->integer;
        else if (strcmp(name->str, "last-generated-id") == 0 && value->type == REDIS_REPLY_STRING)
            *last = weir_log_stream_position(value->str);
    }
    if (!ok)
        snprintf(error, size, WEIR_STREAM_PREFIX "%d: %s", partition,
                 is_error        ? reply->str
                 : reply == NULL ? redis->errstr
                                 : "an unexpected reply");
    if (reply != NULL)
        freeReplyObject(reply);

    return ok;
}

json_t *weir_ctl_streams(weir_ctl_t *ctl, redisContext *redis, char *error, size_t size)
{
    json_t *rows =
        weir_ctl_rows(ctl, "SELECT p.partition FROM partitions p ORDER BY p.partition", 0, NULL);
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        int partition = (int)json_integer_value(json_object_get(row, "partition"));
        int64_t last, length;
        bool known = redis != NULL && look_at(redis, partition, &last, &length, error, size);

        json_object_set_new(row, "stream_last", known ? json_integer(last) : json_null());
        json_object_set_new(row, "stream_length", known ? json_integer(length) : json_null());
    }
    return rows;
}
