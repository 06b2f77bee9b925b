/*
 * POST /webhooks/payment: the gateway's message about a charge, signed as in http/signature.h:
 *
 *   {"type": "charge.succeeded" | "charge.failed" | "charge.refunded", "data": charge as in
 * gateway.h}
 *
 * A message may come twice, late, in any order, and before the answer to the charge itself. Each
 * message is accepted once by its webhook-id, and payment_step() (shop/sql) applies it to the
 * payment, or has the gateway queried. The answer is 202 with the verdict. Messages of other types
 * are accepted and ignored.
 */
#ifndef WEIR_WEBHOOKS_H
#define WEIR_WEBHOOKS_H

#include "domain.h"

extern const weir_endpoints_t weir_webhooks_endpoints;

#endif
