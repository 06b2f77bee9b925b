#include "events/log_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * KEYS[1] stream, ARGV[1] expected last ID, then ID and event of each entry.
 * Returns {1 or 0, last ID, length}.
 */
static const char append_script[] =
    "local last, length = '0-0', 0\n"
    "if redis.call('EXISTS', KEYS[1]) == 1 then\n"
    "  local info = redis.call('XINFO', 'STREAM', KEYS[1])\n"
    "  for i = 1, #info, 2 do\n"
    "    if info[i] == 'last-generated-id' then last = info[i + 1]\n"
    "    elseif info[i] == 'length' then length = info[i + 1] end\n"
    "  end\n"
    "end\n"
    "if last ~= ARGV[1] then return {0, last, length} end\n"
    "for i = 2, #ARGV, 2 do\n"
    "  last = redis.call('XADD', KEYS[1], ARGV[i], 'event', ARGV[i + 1])\n"
    "  length = length + 1\n"
    "end\n"
    "return {1, last, length}\n";

typedef struct {
    weir_log_stream_cb cb;
    void *arg;
} call_t;

static void on_reply(redisReply *reply, void *arg)
{
    call_t c = *(call_t *)arg;

    free(arg);
    if (reply == NULL)
        c.cb(false, 0, 0, "the connection was lost", c.arg);
    else if (reply->type == REDIS_REPLY_ERROR)
        c.cb(false, 0, 0, reply->str, c.arg);
    else if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
             reply->element[1]->type != REDIS_REPLY_STRING)
        c.cb(false, 0, 0, "an unexpected reply", c.arg);
    else
        c.cb(reply->element[0]->integer == 1, strtoll(reply->element[1]->str, NULL, 10),
             reply->element[2]->integer, NULL, c.arg);
}

bool weir_log_stream_append(weir_redis_t *redis, int partition, int64_t expected,
                            const weir_log_entry_t *entries, size_t count, weir_log_stream_cb cb,
                            void *arg)
{
    size_t n = 2 + 2 * count;
    const char **argv = calloc(n, sizeof(*argv));
    size_t *lens = calloc(n, sizeof(*lens));
    char(*ids)[24] = calloc(count + 1, sizeof(*ids));
    call_t *call = malloc(sizeof(*call));
    char key[32];
    bool sent;

    if (argv == NULL || lens == NULL || ids == NULL || call == NULL)
        abort();
    *call = (call_t){cb, arg};
    lens[0] = (size_t)snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", partition);
    argv[0] = key;
    lens[1] = (size_t)snprintf(ids[count], sizeof(ids[0]), "%" PRId64 "-0", expected);
    argv[1] = ids[count];
    for (size_t i = 0; i < count; i++) {
        lens[2 + 2 * i] =
            (size_t)snprintf(ids[i], sizeof(ids[0]), "%" PRId64 "-0", entries[i].position);
        argv[2 + 2 * i] = ids[i];
        argv[3 + 2 * i] = entries[i].json;
        lens[3 + 2 * i] = entries[i].len;
    }
    sent = weir_redis_script(redis, append_script, 1, (int)n, argv, lens, on_reply, call);
    if (!sent)
        free(call);
    for (size_t i = 0; i < count; i++)
        free(entries[i].json);
    free(argv);
    free(lens);
    free(ids);
    return sent;
}

void weir_log_stream_trim(weir_redis_t *redis, int partition, int64_t position)
{
    char key[32], id[24];

    snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", partition);
    snprintf(id, sizeof(id), "%" PRId64 "-0", position + 1);
    (void)!weir_redis_command(redis, 4, (const char *[]){"XTRIM", key, "MINID", id}, NULL, NULL,
                              NULL);
}
