/*
 * weirctl: its commands, in one table, and their arguments.
 *
 * Options may stand anywhere and mean the same for every command that takes them; which
 * do is in the table.  The command is the longest name in it that the first words make.
 */
#include "ctl/ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONF_DEFAULT "/etc/weir/weir-backend.conf"
#define CONF_ENVIRONMENT "WEIRCTL_CONF"

/* --- options ------------------------------------------------------------------ */

typedef enum { FLAG, TEXT, NUMBER, TIME } kind_t;

typedef struct {
    const char *name;
    char letter; /* or 0 */
    kind_t kind;
    size_t offset;
    const char *value; /* its name in the help */
    const char *about;
    long min, max; /* of a NUMBER; of a TIME in ms */
} option_t;

#define ARG(field) offsetof(weir_ctl_args_t, field)

static const option_t options[] = {
    {"json", 0, FLAG, ARG(json), NULL, "print JSON, for programs", 0, 0},
    {"all", 0, FLAG, ARG(all), NULL, "all of them", 0, 0},
    {"follow", 'f', FLAG, ARG(follow), NULL, "go on with what comes, until interrupted", 0, 0},
    {"yes", 0, FLAG, ARG(yes), NULL, "also when effects happen again", 0, 0},
    {"group", 'g', TEXT, ARG(group), "GROUP", "a consumer group", 0, 0},
    {"from", 0, TEXT, ARG(from), "POSITION|TIME",
     "a position in each partition, or a time (2026-01-31T12:00:00Z)", 0, 0},
    {"partition", 0, NUMBER, ARG(partition), "N", "this partition only", 0, 63},
    {"type", 0, TEXT, ARG(type), "TYPE", "events of this type only (UserCreated)", 0, 0},
    {"aggregate", 0, TEXT, ARG(aggregate), "AGGREGATE", "events of this aggregate only", 0, 0},
    {"count", 'n', NUMBER, ARG(count), "N", "how many, from 0 to 100000 (20)", 0, 100000},
    {"interval", 0, TIME, ARG(interval), "TIME",
     "how long the rate is measured, 0 to 60s (1s); 0: no rate", 0, 60000},
};

#define N_OPTIONS (sizeof(options) / sizeof(options[0]))

/* --- commands ----------------------------------------------------------------- */

typedef struct {
    const char *name;  /* "events tail" */
    const char *words; /* what stands behind it, for the help */
    int min, max;      /* of words */
    const char *options;
    bool database;
    weir_ctl_run_t run;
    const char *about;
    const char *more; /* what else the help says */
} command_t;

static weir_ctl_exit_t run_help(weir_ctl_t *ctl);

