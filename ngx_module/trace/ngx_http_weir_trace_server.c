/*
 * The server span of a request: OpenTelemetry's stable conventions for HTTP
 * ("Semantic conventions for HTTP spans").
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export.h"
#include "http/ngx_http_weir.h"
#include "http/route/ngx_http_weir_route.h"
#include "trace/ngx_http_weir_trace_private.h"


/* What the response was, in attributes and in the key of known spans. */
typedef struct {
    ngx_uint_t                  status;    /* 0: none */
    ngx_str_t                   version;   /* of an API; len 0: none */
    ngx_str_t                   cache_status;
} ngx_http_weir_trace_shown_t;


static void ngx_http_weir_trace_server_shown(ngx_http_request_t *r,
    ngx_http_weir_trace_shown_t *shown);
static void ngx_http_weir_trace_server_key(ngx_http_request_t *r,
    ngx_http_weir_trace_shown_t *shown, ngx_http_weir_trace_key_t *key);
static void ngx_http_weir_trace_server_request(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *query);
static size_t ngx_http_weir_trace_server_target(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *name);
static void ngx_http_weir_trace_server_host(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes);
static void ngx_http_weir_trace_server_outcome(
    ngx_http_weir_trace_shown_t *shown,
    ngx_http_weir_trace_attributes_t *attributes, u_char *number);
static void ngx_http_weir_trace_server_variable(ngx_http_request_t *r,
    ngx_int_t index, ngx_str_t *value);
static ngx_uint_t ngx_http_weir_trace_server_events(
    ngx_http_weir_trace_kept_t *kept, weir_span_event_t *events);
static ngx_uint_t ngx_http_weir_trace_is_credential(u_char *name, size_t len);


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
    weir_span_t                        span;
    ngx_http_request_t                *r;
    weir_span_event_t                  events[NGX_HTTP_WEIR_RECORD_EVENTS];
    ngx_http_weir_trace_key_t          key;
    ngx_http_weir_trace_shown_t        shown;
    ngx_http_weir_trace_attributes_t   attributes;
    u_char                             query[NGX_HTTP_WEIR_TRACE_URL_MAX],
                                       number[NGX_INT_T_LEN],
                                       name[NGX_HTTP_WEIR_ROUTE_MAX + 16];

    r = kept->request;

    ngx_http_weir_trace_child(kept->ctx, &span);

    ngx_memcpy(span.span_id, kept->ctx->context.span_id, WEIR_SPAN_ID_LEN);
    ngx_memcpy(span.parent_id, kept->ctx->parent_id, WEIR_SPAN_ID_LEN);
    span.remote_parent = 1;
    span.kind = WEIR_SPAN_SERVER;
    span.start = kept->start;
    span.end = kept->end;

    attributes.n = 0;
    span.attributes.elts = attributes.elts;

    ngx_http_weir_trace_server_shown(r, &shown);
    ngx_http_weir_trace_server_key(r, &shown, &key);

    if (!ngx_http_weir_trace_known(r, &key, &span)) {
        span.name.data = (char *) name;
        span.name.len = ngx_http_weir_trace_server_target(r, &attributes, name);
        ngx_http_weir_trace_server_outcome(&shown, &attributes, number);

        span.attributes.n = attributes.n;
        ngx_http_weir_trace_known_keep(r, &key, &span);

        if (span.encoded.len) {
            attributes.n = 0;
        }
    }

    ngx_http_weir_trace_server_request(r, &attributes, query);

    span.status = shown.status < NGX_HTTP_INTERNAL_SERVER_ERROR
                  ? WEIR_SPAN_STATUS_UNSET : WEIR_SPAN_STATUS_ERROR;
    span.events = events;
    span.event_count = ngx_http_weir_trace_server_events(kept, events);
    span.attributes.n = attributes.n;

    return ngx_http_weir_export_span(r, &span);
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
 * The host is read from the header Host, unless the request line has another
 * one, which is rare.
 */

