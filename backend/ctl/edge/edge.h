/* Commands whose effect is at the edges, which read them from streams in Redis. */
#ifndef WEIR_CTL_EDGE_H
#define WEIR_CTL_EDGE_H

#include "ctl/cli.h"

/* --- revoke.c -------------------------------------------------------------------------------- */

weir_ctl_exit_t weir_ctl_revoke_jti(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_revoke_sub(weir_ctl_t *ctl);

/* --- breaker.c ------------------------------------------------------------------------------- */

weir_ctl_exit_t weir_ctl_breaker_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_breaker_open(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_breaker_close(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_breaker_auto(weir_ctl_t *ctl);

/* --- flag.c ---------------------------------------------------------------------------------- */

weir_ctl_exit_t weir_ctl_flag_delete(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_flag_get(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_flag_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_flag_set(weir_ctl_t *ctl);

#endif
