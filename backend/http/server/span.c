/*
 * The span of a request, by the semantic conventions for HTTP servers. It ends when the answer is
 * made; a slow client does not make it longer.
 */
#include "http/server/measure.h"
#include "http/server/private.h"

#include "log/alloc.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_MAX_SHOWN 256
#define ATTRIBUTES 10

/* All fields of that name are one list (RFC 9110 section 5.3); NULL: none, or it must be ignored.
 */
static char *tracestate_of(const weir_http_request_t *r)
{
    char state[WEIR_TRACE_STATE_MAX + 1];
    size_t len = 0;
    const char *value;

    for (unsigned i = 0; (value = weir_head_nth(&r->connection->head, "tracestate", i)) != NULL;
         i++) {
        size_t n = strlen(value);

        if (len + n + 1 > WEIR_TRACE_STATE_MAX)
            return NULL;
        if (len > 0)
            state[len++] = ',';
        memcpy(state + len, value, n);
        len += n;
    }
    state[len] = '\0';

    return weir_trace_is_state((weir_str_t){state, len}) ? weir_alloc_text(state) : NULL;
}

void weir_http_span_begin(weir_http_request_t *r)
{
    const char *value = weir_head_field(&r->connection->head, "traceparent");
    weir_trace_t client = {.tracestate = NULL};

    if (value != NULL && weir_traceparent_parse(weir_str(value), &client.at) == 0) {
        r->tracestate = tracestate_of(r);
        weir_trace_set_state(&client, r->tracestate);
        weir_tracer_begin_remote(&r->span, &client);
    } else {
        weir_tracer_begin(&r->span, NULL);
    }
    if (r->http->quiet)
        r->span.recorded = false;
}

static void add(weir_attribute_t *attributes, size_t *n, const char *name, weir_str_t value)
{
    assert(*n < ATTRIBUTES);
    if (value.len > 0)
        attributes[(*n)++] =
            (weir_attribute_t){.name = name, .type = WEIR_ATTRIBUTE_TEXT, .value.text = value};
}

void weir_http_span_end(const weir_http_request_t *r)
{
    const weir_head_t *head = &r->connection->head;
    const char *method = weir_head_method(head), *host = weir_head_field(head, "Host");
    const char *route = r->target != NULL ? r->target->pattern : NULL;
    bool known = weir_http_is_known_method(method);
    weir_attribute_t attributes[ATTRIBUTES];
    weir_str_t path = weir_str(weir_head_path(head));
    char name[128], error[12];
    weir_span_t span = {.kind = WEIR_SPAN_SERVER};
    size_t n = 0;

    if (!r->span.recorded)
        return;
    assert(r->status >= 200 && r->status < 600);
    if (path.len > PATH_MAX_SHOWN)
        path.len = PATH_MAX_SHOWN;
    snprintf(name, sizeof(name), "%s%s%s", known ? method : "HTTP", route != NULL ? " " : "",
             route != NULL ? route : "");
    add(attributes, &n, "http.request.method", weir_str(known ? method : "_OTHER"));
    if (!known)
        add(attributes, &n, "http.request.method_original", weir_str(method));
    add(attributes, &n, "url.scheme", weir_str(r->http->tls != NULL ? "https" : "http"));
    add(attributes, &n, "url.path", path);
    if (route != NULL)
        add(attributes, &n, "http.route", weir_str(route));
    if (host != NULL)
        add(attributes, &n, "server.address", weir_str(host));
    attributes[n++] = (weir_attribute_t){.name = "http.response.status_code",
                                         .type = WEIR_ATTRIBUTE_NUMBER,
                                         .value.number = r->status};
    if (r->status >= 500) {
        snprintf(error, sizeof(error), "%d", r->status);
        add(attributes, &n, "error.type", weir_str(error));
        span.status = WEIR_SPAN_STATUS_ERROR;
    }
    span.name = weir_str(name);
    span.attributes = (weir_attributes_t){attributes, n};
    weir_tracer_end(&r->span, &span);
}
