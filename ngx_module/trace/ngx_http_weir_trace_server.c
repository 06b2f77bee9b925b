/*
 * The server span of a request: OpenTelemetry's stable conventions for HTTP
 * ("Semantic conventions for HTTP spans").
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "common/hint.h"
#include "export/ngx_http_weir_export.h"
#include "http/ngx_http_weir.h"
#include "http/route/ngx_http_weir_route.h"
#include "trace/ngx_http_weir_trace_private.h"
#include "version/ngx_http_weir_version.h"


/* What the response was. */
typedef struct {
    ngx_uint_t                  status;    /* 0: none */
    ngx_str_t                   version;   /* of an API; len 0: none */
    ngx_str_t                   cache_status;
} ngx_http_weir_trace_shown_t;


static void ngx_http_weir_trace_server_key(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_key_t *key);
static ngx_uint_t ngx_http_weir_trace_server_framed(
    ngx_http_weir_trace_kept_t *kept, const weir_frame_t *frame);
static ngx_int_t ngx_http_weir_trace_server_export(
    ngx_http_weir_trace_kept_t *kept, ngx_http_weir_trace_key_t *key);
static ngx_inline ngx_uint_t ngx_http_weir_trace_server_has_query(
    ngx_http_request_t *r);
static void ngx_http_weir_trace_server_query(ngx_http_request_t *r,
    weir_frame_place_t *place, ngx_str_t *path);
static void ngx_http_weir_trace_server_path(ngx_http_request_t *r,
    ngx_str_t *path, ngx_str_t *query, u_char *buf);
static ngx_inline off_t ngx_http_weir_trace_server_sent(ngx_http_request_t *r);
static void ngx_http_weir_trace_server_shown(ngx_http_request_t *r,
    ngx_http_weir_trace_shown_t *shown);
static void ngx_http_weir_trace_server_request(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *query);
static size_t ngx_http_weir_trace_server_target(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *name);
static void ngx_http_weir_trace_method_sent(ngx_http_request_t *r,
    ngx_str_t *sent);
static void ngx_http_weir_trace_server_protocol(ngx_http_request_t *r,
    ngx_str_t *version);
static void ngx_http_weir_trace_server_host(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes);
static void ngx_http_weir_trace_server_outcome(
    ngx_http_weir_trace_shown_t *shown,
    ngx_http_weir_trace_attributes_t *attributes, u_char *number);
static void ngx_http_weir_trace_server_variable(ngx_http_request_t *r,
    ngx_http_variable_t *variable, ngx_str_t *value);
static ngx_uint_t ngx_http_weir_trace_server_events(
    ngx_http_weir_trace_kept_t *kept, weir_span_event_t *events);


/* Those that the conventions know; http.request.method has no others. */

static ngx_str_t  ngx_http_weir_trace_methods[] = {
    ngx_string("GET"),
    ngx_string("POST"),
    ngx_string("HEAD"),
    ngx_string("PUT"),
    ngx_string("DELETE"),
    ngx_string("PATCH"),
    ngx_string("OPTIONS"),
    ngx_string("CONNECT"),
    ngx_string("TRACE"),
    ngx_null_string
};


ngx_int_t
ngx_http_weir_trace_server(ngx_http_weir_trace_kept_t *kept)
{
    const weir_frame_t         *frame;
    ngx_http_weir_trace_key_t   key;

    ngx_http_weir_trace_server_key(kept, &key);

    if (!(kept->record && kept->record->events)) {
        frame = ngx_http_weir_trace_known(kept, &key);

        if (frame && ngx_http_weir_trace_server_framed(kept, frame)) {
            return NGX_OK;
        }
    }

    return ngx_http_weir_trace_server_export(kept, &key);
}


/*
 * The host is read from the header Host, unless the request line has another
 * one, which is rare.
 */