static void
ngx_http_weir_trace_server_key(ngx_http_request_t *r,
    ngx_http_weir_trace_shown_t *shown, ngx_http_weir_trace_key_t *key)
{
    ngx_str_t  method;

    if (r->headers_in.host == NULL || r->request_line.len == 0
        || r->headers_in.server.data != r->headers_in.host->value.data)
    {
        key->len = NGX_HTTP_WEIR_TRACE_KEY_MAX + 1;
        return;
    }

    ngx_http_weir_trace_method_sent(r, &method);

    ngx_http_weir_trace_key(key, (uint64_t) WEIR_SPAN_SERVER << 56
                                 | (uint64_t) ngx_http_weir_trace_is_tls(r)
                                   << 48
                                 | (uint64_t) r->headers_in.server.len << 32
                                 | (uint64_t) r->http_version << 16
                                 | shown->status);
    ngx_http_weir_trace_key_add(key, &method);
    ngx_http_weir_trace_key_add(key, &r->headers_in.host->value);
    ngx_http_weir_trace_key_add(key, &shown->version);
    ngx_http_weir_trace_key_add(key, &shown->cache_status);

    key->sum += shown->cache_status.len;
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
    ngx_str_t                     *version;
    ngx_http_weir_loc_conf_t      *wlcf;
    ngx_http_weir_trace_method_t   method;

    static ngx_str_t  schemes[] = { ngx_string("http"), ngx_string("https") };
    static ngx_str_t  v3 = ngx_string("3");
    static ngx_str_t  v2 = ngx_string("2");
    static ngx_str_t  v11 = ngx_string("1.1");
    static ngx_str_t  v10 = ngx_string("1.0");
    static ngx_str_t  v9 = ngx_string("0.9");

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

    if (r->request_line.len) {
        version = r->http_version >= 3000 ? &v3
                  : r->http_version >= NGX_HTTP_VERSION_20 ? &v2
                  : r->http_version >= NGX_HTTP_VERSION_11 ? &v11
                  : r->http_version >= NGX_HTTP_VERSION_10 ? &v10 : &v9;

        ngx_http_weir_trace_text(attributes, "network.protocol.version",
                                 version, 3);
    }

    return p - name;
}


/*
 * The request line has the method that the client sent; an error_page changes
 * that of the main request.
 */

void
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


/* What most requests have for themselves. */

static void
ngx_http_weir_trace_server_request(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *query)
{
    off_t       sent;
    u_char     *p;
    ngx_str_t   path, text;

    path = r->unparsed_uri;

    if (path.len) {
        p = memchr(path.data, '?', path.len);

        if (p) {
            text.data = p + 1;
            text.len = path.data + path.len - text.data;
            path.len = p - path.data;

            text.len = ngx_http_weir_trace_redact(query, &text);
            text.data = query;
            ngx_http_weir_trace_text(attributes, "url.query", &text,
                                     NGX_HTTP_WEIR_TRACE_URL_MAX);
        }

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

    sent = r->connection->sent - r->header_size;

    if (r->header_sent && sent >= 0) {
        ngx_http_weir_trace_number(attributes, "http.response.body.size",
                                   sent);
    }
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

static void
ngx_http_weir_trace_server_variable(ngx_http_request_t *r, ngx_int_t index,
    ngx_str_t *value)
{
    ngx_http_variable_t        *variable;
    ngx_http_core_main_conf_t  *cmcf;
    ngx_http_variable_value_t   v;

    cmcf = ngx_http_get_module_main_conf(r, ngx_http_core_module);

    variable = cmcf->variables.elts;
    variable += index;

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

    if (kept->record == NULL) {
        return 0;
    }

    for (i = 0; i < kept->record->events; i++) {
        ngx_memzero(&events[i], sizeof(weir_span_event_t));
        events[i].name = kept->record->event[i].name;
        events[i].time = ngx_http_weir_trace_time(kept,
                                                  kept->record->event[i].time);
    }

    return i;
}


size_t
ngx_http_weir_trace_redact(u_char *buf, ngx_str_t *text)
{
    u_char  *p, *src, *last, *end, *name, *next, *equals;

    static u_char  redacted[] = "REDACTED";

    p = buf;
    end = buf + NGX_HTTP_WEIR_TRACE_URL_MAX;
    last = text->data + text->len;

    /* one parameter at a time, with what is before its name */

    for (src = text->data; src < last && p < end; src = next) {

        for (next = src; next < last && *next != '&' && *next != '?'; next++) {
            /* void */
        }

        name = src;
        equals = ngx_strlchr(name, next, '=');

        if (equals && ngx_http_weir_trace_is_credential(name, equals - name)) {
            p = ngx_cpymem(p, name, ngx_min(end - p, equals + 1 - name));
            p = ngx_cpymem(p, redacted,
                           ngx_min(end - p, (ssize_t) sizeof(redacted) - 1));

            /* a question mark in the value is a part of it */
            while (next < last && *next != '&') {
                next++;
            }

        } else {
            p = ngx_cpymem(p, src, ngx_min(end - p, next - src));
        }

        if (next < last && p < end) {
            *p++ = *next++;
        }
    }

    return p - buf;
}


static ngx_uint_t
ngx_http_weir_trace_is_credential(u_char *name, size_t len)
{
    ngx_str_t  *credential;

    static ngx_str_t  credentials[] = {
        ngx_string("sig"),
        ngx_string("signature"),
        ngx_string("awsaccesskeyid"),
        ngx_string("x-amz-signature"),
        ngx_string("x-amz-credential"),
        ngx_string("x-amz-security-token"),
        ngx_string("x-goog-signature"),
        ngx_null_string
    };

    for (credential = credentials; credential->len; credential++) {
        if (credential->len == len
            && ngx_strncasecmp(credential->data, name, len) == 0)
        {
            return 1;
        }
    }

    return 0;
}
