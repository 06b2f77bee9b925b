/* "weirctl revoke": entries of the stream weir:revoked, which the edges read. */
#include "ctl/edge/edge.h"

#include "ctl/redis/redis.h"

#include <stdlib.h>
#include <string.h>

#define STREAM "weir:revoked"
#define DIGITS_MAX 12

/* Exits if the text is not a time as the edges read it. */
static void check_time(const char *option, const char *text)
{
    size_t len = strlen(text);

    if (len == 0 || len > DIGITS_MAX || strspn(text, "0123456789") != len)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--%s \"%s\" must be a number of seconds since 1970",
                           option, text));
}

static weir_ctl_exit_t add(weir_ctl_t *ctl, int n, const char **words)
{
    char error[256];
    weir_ctl_redis_t *redis = weir_ctl_redis_open(ctl, error, sizeof(error));
    redisReply *reply;
    json_t *object;

    if (redis == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error);

    reply = weir_ctl_redis_ask(redis, n, words, NULL, error, sizeof(error));
    weir_ctl_redis_close(redis);
    if (reply == NULL || reply->type != REDIS_REPLY_STRING) {
        if (reply != NULL)
            freeReplyObject(reply);
        return weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s",
                             reply == NULL ? error : "an unexpected reply");
    }

    object = json_pack("{s:s, s:s}", "stream", STREAM, "entry", reply->str);
    weir_ctl_print_object(ctl, object);
    json_decref(object);
    freeReplyObject(reply);

    return WEIR_CTL_OK;
}

static weir_ctl_exit_t revoke(weir_ctl_t *ctl, const char *field, const char *option,
                              const char *time)
{
    const char *words[] = {
        "XADD", STREAM, "*", "iss", ctl->args.words[0], field, ctl->args.words[1], option, time};

    for (int i = 0; i < 2; i++) {
        if (ctl->args.words[i][0] == '\0')
            return weir_ctl_fail(WEIR_CTL_USAGE, "the %s is empty", i == 0 ? "issuer" : field);
    }
    if (time != NULL)
        check_time(option, time);

    return add(ctl, time != NULL ? 9 : 7, words);
}

weir_ctl_exit_t weir_ctl_revoke_jti(weir_ctl_t *ctl)
{
    return revoke(ctl, "jti", "exp", ctl->args.exp);
}

weir_ctl_exit_t weir_ctl_revoke_sub(weir_ctl_t *ctl)
{
    return revoke(ctl, "sub", "before", ctl->args.before);
}
