/*
 * POST /webhooks/payment: the gateway's word on a charge, signed as http/signature.h has it:
 *
 *   {"type": "charge.succeeded" | "charge.failed" | "charge.refunded", "data": charge as in
 * gateway.h}
 *
 * It may come twice, late, in any order and before the answer to the charge itself: each message is
 * taken once by its webhook-id, and payment_step() (shop/sql) makes of it what fits the
 * payment, or has the gateway asked.  202 says that it was taken, with the verdict; types that are
 * none of ours are taken and left alone.
 */
#ifndef WEIR_WEBHOOKS_H
#define WEIR_WEBHOOKS_H

#include "domain.h"

extern const weir_endpoints_t weir_webhooks_endpoints;

#endif
