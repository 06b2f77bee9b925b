/*
 * Whether the outbox has an event as it was delivered.
 */
#ifndef WEIR_WORKER_CONFIRM_H
#define WEIR_WORKER_CONFIRM_H

#include "events/worker/lease/lease.h"

/*
 * True when the outbox is known to have the taken event. Otherwise the event is put back, and a
 * query is under way or planned.
 */
bool weir_confirm(weir_lease_t *lease, weir_item_t *item, uint64_t now);
/* For an event that was read from the outbox: it is confirmed for the present session. */
void weir_confirm_from_outbox(weir_delivery_t *delivery);
/* For an event whose position was queried, and which the outbox does not have. */
void weir_confirm_missing(weir_delivery_t *delivery);
/* True when the outbox is known to have no event at the position. */
bool weir_confirm_is_missing(const weir_delivery_t *delivery);
/* The time (ms) before which there is no query; may be in the past. */
uint64_t weir_confirm_next(const weir_lease_t *lease);
bool weir_confirm_is_idle(const weir_lease_t *lease);

#endif