static ngx_inline void
ngx_http_weir_trace_server_key(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_key_t *key)
{
    ngx_str_t                   version;
    ngx_uint_t                  method, status;
    ngx_http_request_t         *r;
    ngx_http_weir_loc_conf_t   *wlcf;
    ngx_http_weir_cache_ctx_t  *cache;

    r = kept->request;
    status = ngx_http_weir_trace_status(r);
    method = ngx_http_weir_trace_method_number(r);

    if (!ngx_http_weir_trace_key_begin(kept, key, WEIR_SPAN_SERVER)) {
        return;
    }

    if (method == 0 || r->headers_in.host == NULL
        || r->headers_in.server.data != r->headers_in.host->value.data
        || r->http_protocol.len != sizeof(key->protocol)
        || status > NGX_HTTP_WEIR_TRACE_STATUS_MAX)
    {
        key->number = 0;
        return;
    }

    key->number |= (uint64_t) ngx_http_weir_trace_is_tls(r) << 59
                   | (uint64_t) ngx_http_weir_trace_is_root(kept->ctx) << 58
                   | (uint64_t) method << 12 | status;

    cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);
    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    key->protocol = weir_get64(r->http_protocol.data); /* "HTTP/1.1" */
    key->version = NULL;
    key->cache = cache ? cache->status : 0;
    key->text = r->headers_in.host->value;
    key->slot = status + key->cache;

    if (wlcf->versions && ngx_http_weir_version_get(r, &version) == NGX_OK) {
        key->version = version.data;
    }
}


static ngx_inline ngx_uint_t
ngx_http_weir_trace_server_framed(ngx_http_weir_trace_kept_t *kept,
    const weir_frame_t *frame)
{
    char                *span;
    off_t                sent;
    ngx_str_t            path;
    weir_frame_own_t     own;
    weir_frame_place_t   place;
    ngx_http_request_t  *r;

    r = kept->request;

    own.trace_id = kept->ctx->context.trace_id;
    own.span_id = kept->ctx->context.span_id;
    own.parent_id = ngx_http_weir_trace_is_root(kept->ctx)
                    ? NULL : kept->ctx->parent_id;
    own.start = kept->start;
    own.end = kept->end;

    span = ngx_http_weir_trace_framed_begin(kept, frame, &own, &place);

    if (span == NULL) {
        return 0;
    }

    path = r->unparsed_uri;

    if (ngx_http_weir_trace_server_has_query(r)) {
        ngx_http_weir_trace_server_query(r, &place, &path);
    }

    if (path.len) {
        weir_frame_text(&place, "url.path",
                        ngx_http_weir_trace_str(&path),
                        NGX_HTTP_WEIR_TRACE_URL_MAX);
    }

    weir_frame_text(&place, "client.address",
                    ngx_http_weir_trace_str(&r->connection->addr_text),
                        NGX_HTTP_WEIR_TRACE_TEXT_MAX);

    if (r->headers_in.user_agent) {
        weir_frame_text(&place, "user_agent.original",
                        ngx_http_weir_trace_str(&r->headers_in.user_agent->value),
                        NGX_HTTP_WEIR_TRACE_TEXT_MAX);
    }

    sent = ngx_http_weir_trace_server_sent(r);

    if (sent >= 0) {
        weir_frame_number(&place, "http.response.body.size", sent);
    }

    return ngx_http_weir_trace_framed_end(kept, span, &place);
}


/* Adds the query, and sets the path. */

static weir_apart void
ngx_http_weir_trace_server_query(ngx_http_request_t *r,
    weir_frame_place_t *place, ngx_str_t *path)
{
    ngx_str_t  query;
    u_char     buf[NGX_HTTP_WEIR_TRACE_URL_MAX];

    ngx_http_weir_trace_server_path(r, path, &query, buf);

    if (query.data) {
        weir_frame_text(place, "url.query",
                        ngx_http_weir_trace_str(&query),
                        NGX_HTTP_WEIR_TRACE_URL_MAX);
    }
}


/* The first span of a key, or one that shares nothing. */

