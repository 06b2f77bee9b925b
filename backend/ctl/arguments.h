/*
 * Reads the command line of weirctl.
 */
#ifndef WEIR_CTL_ARGUMENTS_H
#define WEIR_CTL_ARGUMENTS_H

#include "ctl/cli.h"

#define WEIR_CTL_OPTIONS_MAX 64

extern const weir_ctl_option_t weir_ctl_options[];
extern const size_t weir_ctl_n_options;

/* True when the command takes the option. */
bool weir_ctl_takes(const weir_ctl_command_t *command, const weir_ctl_option_t *option);
/*
 * The command that the words begin with; the first *used words are its name.  NULL if there is
 * none.
 */
const weir_ctl_command_t *weir_ctl_find_command(const weir_ctl_commands_t *commands,
                                                const char *const *words, int n, int *used);

/* The command line as it was read, before its command is known. */
typedef struct {
    const char *conf;
    bool help;
    bool version;                    /* the words after --version are not read */
    bool used[WEIR_CTL_OPTIONS_MAX]; /* by place in the table */
    const char *words[2 + WEIR_CTL_WORDS_MAX + 1];
    int n_words;
} weir_ctl_given_t;

/* Reads words and options.  Exits with a message when something is wrong. */
void weir_ctl_read_arguments(weir_ctl_args_t *args, weir_ctl_given_t *given, int argc, char **argv);
/*
 * Checks options and words for the command, and puts the words after the first `used` into args.
 * Exits with a message when the command does not take them.
 */
void weir_ctl_check_arguments(const weir_ctl_command_t *command, weir_ctl_args_t *args,
                              const weir_ctl_given_t *given, int used);

/* Parses "PARTITION/POSITION"; false when the text has another form. */
bool weir_ctl_place(const char *text, int *partition, int64_t *position);

#endif
