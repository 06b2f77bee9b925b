/*
 * GET /dashboard/daily-orders: what the group aggregates has counted, and nothing
 * else.  It may be cached for long, because invalidation.h ends what is cached
 * whenever the numbers change.
 */
#ifndef WEIR_DASHBOARD_H
#define WEIR_DASHBOARD_H

#include "domain.h"

extern const weir_endpoints_t weir_dashboard_endpoints;

#endif
