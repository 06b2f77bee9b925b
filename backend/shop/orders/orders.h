/*
 * Orders over HTTP:
 *   POST /orders       one row of the set-based command orders_create (shop/sql)
 *   GET /orders/{id}   one row of the set-based query orders_by_id
 *
 * Totals are the server's: prices come from the products at the moment of the
 * order, in whose items they are kept.
 */
#ifndef WEIR_ORDERS_H
#define WEIR_ORDERS_H

#include "domain.h"
#include "http/idempotency.h"
#include "shop/orders/order_input.h"

/* What shows an order, and the places of its values; for other calls that answer with one. */
enum {
    WEIR_ORDER_ID,
    WEIR_ORDER_USER,
    WEIR_ORDER_STATUS,
    WEIR_ORDER_CURRENCY,
    WEIR_ORDER_TOTAL,
    WEIR_ORDER_ITEMS, /* as orders_put() returns them */
    WEIR_ORDER_CREATED_AT,
    WEIR_ORDER_N_VALUES
};
extern const weir_resource_t weir_order_resource;

/*
 * Reads a request whose body is an order: its idempotency key, without which it is refused when
 * key_required, and the body.  Returns the API's version that it asks for, or 0 after it has
 * answered what is wrong.
 */
int weir_order_request(weir_http_request_t *request, bool key_required,
                       weir_idempotency_t *idempotency, weir_order_input_t *input);

/* POST /orders; and GET /orders/{id}, over a session of its own. */
extern const weir_endpoints_t weir_orders_endpoints;
extern const weir_endpoints_t weir_order_endpoints;

#endif
