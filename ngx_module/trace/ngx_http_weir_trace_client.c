/*
 * The client spans of a request: one for each server that was tried, of its own
 * upstreams and of those of its subrequests; and the spans of its waits.
 *
 * nginx keeps the times of tries as durations in milliseconds.  A try begins
 * when the previous one ended.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/trace/ids.h"
#include "export/ngx_http_weir_export.h"
#include "trace/ngx_http_weir_trace_private.h"


/* The texts of a client span's attributes. */
typedef struct {
    u_char                      url[NGX_HTTP_WEIR_TRACE_URL_MAX];
    u_char                      number[NGX_INT_T_LEN];
} ngx_http_weir_trace_room_t;


static void ngx_http_weir_trace_call(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t last);
static ngx_uint_t ngx_http_weir_trace_call_end(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call);
static void ngx_http_weir_trace_refine(ngx_http_weir_trace_kept_t *kept,
    weir_span_t *span);
static void ngx_http_weir_trace_try_id(ngx_http_weir_trace_call_t *call,
    ngx_uint_t i, ngx_uint_t end, uint8_t *id);
static void ngx_http_weir_trace_try(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t i, weir_span_t *span);
static void ngx_http_weir_trace_try_key(ngx_http_weir_trace_call_t *call,
    ngx_uint_t i, ngx_http_weir_trace_key_t *key);
static void ngx_http_weir_trace_try_outcome(ngx_http_weir_trace_call_t *call,
    ngx_uint_t i, ngx_http_weir_trace_attributes_t *attributes, u_char *number);
static ngx_uint_t ngx_http_weir_trace_try_has_failed(
    ngx_http_upstream_state_t *state);
static void ngx_http_weir_trace_try_address(ngx_http_upstream_state_t *state,
    ngx_http_weir_trace_attributes_t *attributes);
static void ngx_http_weir_trace_try_url(ngx_http_weir_trace_call_t *call,
    ngx_http_upstream_state_t *state,
    ngx_http_weir_trace_attributes_t *attributes, u_char *buf);
static char *ngx_http_weir_trace_try_error(ngx_http_upstream_state_t *state);
static void ngx_http_weir_trace_wait(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_record_wait_t *wait);


void
ngx_http_weir_trace_clients(ngx_http_weir_trace_kept_t *kept)
{
    ngx_http_weir_trace_call_t  *call;

    for (call = kept->ctx->calls; call; call = call->next) {
        if (call->upstream && call->request->upstream_states) {
            ngx_http_weir_trace_call(kept, call,
                                  ngx_http_weir_trace_call_end(kept, call));
        }
    }
}


/*
 * The states of a call are followed by those of the upstream of another
 * location, which may be one that is not traced: nginx separates them by a
 * state without a peer.  A call that failed before the states had an array has none.
 */

static ngx_uint_t
ngx_http_weir_trace_call_end(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call)
{
    ngx_uint_t                   i, end;
    ngx_http_upstream_state_t   *state;
    ngx_http_weir_trace_call_t  *later;

    end = call->request->upstream_states->nelts;

    for (later = kept->ctx->calls; later != call; later = later->next) {
        if (later->request == call->request && later->upstream) {
            end = ngx_max(later->first.state, 1) - 1;
        }
    }

    state = call->request->upstream_states->elts;

    for (i = call->first.state; i < end && state[i].peer; i++) {
        /* void */
    }

    return i;
}


static void
ngx_http_weir_trace_call(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t last)
{
    uint64_t                    time;
    ngx_uint_t                  i;
    weir_span_t                 span;
    ngx_http_upstream_state_t  *state;

    state = call->request->upstream_states->elts;
    time = ngx_http_weir_trace_time(kept, call->start);

    for (i = call->first.state; i < last; i++) {
        ngx_http_weir_trace_child(kept->ctx, &span);
        ngx_http_weir_trace_try_id(call, i, last, span.span_id);

        span.start = ngx_min(time, kept->end);

        if (state[i].response_time == (ngx_msec_t) -1) {
            time = kept->end;

        } else {
            time += (uint64_t) state[i].response_time * 1000000;
        }

        span.end = ngx_min(time, kept->end);

        if (i == last - 1 && call == kept->ctx->calls
            && call->request == kept->request)
        {
            ngx_http_weir_trace_refine(kept, &span);
        }

        ngx_http_weir_trace_try(kept, call, i, &span);
    }
}


/*
 * The end of the request's last try: the record knows exactly when the last byte
 * of the response was there.
 */

static void
ngx_http_weir_trace_refine(ngx_http_weir_trace_kept_t *kept, weir_span_t *span)
{
    uint64_t                 end;
    ngx_http_weir_record_t  *record;

    record = kept->record;

    if (record == NULL || record->phase != NGX_HTTP_WEIR_PHASE_SEND) {
        return;
    }

    end = ngx_http_weir_trace_time(kept, record->tick
                                   - record->spent[NGX_HTTP_WEIR_PHASE_SEND]);

    if (end > span->start) {
        span->end = end;
    }
}


