/*
 * What a command and an option of weirctl are.  There is one table of options (arguments.c), and
 * one of commands (commands/commands.c), to which the domain adds its own.  Parsing, help and
 * completion use these tables.
 *
 * Options may be anywhere on the command line, and mean the same for every command that takes them.
 * The first one or two words name the command; the longest name that fits is used.
 */
#ifndef WEIR_CTL_CLI_H
#define WEIR_CTL_CLI_H

#include "ctl/ctl.h"

#include <stdbool.h>
#include <stddef.h>

typedef enum { WEIR_CTL_FLAG, WEIR_CTL_TEXT, WEIR_CTL_NUMBER, WEIR_CTL_TIME } weir_ctl_kind_t;

typedef struct {
    const char *name;
    char letter; /* or 0 */
    weir_ctl_kind_t kind;
    size_t offset;     /* of its field in weir_ctl_args_t */
    const char *value; /* its name in the help */
    const char *about;
    long min, max; /* of a WEIR_CTL_NUMBER; of a WEIR_CTL_TIME in ms */
} weir_ctl_option_t;

/*
 * What a command needs before it runs; the configuration names the database.  NOTHING and DATABASE
 * are false and true: the field was a bool, and a domain's table that still says true compiles
 * without a warning.
 */
typedef enum {
    WEIR_CTL_NEEDS_NOTHING = false,
    WEIR_CTL_NEEDS_DATABASE = true,
    WEIR_CTL_NEEDS_CONFIGURATION, /* but no database */
    WEIR_CTL_USES_DATABASE,       /* if there is a configuration, and the database answers */
    WEIR_CTL_TRIES_DATABASE,      /* and the configuration; the database, if it answers */
    WEIR_CTL_MAY_USE_DATABASE     /* and the configuration, which need not name one */
} weir_ctl_needs_t;

typedef struct {
    const char *name;    /* "events tail" */
    const char *words;   /* the words after the name, for the help */
    int min, max;        /* how many such words */
    const char *options; /* their names, with blanks between them */
    weir_ctl_needs_t needs;
    weir_ctl_run_t run;
    const char *about;
    const char *more; /* the rest of the help */
} weir_ctl_command_t;

typedef struct weir_ctl_commands {
    const weir_ctl_command_t *all;
    size_t count;
} weir_ctl_commands_t;

/*
 * The domain's commands, in its file ctl.c, which is linked into weirctl alone.  They can take the
 * options of arguments.c, and no others.
 */
extern const weir_ctl_commands_t weir_domain_commands;

#endif