static weir_apart ngx_int_t
ngx_http_weir_trace_server_export(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_key_t *key)
{
    weir_span_t                       span;
    weir_span_event_t                 events[NGX_HTTP_WEIR_RECORD_EVENTS];
    ngx_http_weir_trace_shown_t       shown;
    ngx_http_weir_trace_attributes_t  attributes;
    u_char                            number[NGX_INT_T_LEN];
    u_char                            name[NGX_HTTP_WEIR_ROUTE_MAX + 16];
    u_char                            query[NGX_HTTP_WEIR_TRACE_URL_MAX];

    ngx_http_weir_trace_child(kept->ctx, &span);

    ngx_memcpy(span.span_id, kept->ctx->context.span_id, WEIR_SPAN_ID_LEN);
    ngx_memcpy(span.parent_id, kept->ctx->parent_id, WEIR_SPAN_ID_LEN);
    span.remote_parent = 1;
    span.kind = WEIR_SPAN_SERVER;
    span.start = kept->start;
    span.end = kept->end;

    attributes.n = 0;
    ngx_http_weir_trace_server_shown(kept->request, &shown);

    span.status = shown.status < NGX_HTTP_INTERNAL_SERVER_ERROR
                  ? WEIR_SPAN_STATUS_UNSET : WEIR_SPAN_STATUS_ERROR;
    span.name.data = (char *) name;
    span.name.len = ngx_http_weir_trace_server_target(kept->request,
                                                      &attributes, name);
    ngx_http_weir_trace_server_outcome(&shown, &attributes, number);

    span.attributes.elts = attributes.elts;
    span.attributes.n = attributes.n;
    ngx_http_weir_trace_known_keep(kept->request, key, &span);

    ngx_http_weir_trace_server_request(kept->request, &attributes, query);
    span.attributes.n = attributes.n;

    if (kept->record && kept->record->events) {
        span.events = events;
        span.event_count = ngx_http_weir_trace_server_events(kept, events);
    }

    return ngx_http_weir_export_span(kept->request, &span);
}


static void
ngx_http_weir_trace_server_shown(ngx_http_request_t *r,
    ngx_http_weir_trace_shown_t *shown)
{
    ngx_http_weir_trace_main_conf_t  *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_trace_module);

    shown->status = ngx_http_weir_trace_status(r);

    ngx_http_weir_trace_server_variable(r, tmcf->version, &shown->version);
    ngx_http_weir_trace_server_variable(r, tmcf->cache_status,
                                        &shown->cache_status);
}


/*
 * Method, route, scheme, host and protocol.  Returns the length of the span's
 * name, which is written to name.
 */

static size_t
ngx_http_weir_trace_server_target(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *name)
{
    u_char                        *p;
    ngx_str_t                      version;
    ngx_http_weir_loc_conf_t      *wlcf;
    ngx_http_weir_trace_method_t   method;

    static ngx_str_t  schemes[] = { ngx_string("http"), ngx_string("https") };

    ngx_http_weir_trace_method(r, &method);
    ngx_http_weir_trace_text(attributes, "http.request.method", &method.name,
                             NGX_HTTP_WEIR_TRACE_TEXT_MAX);

    p = name;

    if (method.name.data[0] != '_') {
        p = ngx_cpymem(p, method.name.data, method.name.len);

    } else {
        p = ngx_cpymem(p, "HTTP", 4);

        if (method.sent.len) {
            ngx_http_weir_trace_text(attributes, "http.request.method_original",
                                     &method.sent,
                                     NGX_HTTP_WEIR_TRACE_TEXT_MAX);
        }
    }

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    if (wlcf->route.len) {
        ngx_http_weir_trace_text(attributes, "http.route", &wlcf->route,
                                 NGX_HTTP_WEIR_ROUTE_MAX);
        *p++ = ' ';
        p = ngx_cpymem(p, wlcf->route.data, wlcf->route.len);
    }

    ngx_http_weir_trace_text(attributes, "url.scheme",
                             &schemes[ngx_http_weir_trace_is_tls(r)], 5);

    ngx_http_weir_trace_server_host(r, attributes);

    ngx_http_weir_trace_server_protocol(r, &version);

    if (version.len) {
        ngx_http_weir_trace_text(attributes, "network.protocol.version",
                                 &version, NGX_HTTP_WEIR_TRACE_TEXT_MAX);
    }

    return p - name;
}


