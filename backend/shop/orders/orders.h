/*
 * Orders over HTTP:
 *   POST /orders       one row of the set-based command orders_create (shop/sql)
 *   GET /orders/{id}   one row of the set-based query orders_by_id
 *
 * The server computes totals: prices are those of the products at the time of the order, and are
 * stored in its items.
 */
#ifndef WEIR_ORDERS_H
#define WEIR_ORDERS_H

#include "domain.h"
#include "http/idempotency.h"
#include "shop/orders/order_input.h"

/*
 * The resource of an order, and the indexes of its values; also for other calls that answer with an
 * order.
 */
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
 * Reads a request whose body is an order: the idempotency key (an error if missing and
 * key_required) and the body. Returns the requested version of the API, or 0 after it has answered
 * with an error.
 */
int weir_order_request(weir_http_request_t *request, bool key_required,
                       weir_idempotency_t *idempotency, weir_order_input_t *input);

/* POST /orders, and GET /orders/{id} with its own session. */
extern const weir_endpoints_t weir_orders_endpoints;
extern const weir_endpoints_t weir_order_endpoints;

#endif
