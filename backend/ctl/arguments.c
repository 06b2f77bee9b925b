#include "ctl/cli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static int find_option(const char *word, size_t len)
{
    for (size_t i = 0; i < weir_ctl_n_options; i++) {
        const weir_ctl_option_t *o = &weir_ctl_options[i];

        if (word[1] == '-' ? strlen(o->name) == len - 2 && strncmp(o->name, word + 2, len - 2) == 0
                           : len == 2 && word[1] == o->letter)
            return (int)i;
    }

    exit(weir_ctl_fail(WEIR_CTL_USAGE, "there is no option \"%.*s\"", (int)len, word));
}

/* Reads the option at argv[*i]; moves *i when its value is the next word. */
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
    if (strcmp(word, "--version") == 0)
        exit(weir_ctl_version(NULL));

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

void weir_ctl_check_arguments(const weir_ctl_command_t *command, weir_ctl_args_t *args,
                              const weir_ctl_given_t *given, int used)
{
    for (size_t i = 0; i < weir_ctl_n_options; i++) {
        if (given->used[i] && !weir_ctl_takes(command, &weir_ctl_options[i]))
            exit(weir_ctl_fail(WEIR_CTL_USAGE,
                               "\"%s\" takes no --%s; \"weirctl help %s\" tells "
                               "what it takes",
                               command->name, weir_ctl_options[i].name, command->name));
    }

    args->n_words = given->n_words - used;
    if (args->n_words < command->min || args->n_words > command->max)
        exit(weir_ctl_fail(WEIR_CTL_USAGE, "usage: weirctl %s %s", command->name, command->words));
    for (int i = 0; i < args->n_words; i++)
        args->words[i] = given->words[used + i];
}
