/*
 * hiredis' blocking functions, and with TLS the backend's bridge: hiredis has one end of a pair of
 * sockets, and the event loop that moves the bytes to the server runs while an answer is awaited.
 */
#include "ctl/redis/redis.h"

#include "log/alloc.h"
#include "log/clock.h"
#include "redis/bridge.h"
#include "redis/login.h"
#include "redis/url.h"
#include "tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_S 2

struct weir_ctl_redis {
    redisContext *context;
    struct event_base *base; /* with TLS; otherwise NULL, as the following */
    weir_tls_t *tls;
    weir_bridge_t *bridge;
    char why[256]; /* the bridge has failed; empty: it has not */
};

static void on_failed(const char *why, void *arg)
{
    weir_ctl_redis_t *redis = arg;

    snprintf(redis->why, sizeof(redis->why), "%s", why);
}

/* False with a message. */
static bool add_tls(weir_ctl_redis_t *redis, const weir_ctl_t *ctl, const char *host, char *error,
                    size_t size)
{
    weir_tls_settings_t settings = weir_settings_tls(&ctl->settings, "redis");
    const char *wrong = NULL;

    redis->base = weir_alloc_check(event_base_new());
    redis->tls = weir_tls_new(redis->base, &settings, error, size);
    if (redis->tls == NULL)
        return false;
    if (evutil_make_socket_nonblocking(redis->context->fd) != 0) {
        snprintf(error, size, "%s", strerror(errno));
        return false;
    }
    redis->bridge = weir_bridge_new(redis->base, redis->tls, redis->context->fd, host, on_failed,
                                    redis, &wrong);
    if (redis->bridge == NULL) {
        snprintf(error, size, "%s", wrong);
        return false;
    }
    redis->context->flags &= ~REDIS_BLOCK; /* as the pair is */

    return true;
}

/* It ends a turn of the event loop. */
static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

/* Lets the event loop work until there is a reply; NULL: there is none. */
static redisReply *wait_for_reply(weir_ctl_redis_t *redis)
{
    uint64_t end = weir_clock_ms() + TIMEOUT_S * 1000, now;
    struct event *alarm = weir_alloc_check(evtimer_new(redis->base, on_time, NULL));
    void *reply = NULL;
    int written;

    while (reply == NULL && redis->why[0] == '\0' && (now = weir_clock_ms()) < end) {
        struct timeval left = {(time_t)(end - now) / 1000,
                               (suseconds_t)((end - now) % 1000 * 1000)};

        if (redisBufferWrite(redis->context, &written) != REDIS_OK)
            break;
        event_add(alarm, &left);
        if (event_base_loop(redis->base, EVLOOP_ONCE) < 0 ||
            redisBufferRead(redis->context) != REDIS_OK ||
            redisGetReplyFromReader(redis->context, &reply) != REDIS_OK)
            break;
    }
    if (reply == NULL && redis->why[0] == '\0' && redis->context->err == 0)
        snprintf(redis->why, sizeof(redis->why), "no answer within %d s", TIMEOUT_S);
    event_free(alarm);

    return reply;
}

redisReply *weir_ctl_redis_ask(weir_ctl_redis_t *redis, int argc, const char *const *argv,
                               const size_t *lens, char *error, size_t size)
{
    void *got = NULL;
    redisReply *reply;

    assert(argc > 0);
    if (redisAppendCommandArgv(redis->context, argc, (const char **)(uintptr_t)argv, lens) ==
        REDIS_OK) {
        if (redis->bridge != NULL)
            got = wait_for_reply(redis);
        else if (redisGetReply(redis->context, &got) != REDIS_OK)
            got = NULL;
    }
    reply = got;
    if (reply != NULL && reply->type != REDIS_REPLY_ERROR)
        return reply;
    snprintf(error, size, "%s",
             reply != NULL           ? reply->str
             : redis->why[0] != '\0' ? redis->why
                                     : redis->context->errstr);
    if (reply != NULL)
        freeReplyObject(reply);

    return NULL;
}

static bool greet(weir_ctl_redis_t *redis, const weir_redis_url_t *at, char *error, size_t size)
{
    const char *auth[3];
    size_t lens[3];
    int words = weir_redis_login_auth(at, auth, lens);
    char db[16];
    redisReply *reply;

    if (words > 0) {
        reply = weir_ctl_redis_ask(redis, words, auth, lens, error, size);
        if (reply == NULL)
            return false;
        freeReplyObject(reply);
    }
    snprintf(db, sizeof(db), "%d", at->db);
    reply = weir_ctl_redis_ask(redis, 2, (const char *[]){"SELECT", db}, NULL, error, size);
    if (reply != NULL)
        freeReplyObject(reply);

    return reply != NULL;
}

static bool open_to(weir_ctl_redis_t *redis, const weir_ctl_t *ctl, const weir_redis_url_t *at,
                    char *error, size_t size)
{
    const struct timeval timeout = {TIMEOUT_S, 0};

    redis->context =
        weir_alloc_check(at->path != NULL ? redisConnectUnixWithTimeout(at->path, timeout)
                                          : redisConnectWithTimeout(at->host, at->port, timeout));
    if (redis->context->err != 0) {
        snprintf(error, size, "%s", redis->context->errstr);
        return false;
    }
    redisSetTimeout(redis->context, timeout);

    return (!at->tls || add_tls(redis, ctl, at->host, error, size)) &&
           greet(redis, at, error, size);
}

weir_ctl_redis_t *weir_ctl_redis_open(const weir_ctl_t *ctl, char *error, size_t size)
{
    weir_ctl_redis_t *redis = NULL;
    weir_redis_url_t at;
    const char *wrong = weir_redis_url_parse(&at, ctl->settings.redis);

    if (wrong != NULL) {
        snprintf(error, size, "%s", wrong);
        weir_redis_url_clear(&at);
        return NULL;
    }
    weir_redis_login_use(ctl->settings.redis_user, ctl->settings.redis_password_file);
    if (!weir_redis_login_renew(&wrong)) {
        snprintf(error, size, "redis_password_file: %s", wrong);
    } else {
        redis = weir_alloc(sizeof(*redis));
        if (!open_to(redis, ctl, &at, error, size)) {
            weir_ctl_redis_close(redis);
            redis = NULL;
        }
    }
    weir_redis_url_clear(&at);

    return redis;
}

void weir_ctl_redis_close(weir_ctl_redis_t *redis)
{
    if (redis == NULL)
        return;
    redisFree(redis->context);
    weir_bridge_free(redis->bridge);
    weir_tls_free(redis->tls);
    if (redis->base != NULL)
        event_base_free(redis->base);
    free(redis);
}
