/*
 * "weirctl breaker": orders in the stream weir:breaker, which the edges obey, and what edges have
 * told there. ngx_module/breaker/fleet/breaker_message.h has the entries.
 */
#include "ctl/edge/edge.h"

#include "ctl/redis/redis.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM "weir:breaker"
#define TOLD "10000" /* entries that are read; edges keep about as many */
#define KEY_MAX_LEN 255
#define MS_MAX (7 * 24 * 3600 * 1000LL)

/* --- orders ------------------------------------------------------------------ */

/* Milliseconds of "90s", "10m", "2h" or "1d"; exits if the text is none. */
static int64_t read_time(const char *text)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    long n = strtol(text, &end, 10);

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].unit) == 0 && text[0] >= '0' && text[0] <= '9' && n > 0 &&
            n <= MS_MAX / units[i].ms)
            return n * units[i].ms;
    }
    exit(weir_ctl_fail(WEIR_CTL_USAGE,
                       "--for \"%s\" must be a time up to 7d, such as 90s, 10m or 2h", text));
}

/* The machine whose edges are meant; NULL: all. It is in a static buffer, or borrowed. */
static const char *which_edge(const weir_ctl_t *ctl)
{
    static char host[256];

    if (ctl->args.fleet && ctl->args.edge != NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--fleet and --edge exclude each other"));
    if (ctl->args.fleet || ctl->args.edge != NULL)
        return ctl->args.edge;
    if (gethostname(host, sizeof(host) - 1) != 0)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "the name of this machine: %s", strerror(errno)));
    /* nginx's own is in lower case, too */
    for (char *p = host; *p != '\0'; p++) {
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    }
    return host;
}

/* Adds the entry; returns its id, which the caller frees, or NULL with the reason. */
static char *add(weir_ctl_redis_t *redis, int n, const char **words, char *error, size_t size)
{
    redisReply *reply = weir_ctl_redis_ask(redis, n, words, NULL, error, size);
    char *id = NULL;

    if (reply != NULL && reply->type == REDIS_REPLY_STRING)
        id = strdup(reply->str);
    else if (reply != NULL)
        snprintf(error, size, "an unexpected reply");
    if (reply != NULL)
        freeReplyObject(reply);
    return id;
}

/*
 * The record of the audit log is written first, and commits after the order was given: no order is
 * given without a record, and a record without an order only if the commit fails.
 */
static weir_ctl_exit_t order(weir_ctl_t *ctl, const char *what)
{
    static const char sql[] =
        "SELECT audit_put_ctl($1, 'breaker.' || $2, left('breaker:' || $3, 500),"
        " jsonb_strip_nulls(jsonb_build_object('zone', $4::text, 'edge', coalesce($5, 'all'),"
        " 'for_ms', $6::text)))";
    const char *key = ctl->args.words[0], *edge = which_edge(ctl), *by = weir_ctl_caller(ctl);
    const char *words[20] = {"XADD", STREAM, "MAXLEN", "~", TOLD, "*", "steer", what, "key", key};
    const char *values[6] = {by, what, key, ctl->args.zone, edge, NULL};
    char error[256], ms[24], who[64], *id;
    weir_ctl_redis_t *redis;
    int n = 10;

    if (key[0] == '\0' || strlen(key) > KEY_MAX_LEN)
        return weir_ctl_fail(WEIR_CTL_USAGE, "a key has from 1 to %d bytes", KEY_MAX_LEN);

    if (strcmp(what, "auto") != 0) {
        snprintf(ms, sizeof(ms), "%lld",
                 (long long)read_time(ctl->args.for_time != NULL ? ctl->args.for_time : "10m"));
        words[n++] = "for";
        words[n++] = values[5] = ms;
    }
    if (ctl->args.zone != NULL) {
        words[n++] = "zone";
        words[n++] = ctl->args.zone;
    }
    if (edge != NULL) {
        words[n++] = "edge";
        words[n++] = edge;
    }
    snprintf(who, sizeof(who), "uid %u", (unsigned)getuid());
    words[n++] = "by";
    words[n++] = who;

    redis = weir_ctl_redis_open(ctl, error, sizeof(error));
    if (redis == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error);

    if (ctl->db != NULL) {
        weir_ctl_run(ctl, "BEGIN", 0, NULL);
        json_decref(weir_ctl_rows(ctl, sql, 6, values));
    } else {
        fputs("weirctl: the configuration has no database: no record in the audit log\n", stderr);
    }
    id = add(redis, n, words, error, sizeof(error));
    weir_ctl_redis_close(redis);
    if (ctl->db != NULL)
        weir_ctl_run(ctl, id != NULL ? "COMMIT" : "ROLLBACK", 0, NULL);
    if (id == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error);

    json_t *object = json_pack("{s:s, s:s, s:s}", "stream", STREAM, "entry", id, "edge",
                               edge != NULL ? edge : "all");
    weir_ctl_print_object(ctl, object);
    json_decref(object);
    free(id);
    return WEIR_CTL_OK;
}