static const command_t commands[] = {
    {"events tail", "", 0, 0, "count follow type aggregate json", true, weir_ctl_events_tail,
     "the newest events of the outbox",
     "AT is PARTITION/POSITION; the position is - until the relay has taken the event. --json\n"
     "prints one object a line, with data.\n\n"
     "  weirctl events tail -n 5\n"
     "  weirctl events tail -f --type UserCreated --json | jq .data.email\n"},
    {"events show", "ID|PARTITION/POSITION", 1, 1, "json", true, weir_ctl_events_show,
     "an event, and what became of it in each group",
     "  weirctl events show 3/17\n"
     "  weirctl events show 0192d0a1-7c1e-7d3a-9a55-0f6b3a1f2e11\n"},
    {"events replay", "", 0, 0, "group from partition yes json", true, weir_ctl_events_replay,
     "let a group handle what the outbox has, from there on",
     "For a new group, before or after its workers have started: they take history from\n"
     "PostgreSQL and then go on with what comes. Nothing is skipped: where the group has not\n"
     "come that far it stays. For events that the group has handled already, its effects happen\n"
     "again, which needs --yes. The outbox keeps events for outbox_keep (configuration).\n\n"
     "  weirctl events replay --group reports --from 0\n"
     "  weirctl events replay --group reports --from 2026-01-31T12:00:00Z --yes\n"},
    {"groups", "", 0, 0, "interval json", true, weir_ctl_groups,
     "consumer groups: how far they are behind, how fast they go",
     "LAG: events that the relay has given a position and the group has not handled. PENDING: of\n"
     "these, failed ones that wait for their next attempt. OLDEST S: the age of the first one in\n"
     "seconds. DEAD: its dead letters.\n\n"
     "  weirctl groups\n"
     "  weirctl groups --interval 10s --json | jq '.[] | select(.lag > 1000)'\n"},
    {"groups pause", "NAME", 0, 1, "all json", true, weir_ctl_groups_pause,
     "let a group's workers take no more events",
     "Within a second; what they have taken they finish. Events wait in the streams, and when a\n"
     "stream has stream_limit entries, in the outbox: then other groups wait, too.\n\n"
     "  weirctl groups pause email\n"
     "  weirctl groups pause --all\n"},
    {"groups resume", "NAME", 0, 1, "all json", true, weir_ctl_groups_resume, "let it go on",
     "  weirctl groups resume email\n"},
    {"dead list", "", 0, 0, "group count json", true, weir_ctl_dead_list,
     "dead letters, the newest first",
     "  weirctl dead list --group billing\n"
     "  weirctl dead list -n 1000 --json\n"},
    {"dead show", "GROUP PARTITION/POSITION", 2, 2, "json", true, weir_ctl_dead_show,
     "a dead letter: why, and the event", "  weirctl dead show billing 3/17\n"},
    {"dead replay", "GROUP PARTITION/POSITION | GROUP --all", 1, 2, "all json", true,
     weir_ctl_dead_replay, "let the group handle them again, after what caused it was mended",
     "The event goes through the outbox again for this group only, with its id, behind what its\n"
     "aggregate has meanwhile. If it fails again it is a dead letter again.\n\n"
     "  weirctl dead replay billing 3/17\n"
     "  weirctl dead replay billing --all\n"},
    {"dead drop", "GROUP PARTITION/POSITION | GROUP --all", 1, 2, "all json", true,
     weir_ctl_dead_drop, "forget them",
     "The outbox keeps the events themselves, as history.\n\n"
     "  weirctl dead drop billing 3/17\n"},
    {"outbox", "", 0, 0, "json", true, weir_ctl_outbox,
     "what waits for the relay, and where Redis' streams are",
     "WAITING: events without a position. HANDLED: the position up to which all groups have come,\n"
     "SLOWEST GROUP the one that is last. STATE: behind means that Redis lacks what some group "
     "has\n"
     "not handled, ahead that it has what the database does not know. Exit code 3 when Redis is\n"
     "away; the rest is printed still.\n\n"
     "  weirctl outbox --json | jq .waiting\n"},
    {"schema check", "OLD NEW", 2, 2, "", false, weir_ctl_schema_check,
     "can clients of OLD live with NEW? both are OpenAPI documents",
     "A line for each difference, then the verdict. Exit code 1 when a field, a path or an answer "
     "is\n"
     "gone, renamed or retyped; 2 when a document cannot be read.\n\n"
     "  curl -s 127.0.0.1:8080/openapi.json?version=2 >new.json\n"
     "  weirctl schema check old.json new.json\n"},
    {"completion bash", "", 0, 0, "", false, weir_ctl_completion, "the completion for bash",
     "  eval \"$(weirctl completion bash)\"\n"},
    {"help", "[COMMAND]", 0, 2, "", false, run_help, "this text, or a command's", ""},
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* --- messages ----------------------------------------------------------------- */

weir_ctl_exit_t weir_ctl_fail(weir_ctl_exit_t code, const char *format, ...)
{
    char text[2048];
    size_t len;
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof(text), format, ap);
    va_end(ap);

    len = strlen(text);
    while (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    fflush(stdout);
    fprintf(stderr, "weirctl: %s\n", text);

    return code;
}

bool weir_ctl_place(const char *text, int *partition, int64_t *position)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *partition = (int)strtol(text, &end, 10);
    if (*end != '/' || !isdigit((unsigned char)end[1]) || end - text > 4)
        return false;
    *position = strtoll(end + 1, &end, 10);

    return *end == '\0' && errno == 0;
}

/* --- help --------------------------------------------------------------------- */

