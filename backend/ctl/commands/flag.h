/* "weirctl flag": the commands about feature flags, see flag.c. */
#ifndef WEIR_CTL_COMMANDS_FLAG_H
#define WEIR_CTL_COMMANDS_FLAG_H

#include "ctl/cli.h"

weir_ctl_exit_t weir_ctl_flag_delete(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_flag_get(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_flag_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_flag_set(weir_ctl_t *ctl);

#endif
