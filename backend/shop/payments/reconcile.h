/*
 * Compares the gateway's list of charges with payments. A promoted standby or a restored backup may
 * lack payments whose charges were made, and no event or message would lead to these charges.
 *
 *   list of charges, page by page ─▶ payments_compare()    charges that no payment explains
 *   the keys of all of them       ─▶ payments_uncharged()  payments the list does not explain
 *                                       └▶ the gateway is asked for each by its key
 *
 * A difference is an object: difference, charge, key, charged ("succeeded 4990 EUR"), payment,
 * order_id, paid, mend (the event that resolves the difference; null: a person must decide), and
 * listed (the gateway's charge). shop/sql/functions/payments/payments_compare.sql lists the kinds
 * of differences.
 *
 * weir_reconcile() changes nothing. weir_reconcile_mend() writes the events for found differences;
 * the group payments queries the gateway again before it acts.
 *
 * Runs on the event loop. Both sides are only read, so a failed comparison can be repeated.
 */
#ifndef WEIR_RECONCILE_H
#define WEIR_RECONCILE_H

#include "db/db.h"
#include "shop/payments/gateway.h"

#include <jansson.h>

/* The most payments not in the list about which the gateway is queried. */
#define WEIR_RECONCILE_UNCHARGED_MAX 1000

/*
 * Called once, from the event loop, or within the call when the session is not up. differences is
 * an array, which the callback must json_decref(), and compared the number of charges. On failure
 * differences is NULL and error has the reason.
 */
typedef void (*weir_reconcile_cb)(json_t *differences, size_t compared, const char *error,
                                  void *arg);

/*
 * Compares the charges and payments from since to until (RFC 3339; copied). The session must be up.
 * Session and gateway must live until the callback, or until weir_db_free(), which calls the
 * callback if a query is in flight.
 */
void weir_reconcile(weir_db_t *db, weir_gateway_t *gateway, const char *since, const char *until,
                    weir_reconcile_cb cb, void *arg);

/*
 * Writes the events for those differences that still exist and can be mended. cb gets these
 * differences; compared is 0. caller is for the audit log, as audit_put() takes it.
 */
void weir_reconcile_mend(weir_db_t *db, const json_t *differences, const char *until,
                         const char *caller, weir_reconcile_cb cb, void *arg);

#endif
