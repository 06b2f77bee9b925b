/* The group analytics: notes every signup for analysis. */
#ifndef WEIR_ANALYTICS_H
#define WEIR_ANALYTICS_H

#include "events/events.h"

extern const weir_consumer_t weir_analytics_consumer;

#endif
