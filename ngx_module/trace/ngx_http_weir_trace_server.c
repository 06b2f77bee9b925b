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


static void ngx_http_weir_trace_server_request(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *query);
static size_t ngx_http_weir_trace_server_target(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *name);
static void ngx_http_weir_trace_server_host(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes);
static void ngx_http_weir_trace_server_response(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *number);
static void ngx_http_weir_trace_server_variable(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, const char *name,
    ngx_int_t index);
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
    ngx_str_t                          text;
    weir_span_t                        span;
    ngx_http_request_t                *r;
    weir_span_event_t                  events[NGX_HTTP_WEIR_RECORD_EVENTS];
    ngx_http_weir_trace_known_t       *known;
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

    known = ngx_http_weir_trace_known_find(kept);

    if (known) {
        span.name.data = (char *) known->name;
        span.name.len = known->name_len;
        span.encoded.data = known->encoded;
        span.encoded.len = known->len;

    } else {
        text.data = name;
        text.len = ngx_http_weir_trace_server_target(r, &attributes, name);
        span.name.data = (char *) name;
        span.name.len = text.len;

        ngx_http_weir_trace_known_keep(kept, &attributes, &text);
    }

    ngx_http_weir_trace_server_request(r, &attributes, query);
    ngx_http_weir_trace_server_response(r, &attributes, number);

    span.status = ngx_http_weir_trace_status(r) < NGX_HTTP_INTERNAL_SERVER_ERROR
                  ? WEIR_SPAN_STATUS_UNSET : WEIR_SPAN_STATUS_ERROR;
    span.events = events;
    span.event_count = ngx_http_weir_trace_server_events(kept, events);
    span.attributes.elts = attributes.elts;
    span.attributes.n = attributes.n;

    return ngx_http_weir_export_span(r, &span);
}


/*
 * Method, route, scheme, host and protocol; see known.  Returns the length of
 * the span's name, which is written to name.
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
ngx_http_weir_trace_method(ngx_http_request_t *r,
    ngx_http_weir_trace_method_t *method)
{
    u_char      *p, *last;
    ngx_str_t   *known, *line;

    static ngx_str_t  other = ngx_string("_OTHER");

    line = (r == r->main) ? &r->request_line : &r->method_name;
    p = line->data;
    last = p + line->len;

    method->sent.data = p;

    while (p < last && *p != ' ') {
        p++;
    }

    method->sent.len = p - method->sent.data;

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


static void
ngx_http_weir_trace_server_request(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *query)
{
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
ngx_http_weir_trace_server_response(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, u_char *number)
{
    off_t                             sent;
    ngx_str_t                         text;
    ngx_uint_t                        status;
    ngx_http_weir_trace_main_conf_t  *tmcf;

    status = ngx_http_weir_trace_status(r);

    if (status) {
        ngx_http_weir_trace_number(attributes, "http.response.status_code",
                                   status);
    }

    if (status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
        text.data = number;
        text.len = ngx_sprintf(number, "%ui", status) - number;
        ngx_http_weir_trace_text(attributes, "error.type", &text,
                                 NGX_INT_T_LEN);
    }

    sent = r->connection->sent - r->header_size;

    if (r->header_sent && sent >= 0) {
        ngx_http_weir_trace_number(attributes, "http.response.body.size",
                                   sent);
    }

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_trace_module);

    ngx_http_weir_trace_server_variable(r, attributes, "weir.version",
                                        tmcf->version);
    ngx_http_weir_trace_server_variable(r, attributes, "weir.cache.status",
                                        tmcf->cache_status);
}


static void
ngx_http_weir_trace_server_variable(ngx_http_request_t *r,
    ngx_http_weir_trace_attributes_t *attributes, const char *name,
    ngx_int_t index)
{
    ngx_str_t                   text;
    ngx_http_variable_value_t  *v;

    v = ngx_http_get_flushed_variable(r, index);

    if (v == NULL || v->not_found || v->len == 0) {
        return;
    }

    text.data = v->data;
    text.len = v->len;
    ngx_http_weir_trace_text(attributes, name, &text,
                             NGX_HTTP_WEIR_TRACE_TEXT_MAX);
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
