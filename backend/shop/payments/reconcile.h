/*
 * Compares the gateway's list of charges with payments.  A promoted standby or a restored backup
 * may lack payments whose charges were made, and nothing else would look for these: no event, no
 * message tells of them any more.
 *
 *   list of charges, page by page ─▶ payments_compare()    charges that no payment explains
 *   the keys of all of them       ─▶ payments_uncharged()  payments the list does not explain
 *                                       └▶ the gateway is asked for each by its key
 *
 * A difference is an object: difference, charge, key, charged ("succeeded 4990 EUR"), payment,
 * order_id, paid, mend, the event that ends it (null: a person must), and listed, the charge as the
 * gateway has it.  The functions (shop/sql/functions/payments/payments_compare.sql) say which there
 * are.
 *
 * Nothing is changed here; weir_reconcile_mend() puts the events of differences that were found,
 * and the group payments asks the gateway again before it does anything.
 *
 * On the event loop; both sides are read only, so a comparison that failed is begun again.
 */
#ifndef WEIR_RECONCILE_H
#define WEIR_RECONCILE_H

#include "db/db.h"
#include "shop/payments/gateway.h"

#include <jansson.h>

/* The gateway is asked about at most so many payments that its list does not explain. */
#define WEIR_RECONCILE_UNCHARGED_MAX 1000

/*
 * Comes once, from the event loop, or within the call when the session is not up.  differences is
 * an array, to be json_decref()'d by the callee, compared the number of charges; or NULL, and error
 * says why.
 */
typedef void (*weir_reconcile_cb)(json_t *differences, size_t compared, const char *error,
                                  void *arg);

/*
 * Compares charges and payments that were made from since to until (RFC 3339; copied).  The session
 * must be up; it and the gateway must live until the callback, or until weir_db_free(), at which
 * the callback comes if the database was being asked.
 */
void weir_reconcile(weir_db_t *db, weir_gateway_t *gateway, const char *since, const char *until,
                    weir_reconcile_cb cb, void *arg);

/*
 * Puts the events that mend those of the differences that are ones still, and can be mended.  cb
 * gets these; compared is 0.
 */
void weir_reconcile_mend(weir_db_t *db, const json_t *differences, const char *until,
                         weir_reconcile_cb cb, void *arg);

#endif
