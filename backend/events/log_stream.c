#include "events/log_stream.h"

#include "log/alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * KEYS[1] stream, KEYS[2] its fence: the greatest token that any relay has sent for it. ARGV[1]
 * token, ARGV[2] expected last ID, then ID and event of each entry.
 *
 * Returns {1 when the entries are in, 0 when the stream ends elsewhere, 2 when the token is not the
 * greatest; last ID, length, fence}. Two tokens with the same digits and different tails belong to
 * two relays that the database could not distinguish: the first token stays.
 */
static const char append_script[] =
    "local last, length = '0-0', 0\n"
    "local token, digits = ARGV[1], 40\n"
    "local fence = redis.call('GET', KEYS[2])\n"
    "if not fence or #fence ~= #token then fence = '' end\n"
    "if redis.call('EXISTS', KEYS[1]) == 1 then\n"
    "  local info = redis.call('XINFO', 'STREAM', KEYS[1])\n"
    "  for i = 1, #info, 2 do\n"
    "    if info[i] == 'last-generated-id' then last = info[i + 1]\n"
    "    elseif info[i] == 'length' then length = info[i + 1] end\n"
    "  end\n"
    "end\n"
    "if fence ~= token then\n"
    "  if string.sub(fence, 1, digits) >= string.sub(token, 1, digits) then\n"
    "    return {2, last, length, fence}\n"
    "  end\n"
    "  redis.call('SET', KEYS[2], token)\n"
    "end\n"
    "if last ~= ARGV[2] then return {0, last, length, token} end\n"
    "for i = 3, #ARGV, 2 do\n"
    "  last = redis.call('XADD', KEYS[1], ARGV[i], 'event', ARGV[i + 1])\n"
    "  length = length + 1\n"
    "end\n"
    "return {1, last, length, token}\n";

_Static_assert(WEIR_TOKEN_DIGITS == 40, "the script has the number, too");

typedef struct {
    weir_log_stream_cb cb;
    void *arg;
} call_t;

int64_t weir_log_stream_position(const char *id)
{
    char *end;
    int64_t position = strtoll(id, &end, 10);

    return strcmp(end, "-0") == 0 && position >= 0 ? position : INT64_MAX;
}

/* True for a reply of the form that the script returns. */
static bool is_expected(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 4 &&
           reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer >= 0 &&
           reply->element[0]->integer <= 2 && reply->element[1]->type == REDIS_REPLY_STRING &&
           reply->element[2]->type == REDIS_REPLY_INTEGER &&
           reply->element[3]->type == REDIS_REPLY_STRING &&
           reply->element[3]->len == WEIR_TOKEN_LEN;
}

static void on_reply(redisReply *reply, void *arg)
{
    static const weir_log_verdict_t verdicts[] = {WEIR_LOG_ELSEWHERE, WEIR_LOG_APPENDED,
                                                  WEIR_LOG_FENCED};
    call_t c = *(call_t *)arg;
    weir_log_answer_t answer = {.verdict = WEIR_LOG_FAILED};

    free(arg);
    if (reply == NULL) {
        answer.error = "the connection was lost";
    } else if (reply->type == REDIS_REPLY_ERROR) {
        answer.error = reply->str;
    } else if (!is_expected(reply)) {
        answer.error = "an unexpected reply";
    } else {
        answer.verdict = verdicts[reply->element[0]->integer];
        answer.last = weir_log_stream_position(reply->element[1]->str);
        answer.length = reply->element[2]->integer;
        answer.fence = reply->element[3]->str;
    }
    c.cb(&answer, c.arg);
}

bool weir_log_stream_append(weir_redis_t *redis, int partition, const char *token, int64_t expected,
                            const weir_log_entry_t *entries, size_t count, weir_log_stream_cb cb,
                            void *arg)
{
    size_t n = 4 + 2 * count;
    const char **argv = weir_alloc_array(n, sizeof(*argv));
    size_t *lens = weir_alloc_array(n, sizeof(*lens));
    char(*ids)[24] = weir_alloc_array(count + 1, sizeof(*ids));
    call_t *call = weir_alloc(sizeof(*call));
    char key[32], fence[64];
    bool sent;

    assert(strlen(token) == WEIR_TOKEN_LEN);
    assert(partition >= 0 && cb != NULL);
    *call = (call_t){cb, arg};
    lens[0] = (size_t)snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", partition);
    argv[0] = key;
    lens[1] = (size_t)snprintf(fence, sizeof(fence), WEIR_FENCE_FORMAT, partition);
    argv[1] = fence;
    lens[2] = strlen(token);
    argv[2] = token;
    lens[3] = (size_t)snprintf(ids[count], sizeof(ids[0]), "%" PRId64 "-0", expected);
    argv[3] = ids[count];
    for (size_t i = 0; i < count; i++) {
        lens[4 + 2 * i] =
            (size_t)snprintf(ids[i], sizeof(ids[0]), "%" PRId64 "-0", entries[i].position);
        argv[4 + 2 * i] = ids[i];
        argv[5 + 2 * i] = entries[i].json;
        lens[5 + 2 * i] = entries[i].len;
    }
    sent = weir_redis_script(redis, append_script, 2, (int)n, argv, lens, on_reply, call);
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

    assert(partition >= 0 && position >= 0);
    snprintf(key, sizeof(key), WEIR_STREAM_PREFIX "%d", partition);
    snprintf(id, sizeof(id), "%" PRId64 "-0", position + 1);
    (void)!weir_redis_command(redis, 4, (const char *[]){"XTRIM", key, "MINID", id}, NULL, NULL,
                              NULL);
}

/* Era and timeline have ten digits each, the term has the rest. */
uint64_t weir_log_stream_term(const char *token)
{
    char digits[WEIR_TOKEN_DIGITS - 2 * WEIR_TOKEN_ERA_DIGITS + 1];

    assert(strlen(token) == WEIR_TOKEN_LEN);
    memcpy(digits, token + 2 * WEIR_TOKEN_ERA_DIGITS, sizeof(digits) - 1);
    digits[sizeof(digits) - 1] = '\0';

    return strtoull(digits, NULL, 10);
}
