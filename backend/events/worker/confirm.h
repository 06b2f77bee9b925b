/*
 * Whether the outbox has an event as it was delivered.
 */
#ifndef WEIR_WORKER_CONFIRM_H
#define WEIR_WORKER_CONFIRM_H

#include "events/worker/lease/lease.h"

/*
 * True when the outbox is known to have the event that was taken; otherwise it is put back, and
 * what is needed is under way.
 */
bool weir_confirm(weir_lease_t *lease, weir_item_t *item, uint64_t now);
/* The event comes from the outbox: nothing needs to be asked in the present session. */
void weir_confirm_from_outbox(weir_delivery_t *delivery);
/* True when the outbox is known to have no event at the position any more. */
bool weir_confirm_is_missing(const weir_delivery_t *delivery);
/* ms, which may have passed: no question before. */
uint64_t weir_confirm_next(const weir_lease_t *lease);
bool weir_confirm_is_idle(const weir_lease_t *lease);

#endif
