/*
 * Compares the gateway's charges with payments from time to time (reconcile.h), and tells what it
 * finds in the log; it mends nothing, because a wrong database would give all money back. Whichever
 * worker asks first when it is due (payments_check_due()) compares; charges of before the end of
 * the last comparison are not looked at again.
 */
#ifndef WEIR_PAYMENTS_CHECK_H
#define WEIR_PAYMENTS_CHECK_H

#include "db/db.h"
#include "shop/payments/gateway.h"

typedef struct weir_payments_check weir_payments_check_t;

/* every_s: seconds between two of them, at least 1.  Session and gateway are borrowed. */
weir_payments_check_t *weir_payments_check_new(struct event_base *base, weir_db_t *db,
                                               weir_gateway_t *gateway, unsigned every_s);
/* After the session was freed, before the gateway is.  NULL is allowed. */
void weir_payments_check_free(weir_payments_check_t *check);

#endif
