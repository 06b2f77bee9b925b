/*
 * GET /dashboard/daily-orders: what the group aggregates has counted, and nothing
 * else.  It may be cached for long, because invalidation.h ends what is cached
 * whenever the numbers change.
 */
#ifndef WEIR_DASHBOARD_H
#define WEIR_DASHBOARD_H

#include "api/openapi.h"

typedef struct weir_dashboard weir_dashboard_t;

/* Opens a session and adds the route. */
weir_dashboard_t *weir_dashboard_new(struct event_base *base, const char *database,
                                     weir_openapi_t *openapi);
/* Requests under way are answered with a 503.  Before weir_http_free(). */
void weir_dashboard_free(weir_dashboard_t *dashboard);

#endif
