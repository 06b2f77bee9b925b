#include "ctl/arguments.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- options ------------------------------------------------------------------ */

#define ARG(field) offsetof(weir_ctl_args_t, field)

const weir_ctl_option_t weir_ctl_options[] = {
    {"json", 0, WEIR_CTL_FLAG, ARG(json), NULL, "print JSON, for programs", 0, 0},
    {"all", 0, WEIR_CTL_FLAG, ARG(all), NULL, "all of them", 0, 0},
    {"follow", 'f', WEIR_CTL_FLAG, ARG(follow), NULL, "continue with new events until interrupted",
     0, 0},
    {"yes", 0, WEIR_CTL_FLAG, ARG(yes), NULL, "even if effects are repeated", 0, 0},
    {"new", 0, WEIR_CTL_FLAG, ARG(new_group), NULL, "create the group if it does not exist", 0, 0},
    {"group", 'g', WEIR_CTL_TEXT, ARG(group), "GROUP", "a consumer group", 0, 0},
    {"from", 0, WEIR_CTL_TEXT, ARG(from), "POSITION|TIME",
     "a position in each partition, or a time (2026-01-31T12:00:00Z)", 0, 0},
    {"since", 0, WEIR_CTL_TEXT, ARG(since), "TIME", "from this time on (7 days ago)", 0, 0},
    {"until", 0, WEIR_CTL_TEXT, ARG(until), "TIME",
     "before this time (5 minutes ago: newer charges may be in progress)", 0, 0},
    {"mend", 0, WEIR_CTL_FLAG, ARG(mend), NULL, "repair differences where possible", 0, 0},
    {"partition", 0, WEIR_CTL_NUMBER, ARG(partition), "N", "this partition only", 0, 63},
    {"type", 0, WEIR_CTL_TEXT, ARG(type), "TYPE", "events of this type only", 0, 0},
    {"aggregate", 0, WEIR_CTL_TEXT, ARG(aggregate), "AGGREGATE", "events of this aggregate only", 0,
     0},
    {"count", 'n', WEIR_CTL_NUMBER, ARG(count), "N", "how many, from 0 to 100000 (20)", 0, 100000},
    {"interval", 0, WEIR_CTL_TIME, ARG(interval), "TIME",
     "how long a rate is measured, or until the next look, 0 to 60s (1s)", 0, 60000},
    {"file", 0, WEIR_CTL_TEXT, ARG(file), "FILE",
     "a file of spans (in the environment: WEIR_TRACES_FILE)", 0, 0},
    {"listen", 0, WEIR_CTL_TEXT, ARG(listen), "ADDRESS:PORT",
     "on the loopback interface, or unix:/PATH (127.0.0.1:4318)", 0, 0},
    {"url", 0, WEIR_CTL_TEXT, ARG(url), "URL", "of a receiver of spans, or of weir_status", 0, 0},
    {"backend", 0, WEIR_CTL_TEXT, ARG(backend), "URL", "of a backend's metrics", 0, 0},
    {"window", 0, WEIR_CTL_TEXT, ARG(window), "1m|15m|1h", "of the percentiles (1m)", 0, 0},
    {"once", 0, WEIR_CTL_FLAG, ARG(once), NULL, "print once, and end", 0, 0},
    {"slow", 0, WEIR_CTL_FLAG, ARG(slow), NULL, "the slowest first, instead of the newest", 0, 0},
    {"errors", 0, WEIR_CTL_FLAG, ARG(errors), NULL, "those with an error only", 0, 0},
    {"key", 0, WEIR_CTL_TEXT, ARG(key), "FILE",
     "a public key in PEM (in the configuration: audit_key)", 0, 0},
    {"heads", 0, WEIR_CTL_TEXT, ARG(heads), "FILE",
     "a file of signed heads (in the configuration: audit_heads)", 0, 0},
    {"oldest", 0, WEIR_CTL_NUMBER, ARG(oldest), "YYYYMM",
     "the oldest month that is not dropped, such as 202512", 197001, 999912},
    {"operation", 0, WEIR_CTL_TEXT, ARG(operation), "OPERATION", "records of this operation only",
     0, 0},
    {"object", 0, WEIR_CTL_TEXT, ARG(object), "OBJECT", "records of this object only", 0, 0},
    {"subject", 0, WEIR_CTL_TEXT, ARG(subject), "SUBJECT", "records of this subject only", 0, 0},
    {"exp", 0, WEIR_CTL_TEXT, ARG(exp), "SECONDS", "exp of the token, in seconds since 1970", 0, 0},
    {"before", 0, WEIR_CTL_TEXT, ARG(before), "SECONDS",
     "tokens issued up to that time, in seconds since 1970 (now)", 0, 0},
    {"passwords", 0, WEIR_CTL_TEXT, ARG(passwords), "FOLDER",
     "with a file of passwords for each user, named as the user", 0, 0},
    {"commands", 0, WEIR_CTL_FLAG, ARG(commands), NULL, "print commands for redis-cli", 0, 0},
    {"keep-default", 0, WEIR_CTL_FLAG, ARG(keep_default), NULL,
     "leave the default user on, without a password", 0, 0},
    {"folder", 0, WEIR_CTL_TEXT, ARG(folder), "DIR",
     "the folder of keys (in the environment: WEIR_KEYS)", 0, 0},
    {"days", 0, WEIR_CTL_NUMBER, ARG(days), "N", "life of certificates (90)", 1, 3650},
    {"wait", 0, WEIR_CTL_TIME, ARG(wait), "TIME",
     "until all have read the next key, 0 to 3600s (5s)", 0, 3600000},
    {"overlap", 0, WEIR_CTL_TIME, ARG(overlap), "TIME",
     "how long the old key is accepted, 0 to 31536000s (86400s)", 0, 31536000000},
    {"reload", 0, WEIR_CTL_TEXT, ARG(reload), "COMMAND",
     "lets servers read changed files (in the environment: WEIR_KEYS_RELOAD)", 0, 0},
    {"tls", 0, WEIR_CTL_TEXT, ARG(tls), "FOLDER",
     "with tls.crt, tls.key and ca.crt: TLS, and clients prove who they are", 0, 0},
    {"allow", 0, WEIR_CTL_TEXT, ARG(allow), "NAMES",
     "with --tls: names of clients' certificates, with commas between them", 0, 0},
    {"for", 0, WEIR_CTL_TEXT, ARG(for_time), "TIME",
     "how long, up to 7d, such as 90s, 10m or 2h (10m)", 0, 0},
    {"fleet", 0, WEIR_CTL_FLAG, ARG(fleet), NULL, "at all edges, instead of this machine's", 0, 0},
    {"edge", 0, WEIR_CTL_TEXT, ARG(edge), "HOST", "at the edge on that machine", 0, 0},
    {"zone", 0, WEIR_CTL_TEXT, ARG(zone), "ZONE", "in that zone only", 0, 0},
    {"limit", 0, WEIR_CTL_NUMBER, ARG(limit), "MIB", "bytes of the file, in MiB, up to 1024 (64)",
     1, 1024},
};

