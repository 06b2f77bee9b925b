/*
 * POST /checkout: an order that is to be paid.  One row of the set-based command checkout
 * (shop/sql): the order PENDING, its payment and the event PaymentRequested; payments.h goes
 * on from there, and GET /orders/{id} shows how far it is.
 *
 * An Idempotency-Key is required: who got no answer must be able to ask again.
 */
#ifndef WEIR_CHECKOUT_H
#define WEIR_CHECKOUT_H

#include "domain.h"

extern const weir_endpoints_t weir_checkout_endpoints;

#endif
