/*
 * From the queues to the handlers.
 */
#ifndef WEIR_WORKER_HANDLE_H
#define WEIR_WORKER_HANDLE_H

#include "events/worker/lease/group.h"

/* For a zeroed group. */
void weir_handle_init(weir_group_t *group);
/* Handles what may be handled; *next becomes no later than when to come again. */
void weir_handle_run(weir_lease_t *lease, uint64_t now, uint64_t *next);
/* True when no handler, no question and no effect of the lease is under way. */
bool weir_handle_is_idle(const weir_lease_t *lease);
/* True while a handler is under way, which may have an effect outside. */
bool weir_handle_has_handlers(const weir_lease_t *lease);

#endif
