/*
 * The metrics of the server, by the semantic conventions for HTTP: a method that no client may
 * invent a label with is "_OTHER", and a request without a route has no label http_route.
 *
 * A route remembers the series of its last answer, because most answers of a route are of one
 * method and one status.
 */
#include "http/server/measure.h"
#include "http/server/private.h"

#include "log/clock.h"

#include <assert.h>

#define OTHER 8

static const char *const methods[] = {"GET",     "HEAD",  "POST",  "PUT",   "DELETE",
                                      "OPTIONS", "TRACE", "PATCH", "_OTHER"};

static unsigned method_of(const char *name)
{
    for (unsigned i = 0; i < OTHER; i++) {
        if (strcmp(methods[i], name) == 0)
            return i;
    }

    return OTHER;
}

bool weir_http_is_known_method(const char *method)
{
    return method_of(method) != OTHER;
}

void weir_http_measure_begin(weir_http_request_t *r)
{
    static weir_series_t *active[OTHER + 1];

    if (r->http->quiet)
        return;
    assert(r->active == NULL);
    r->method = method_of(weir_head_method(&r->connection->head));
    if (active[r->method] == NULL)
        active[r->method] = weir_series(
            WEIR_HTTP_ACTIVE,
            (const char *[]){methods[r->method], r->http->tls != NULL ? "https" : "http"});
    r->active = active[r->method];
    weir_series_add(r->active, 1);
}

static weir_series_t *duration_of(const weir_http_request_t *r)
{
    const char digits[] = {(char)('0' + r->status / 100), (char)('0' + r->status / 10 % 10),
                           (char)('0' + r->status % 10), '\0'};
    const char *values[] = {methods[r->method], digits,
                            r->target != NULL ? r->target->pattern : NULL};

    return weir_series(WEIR_HTTP_DURATION, values);
}

void weir_http_measure_answer(weir_http_request_t *r)
{
    target_t *target = r->target;
    weir_series_t *series;

    if (r->http->quiet)
        return;
    assert(r->status >= 200 && r->status < 600);
    if (target != NULL && target->status == r->status && target->method == r->method) {
        series = target->duration;
    } else {
        series = duration_of(r);
        if (target != NULL) {
            target->status = r->status;
            target->method = r->method;
            target->duration = series;
        }
    }
    weir_series_observe(series, weir_clock_us() - r->began_us);
}

void weir_http_measure_end(weir_http_request_t *r)
{
    if (r->active != NULL)
        weir_series_subtract(r->active, 1);
    r->active = NULL;
}