weir_ctl_exit_t weir_ctl_breaker_open(weir_ctl_t *ctl)
{
    return order(ctl, "open");
}

weir_ctl_exit_t weir_ctl_breaker_close(weir_ctl_t *ctl)
{
    return order(ctl, "close");
}

weir_ctl_exit_t weir_ctl_breaker_auto(weir_ctl_t *ctl)
{
    return order(ctl, "auto");
}

/* --- what edges have told ------------------------------------------------------- */

static const char *field(const redisReply *entry, const char *name)
{
    const redisReply *fields = entry->element[1];

    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1]->str;
    }
    return NULL;
}

static bool is_entry(const redisReply *entry)
{
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING ||
        entry->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    for (size_t i = 0; i < entry->element[1]->elements; i++) {
        if (entry->element[1]->element[i]->type != REDIS_REPLY_STRING)
            return false;
    }
    return true;
}

/* Text that edges or clients have chosen, as JSON; what is no UTF-8 is left out. */
static json_t *text(const char *s)
{
    json_t *value = s != NULL ? json_string(s) : NULL;

    return value != NULL ? value : json_null();
}

/*
 * The newest entry of each breaker of each edge is its state. Entries come the newest first, so the
 * first one counts.
 */
static void take(const weir_ctl_t *ctl, const redisReply *entry, json_t *seen, json_t *rows)
{
    const char *state = field(entry, "event"), *zone = field(entry, "zone");
    const char *key = field(entry, "key"), *id = field(entry, "id"), *edge = field(entry, "edge");
    char name[768];

    if (state == NULL || zone == NULL || key == NULL || id == NULL)
        return;
    snprintf(name, sizeof(name), "%.32s %.256s %.256s", id, zone, key);
    if (json_object_get(seen, name) != NULL)
        return;
    json_object_set_new(seen, name, json_true());

    if ((ctl->args.zone != NULL && strcmp(ctl->args.zone, zone) != 0) ||
        (ctl->args.edge != NULL && (edge == NULL || strcmp(ctl->args.edge, edge) != 0)) ||
        (!ctl->args.all && strcmp(state, "closed") == 0))
        return;

    json_t *row = json_object();

    json_object_set_new(row, "edge", text(edge));
    json_object_set_new(row, "zone", text(zone));
    json_object_set_new(row, "key", text(key));
    json_object_set_new(row, "state", text(state));
    json_object_set_new(row, "since_ms", json_integer(strtoll(entry->element[0]->str, NULL, 10)));
    json_object_set_new(row, "reason", text(field(entry, "reason")));
    json_array_append_new(rows, row);
}

weir_ctl_exit_t weir_ctl_breaker_list(weir_ctl_t *ctl)
{
    static const char *const words[] = {"XREVRANGE", STREAM, "+", "-", "COUNT", TOLD};
    char error[256];
    weir_ctl_redis_t *redis = weir_ctl_redis_open(ctl, error, sizeof(error));
    redisReply *reply;
    json_t *rows, *seen;

    if (redis == NULL)
        return weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error);

    reply = weir_ctl_redis_ask(redis, 6, words, NULL, error, sizeof(error));
    if (reply == NULL || reply->type != REDIS_REPLY_ARRAY) {
        weir_ctl_exit_t code = weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s",
                                             reply == NULL ? error : "an unexpected reply");

        if (reply != NULL)
            freeReplyObject(reply);
        weir_ctl_redis_close(redis);
        return code;
    }

    rows = json_array();
    seen = json_object();
    for (size_t i = 0; i < reply->elements; i++) {
        if (is_entry(reply->element[i]))
            take(ctl, reply->element[i], seen, rows);
    }
    weir_ctl_print_rows(ctl, rows, "no breaker is known that is not closed");
    json_decref(rows);
    json_decref(seen);
    freeReplyObject(reply);
    weir_ctl_redis_close(redis);
    return WEIR_CTL_OK;
}