/*
 * "1.1", "2"; len 0: not known, because the request line was not understood.
 * r->http_version is not the client's after post_action.
 */

static void
ngx_http_weir_trace_server_protocol(ngx_http_request_t *r, ngx_str_t *version)
{
    static ngx_str_t  v9 = ngx_string("0.9");

    if (r->http_protocol.len > sizeof("HTTP/") - 1) {
        version->data = r->http_protocol.data + sizeof("HTTP/") - 1;
        version->len = r->http_protocol.len - (sizeof("HTTP/") - 1);

        /* "2.0", "3.0" */

        if (version->len == 3 && version->data[0] >= '2') {
            version->len = 1;
        }

        return;
    }

    *version = v9;

    if (r->request_line.len == 0 || r->http_version != NGX_HTTP_VERSION_9) {
        version->len = 0;
    }
}


/*
 * The request line has the method that the client sent, if an error_page has
 * changed that of the main request.
 */

static void
ngx_http_weir_trace_method_sent(ngx_http_request_t *r, ngx_str_t *sent)
{
    u_char      *p, *last;
    ngx_str_t   *line;

    line = (r == r->main) ? &r->request_line : &r->method_name;
    p = line->data;
    last = p + line->len;

    while (p < last && *p != ' ') {
        p++;
    }

    sent->data = line->data;
    sent->len = p - line->data;
}


void
ngx_http_weir_trace_method(ngx_http_request_t *r,
    ngx_http_weir_trace_method_t *method)
{
    ngx_str_t  *known;

    static ngx_str_t  other = ngx_string("_OTHER");

    ngx_http_weir_trace_method_sent(r, &method->sent);

    for (known = ngx_http_weir_trace_methods; known->len; known++) {
        if (known->len == method->sent.len
            && ngx_memcmp(known->data, method->sent.data, known->len) == 0)
        {
            method->name = *known;
            return;
        }
    }

    method->name = other;
}


/* What requests have for themselves; the frame has these attributes, too. */

static void
ngx_http_weir_trace_server_request(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *buf)
{
    off_t      sent;
    ngx_str_t  path, query;

    ngx_http_weir_trace_server_path(r, &path, &query, buf);

    if (query.data) {
        ngx_http_weir_trace_text(attributes, "url.query", &query,
                                 NGX_HTTP_WEIR_TRACE_URL_MAX);
    }

    if (path.len) {
        ngx_http_weir_trace_text(attributes, "url.path", &path,
                                 NGX_HTTP_WEIR_TRACE_URL_MAX);
    }

    ngx_http_weir_trace_text(attributes, "client.address",
                             &r->connection->addr_text,
                             NGX_HTTP_WEIR_TRACE_TEXT_MAX);

    if (r->headers_in.user_agent) {
        ngx_http_weir_trace_text(attributes, "user_agent.original",
                                 &r->headers_in.user_agent->value,
                                 NGX_HTTP_WEIR_TRACE_TEXT_MAX);
    }

    sent = ngx_http_weir_trace_server_sent(r);

    if (sent >= 0) {
        ngx_http_weir_trace_number(attributes, "http.response.body.size",
                                   sent);
    }
}


/* nginx has seen the question mark, unless it is behind "#". */

static ngx_inline ngx_uint_t
ngx_http_weir_trace_server_has_query(ngx_http_request_t *r)
{
    return r->args_start || r->complex_uri;
}


/*
 * Path and query as they were received; query->data is NULL without one, and else
 * buf, which has NGX_HTTP_WEIR_TRACE_URL_MAX bytes.
 */

