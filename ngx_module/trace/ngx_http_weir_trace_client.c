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


static void ngx_http_weir_trace_call(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t last);
static ngx_uint_t ngx_http_weir_trace_call_end(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call);
static void ngx_http_weir_trace_refine(ngx_http_weir_trace_kept_t *kept,
    weir_frame_own_t *own);
static void ngx_http_weir_trace_try_id(ngx_http_weir_trace_call_t *call,
    ngx_uint_t i, ngx_uint_t end, uint8_t *id);
static void ngx_http_weir_trace_try(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t i, weir_frame_own_t *own);
static void ngx_http_weir_trace_try_export(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t i, weir_frame_own_t *own,
    ngx_http_weir_trace_key_t *key);
static ngx_inline void ngx_http_weir_trace_try_key(
    ngx_http_weir_trace_kept_t *kept, ngx_http_weir_trace_call_t *call,
    ngx_uint_t i, ngx_http_weir_trace_key_t *key);
static void ngx_http_weir_trace_try_outcome(ngx_http_weir_trace_call_t *call,
    ngx_uint_t i, ngx_http_weir_trace_attributes_t *attributes, u_char *number);
static ngx_uint_t ngx_http_weir_trace_try_has_failed(
    ngx_http_upstream_state_t *state);
static void ngx_http_weir_trace_try_address(ngx_http_upstream_state_t *state,
    ngx_http_weir_trace_attributes_t *attributes);
static void ngx_http_weir_trace_try_url(ngx_http_weir_trace_call_t *call,
    ngx_http_upstream_state_t *state, ngx_str_t *text, u_char *url);
static ngx_inline ngx_str_t *ngx_http_weir_trace_try_uri(
    ngx_http_weir_trace_call_t *call);
static ngx_inline void ngx_http_weir_trace_try_url_framed(
    ngx_http_weir_trace_call_t *call, ngx_uint_t i, weir_frame_place_t *place);
static void ngx_http_weir_trace_try_url_any(ngx_http_weir_trace_call_t *call,
    ngx_http_upstream_state_t *state, weir_frame_place_t *place);
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
    uint8_t                     id[WEIR_SPAN_ID_LEN];
    uint64_t                    time;
    ngx_uint_t                  i;
    weir_frame_own_t            own;
    ngx_http_upstream_state_t  *state;

    state = call->request->upstream_states->elts;
    time = ngx_http_weir_trace_time(kept, call->start);

    own.trace_id = kept->ctx->context.trace_id;
    own.span_id = id;
    own.parent_id = kept->ctx->context.span_id;

    for (i = call->first.state; i < last; i++) {
        ngx_http_weir_trace_try_id(call, i, last, id);

        own.start = ngx_min(time, kept->end);

        if (state[i].response_time == (ngx_msec_t) -1) {
            time = kept->end;

        } else {
            time += (uint64_t) state[i].response_time * 1000000;
        }

        own.end = ngx_min(time, kept->end);

        if (i == last - 1 && call == kept->ctx->calls
            && call->request == kept->request)
        {
            ngx_http_weir_trace_refine(kept, &own);
        }

        ngx_http_weir_trace_try(kept, call, i, &own);
    }
}


/*
 * The end of the request's last try: the record knows exactly when the last byte
 * of the response was there.
 */

