#include "ctl/help.h"

#include "common/version.h"
#include "ctl/arguments.h"

#include <stdio.h>
#include <string.h>

/* --- help --------------------------------------------------------------------- */

void weir_ctl_usage(const weir_ctl_t *ctl, FILE *out)
{
    const weir_ctl_commands_t *commands = ctl->commands;

    fputs("usage: weirctl [-c FILE] COMMAND [ARGUMENT...]\n\n", out);
    for (size_t i = 0; i < commands->count; i++) {
        int n = fprintf(out, "  %s %s", commands->all[i].name, commands->all[i].words);

        if (n > 28)
            fprintf(out, "\n%28s", "");
        fprintf(out, "%*s%s\n", n > 28 ? 2 : 30 - n, "", commands->all[i].about);
    }
    fputs(
        "\n"
        "\"weirctl help COMMAND\" explains it, with examples. --json prints JSON for "
        "programs.\n"
        "\n"
        "  -c FILE   the configuration of weir-backend; without it the file in the environment's\n"
        "            " WEIR_CTL_CONF_ENVIRONMENT ", or " WEIR_CTL_CONF_DEFAULT "\n"
        "\n"
        "Exit codes:\n"
        "  0   done\n"
        "  1   what was named is not there, or the answer is no\n"
        "  2   wrong arguments, or a wrong configuration\n"
        "  3   PostgreSQL, Redis or what an URL names cannot be reached, or failed\n",
        out);
}

void weir_ctl_describe(const weir_ctl_command_t *command)
{
    printf("usage: weirctl %s%s%s%s\n\n%s\n", command->name, *command->words ? " " : "",
           command->words, *command->options ? " [OPTION...]" : "", command->about);
    if (*command->options)
        putchar('\n');
    for (size_t i = 0; i < weir_ctl_n_options; i++) {
        const weir_ctl_option_t *o = &weir_ctl_options[i];
        int n;

        if (!weir_ctl_takes(command, o))
            continue;
        n = o->letter != 0 ? printf("  -%c, --%s", o->letter, o->name) : printf("  --%s", o->name);
        n += o->value != NULL ? printf(" %s", o->value) : 0;
        printf("%*s%s\n", n < 24 ? 26 - n : 2, "", o->about);
    }
    if (*command->more)
        printf("\n%s", command->more);
}

/* For a word that begins the names of commands but is no command, such as "events". */
weir_ctl_exit_t weir_ctl_no_command(const weir_ctl_t *ctl, const char *const *words, int n)
{
    const weir_ctl_commands_t *commands = ctl->commands;
    char list[512];
    size_t len = 0, first = strlen(words[0]);

    for (size_t i = 0; i < commands->count; i++) {
        if (strncmp(commands->all[i].name, words[0], first) == 0 &&
            commands->all[i].name[first] == ' ')
            len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", len > 0 ? ", " : "",
                                    commands->all[i].name);
    }

    if (len == 0)
        return weir_ctl_fail(WEIR_CTL_USAGE,
                             "there is no command \"%s\"; \"weirctl help\" lists them", words[0]);

    return weir_ctl_fail(WEIR_CTL_USAGE, "there is no command \"%s%s%s\"; there are %s", words[0],
                         n > 1 ? " " : "", n > 1 ? words[1] : "", list);
}

weir_ctl_exit_t weir_ctl_help(weir_ctl_t *ctl)
{
    const weir_ctl_commands_t *commands = ctl->commands;
    const char *const *words = ctl->args.words;
    const weir_ctl_command_t *command;
    bool any = false;
    int used;

    if (ctl->args.n_words == 0) {
        weir_ctl_usage(ctl, stdout);
        return WEIR_CTL_OK;
    }

    command = weir_ctl_find_command(commands, words, ctl->args.n_words, &used);
    if (command != NULL && used == ctl->args.n_words) {
        weir_ctl_describe(command);
        any = true;
    }
    /* "help dead" describes all commands that begin with this word. */
    for (size_t i = 0; ctl->args.n_words == 1 && i < commands->count; i++) {
        size_t len = strlen(words[0]);

        if (strncmp(commands->all[i].name, words[0], len) != 0 || commands->all[i].name[len] != ' ')
            continue;
        if (any)
            puts("\n");
        weir_ctl_describe(&commands->all[i]);
        any = true;
    }

    return any ? WEIR_CTL_OK : weir_ctl_no_command(ctl, words, ctl->args.n_words);
}

weir_ctl_exit_t weir_ctl_version(weir_ctl_t *ctl)
{
    (void)ctl;
    puts("weirctl " WEIR_VERSION);
    return WEIR_CTL_OK;
}

/* --- completion --------------------------------------------------------------- */

/* Prints the words that may follow the words of prefix ("", "events"). */
static void print_following(const weir_ctl_commands_t *commands, const char *prefix)
{
    size_t len = strlen(prefix);
    char before[32] = "";

    for (size_t i = 0; i < commands->count; i++) {
        const char *name = commands->all[i].name;
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

static void print_options(const weir_ctl_command_t *command)
{
    for (size_t i = 0; i < weir_ctl_n_options; i++) {
        if (command != NULL && weir_ctl_takes(command, &weir_ctl_options[i]))
            printf("--%s ", weir_ctl_options[i].name);
    }
}

static void print_case(const weir_ctl_commands_t *commands, const char *name,
                       const weir_ctl_command_t *command)
{
    printf("    \"%s\") words='", name);
    print_following(commands, name);
    print_options(command);
    puts("' ;;");
}

weir_ctl_exit_t weir_ctl_completion(weir_ctl_t *ctl)
{
    const weir_ctl_commands_t *commands = ctl->commands;
    char before[32] = "";

    puts("# Made by \"weirctl completion bash\".\n"
         "_weirctl() {\n"
         "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    local command= words= word skip= i\n"
         "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
         "        word=${COMP_WORDS[i]}\n"
         "        if [ -n \"$skip\" ]; then skip=; continue; fi\n"
         "        case $word in");
    fputs("        -c", stdout);
    for (size_t i = 0; i < weir_ctl_n_options; i++) {
        if (weir_ctl_options[i].kind == WEIR_CTL_FLAG)
            continue;
        printf(" | --%s", weir_ctl_options[i].name);
        if (weir_ctl_options[i].letter != 0)
            printf(" | -%c", weir_ctl_options[i].letter);
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
    print_case(commands, "", NULL);
    for (size_t i = 0; i < commands->count; i++) {
        char first[32];

        snprintf(first, sizeof(first), "%s", commands->all[i].name);
        first[strcspn(first, " ")] = '\0';
        if (strchr(commands->all[i].name, ' ') != NULL && strcmp(first, before) != 0)
            print_case(commands, first, NULL);
        memcpy(before, first, sizeof(before));
        print_case(commands, commands->all[i].name, &commands->all[i]);
    }
    puts("    esac\n"
         "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
         "}\n"
         "complete -F _weirctl weirctl");

    return WEIR_CTL_OK;
}