/*
 * The id that was sent with a try.  An id is of the last try that has sent
 * something before the next id was written; other tries have sent nothing, and
 * get a new one.
 */

static void
ngx_http_weir_trace_try_id(ngx_http_weir_trace_call_t *call, ngx_uint_t i,
    ngx_uint_t end, uint8_t *id)
{
    ngx_uint_t                  n, k, next;
    ngx_http_weir_trace_try_t  *try, *more;
    ngx_http_upstream_state_t  *state;

    state = call->request->upstream_states->elts;
    more = call->more ? call->more->elts : NULL;
    n = call->more ? call->more->nelts : 0;

    try = &call->first;

    for (k = 0; k < n && more[k].state <= i; k++) {
        try = &more[k];
    }

    next = k < n ? more[k].state : end;

    for (k = next - 1; k > try->state; k--) {
        if (state[k].bytes_sent > 0) {
            break;
        }
    }

    if (k == i && (call->context & NGX_HTTP_WEIR_TRACE_INJECT)) {
        ngx_memcpy(id, try->id, WEIR_SPAN_ID_LEN);

    } else {
        weir_trace_ids_span(id);
    }
}


static void
ngx_http_weir_trace_try(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t i, weir_span_t *span)
{
    ngx_str_t                          text;
    ngx_http_upstream_state_t         *state;
    ngx_http_weir_trace_key_t          key;
    ngx_http_weir_trace_room_t         room;
    ngx_http_weir_trace_method_t       method;
    ngx_http_weir_trace_attributes_t   attributes;

    static ngx_str_t  http = ngx_string("HTTP");

    state = call->request->upstream_states->elts;
    state += i;
    attributes.n = 0;

    span->kind = WEIR_SPAN_CLIENT;
    span->attributes.elts = attributes.elts;

    ngx_http_weir_trace_try_key(call, i, &key);

    if (!ngx_http_weir_trace_known(kept->request, &key, span)) {
        ngx_http_weir_trace_method(call->request, &method);
        text = method.name.data[0] == '_' ? http : method.name;
        span->name.data = (char *) text.data;
        span->name.len = text.len;

        ngx_http_weir_trace_text(&attributes, "http.request.method",
                                 &method.name, NGX_HTTP_WEIR_TRACE_TEXT_MAX);
        ngx_http_weir_trace_try_address(state, &attributes);
        ngx_http_weir_trace_try_outcome(call, i, &attributes, room.number);

        span->attributes.n = attributes.n;
        ngx_http_weir_trace_known_keep(kept->request, &key, span);

        if (span->encoded.len) {
            attributes.n = 0;
        }
    }

    if (ngx_http_weir_trace_try_has_failed(state)) {
        span->status = WEIR_SPAN_STATUS_ERROR;
    }

    ngx_http_weir_trace_try_url(call, state, &attributes, room.url);
    span->attributes.n = attributes.n;

    (void) ngx_http_weir_export_span(kept->request, span);
}


/* First tries that were answered and did not fail have a key. */

static void
ngx_http_weir_trace_try_key(ngx_http_weir_trace_call_t *call, ngx_uint_t i,
    ngx_http_weir_trace_key_t *key)
{
    ngx_uint_t                  method;
    ngx_http_upstream_state_t  *state;

    key->number = 0;

    state = call->request->upstream_states->elts;
    state += i;

    if (i > call->first.state || state->header_time == (ngx_msec_t) -1
        || state->status == 0 || state->peer->len == 0
        || ngx_http_weir_trace_try_has_failed(state))
    {
        return;
    }

    method = ngx_http_weir_trace_method_number(call->request);

    if (method == 0) {
        return;
    }

    /* a status that has not failed is less than 400 */

    key->number = (uint64_t) WEIR_SPAN_CLIENT << 60
                  | (uint64_t) method << 12 | state->status;
    key->version = NULL;
    key->cache_status = NULL;
    key->text = *state->peer;

    /* servers often differ in their last digit */
    key->slot = state->status + 1 + state->peer->data[state->peer->len - 1];
}


/* A try that was not the first, its status, its error. */

static void
ngx_http_weir_trace_try_outcome(ngx_http_weir_trace_call_t *call, ngx_uint_t i,
    ngx_http_weir_trace_attributes_t *attributes, u_char *number)
{
    char                       *error;
    ngx_str_t                   text;
    ngx_http_upstream_state_t  *state;

    state = call->request->upstream_states->elts;
    state += i;

    if (i > call->first.state) {
        ngx_http_weir_trace_number(attributes, "http.request.resend_count",
                                   i - call->first.state);
    }

    error = ngx_http_weir_trace_try_error(state);

    if (state->header_time != (ngx_msec_t) -1 && state->status) {
        ngx_http_weir_trace_number(attributes, "http.response.status_code",
                                   state->status);

        if (error == NULL && state->status >= NGX_HTTP_BAD_REQUEST) {
            *ngx_sprintf(number, "%ui", state->status) = '\0';
            error = (char *) number;
        }
    }

    if (error) {
        text.data = (u_char *) error;
        text.len = ngx_strlen(error);
        ngx_http_weir_trace_text(attributes, "error.type", &text,
                                 NGX_HTTP_WEIR_TRACE_TEXT_MAX);
    }
}


