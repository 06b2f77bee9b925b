/* The group billing: gives every new user a billing profile. */
#ifndef WEIR_BILLING_H
#define WEIR_BILLING_H

#include "events/events.h"

extern const weir_consumer_t weir_billing_consumer;

#endif
