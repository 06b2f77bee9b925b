#include "ctl/redis/streams.h"

#include "events/log_stream.h"

#include <stdio.h>
#include <string.h>

/* Returns false with the reason when Redis does not answer. Both values are 0 without a stream. */
static bool look_at(weir_ctl_redis_t *redis, int partition, int64_t *last, int64_t *length,
                    char *error, size_t size)
{
    char key[32], why[200];
    redisReply *reply;
    bool ok;

    snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", partition);
    *last = *length = 0;
    reply = weir_ctl_redis_ask(redis, 3, (const char *[]){"XINFO", "STREAM", key}, NULL, why,
                               sizeof(why));
    ok = reply != NULL;
    if (!ok && strcmp(why, "ERR no such key") == 0)
        return true;
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
        snprintf(error, size, "%s: %s", key, reply == NULL ? why : "an unexpected reply");
    if (reply != NULL)
        freeReplyObject(reply);

    return ok;
}

json_t *weir_ctl_streams(weir_ctl_t *ctl, weir_ctl_redis_t *redis, char *error, size_t size)
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
