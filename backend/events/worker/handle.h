/*
 * From the queues to the handlers.
 */
#ifndef WEIR_WORKER_HANDLE_H
#define WEIR_WORKER_HANDLE_H

#include "events/worker/lease/group.h"

/* For a zeroed group. */
void weir_handle_init(weir_group_t *group);
/*
 * Starts handlers for events that may be handled. *next becomes at most the time for the next call.
 */
void weir_handle_run(weir_lease_t *lease, uint64_t now, uint64_t *next);
/* True when no handler, no query and no commit of the lease is under way. */
bool weir_handle_is_idle(const weir_lease_t *lease);
/*
 * True while a handler of the group is running, also one of a lease that was lost: it may have an
 * effect outside of the database.
 */
bool weir_handle_has_handlers(const weir_group_t *group);

#endif
