/*
 * "weirctl flag": definitions of flags in the stream weir:flags, which the edges read. The stream
 * has one entry of each flag: the last one; a flag that was deleted has an entry that says so, for
 * edges that know it. What is changed is in the audit log, if the configuration has a database.
 */
#include "ctl/edge/edge.h"

#include "common/flags/flag.h"
#include "ctl/redis/redis.h"
#include "log/alloc.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STREAM "weir:flags"

static const char change_script[] =
    "local old,names,n={},{},0 "
    "for _,e in ipairs(redis.call('XRANGE',KEYS[1],'-','+')) do "
    "local f={} for i=1,#e[2],2 do f[e[2][i]]=e[2][i+1] end "
    "if f.name==ARGV[1] then old[#old+1]=e[1] "
    "elseif f.name and not f.deleted and not names[f.name] then names[f.name]=1 n=n+1 end end "
    "if ARGV[2]=='flag' and n>=tonumber(ARGV[4]) then "
    "return redis.error_reply('there are '..n..' flags; no more fit') end "
    "local id=redis.call('XADD',KEYS[1],'*','name',ARGV[1],ARGV[2],ARGV[3]) "
    "for _,o in ipairs(old) do redis.call('XDEL',KEYS[1],o) end "
    "return id";

/* --- Redis ------------------------------------------------------------------- */

static weir_ctl_redis_t *connect_redis(const weir_ctl_t *ctl)
{
    char error[256];
    weir_ctl_redis_t *redis = weir_ctl_redis_open(ctl, error, sizeof(error));

    if (redis == NULL)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error));

    return redis;
}

/* The reply, of that type, or NULL with a message that was printed. */
static redisReply *ask(weir_ctl_redis_t *redis, int argc, const char *const *argv, int type)
{
    char error[256] = "an unexpected reply";
    redisReply *reply = weir_ctl_redis_ask(redis, argc, argv, NULL, error, sizeof(error));

    if (reply != NULL && reply->type == type)
        return reply;

    weir_ctl_fail(WEIR_CTL_AWAY, "Redis: %s", error);
    if (reply != NULL)
        freeReplyObject(reply);

    return NULL;
}

static const char *field(const redisReply *entry, const char *name)
{
    const redisReply *fields = entry->elements == 2 ? entry->element[1] : NULL;

    for (size_t i = 0; fields != NULL && i + 1 < fields->elements; i += 2) {
        if (strcmp(fields->element[i]->str, name) == 0)
            return fields->element[i + 1]->str;
    }

    return NULL;
}

/*
 * An object with an object for each flag: entry, and the definition as JSON and as text. Exits if
 * Redis does not answer.
 */
static json_t *read_flags(const weir_ctl_t *ctl)
{
    static const char *const words[] = {"XRANGE", STREAM, "-", "+"};
    weir_ctl_redis_t *redis = connect_redis(ctl);
    json_t *flags = weir_alloc_check(json_object());
    redisReply *reply = ask(redis, 4, words, REDIS_REPLY_ARRAY);

    if (reply == NULL)
        exit(WEIR_CTL_AWAY);

    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];
        const char *name = field(entry, "name"), *text = field(entry, "flag");

        if (name == NULL || !weir_flag_is_name(weir_str(name)))
            continue;
        if (text != NULL)
            json_object_set_new(
                flags, name,
                json_pack("{s:s, s:s}", "entry", entry->element[0]->str, "text", text));
        else if (field(entry, "deleted") != NULL)
            json_object_del(flags, name);
    }
    freeReplyObject(reply);
    weir_ctl_redis_close(redis);

    return flags;
}

/* --- what is set -------------------------------------------------------------------------------
 */

/* Exits if it cannot be read, or is too long. */
static char *read_file(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *text = weir_alloc(WEIR_FLAG_TEXT_MAX + 2);
    size_t len;

    if (file == NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "\"%s\" is neither on, off, a percentage, JSON, nor a file", path));
    len = fread(text, 1, WEIR_FLAG_TEXT_MAX + 1, file);
    if (ferror(file))
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "\"%s\" cannot be read", path));
    text[len] = '\0';
    if (file != stdin)
        fclose(file);

    return text;
}

/* A flag that is on, off, or on for a part of the keys; NULL: the word is none of them. */
static char *short_form(const char *word)
{
    char *end, *text;
    double percent = strcmp(word, "on") == 0 ? 100 : 0;
    long weight;
    json_t *flag;

    if (strcmp(word, "on") != 0 && strcmp(word, "off") != 0) {
        if (!isdigit((unsigned char)word[0]))
            return NULL;
        percent = strtod(word, &end);
        if (strcmp(end, "%") != 0)
            return NULL;
        if (!(percent <= 100))
            exit(weir_ctl_fail(WEIR_CTL_USAGE, "\"%s\" is more than 100%%", word));
    }

    /* thousandths of a percent */
    weight = (long)(percent * 1000 + 0.5);
    flag = json_pack("{s:s, s:{s:b, s:b}, s:s}", "state", "ENABLED", "variants", "on", 1, "off", 0,
                     "defaultVariant", weight == 100000 ? "on" : "off");
    if (weight != 0 && weight != 100000)
        json_object_set_new(flag, "targeting",
                            json_pack("{s:[[s, i], [s, i]]}", "fractional", "on", (int)weight,
                                      "off", (int)(100000 - weight)));
    text = weir_alloc_check(json_dumps(flag, JSON_COMPACT));
    json_decref(flag);

    return text;
}

static weir_flag_t *read_flag(const char *name, const char *text)
{
    char error[160];
    weir_flag_t *flag = weir_flag_read(weir_str(name), weir_str(text), error, sizeof(error));

    if (flag == NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "the flag \"%s\": %s", name, error));

    return flag;
}

