/* The group flags: sets the feature flags of every new user. */
#ifndef WEIR_FLAGS_H
#define WEIR_FLAGS_H

#include "events/events.h"

extern const weir_consumer_t weir_flags_consumer;

#endif
