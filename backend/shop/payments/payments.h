/*
 * The group payments charges an order at the gateway, once.
 *
 * - PaymentRequested: charges, with the payment's id as the gateway's idempotency key. If the
 *   gateway refuses, the payment fails, unless an earlier attempt has made the charge. If the user
 *   has left meanwhile, it only asks whether there is a charge.
 * - PaymentWithdrawn: an operator has dropped a PaymentRequested that was a dead letter: asks the
 *   same
 * - PaymentReported: a message about a charge does not fit: asks the gateway for its state
 * - RefundRequested: refunds the charge of an order that was given up
 * - StrayChargeReported: the same for a charge that belongs to no payment
 *
 * Every answer of the gateway is passed to payment_step() (shop/sql), which alone decides the next
 * state.
 */
#ifndef WEIR_PAYMENTS_H
#define WEIR_PAYMENTS_H

#include "domain.h"

extern const weir_group_t weir_payments_group;

#endif
