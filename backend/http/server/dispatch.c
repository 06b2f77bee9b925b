#include "http/server/measure.h"
#include "http/server/private.h"

#include <assert.h>
#include <string.h>

void weir_http_route(weir_http_t *http, const char *method, const char *pattern,
                     weir_http_handler handler, void *arg)
{
    target_t *target = &http->targets[http->routes.count];

    assert(handler != NULL && http->routes.count < WEIR_ROUTES_MAX);
    weir_route_add(&http->routes, method, pattern, target);
    *target = (target_t){.handler = handler, .arg = arg, .pattern = pattern};
}

void weir_http_route_open(weir_http_t *http, const char *method, const char *pattern,
                          weir_http_handler handler, void *arg)
{
    target_t *target = &http->targets[http->routes.count];

    weir_http_route(http, method, pattern, handler, arg);
    target->open = true;
}

void weir_http_guard(weir_http_t *http, weir_http_admit fn, void *arg)
{
    assert(http->guard == NULL && fn != NULL);
    http->guard = fn;
    http->guard_arg = arg;
}

/* False if the request was refused, and answered. */
static bool is_admitted(weir_http_request_t *r)
{
    weir_identity_t *identity;

    if (r->http->guard == NULL || (r->target != NULL && r->target->open))
        return true;

    identity = r->http->guard(r, r->http->guard_arg);
    if (identity == NULL)
        return false; /* it may have been freed */
    assert(r->status == 0);
    r->identity = identity;

    return true;
}

bool weir_http_has_route(weir_http_t *http, const weir_head_t *head)
{
    weir_str_t params[WEIR_ROUTE_PARAMS_MAX];
    char allow[128];

    return weir_route_find(&http->routes, weir_head_method(head), weir_str(weir_head_path(head)),
                           params, allow, sizeof(allow)) != NULL;
}

void weir_http_dispatch(weir_http_request_t *r)
{
    weir_http_t *http = r->http;
    const char *method = weir_http_method(r);
    char allow[128];
    const weir_route_t *found =
        weir_route_find(&http->routes, method, weir_http_path(r), r->params, allow, sizeof(allow));

    assert(r->connection != NULL && r->status == 0);
    if (found != NULL)
        r->target = found->target;
    /* Who may not call learns nothing of what there is. */
    if (!is_admitted(r))
        return;

    if (found == NULL && !weir_http_is_known_method(method)) {
        r->connection->close = true; /* an unknown method may have framing rules of its own */
        weir_http_error(r, 501, "The method %s is unknown.", method);
        return;
    }

    if (found == NULL && allow[0] == '\0') {
        weir_http_error(r, 404, "There is nothing at this path.");
        return;
    }

    if (found == NULL) {
        weir_http_add_header(r, "Allow", allow);
        weir_http_error(r, 405, "The method %s is not allowed here; allowed are %s.", method,
                        allow);
        return;
    }

    if (http->n_in_flight > WEIR_HTTP_IN_FLIGHT_MAX) {
        weir_http_add_header(r, "Retry-After", "1");
        weir_http_error(r, 503, "Too many requests are waiting.");
        return;
    }

    if (weir_http_deadline_begin(r))
        r->target->handler(r, r->target->arg);
}
