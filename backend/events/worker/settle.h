/*
 * What becomes of an event that was handled.
 */
#ifndef WEIR_WORKER_SETTLE_H
#define WEIR_WORKER_SETTLE_H

#include "events/worker/lease/lease.h"

/* Takes what a handler, or what is known without one, has made of an event. */
void weir_settle_add(weir_delivery_t *delivery);
/* True, once, when its effect outside was made by a lease that was lost. */
bool weir_settle_was_made(const weir_delivery_t *delivery);
/* Its effect may be made, and its mark will not be committed by this lease. */
void weir_settle_leave(const weir_delivery_t *delivery);
/* The same for all that the lease, which is gone, has to settle. */
void weir_settle_leave_all(const weir_lease_t *lease);
/* Commits what can be committed now; takes events for it in groups without a handler, when takes.
 */
void weir_settle_run(weir_lease_t *lease, bool takes, uint64_t now, uint64_t *next);
bool weir_settle_is_idle(const weir_lease_t *lease);

#endif
