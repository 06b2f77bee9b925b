/* "weirctl revoke": entries of the stream weir:revoked, which the edges read. */
#include "ctl/edge/edge.h"

#include "ctl/redis/redis.h"
#include "log/alloc.h"

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

/*
 * Into the audit log. The edges have been told: what was stolen must not wait for a database, and a
 * failure of it ends nothing.
 */
static void record(weir_ctl_t *ctl, const char *field)
{
    char *object = weir_alloc_format("token:%s:%s", field, ctl->args.words[1]);
    json_t *detail = weir_alloc_check(json_pack("{s:s}", "iss", ctl->args.words[0]));
    char *text = weir_alloc_check(json_dumps(detail, JSON_COMPACT));
    const char *values[] = {weir_ctl_caller(ctl), object, text};
    PGresult *result =
        PQexecParams(ctl->db, "SELECT audit_put_ctl($1, 'token.revoke', $2, $3::jsonb)", 3, NULL,
                     values, NULL, NULL, 0);

    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        weir_ctl_fail(WEIR_CTL_AWAY, "\"%s\" is not in the audit log: %s", object,
                      PQresultErrorMessage(result));
    PQclear(result);
    free(text);
    json_decref(detail);
    free(object);
}

static weir_ctl_exit_t revoke(weir_ctl_t *ctl, const char *field, const char *option,
                              const char *time)
{
    const char *words[] = {
        "XADD", STREAM, "*", "iss", ctl->args.words[0], field, ctl->args.words[1], option, time};
    weir_ctl_exit_t code;

    for (int i = 0; i < 2; i++) {
        if (ctl->args.words[i][0] == '\0')
            return weir_ctl_fail(WEIR_CTL_USAGE, "the %s is empty", i == 0 ? "issuer" : field);
    }
    if (time != NULL)
        check_time(option, time);

    code = add(ctl, time != NULL ? 9 : 7, words);
    if (code == WEIR_CTL_OK && ctl->db != NULL)
        record(ctl, field);

    return code;
}

weir_ctl_exit_t weir_ctl_revoke_jti(weir_ctl_t *ctl)
{
    return revoke(ctl, "jti", "exp", ctl->args.exp);
}

weir_ctl_exit_t weir_ctl_revoke_sub(weir_ctl_t *ctl)
{
    return revoke(ctl, "sub", "before", ctl->args.before);
}