static void
ngx_http_weir_trace_server_path(ngx_http_request_t *r, ngx_str_t *path,
    ngx_str_t *query, u_char *buf)
{
    u_char  *p;

    *path = r->unparsed_uri;
    query->data = NULL;

    p = path->len ? memchr(path->data, '?', path->len) : NULL;

    if (p) {
        query->data = p + 1;
        query->len = path->data + path->len - query->data;
        path->len = p - path->data;

        query->len = ngx_http_weir_trace_redact(buf, query);
        query->data = buf;
    }
}


/* Bytes of the response's body; less than 0: not known. */

static ngx_inline off_t
ngx_http_weir_trace_server_sent(ngx_http_request_t *r)
{
    return r->header_sent ? r->connection->sent - (off_t) r->header_size : -1;
}


/* The host and port that the client has asked for. */

static void
ngx_http_weir_trace_server_host(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes)
{
    u_char     *p, *last;
    ngx_int_t   port;

    if (r->headers_in.server.len == 0) {
        return;
    }

    ngx_http_weir_trace_text(attributes, "server.address",
                             &r->headers_in.server,
                             NGX_HTTP_WEIR_TRACE_TEXT_MAX);

    port = NGX_ERROR;

    if (r->headers_in.host) {
        last = r->headers_in.host->value.data + r->headers_in.host->value.len;

        for (p = last; p > r->headers_in.host->value.data; p--) {
            if (p[-1] < '0' || p[-1] > '9') {
                break;
            }
        }

        if (p > r->headers_in.host->value.data && p[-1] == ':') {
            port = ngx_atoi(p, last - p);
        }
    }

    if (port == NGX_ERROR) {
        port = ngx_http_weir_trace_is_tls(r) ? 443 : 80;
    }

    ngx_http_weir_trace_number(attributes, "server.port", port);
}


static void
ngx_http_weir_trace_server_outcome(ngx_http_weir_trace_shown_t *shown,
    ngx_http_weir_trace_attributes_t *attributes, u_char *number)
{
    ngx_str_t  text;

    if (shown->status) {
        ngx_http_weir_trace_number(attributes, "http.response.status_code",
                                   shown->status);
    }

    if (shown->status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        text.data = number;
        text.len = ngx_sprintf(number, "%ui", shown->status) - number;
        ngx_http_weir_trace_text(attributes, "error.type", &text,
                                 NGX_INT_T_LEN);
    }

    if (shown->version.len) {
        ngx_http_weir_trace_text(attributes, "weir.version", &shown->version,
                                 NGX_HTTP_WEIR_TRACE_TEXT_MAX);
    }

    if (shown->cache_status.len) {
        ngx_http_weir_trace_text(attributes, "weir.cache.status",
                                 &shown->cache_status,
                                 NGX_HTTP_WEIR_TRACE_TEXT_MAX);
    }
}


/*
 * The value of one of Weir's variables, which are evaluated at each use; empty
 * if there is none.
 */

static ngx_inline void
ngx_http_weir_trace_server_variable(ngx_http_request_t *r,
    ngx_http_variable_t *variable, ngx_str_t *value)
{
    ngx_http_variable_value_t  v;

    v.not_found = 0;
    v.len = 0;

    if (variable->get_handler(r, &v, variable->data) != NGX_OK || v.not_found) {
        v.len = 0;
    }

    value->data = v.data;
    value->len = v.len;
}


static ngx_uint_t
ngx_http_weir_trace_server_events(ngx_http_weir_trace_kept_t *kept,
    weir_span_event_t *events)
{
    ngx_uint_t  i;

    for (i = 0; i < kept->record->events; i++) {
        ngx_memzero(&events[i], sizeof(weir_span_event_t));
        events[i].name = kept->record->event[i].name;
        events[i].time = ngx_http_weir_trace_time(kept,
                                                  kept->record->event[i].time);
    }

    return i;
}
