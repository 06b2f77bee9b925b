/*
 * What the transactions of a group take of the database, by type of event (db/cost/spent.h).
 */
#ifndef WEIR_LEASE_SPEND_H
#define WEIR_LEASE_SPEND_H

#include "events/worker/lease/lease.h"

/*
 * Sends consume() for the batch of the lease, with its parameters, as weir_db_query() does. Its WAL
 * may be measured if all events of the batch have one type.
 */
bool weir_spend_query(weir_lease_t *lease, const char *sql, int n, const char *const *values,
                      weir_db_cb cb) __attribute__((warn_unused_result));

/* To be called by cb, while the batch has its events: it was committed, or has failed. */
void weir_spend_add(const weir_lease_t *lease, const char *sql, bool committed);

#endif
