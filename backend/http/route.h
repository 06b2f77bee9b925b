/*
 * The table of routes: which handler answers which method on which path.
 *
 * A pattern is a path whose segments are either literal or "{name}", which
 * stands for any one segment that is not empty: "/things/{id}".  Segments are
 * compared byte for byte, without percent-decoding.  Plain C, no libevent.
 */
#ifndef WEIR_ROUTE_H
#define WEIR_ROUTE_H

#include "common/text/str.h"

#include <stdbool.h>

#define WEIR_ROUTES_MAX 64
#define WEIR_ROUTE_PARAMS_MAX 4

typedef struct {
    const char *method;  /* "GET" answers HEAD too */
    const char *pattern; /* both kept by reference */
    void *target;        /* the caller's */
} weir_route_t;

typedef struct {
    weir_route_t routes[WEIR_ROUTES_MAX];
    int count;
} weir_routes_t;

/* Adds a route.  Routes are few and fixed: more than there is room for ends the process. */
void weir_route_add(weir_routes_t *routes, const char *method, const char *pattern, void *target);

/*
 * Finds the route for the request.  NULL when there is none; then allow holds
 * the methods that the path has ("GET, HEAD"), empty when there is no such path.
 * params receives the segments that stand at the pattern's names, in order.
 */
const weir_route_t *weir_route_find(const weir_routes_t *routes, const char *method,
                                    weir_str_t path, weir_str_t params[WEIR_ROUTE_PARAMS_MAX],
                                    char *allow, size_t allow_size);

#endif
