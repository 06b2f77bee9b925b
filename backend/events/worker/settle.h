/*
 * What becomes of an event that was handled.
 */
#ifndef WEIR_WORKER_SETTLE_H
#define WEIR_WORKER_SETTLE_H

#include "events/worker/lease/lease.h"

/* Takes an event whose result is known. */
void weir_settle_add(weir_delivery_t *delivery);
/* True, once, when a lost lease has made the event's effect outside of the database. */
bool weir_settle_was_made(const weir_delivery_t *delivery);
/*
 * Notes that the event's effect may have been made, and that this lease will not commit its mark.
 */
void weir_settle_leave(const weir_delivery_t *delivery);
/* The same for all unsettled events of a lease that is gone. */
void weir_settle_leave_all(const weir_lease_t *lease);
/*
 * Commits what can be committed now. If takes is true, takes events for it in groups without a
 * handler.
 */
void weir_settle_run(weir_lease_t *lease, bool takes, uint64_t now, uint64_t *next);
bool weir_settle_is_idle(const weir_lease_t *lease);

#endif
