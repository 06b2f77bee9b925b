/*
 * The commands of weirctl, one file for each subject.
 */
#ifndef WEIR_CTL_COMMANDS_H
#define WEIR_CTL_COMMANDS_H

#include "ctl/cli.h"

/* The table of all commands; the domain's come between events and help.  Never freed. */
weir_ctl_commands_t weir_ctl_commands(const weir_ctl_commands_t *of_domain);

/*
 * True when no partition is halted.  Otherwise prints a line to standard error: which partitions
 * are halted, and the command to run.
 */
bool weir_ctl_none_halted(weir_ctl_t *ctl);

weir_ctl_exit_t weir_ctl_events_tail(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_events_show(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_events_replay(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_relay(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_relay_rebase(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups_pause(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups_resume(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_groups_delete(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_show(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_replay(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_dead_drop(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_outbox(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_top(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_trace_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_trace_show(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_trace_receive(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_audit_list(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_audit_show(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_audit_verify(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_audit_prove(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_audit_check(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_audit_key(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_schema_check(weir_ctl_t *ctl);
weir_ctl_exit_t weir_ctl_jwks(weir_ctl_t *ctl);

#endif
