/* The commands "weirctl keys …"; help texts in commands.c describe them. */
#ifndef WEIR_CTL_KEYS_H
#define WEIR_CTL_KEYS_H

#include "ctl/ctl.h"

weir_ctl_exit_t weir_ctl_keys_init(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_keys_rotate(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_keys_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_keys_revoke(weir_ctl_t *ctl);

#endif
