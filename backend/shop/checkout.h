/*
 * POST /checkout: an order that is to be paid.  One row of the set-based command checkout
 * (shop/sql): the order PENDING, its payment and the event PaymentRequested; payments.h goes
 * on from there, and GET /orders/{id} shows how far it is.
 *
 * An Idempotency-Key is required: who got no answer must be able to ask again.
 */
#ifndef WEIR_CHECKOUT_H
#define WEIR_CHECKOUT_H

#include "api/openapi.h"
#include "events/events.h"

typedef struct weir_checkout weir_checkout_t;

/* As weir_users_new(). */
weir_checkout_t *weir_checkout_new(struct event_base *base, const char *database,
                                   weir_openapi_t *openapi, weir_relay_t *relay);
void weir_checkout_free(weir_checkout_t *checkout);

#endif
