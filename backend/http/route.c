#include "http/route.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void weir_route_add(weir_routes_t *routes, const char *method, const char *pattern, void *target)
{
    assert(routes->count < WEIR_ROUTES_MAX && pattern[0] == '/');

    routes->routes[routes->count++] = (weir_route_t){method, pattern, target};
}

/* The segment that begins at *p, without slashes. Moves *p to the slash after it. */
static weir_str_t segment(const char **p, const char *end)
{
    const char *start = *p;

    assert(*p <= end);
    while (*p < end && **p != '/')
        (*p)++;

    return (weir_str_t){start, (size_t)(*p - start)};
}

static bool matches(const char *pattern, weir_str_t path, weir_str_t *params)
{
    const char *p = path.data, *p_end = path.data + path.len;
    const char *q = pattern, *q_end = pattern + strlen(pattern);
    int n = 0;

    while (p < p_end && q < q_end) {
        weir_str_t have, want;

        if (*p++ != '/' || *q++ != '/')
            return false;

        have = segment(&p, p_end);
        want = segment(&q, q_end);

        if (want.len == 0 || want.data[0] != '{') {
            if (!weir_str_eq(have, want))
                return false;
        } else if (have.len == 0 || n == WEIR_ROUTE_PARAMS_MAX) {
            return false;
        } else {
            params[n++] = have;
        }
    }

    return p == p_end && q == q_end;
}

static bool answers(const weir_route_t *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

const weir_route_t *weir_route_find(const weir_routes_t *routes, const char *method,
                                    weir_str_t path, weir_str_t params[WEIR_ROUTE_PARAMS_MAX],
                                    char *allow, size_t allow_size)
{
    size_t len = 0;

    assert(allow_size > 0);
    allow[0] = '\0';

    for (int i = 0; i < routes->count; i++) {
        const weir_route_t *route = &routes->routes[i];

        if (!matches(route->pattern, path, params))
            continue;

        if (answers(route, method))
            return route;

        if (len < allow_size)
            len +=
                (size_t)snprintf(allow + len, allow_size - len, "%s%s%s", len > 0 ? ", " : "",
                                 route->method, strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }

    return NULL;
}