static void
ngx_http_weir_trace_refine(ngx_http_weir_trace_kept_t *kept,
    weir_frame_own_t *own)
{
    uint64_t                 end;
    ngx_http_weir_record_t  *record;

    record = kept->record;

    if (record == NULL || record->phase != NGX_HTTP_WEIR_PHASE_SEND) {
        return;
    }

    end = ngx_http_weir_trace_time(kept, record->tick
                                   - record->spent[NGX_HTTP_WEIR_PHASE_SEND]);

    if (end > own->start) {
        own->end = end;
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

    if (call->more == NULL && end - call->first.state == 1
        && (call->context & NGX_HTTP_WEIR_TRACE_INJECT))
    {
        /* most calls have one try */
        ngx_memcpy(id, call->first.id, WEIR_SPAN_ID_LEN);
        return;
    }

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
    ngx_http_weir_trace_call_t *call, ngx_uint_t i, weir_frame_own_t *own)
{
    char                       *span;
    const weir_frame_t         *frame;
    weir_frame_place_t          place;
    ngx_http_weir_trace_key_t   key;

    ngx_http_weir_trace_try_key(kept, call, i, &key);

    frame = ngx_http_weir_trace_known(kept, &key);

    span = frame ? ngx_http_weir_trace_framed_begin(kept, frame, own, &place)
                 : NULL;

    if (span) {
        ngx_http_weir_trace_try_url_framed(call, i, &place);

        if (ngx_http_weir_trace_framed_end(kept, span, &place)) {
            return;
        }
    }

    ngx_http_weir_trace_try_export(kept, call, i, own, &key);
}


/* The first span of a key, or one that shares nothing. */

static weir_apart void
ngx_http_weir_trace_try_export(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t i, weir_frame_own_t *own,
    ngx_http_weir_trace_key_t *key)
{
    ngx_str_t                          text;
    weir_span_t                        span;
    ngx_http_upstream_state_t         *state;
    ngx_http_weir_trace_method_t       method;
    ngx_http_weir_trace_attributes_t   attributes;
    u_char                             url[NGX_HTTP_WEIR_TRACE_URL_MAX];
    u_char                             number[NGX_INT_T_LEN];

    static ngx_str_t  http = ngx_string("HTTP");

    state = call->request->upstream_states->elts;
    state += i;

    ngx_http_weir_trace_child(kept->ctx, &span);
    ngx_memcpy(span.span_id, own->span_id, WEIR_SPAN_ID_LEN);
    span.kind = WEIR_SPAN_CLIENT;
    span.start = own->start;
    span.end = own->end;

    ngx_http_weir_trace_method(call->request, &method);
    text = method.name.data[0] == '_' ? http : method.name;
    span.name.data = (char *) text.data;
    span.name.len = text.len;

    attributes.n = 0;
    ngx_http_weir_trace_text(&attributes, "http.request.method", &method.name,
                             NGX_HTTP_WEIR_TRACE_TEXT_MAX);
    ngx_http_weir_trace_try_address(state, &attributes);
    ngx_http_weir_trace_try_outcome(call, i, &attributes, number);

    if (ngx_http_weir_trace_try_has_failed(state)) {
        span.status = WEIR_SPAN_STATUS_ERROR;
    }

    span.attributes.elts = attributes.elts;
    span.attributes.n = attributes.n;
    ngx_http_weir_trace_known_keep(kept->request, key, &span);

    ngx_http_weir_trace_try_url(call, state, &text, url);

    if (text.len) {
        ngx_http_weir_trace_text(&attributes, "url.full", &text,
                                 NGX_HTTP_WEIR_TRACE_URL_MAX);
    }

    span.attributes.n = attributes.n;

    (void) ngx_http_weir_export_span(kept->request, &span);
}


/* First tries that were answered and did not fail have a key. */

static ngx_inline void
ngx_http_weir_trace_try_key(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_call_t *call, ngx_uint_t i,
    ngx_http_weir_trace_key_t *key)
{
    ngx_uint_t                  method;
    ngx_http_upstream_state_t  *state;

    state = call->request->upstream_states->elts;
    state += i;

    method = ngx_http_weir_trace_method_number(call->request);

    if (!ngx_http_weir_trace_key_begin(kept, key, WEIR_SPAN_CLIENT)) {
        return;
    }

    if (method == 0 || i > call->first.state
        || state->header_time == (ngx_msec_t) -1 || state->status == 0
        || state->peer->len == 0 || ngx_http_weir_trace_try_has_failed(state))
    {
        key->number = 0;
        return;
    }

    /* a status that has not failed is less than 400 */

    key->number |= (uint64_t) method << 12 | state->status;
    key->protocol = 0;
    key->version = NULL;
    key->cache = 0;
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


/*
 * The URL as the server received it, with the server's own address; written to url,
 * which has NGX_HTTP_WEIR_TRACE_URL_MAX bytes.  text->len is 0 without one.
 */

static void
ngx_http_weir_trace_try_url(ngx_http_weir_trace_call_t *call,
    ngx_http_upstream_state_t *state, ngx_str_t *text, u_char *url)
{
    u_char     *p;
    size_t      len;
    ngx_str_t  *schema, *uri, whole;

    schema = &call->upstream->schema;
    uri = ngx_http_weir_trace_try_uri(call);
    len = schema->len + state->peer->len + uri->len;

    text->len = 0;

    if (uri->len == 0) {
        return;
    }

    whole.data = ngx_pnalloc(call->request->pool, len);
    if (whole.data == NULL) {
        return;
    }

    p = ngx_cpymem(whole.data, schema->data, schema->len);
    p = ngx_cpymem(p, state->peer->data, state->peer->len);
    ngx_memcpy(p, uri->data, uri->len);
    whole.len = len;

    text->len = ngx_http_weir_trace_redact(url, &whole);
    text->data = url;
}


static ngx_inline ngx_str_t *
ngx_http_weir_trace_try_uri(ngx_http_weir_trace_call_t *call)
{
    return call->upstream->uri.len ? &call->upstream->uri
                                   : &call->request->unparsed_uri;
}


/* The same as an attribute; without a query there is nothing to redact. */

static ngx_inline void
ngx_http_weir_trace_try_url_framed(ngx_http_weir_trace_call_t *call,
    ngx_uint_t i, weir_frame_place_t *place)
{
    char                       *p;
    ngx_str_t                  *schema, *peer, *uri;
    ngx_http_upstream_state_t  *state;

    state = call->request->upstream_states->elts;
    state += i;

    schema = &call->upstream->schema;
    peer = state->peer;
    uri = ngx_http_weir_trace_try_uri(call);

    if (uri->len && memchr(uri->data, '?', uri->len) == NULL) {
        p = weir_frame_text_begin(place, WEIR_FRAME_NAME("url.full"),
                                  sizeof("url.full") - 1,
                                  schema->len + peer->len + uri->len);

        if (p && weir_frame_ascii(p, (char *) schema->data, schema->len)
            && weir_frame_ascii(p + schema->len, (char *) peer->data, peer->len)
            && weir_frame_ascii(p + schema->len + peer->len,
                                (char *) uri->data, uri->len))
        {
            place->p = p + schema->len + peer->len + uri->len;
            return;
        }
    }

    ngx_http_weir_trace_try_url_any(call, state, place);
}


static weir_apart void
ngx_http_weir_trace_try_url_any(ngx_http_weir_trace_call_t *call,
    ngx_http_upstream_state_t *state, weir_frame_place_t *place)
{
    ngx_str_t  text;
    u_char     url[NGX_HTTP_WEIR_TRACE_URL_MAX];

    ngx_http_weir_trace_try_url(call, state, &text, url);

    if (text.len) {
        weir_frame_text(place, "url.full",
                        ngx_http_weir_trace_str(&text),
                        NGX_HTTP_WEIR_TRACE_URL_MAX);
    }
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