const size_t weir_ctl_n_options = sizeof(weir_ctl_options) / sizeof(weir_ctl_options[0]);

_Static_assert(sizeof(weir_ctl_options) / sizeof(weir_ctl_options[0]) <= WEIR_CTL_OPTIONS_MAX,
               "weir_ctl_given_t has room for each option");

static void set_number(void *field, const weir_ctl_option_t *option, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (!isdigit((unsigned char)text[0]) || *end != '\0' || strlen(text) > 9 || n < option->min ||
        n > option->max)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--%s \"%s\" must be a number from %ld to %ld",
                           option->name, text, option->min, option->max));
    *(int *)field = (int)n;
}

static void set_time(void *field, const weir_ctl_option_t *option, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (strcmp(end, "s") == 0)
        n *= 1000;
    else if (strcmp(end, "ms") != 0 && strcmp(text, "0") != 0)
        n = -1;
    if (!isdigit((unsigned char)text[0]) || strlen(text) > 9 || n < option->min || n > option->max)
        exit(weir_ctl_fail(WEIR_CTL_USAGE,
                           "--%s \"%s\" must be a time from %ldms to %lds with its unit: ms or s",
                           option->name, text, option->min, option->max / 1000));
    *(int64_t *)field = n;
}

static void set_option(weir_ctl_args_t *args, const weir_ctl_option_t *option, const char *value)
{
    void *field = (char *)args + option->offset;

    switch (option->kind) {
    case WEIR_CTL_FLAG:
        *(bool *)field = true;
        break;
    case WEIR_CTL_TEXT:
        *(const char **)field = value;
        break;
    case WEIR_CTL_NUMBER:
        set_number(field, option, value);
        break;
    case WEIR_CTL_TIME:
        set_time(field, option, value);
        break;
    }
}

