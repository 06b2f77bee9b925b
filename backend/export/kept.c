/*
 * One XREAD is under way at a time. The position is the id of the last message; it survives a lost
 * connection. Times in ids are those of Redis. A message may have any id, and as long as the stream
 * is there, later ones have greater ids. But a stream that was deleted begins again: if nothing
 * comes behind an id that is far in the future, we go back, and read the last ids again, which does
 * no harm.
 */
#include "export/kept.h"

#include "common/trace/late/late.h"
#include "log/alloc.h"
#include "log/log.h"
#include "metrics/series.h"
#include "redis/redis.h"
#include "trace/late.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MESSAGES "100"  /* of one reply */
#define BLOCK "2000"    /* ms; less than the time for a reply of redis/ */
#define IDS_MAX 1024    /* of one message; edges send 256 */
#define PAUSE_MS 1000   /* after a refusal */
#define AHEAD_MS 60000  /* by so much may Redis' clock be ahead of ours */
#define IDLE_MAX 3      /* replies without messages before we go back */
#define POSITION_LEN 41 /* two numbers of 64 bits, a dash */

struct weir_kept {
    weir_redis_t *redis;
    struct event *pause;
    unsigned remember_ms;
    char position[POSITION_LEN + 1];
    unsigned idle; /* replies without messages, behind an id in the future */
    bool reading;
    bool refused; /* the log has it */
    weir_series_t *read, *malformed;
};

static uint64_t real_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void go_back(weir_kept_t *k)
{
    snprintf(k->position, sizeof(k->position), "%llu-0",
             (unsigned long long)(real_ms() - k->remember_ms));
}

/* --- messages -------------------------------------------------------------------------------- */

static void take_ids(weir_kept_t *k, weir_str_t text)
{
    uint8_t id[WEIR_TRACE_ID_LEN];
    int is, n = 0;

    while ((is = weir_trace_next_id(&text, id)) == 1 && n < IDS_MAX) {
        weir_late_keep(id);
        n++;
    }
    weir_series_add(k->read, (uint64_t)n);
    if (is != 0)
        weir_series_add(k->malformed, 1);
}

static bool is_text(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING;
}

/* Two numbers, a dash between them. */
static bool is_position(const redisReply *reply)
{
    size_t ms, n;

    if (!is_text(reply) || (size_t)reply->len > POSITION_LEN)
        return false;
    ms = strspn(reply->str, "0123456789");
    if (ms == 0 || reply->str[ms] != '-')
        return false;
    n = strspn(reply->str + ms + 1, "0123456789");
    return n > 0 && ms + 1 + n == (size_t)reply->len;
}

/* A message is an array of its id, and an array of names and values. */
static void take_message(weir_kept_t *k, const redisReply *message)
{
    const redisReply *fields;
    bool found = false;

    if (message->type != REDIS_REPLY_ARRAY || message->elements != 2 ||
        !is_position(message->element[0]))
        return;
    snprintf(k->position, sizeof(k->position), "%s", message->element[0]->str);
    fields = message->element[1];
    for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2) {
        const redisReply *name = fields->element[i], *value = fields->element[i + 1];

        if (!found && is_text(name) && strcmp(name->str, "ids") == 0 && is_text(value)) {
            take_ids(k, (weir_str_t){value->str, (size_t)value->len});
            found = true;
        }
    }
    if (!found)
        weir_series_add(k->malformed, 1);
}

/* The reply of XREAD: an array of streams, each of them an array of its name and its messages. */
static void take_messages(weir_kept_t *k, const redisReply *reply)
{
    const redisReply *stream, *messages;

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1)
        return;
    stream = reply->element[0];
    if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2)
        return;
    messages = stream->element[1];
    for (size_t i = 0; messages->type == REDIS_REPLY_ARRAY && i < messages->elements; i++)
        take_message(k, messages->element[i]);
}

/* --- reading --------------------------------------------------------------------------------- */

static void read_on(weir_kept_t *k);

static void pause_reading(weir_kept_t *k)
{
    static const struct timeval pause = {PAUSE_MS / 1000, 0};

    event_add(k->pause, &pause);
}

static void on_idle(weir_kept_t *k)
{
    if (strtoull(k->position, NULL, 10) <= real_ms() + AHEAD_MS || ++k->idle < IDLE_MAX)
        return;
    k->idle = 0;
    go_back(k);
}

static void on_reply(redisReply *reply, void *arg)
{
    weir_kept_t *k = arg;
    char before[POSITION_LEN + 1];

    k->reading = false;
    if (reply == NULL)
        return; /* the connection is lost, or we end */
    if (reply->type == REDIS_REPLY_ERROR) {
        if (!k->refused)
            weir_log(WEIR_LOG_WARN, NULL, "Redis does not let us read which traces are kept",
                     "{s:s,s:s}", "stream", WEIR_TRACE_KEPT_STREAM, "error", reply->str);
        k->refused = true;
        pause_reading(k);
        return;
    }
    k->refused = false;
    if (reply->type == REDIS_REPLY_NIL) {
        on_idle(k);
        read_on(k);
        return;
    }
    memcpy(before, k->position, sizeof(before));
    take_messages(k, reply);
    k->idle = 0;
    if (strcmp(before, k->position) == 0)
        pause_reading(k); /* no message was in it: not what was asked for */
    else
        read_on(k);
}

static void read_on(weir_kept_t *k)
{
    const char *const argv[] = {
        "XREAD", "COUNT", MESSAGES, "BLOCK", BLOCK, "STREAMS", WEIR_TRACE_KEPT_STREAM, k->position};

    if (k->reading)
        return;
    k->reading = weir_redis_command(k->redis, 8, argv, NULL, on_reply, k);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    read_on(arg);
}

static void on_state(weir_redis_t *redis, bool up, void *arg)
{
    weir_kept_t *k = arg;

    (void)redis;
    if (up)
        read_on(k);
}

weir_kept_t *weir_kept_start(struct event_base *base, const char *redis, unsigned remember_ms)
{
    weir_kept_t *k = weir_alloc(sizeof(*k));
    char error[256];

    k->remember_ms = remember_ms;
    go_back(k);
    k->read = weir_series(WEIR_LATE_IDS, &(const char *){"read"});
    k->malformed = weir_series(WEIR_LATE_IDS, &(const char *){"malformed"});
    k->pause = evtimer_new(base, on_pause_over, k);
    k->redis = weir_redis_new(base, redis, "weir-traces", on_state, k, error, sizeof(error));
    assert(k->redis != NULL); /* the settings were checked */

    return k;
}

void weir_kept_free(weir_kept_t *k)
{
    if (k == NULL)
        return;
    weir_redis_free(k->redis);
    event_free(k->pause);
    free(k);
}
