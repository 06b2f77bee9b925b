/*
 * Compares the gateway's charges with payments periodically (reconcile.h), and logs differences. It
 * mends nothing, because with a wrong database it would refund all charges. The first worker that
 * asks when a comparison is due (payments_check_due()) makes it. Charges before the end of the last
 * comparison are not compared again.
 */
#ifndef WEIR_PAYMENTS_CHECK_H
#define WEIR_PAYMENTS_CHECK_H

#include "db/db.h"
#include "shop/payments/gateway.h"

typedef struct weir_payments_check weir_payments_check_t;

/*
 * every_s: seconds between two comparisons, at least 1. Session and gateway must outlive the
 * result.
 */
weir_payments_check_t *weir_payments_check_new(struct event_base *base, weir_db_t *db,
                                               weir_gateway_t *gateway, unsigned every_s);
/* Call this after the session was freed, and before the gateway is. NULL is allowed. */
void weir_payments_check_free(weir_payments_check_t *check);

#endif
