/*
 * The table of routes: the handler for each method and path.
 *
 * A pattern is a path whose segments are literal or "{name}", which matches any one segment that is
 * not empty: "/things/{id}". Segments are compared byte for byte, without percent-decoding. Plain
 * C, no libevent.
 */
#ifndef WEIR_ROUTE_H
#define WEIR_ROUTE_H

#include "common/text/str.h"

#include <stdbool.h>

#define WEIR_ROUTES_MAX 64
#define WEIR_ROUTE_PARAMS_MAX 4

typedef struct {
    const char *method;  /* "GET" answers HEAD too */
    const char *pattern; /* method and pattern must outlive the routes */
    void *target;        /* the caller's */
} weir_route_t;

typedef struct {
    weir_route_t routes[WEIR_ROUTES_MAX];
    int count;
} weir_routes_t;

/* Adds a route. Routes are few and fixed: adding more than WEIR_ROUTES_MAX aborts the process. */
void weir_route_add(weir_routes_t *routes, const char *method, const char *pattern, void *target);

/*
 * Finds the route for the request. Returns NULL when there is none; then allow has the methods of
 * the path ("GET, HEAD"), or is empty when no route has the path. params receives the segments for
 * the pattern's names, in order.
 */
const weir_route_t *weir_route_find(const weir_routes_t *routes, const char *method,
                                    weir_str_t path, weir_str_t params[WEIR_ROUTE_PARAMS_MAX],
                                    char *allow, size_t allow_size);

#endif
