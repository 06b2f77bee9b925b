/*
 * The command line of weirctl: one table of commands, one of options.  Parsing, help and completion
 * come from them.
 *
 *   arguments.c   the table of options; reads a command line
 *   help.c        help and completion
 *   commands.c    the table of commands, which main.c hands to the two above
 *
 * Options may stand anywhere and mean the same for every command that takes them.  The command is
 * the longest name in the table that the first words make.
 */
#ifndef WEIR_CTL_CLI_H
#define WEIR_CTL_CLI_H

#include "ctl/ctl.h"

#include <stddef.h>
#include <stdio.h>

/* Where weir-backend's configuration is when there is no -c. */
#define WEIR_CTL_CONF_ENVIRONMENT "WEIRCTL_CONF"
#define WEIR_CTL_CONF_DEFAULT "/etc/weir/weir-backend.conf"

typedef enum { WEIR_CTL_FLAG, WEIR_CTL_TEXT, WEIR_CTL_NUMBER, WEIR_CTL_TIME } weir_ctl_kind_t;

typedef struct {
    const char *name;
    char letter; /* or 0 */
    weir_ctl_kind_t kind;
    size_t offset;
    const char *value; /* its name in the help */
    const char *about;
    long min, max; /* of a WEIR_CTL_NUMBER; of a WEIR_CTL_TIME in ms */
} weir_ctl_option_t;

typedef struct {
    const char *name;  /* "events tail" */
    const char *words; /* what stands behind it, for the help */
    int min, max;      /* of words */
    const char *options;
    bool database;
    weir_ctl_run_t run;
    const char *about;
    const char *more; /* what else the help says */
} weir_ctl_command_t;

/* --- commands.c ------------------------------------------------------------ */

typedef struct weir_ctl_commands {
    const weir_ctl_command_t *all;
    size_t count;
} weir_ctl_commands_t;

/*
 * The commands that the domain adds, in its file ctl.c, which is linked into weirctl alone.  They
 * take the options that there are (arguments.c).
 */
extern const weir_ctl_commands_t weir_domain_commands;

/* All commands, those of the domain between events and help; never freed. */
weir_ctl_commands_t weir_ctl_commands(const weir_ctl_commands_t *of_domain);

/* --- arguments.c ----------------------------------------------------------- */

#define WEIR_CTL_OPTIONS_MAX 32

extern const weir_ctl_option_t weir_ctl_options[];
extern const size_t weir_ctl_n_options;

/* True when the command takes the option. */
bool weir_ctl_takes(const weir_ctl_command_t *command, const weir_ctl_option_t *option);
/* The command that the words begin with, NULL if there is none; *used of them name it. */
const weir_ctl_command_t *weir_ctl_find_command(const weir_ctl_commands_t *commands,
                                                const char *const *words, int n, int *used);

/* What was given on the command line, before it is known for which command. */
typedef struct {
    const char *conf;
    bool help;
    bool version;                    /* what stands behind it was not read */
    bool used[WEIR_CTL_OPTIONS_MAX]; /* by place in the table */
    const char *words[2 + WEIR_CTL_WORDS_MAX + 1];
    int n_words;
} weir_ctl_given_t;

/* Reads words and options.  Ends the program with a message when something is wrong. */
void weir_ctl_read_arguments(weir_ctl_args_t *args, weir_ctl_given_t *given, int argc, char **argv);
/* Gives the words behind the first `used` to the command.  The same when it does not take them. */
void weir_ctl_check_arguments(const weir_ctl_command_t *command, weir_ctl_args_t *args,
                              const weir_ctl_given_t *given, int used);

/* --- help.c ---------------------------------------------------------------- */

void weir_ctl_usage(const weir_ctl_t *ctl, FILE *out);
void weir_ctl_describe(const weir_ctl_command_t *command);
/* For words that are no command: tells what there is instead. */
weir_ctl_exit_t weir_ctl_no_command(const weir_ctl_t *ctl, const char *const *words, int n);
weir_ctl_exit_t weir_ctl_help(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_version(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_completion(weir_ctl_t *ctl);

#endif