static void usage(FILE *out)
{
    fputs("usage: weirctl [-c FILE] COMMAND [ARGUMENT...]\n\n", out);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        int n = fprintf(out, "  %s %s", commands[i].name, commands[i].words);

        if (n > 28)
            fprintf(out, "\n%28s", "");
        fprintf(out, "%*s%s\n", n > 28 ? 2 : 30 - n, "", commands[i].about);
    }
    fputs(
        "\n"
        "\"weirctl help COMMAND\" tells more, with examples. --json prints JSON for programs.\n"
        "\n"
        "  -c FILE   the configuration of weir-backend; without it the file in the environment's\n"
        "            " CONF_ENVIRONMENT ", or " CONF_DEFAULT "\n"
        "\n"
        "Exit codes:\n"
        "  0   done\n"
        "  1   what was named is not there, or the answer is no\n"
        "  2   wrong arguments, or a wrong configuration\n"
        "  3   PostgreSQL or Redis cannot be reached, or failed\n",
        out);
}

/* True when the command takes it. */
static bool takes(const command_t *command, const option_t *option)
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

static void describe(const command_t *command)
{
    printf("usage: weirctl %s%s%s%s\n\n%s\n", command->name, *command->words ? " " : "",
           command->words, *command->options ? " [OPTION...]" : "", command->about);
    if (*command->options)
        putchar('\n');
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const option_t *o = &options[i];
        int n;

        if (!takes(command, o))
            continue;
        n = o->letter != 0 ? printf("  -%c, --%s", o->letter, o->name) : printf("  --%s", o->name);
        n += o->value != NULL ? printf(" %s", o->value) : 0;
        printf("%*s%s\n", n < 24 ? 26 - n : 2, "", o->about);
    }
    if (*command->more)
        printf("\n%s", command->more);
}

/* The command that the words begin with, NULL if there is none; *used of them name it. */
static const command_t *find_command(const char *const *words, int n, int *used)
{
    const command_t *best = NULL;

    *used = 0;
    for (int take = 1; take <= n && take <= 2; take++) {
        char name[64];

        snprintf(name, sizeof(name), "%s%s%s", words[0], take > 1 ? " " : "",
                 take > 1 ? words[1] : "");
        for (size_t i = 0; i < N_COMMANDS; i++) {
            if (strcmp(commands[i].name, name) == 0) {
                best = &commands[i];
                *used = take;
            }
        }
    }

    return best;
}

/* For a word that begins commands but is none, such as "events". */
static weir_ctl_exit_t no_command(const char *const *words, int n)
{
    char list[512];
    size_t len = 0, first = strlen(words[0]);

    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (strncmp(commands[i].name, words[0], first) == 0 && commands[i].name[first] == ' ')
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", len > 0 ? ", " : "",
                                    commands[i].name);
    }

    if (len == 0)
        return weir_ctl_fail(WEIR_CTL_USAGE,
                             "there is no command \"%s\"; \"weirctl help\" lists them", words[0]);

    return weir_ctl_fail(WEIR_CTL_USAGE, "there is no command \"%s%s%s\"; there are %s", words[0],
                         n > 1 ? " " : "", n > 1 ? words[1] : "", list);
}

static weir_ctl_exit_t run_help(weir_ctl_t *ctl)
{
    const char *const *words = ctl->args.words;
    const command_t *command;
    bool any = false;
    int used;

    if (ctl->args.n_words == 0) {
        usage(stdout);
        return WEIR_CTL_OK;
    }

    command = find_command(words, ctl->args.n_words, &used);
    if (command != NULL && used == ctl->args.n_words) {
        describe(command);
        any = true;
    }
    /* "help dead" tells of all that begin so. */
    for (size_t i = 0; ctl->args.n_words == 1 && i < N_COMMANDS; i++) {
        size_t len = strlen(words[0]);

        if (strncmp(commands[i].name, words[0], len) != 0 || commands[i].name[len] != ' ')
            continue;
        if (any)
            puts("\n");
        describe(&commands[i]);
        any = true;
    }

    return any ? WEIR_CTL_OK : no_command(words, ctl->args.n_words);
}

/* --- completion --------------------------------------------------------------- */

