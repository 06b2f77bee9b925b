/*
 * Help, completion and version of weirctl, from the tables of commands and options.
 */
#ifndef WEIR_CTL_HELP_H
#define WEIR_CTL_HELP_H

#include "ctl/cli.h"

#include <stdio.h>

/* The configuration that is read when there is no -c. */
#define WEIR_CTL_CONF_ENVIRONMENT "WEIRCTL_CONF"
#define WEIR_CTL_CONF_DEFAULT "/etc/weir/weir-backend.conf"

void weir_ctl_usage(const weir_ctl_t *ctl, FILE *out);
void weir_ctl_describe(const weir_ctl_command_t *command);
/* For words that name no command: prints which commands there are. */
weir_ctl_exit_t weir_ctl_no_command(const weir_ctl_t *ctl, const char *const *words, int n);

/* Commands. */
weir_ctl_exit_t weir_ctl_help(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_version(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_completion(weir_ctl_t *ctl);

#endif