/* True if it ended without a response, or with a status that is an error. */

static ngx_uint_t
ngx_http_weir_trace_try_has_failed(ngx_http_upstream_state_t *state)
{
    return state->status != 0
           && (state->header_time == (ngx_msec_t) -1
               || state->status >= NGX_HTTP_BAD_REQUEST);
}


/* "127.0.0.1:8080", "[::1]:8080", "unix:/path", or a name of a server. */

static void
ngx_http_weir_trace_try_address(ngx_http_upstream_state_t *state,
    ngx_http_weir_trace_attributes_t *attributes)
{
    u_char     *p, *last;
    ngx_int_t   port;
    ngx_str_t   address;

    address = *state->peer;
    port = NGX_ERROR;
    last = address.data + address.len;

    if (address.len > 5 && ngx_strncmp(address.data, "unix:", 5) == 0) {
        address.data += 5;
        address.len -= 5;

    } else {
        for (p = last; p > address.data && p[-1] != ':' && p[-1] != ']'; p--) {
            /* void */
        }

        if (p > address.data && p[-1] == ':') {
            port = ngx_atoi(p, last - p);
            address.len = p - 1 - address.data;
        }

        if (address.len > 2 && address.data[0] == '[') {
            address.data++;
            address.len -= 2;
        }
    }

    ngx_http_weir_trace_text(attributes, "server.address", &address,
                             NGX_HTTP_WEIR_TRACE_TEXT_MAX);

    if (port != NGX_ERROR) {
        ngx_http_weir_trace_number(attributes, "server.port", port);
    }
}


/* The URL as the server received it, with the server's own address. */

static void
ngx_http_weir_trace_try_url(ngx_http_weir_trace_call_t *call,
    ngx_http_upstream_state_t *state,
    ngx_http_weir_trace_attributes_t *attributes, u_char *buf)
{
    u_char     *p, *last;
    size_t      len;
    ngx_str_t   url, *schema, *uri;

    schema = &call->upstream->schema;
    uri = call->upstream->uri.len ? &call->upstream->uri
                                  : &call->request->unparsed_uri;
    len = schema->len + state->peer->len + uri->len;

    if (uri->len == 0) {
        return;
    }

    /* without a query there is nothing to redact */

    if (len > NGX_HTTP_WEIR_TRACE_URL_MAX || memchr(uri->data, '?', uri->len)) {
        url.data = ngx_pnalloc(call->request->pool, len);
        if (url.data == NULL) {
            return;
        }

    } else {
        url.data = buf;
    }

    p = ngx_cpymem(url.data, schema->data, schema->len);
    p = ngx_cpymem(p, state->peer->data, state->peer->len);
    last = ngx_cpymem(p, uri->data, uri->len);
    url.len = last - url.data;

    if (url.data != buf) {
        url.len = ngx_http_weir_trace_redact(buf, &url);
        url.data = buf;
    }

    ngx_http_weir_trace_text(attributes, "url.full", &url,
                             NGX_HTTP_WEIR_TRACE_URL_MAX);
}


/*
 * Why a try ended without a response: nginx records 504 for a timeout, and
 * another status for other errors.  NULL if it was answered, or if the request
 * ended before.
 */

static char *
ngx_http_weir_trace_try_error(ngx_http_upstream_state_t *state)
{
    if (state->header_time != (ngx_msec_t) -1 || state->status == 0) {
        return NULL;
    }

    if (state->status == NGX_HTTP_GATEWAY_TIME_OUT) {
        return "timeout";
    }

    return state->connect_time == (ngx_msec_t) -1 ? "connect_error"
                                                  : "response_error";
}


void
ngx_http_weir_trace_waits(ngx_http_weir_trace_kept_t *kept)
{
    ngx_uint_t               i;
    ngx_http_weir_record_t  *record;

    record = kept->record;

    for (i = 0; i < record->waits; i++) {
        ngx_http_weir_trace_wait(kept, &record->wait[i]);
    }
}


static void
ngx_http_weir_trace_wait(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_record_wait_t *wait)
{
    weir_span_t       span;
    weir_span_link_t  link;

    ngx_http_weir_trace_child(kept->ctx, &span);
    weir_trace_ids_span(span.span_id);

    if (wait->link) {
        ngx_http_weir_trace_link(&span, &link, wait->link);
    }

    span.kind = WEIR_SPAN_INTERNAL;
    span.name = wait->phase == NGX_HTTP_WEIR_PHASE_REDIS
                ? WEIR_STR("wait for redis")
                : wait->phase == NGX_HTTP_WEIR_PHASE_LIMIT
                ? WEIR_STR("wait for slot") : WEIR_STR("wait for turn");
    span.start = ngx_http_weir_trace_time(kept, wait->start);
    span.end = ngx_http_weir_trace_time(kept, wait->end);

    (void) ngx_http_weir_export_span(kept->request, &span);
}
