/* The group billing: gives every new user a billing profile. */
#ifndef WEIR_BILLING_H
#define WEIR_BILLING_H

#include "domain.h"

extern const weir_group_t weir_billing_group;

#endif
