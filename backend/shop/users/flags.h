/* The group flags sets the feature flags of every new user. */
#ifndef WEIR_FLAGS_H
#define WEIR_FLAGS_H

#include "domain.h"

extern const weir_group_t weir_flags_group;

#endif
