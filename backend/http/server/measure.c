/*
 * The metrics of the server, by the semantic conventions for HTTP: a method that no client may
 * invent a label with is "_OTHER", and a request without a route has no label http_route.
 */
#include "http/server/private.h"

#include "log/clock.h"

#include <assert.h>
#include <stdio.h>

bool weir_http_is_known_method(const char *method)
{
    static const char *const known[] = {"GET",    "HEAD",    "POST",  "PUT",
                                        "DELETE", "OPTIONS", "TRACE", "PATCH"};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(known[i], method) == 0)
            return true;
    }

    return false;
}

static const char *method_of(const weir_http_request_t *r)
{
    const char *method = weir_head_method(&r->connection->head);

    return weir_http_is_known_method(method) ? method : "_OTHER";
}

void weir_http_measure_begin(weir_http_request_t *r)
{
    if (r->http->quiet)
        return;
    assert(r->active == NULL);
    r->active = weir_series(WEIR_HTTP_ACTIVE, (const char *[]){method_of(r), "http"});
    weir_series_add(r->active, 1);
}

void weir_http_measure_answer(const weir_http_request_t *r)
{
    char status[12];

    if (r->http->quiet)
        return;
    assert(r->status >= 200 && r->status < 600);
    snprintf(status, sizeof(status), "%d", r->status);
    weir_series_observe(
        weir_series(WEIR_HTTP_DURATION, (const char *[]){method_of(r), status, r->route}),
        weir_clock_us() - r->began_us);
}

void weir_http_measure_end(weir_http_request_t *r)
{
    if (r->active != NULL)
        weir_series_subtract(r->active, 1);
    r->active = NULL;
}
