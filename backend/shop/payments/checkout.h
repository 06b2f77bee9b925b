/*
 * POST /checkout: an order with a payment. One row of the set-based command checkout (shop/sql)
 * creates the order with the status PENDING, its payment and the event PaymentRequested. The group
 * payments (payments.h) continues, and GET /orders/{id} shows the status.
 *
 * An Idempotency-Key is required, so that a client without an answer can repeat the request.
 */
#ifndef WEIR_CHECKOUT_H
#define WEIR_CHECKOUT_H

#include "domain.h"

extern const weir_endpoints_t weir_checkout_endpoints;

#endif