/* Prints the words that may follow those of prefix ("", "events"). */
static void print_following(const char *prefix)
{
    size_t len = strlen(prefix);
    char before[32] = "";

    for (size_t i = 0; i < N_COMMANDS; i++) {
        const char *name = commands[i].name;
        char word[32];

        if (len > 0 && (strncmp(name, prefix, len) != 0 || name[len] != ' '))
            continue;
        snprintf(word, sizeof(word), "%s", name + (len > 0 ? len + 1 : 0));
        word[strcspn(word, " ")] = '\0';
        if (strcmp(word, before) != 0)
            printf("%s ", word);
        memcpy(before, word, sizeof(before));
    }
}

static void print_options(const command_t *command)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (command != NULL && takes(command, &options[i]))
            printf("--%s ", options[i].name);
    }
}

static void print_case(const char *name, const command_t *command)
{
    printf("    \"%s\") words='", name);
    print_following(name);
    print_options(command);
    puts("' ;;");
}

weir_ctl_exit_t weir_ctl_completion(weir_ctl_t *ctl)
{
    char before[32] = "";

    (void)ctl;
    puts("# Made by \"weirctl completion bash\".\n"
         "_weirctl() {\n"
         "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    local command= words= word skip= i\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        word=${COMP_WORDS[i]}\n"
         "        if [ -n \"$skip\" ]; then skip=; continue; fi\n"
         "        case $word in");
    fputs("        -c", stdout);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (options[i].kind == FLAG)
            continue;
        printf(" | --%s", options[i].name);
        if (options[i].letter != 0)
            printf(" | -%c", options[i].letter);
    }
    puts(") skip=1 ;;\n"
         "        -*) ;;\n"
         "        *) command+=${command:+ }$word ;;\n"
         "        esac\n"
         "    done\n"
         "    if [ \"$previous\" = -c ]; then\n"
         "        mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
         "        return\n"
         "    fi\n"
         "    [ -z \"$skip\" ] || return\n"
         "    case $command in");
    print_case("", NULL);
    for (size_t i = 0; i < N_COMMANDS; i++) {
        char first[32];

        snprintf(first, sizeof(first), "%s", commands[i].name);
        first[strcspn(first, " ")] = '\0';
        if (strchr(commands[i].name, ' ') != NULL && strcmp(first, before) != 0)
            print_case(first, NULL);
        memcpy(before, first, sizeof(before));
        print_case(commands[i].name, &commands[i]);
    }
    puts("    esac\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "}\n"
         "complete -F _weirctl weirctl");

    return WEIR_CTL_OK;
}

/* --- arguments ---------------------------------------------------------------- */

/* What was given on the command line, before it is known for which command. */
typedef struct {
    const char *conf;
    bool help;
    bool used[N_OPTIONS];
    const char *words[2 + WEIR_CTL_WORDS_MAX + 1];
    int n_words;
} given_t;

static void set_number(void *field, const option_t *option, const char *text)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (!isdigit((unsigned char)text[0]) || *end != '\0' || strlen(text) > 9 || n < option->min ||
        n > option->max)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--%s \"%s\" must be a number from %ld to %ld",
                           option->name, text, option->min, option->max));
    *(int *)field = (int)n;
}

static void set_time(void *field, const option_t *option, const char *text)
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

static void set_option(weir_ctl_args_t *args, const option_t *option, const char *value)
{
    void *field = (char *)args + option->offset;

    switch (option->kind) {
    case FLAG:
        *(bool *)field = true;
        break;
    case TEXT:
        *(const char **)field = value;
        break;
    case NUMBER:
        set_number(field, option, value);
        break;
    case TIME:
        set_time(field, option, value);
        break;
    }
}

static int find_option(const char *word, size_t len)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const option_t *o = &options[i];

        if (word[1] == '-' ? strlen(o->name) == len - 2 && strncmp(o->name, word + 2, len - 2) == 0
                           : len == 2 && word[1] == o->letter)
            return (int)i;
    }

    exit(weir_ctl_fail(WEIR_CTL_USAGE, "there is no option \"%.*s\"", (int)len, word));
}