/*
 * Adds the entry. The record of the audit log is in a transaction that is committed when Redis has
 * taken the entry: nothing is recorded that was not done.
 */
static weir_ctl_exit_t change(weir_ctl_t *ctl, const char *operation, const char *name,
                              const char *kind, const char *value)
{
    weir_ctl_redis_t *redis = connect_redis(ctl);
    char most[16], *object = weir_alloc(sizeof("flag:") + strlen(name));
    const char *words[] = {"EVAL", change_script, "1", STREAM, name, kind, value, most};
    json_t *detail = weir_alloc_check(json_pack("{s:s}", kind, value)), *done;
    char *text = weir_alloc_check(json_dumps(detail, JSON_COMPACT));
    redisReply *reply;

    sprintf(object, "flag:%s", name);
    snprintf(most, sizeof(most), "%d", WEIR_FLAGS_MAX);

    if (ctl->db != NULL) {
        const char *values[] = {weir_ctl_caller(ctl), operation, object, text};

        weir_ctl_run(ctl, "BEGIN", 0, NULL);
        weir_ctl_run(ctl, "SELECT audit_put_ctl($1, $2, $3, $4::jsonb)", 4, values);
    } else {
        fputs("weirctl: the configuration has no database: no record in the audit log\n", stderr);
    }

    reply = ask(redis, 8, words, REDIS_REPLY_STRING);
    if (reply != NULL && ctl->db != NULL)
        weir_ctl_run(ctl, "COMMIT", 0, NULL);
    if (reply != NULL) {
        done = json_pack("{s:s, s:s, s:s}", "flag", name, "stream", STREAM, "entry", reply->str);
        weir_ctl_print_object(ctl, done);
        json_decref(done);
        freeReplyObject(reply);
    }
    json_decref(detail);
    free(text);
    free(object);
    weir_ctl_redis_close(redis);

    return reply != NULL ? WEIR_CTL_OK : WEIR_CTL_AWAY;
}

weir_ctl_exit_t weir_ctl_flag_set(weir_ctl_t *ctl)
{
    const char *name = ctl->args.words[0], *word = ctl->args.words[1];
    char *text = word[0] == '{' ? weir_alloc_text(word) : short_form(word);
    weir_ctl_exit_t code;

    if (text == NULL)
        text = read_file(word);
    weir_flag_free(read_flag(name, text));
    code = change(ctl, "flag.set", name, "flag", text);
    free(text);

    return code;
}

weir_ctl_exit_t weir_ctl_flag_delete(weir_ctl_t *ctl)
{
    const char *name = ctl->args.words[0];
    json_t *flags = read_flags(ctl);
    bool known = json_object_get(flags, name) != NULL;

    json_decref(flags);
    if (!known)
        return weir_ctl_fail(WEIR_CTL_REFUSED, "there is no flag \"%s\"", name);

    return change(ctl, "flag.delete", name, "deleted", "1");
}

/* --- what is shown -----------------------------------------------------------------------------
 */

static json_t *evaluated(const weir_flag_t *flag, const char *name, const char *key)
{
    weir_flag_context_t context = {weir_str(key), time(NULL), NULL, NULL};
    weir_flag_reason_t reason;
    const weir_flag_variant_t *variant = weir_flag_evaluate(flag, &context, &reason);

    return weir_alloc_check(json_pack("{s:s, s:s, s:s*, s:O*, s:s}", "flag", name, "key", key,
                                      "variant", variant != NULL ? variant->name.data : NULL,
                                      "value", variant != NULL ? variant->json : NULL, "reason",
                                      weir_flag_reason_name(reason)));
}

weir_ctl_exit_t weir_ctl_flag_get(weir_ctl_t *ctl)
{
    const char *name = ctl->args.words[0];
    json_t *flags = read_flags(ctl), *entry = json_object_get(flags, name), *shown;
    weir_flag_t *flag;

    if (entry == NULL) {
        json_decref(flags);
        return weir_ctl_fail(WEIR_CTL_REFUSED, "there is no flag \"%s\"", name);
    }

    flag = read_flag(name, json_string_value(json_object_get(entry, "text")));
    if (ctl->args.n_words > 1) {
        shown = evaluated(flag, name, ctl->args.words[1]);
        weir_ctl_print_object(ctl, shown);
    } else {
        shown = weir_alloc_check(
            json_loads(json_string_value(json_object_get(entry, "text")), 0, NULL));
        weir_ctl_print_line(shown);
    }
    json_decref(shown);
    weir_flag_free(flag);
    json_decref(flags);

    return WEIR_CTL_OK;
}

weir_ctl_exit_t weir_ctl_flag_list(weir_ctl_t *ctl)
{
    json_t *flags = read_flags(ctl), *rows = weir_alloc_check(json_array()), *entry;
    const char *name;

    json_object_foreach(flags, name, entry)
    {
        json_t *flag = json_loads(json_string_value(json_object_get(entry, "text")), 0, NULL);

        json_array_append_new(rows, json_pack("{s:s, s:O*, s:O*, s:O*, s:s}", "flag", name, "state",
                                              json_object_get(flag, "state"), "default",
                                              json_object_get(flag, "defaultVariant"), "targeting",
                                              json_object_get(flag, "targeting"), "entry",
                                              json_string_value(json_object_get(entry, "entry"))));
        json_decref(flag);
    }
    weir_ctl_print_rows(ctl, rows, "There are no flags.");
    json_decref(rows);
    json_decref(flags);

    return WEIR_CTL_OK;
}
