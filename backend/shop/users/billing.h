/* The group billing creates a billing profile for every new user. */
#ifndef WEIR_BILLING_H
#define WEIR_BILLING_H

#include "domain.h"

extern const weir_group_t weir_billing_group;

#endif
