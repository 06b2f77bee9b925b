/*
 * GET /dashboard/daily-orders: the counts of the group aggregates. The answer may be cached for
 * long, because each change of the numbers invalidates it (outbound/invalidation.h).
 */
#ifndef WEIR_DASHBOARD_H
#define WEIR_DASHBOARD_H

#include "domain.h"

extern const weir_endpoints_t weir_dashboard_endpoints;

#endif