/* Reads the option at argv[*i]; moves *i when its value is the next word. */
static void read_option(weir_ctl_args_t *args, given_t *given, char **argv, int argc, int *i)
{
    const char *word = argv[*i], *equals = word[1] == '-' ? strchr(word, '=') : NULL;
    bool is_conf = strcmp(word, "-c") == 0;
    const char *value = equals != NULL ? equals + 1 : NULL;
    int n;

    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
        given->help = true;
        return;
    }

    n = is_conf ? -1 : find_option(word, equals != NULL ? (size_t)(equals - word) : strlen(word));
    if (!is_conf && options[n].kind == FLAG && value != NULL)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--%s takes no value", options[n].name));
    if (value == NULL && (is_conf || options[n].kind != FLAG)) {
        if (*i + 1 == argc)
            exit(weir_ctl_fail(WEIR_CTL_USAGE, "%s needs a value", word));
        value = argv[++*i];
    }

    if (is_conf) {
        given->conf = value;
        return;
    }
    if (given->used[n])
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "--%s is given twice", options[n].name));
    given->used[n] = true;
    set_option(args, &options[n], value);
}

static void read_arguments(weir_ctl_args_t *args, given_t *given, int argc, char **argv)
{
    const int most = (int)(sizeof(given->words) / sizeof(given->words[0]));
    bool only_words = false;

    for (int i = 1; i < argc; i++) {
        if (!only_words && strcmp(argv[i], "--") == 0)
            only_words = true;
        else if (!only_words && argv[i][0] == '-' && argv[i][1] != '\0')
            read_option(args, given, argv, argc, &i);
        else if (given->n_words < most)
            given->words[given->n_words++] = argv[i];
        else
            exit(weir_ctl_fail(WEIR_CTL_USAGE, "\"%s\" is one word too many", argv[i]));
    }
}

static void check_arguments(const command_t *command, weir_ctl_args_t *args, const given_t *given,
                            int used)
{
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (given->used[i] && !takes(command, &options[i]))
            exit(weir_ctl_fail(WEIR_CTL_USAGE,
                               "\"%s\" takes no --%s; \"weirctl help %s\" tells "
                               "what it takes",
                               command->name, options[i].name, command->name));
    }

    args->n_words = given->n_words - used;
    if (args->n_words < command->min || args->n_words > command->max)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "usage: weirctl %s %s", command->name, command->words));
    for (int i = 0; i < args->n_words; i++)
        args->words[i] = given->words[used + i];
}

/* --- running ------------------------------------------------------------------ */

static void connect_database(weir_ctl_t *ctl)
{
    const char *const keys[] = {"dbname",          "client_encoding", "application_name",
                                "connect_timeout", "options",         NULL};
    const char *const values[] = {ctl->config.database,
                                  "UTF8",
                                  "weirctl",
                                  "5",
                                  "-c timezone=UTC -c statement_timeout=60s",
                                  NULL};

    ctl->db = PQconnectdbParams(keys, values, 1);
    if (PQstatus(ctl->db) != CONNECTION_OK)
        exit(weir_ctl_fail(WEIR_CTL_AWAY, "PostgreSQL: %s", PQerrorMessage(ctl->db)));
}

int main(int argc, char **argv)
{
    static weir_ctl_t ctl = {.args = {.partition = -1, .count = 20, .interval = 1000}};
    static given_t given;
    const command_t *command;
    weir_ctl_exit_t code;
    char error[1024];
    int used;

    read_arguments(&ctl.args, &given, argc, argv);
    if (given.n_words == 0) {
        usage(given.help ? stdout : stderr);
        return given.help ? WEIR_CTL_OK : WEIR_CTL_USAGE;
    }

    command = find_command(given.words, given.n_words, &used);
    if (command == NULL)
        return no_command(given.words, given.n_words);
    if (given.help) {
        describe(command);
        return WEIR_CTL_OK;
    }

    check_arguments(command, &ctl.args, &given, used);
    if (command->database) {
        const char *file = given.conf != NULL ? given.conf : getenv(CONF_ENVIRONMENT);

        if (!weir_config_read(&ctl.config, file != NULL ? file : CONF_DEFAULT, error,
                              sizeof(error)))
            return weir_ctl_fail(WEIR_CTL_USAGE, "%s", error);
        connect_database(&ctl);
    }

    code = command->run(&ctl);
    if (fflush(stdout) != 0 && code == WEIR_CTL_OK)
        code = weir_ctl_fail(WEIR_CTL_AWAY, "standard output: %s", strerror(errno));
    if (ctl.db != NULL) {
        PQfinish(ctl.db);
        weir_config_free(&ctl.config);
    }

    return code;
}
