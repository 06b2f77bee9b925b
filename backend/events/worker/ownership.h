/*
 * Heartbeats: which leases this worker has.
 */
#ifndef WEIR_WORKER_OWNERSHIP_H
#define WEIR_WORKER_OWNERSHIP_H

#include "events/worker/lease/lease.h"

/* Sends a heartbeat, if none is under way. */
void weir_ownership_step(weir_worker_t *worker);
bool weir_ownership_is_stepping(const weir_worker_t *worker);
/* True when nothing of the lease is under way. */
bool weir_ownership_is_idle(const weir_lease_t *lease);
/* Releases a lease that is closing, when nothing of it is under way. */
void weir_ownership_release(weir_lease_t *lease);

#endif