bool weir_ctl_takes(const weir_ctl_command_t *command, const weir_ctl_option_t *option)
{
    const char *p = command->options;
    size_t len = strlen(option->name);

    while ((p = strstr(p, option->name)) != NULL) {
        if ((p == command->options || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
            return true;
        p += len;
    }

    return false;
}

static int find_option(const char *word, size_t len)
{
    assert(word[0] == '-' && len > 0);
    for (size_t i = 0; i < weir_ctl_n_options; i++) {
        const weir_ctl_option_t *o = &weir_ctl_options[i];

        if (word[1] == '-' ? strlen(o->name) == len - 2 && strncmp(o->name, word + 2, len - 2) == 0
                           : len == 2 && word[1] == o->letter)
            return (int)i;
    }

    exit(weir_ctl_fail(WEIR_CTL_USAGE, "there is no option \"%.*s\"", (int)len, word));
}

/* Reads the option at argv[*i]. Moves *i if its value is the next word. */
static void read_option(weir_ctl_args_t *args, weir_ctl_given_t *given, char **argv, int argc,
                        int *i)
{
    const char *word = argv[*i], *equals = word[1] == '-' ? strchr(word, '=') : NULL;
    bool is_conf = strcmp(word, "-c") == 0;
    const char *value = equals != NULL ? equals + 1 : NULL;
    int n;

    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        given->help = true;
        return;
    }
    if (strcmp(word, "--version") == 0) {
        given->version = true;
        return;
    }

    n = is_conf ? -1 : find_option(word, equals != NULL ? (size_t)(equals - word) : strlen(word));
    if (!is_conf && weir_ctl_options[n].kind == WEIR_CTL_FLAG && value != NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--%s takes no value", weir_ctl_options[n].name));
    if (value == NULL && (is_conf || weir_ctl_options[n].kind != WEIR_CTL_FLAG)) {
        if (*i + 1 == argc)
            exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s needs a value", word));
        value = argv[++*i];
    }

    if (is_conf) {
        given->conf = value;
        return;
    }
    if (given->used[n])
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--%s is given twice", weir_ctl_options[n].name));
    given->used[n] = true;
    set_option(args, &weir_ctl_options[n], value);
}

void weir_ctl_read_arguments(weir_ctl_args_t *args, weir_ctl_given_t *given, int argc, char **argv)
{
    const int most = (int)(sizeof(given->words) / sizeof(given->words[0]));
    bool only_words = false;

    for (int i = 1; i < argc && !given->version; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
            read_option(args, given, argv, argc, &i);
        else if (given->n_words < most)
            given->words[given->n_words++] = argv[i];
        else
            exit(weir_ctl_fail(WEIR_CTL_USAGE, "unexpected argument \"%s\"", argv[i]));
    }
}

void weir_ctl_check_arguments(const weir_ctl_command_t *command, weir_ctl_args_t *args,
                              const weir_ctl_given_t *given, int used)
{
    assert(used > 0 && used <= given->n_words);
    for (size_t i = 0; i < weir_ctl_n_options; i++) {
        if (given->used[i] && !weir_ctl_takes(command, &weir_ctl_options[i]))
            exit(weir_ctl_fail(WEIR_CTL_USAGE,
                               "\"%s\" takes no --%s; \"weirctl help %s\" lists "
                               "its options",
                               command->name, weir_ctl_options[i].name, command->name));
    }

    args->n_words = given->n_words - used;
    if (args->n_words < command->min || args->n_words > command->max)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "usage: weirctl %s %s", command->name, command->words));
    for (int i = 0; i < args->n_words; i++)
        args->words[i] = given->words[used + i];
}

/* --- words -------------------------------------------------------------------- */

const weir_ctl_command_t *weir_ctl_find_command(const weir_ctl_commands_t *commands,
                                                const char *const *words, int n, int *used)
{
    const weir_ctl_command_t *best = NULL;

    assert(commands->count > 0 && used != NULL);
    *used = 0;
    for (int take = 1; take <= n && take <= 2; take++) {
        char name[64];

        snprintf(name, sizeof(name), "%s%s%s", words[0], take > 1 ? " " : "",
                 take > 1 ? words[1] : "");
        for (size_t i = 0; i < commands->count; i++) {
            if (strcmp(commands->all[i].name, name) == 0) {
                best = &commands->all[i];
                *used = take;
            }
        }
    }

    return best;
}

bool weir_ctl_place(const char *text, int *partition, int64_t *position)
{
    char *end;

    assert(text != NULL);
    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *partition = (int)strtol(text, &end, 10);
    if (*end != '/' || !isdigit((unsigned char)end[1]) || end - text > 4)
        return false;
    *position = strtoll(end + 1, &end, 10);

    return *end == '\0' && errno == 0;
}
