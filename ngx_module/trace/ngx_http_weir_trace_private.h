/* The spans of a request that is kept; private to trace/. */

#ifndef _NGX_HTTP_WEIR_TRACE_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_TRACE_PRIVATE_H_INCLUDED_


#include "common/trace/span.h"
#include "http/ngx_http_weir_assert.h"
#include "record/ngx_http_weir_record.h"
#include "trace/ngx_http_weir_trace.h"


/*
 * Limits of attributes, in bytes; longer texts are cut.  All together must fit
 * into NGX_HTTP_WEIR_EXPORT_SPAN_MAX, see there.
 */
#define NGX_HTTP_WEIR_TRACE_URL_MAX    2048
#define NGX_HTTP_WEIR_TRACE_TEXT_MAX   512

#define NGX_HTTP_WEIR_TRACE_ATTRIBUTES  20


/* The attributes of a span while they are collected. */
typedef struct {
    weir_attribute_t         elts[NGX_HTTP_WEIR_TRACE_ATTRIBUTES];
    ngx_uint_t               n;
} ngx_http_weir_trace_attributes_t;


/* A request or a background refresh that is kept.  Times are ns since 1970. */
typedef struct {
    ngx_http_request_t         *request;
    ngx_http_weir_trace_ctx_t  *ctx;
    ngx_http_weir_record_t     *record;    /* NULL: none */
    uint64_t                    start;
    uint64_t                    end;
    uint64_t                    tick;      /* ngx_http_weir_ticks() of the
                                              end */
} ngx_http_weir_trace_kept_t;


/* The method as the client sent it; unknown ones are "_OTHER". */
typedef struct {
    ngx_str_t                   sent;      /* len 0: not known */
    ngx_str_t                   name;
} ngx_http_weir_trace_method_t;


/* The longest text of a key, in bytes; spans with longer ones share nothing. */
#define NGX_HTTP_WEIR_TRACE_KEY_MAX  255

/* The greatest status that a key has room for. */
#define NGX_HTTP_WEIR_TRACE_STATUS_MAX  4095


/*
 * See known.  What the pointers point to has the life of the configuration, and
 * another address if it is another text.
 */
typedef struct {
    uint64_t                    number;    /* 0: no key */
    const void                 *version;
    const void                 *cache_status;
    ngx_str_t                   text;
    ngx_uint_t                  slot;      /* modulo the number of slots */
} ngx_http_weir_trace_key_t;


/*
 * known: true if spans with that key are known in r's location; the span gets
 * what they have in common.
 */
ngx_uint_t ngx_http_weir_trace_known(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key, weir_span_t *span);

/*
 * known: keeps what the span has in common with others of that key, which is
 * all of its name, kind and attributes.  Without room, span->encoded is not set.
 */
void ngx_http_weir_trace_known_keep(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key, weir_span_t *span);

/* server: exports the server span; as ngx_http_weir_export_span(). */
ngx_int_t ngx_http_weir_trace_server(ngx_http_weir_trace_kept_t *kept);

/*
 * server: the number of the method that was sent, of the client or a subrequest;
 * 0: not known, or not that of r->method.
 */
ngx_uint_t ngx_http_weir_trace_method_number(ngx_http_request_t *r);

/* server: the method of the client's request, or of a subrequest. */
void ngx_http_weir_trace_method(ngx_http_request_t *r,
    ngx_http_weir_trace_method_t *method);

/*
 * redact: copies a query, or a URL with one, without the values of parameters
 * that are credentials (conventions of url.query).  Returns the length, at most
 * NGX_HTTP_WEIR_TRACE_URL_MAX.
 */
size_t ngx_http_weir_trace_redact(u_char *buf, ngx_str_t *text);

/* refresh: exports the spans of a background refresh, which is kept. */
void ngx_http_weir_trace_refresh(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_refresh_t *refresh);

/* client: exports a client span for each try of each upstream. */
void ngx_http_weir_trace_clients(ngx_http_weir_trace_kept_t *kept);

/* client: exports an internal span for each wait of the record; there is one. */
void ngx_http_weir_trace_waits(ngx_http_weir_trace_kept_t *kept);


/*
 * A time of ngx_http_weir_ticks(), in ns since 1970.  Clocks differ a little, and
 * no span or event is outside of the server span.
 */

static ngx_inline uint64_t
ngx_http_weir_trace_time(ngx_http_weir_trace_kept_t *kept, uint64_t tick)
{
    uint64_t  ns;

    ns = kept->end - ngx_http_weir_clock_ns(kept->tick - tick);
    ns = ngx_max(ns, kept->start);

    return ngx_min(ns, kept->end);
}


static ngx_inline ngx_uint_t
ngx_http_weir_trace_is_tls(ngx_http_request_t *r)
{
#if (NGX_HTTP_SSL)
    return r->connection->ssl != NULL;
#else
    return 0;
#endif
}


/* The status of the response, as $status; 0: none. */

static ngx_inline ngx_uint_t
ngx_http_weir_trace_status(ngx_http_request_t *r)
{
    return r->err_status ? r->err_status : r->headers_out.status;
}


/* A literal in an array that the encoder copies whole. */
#define ngx_http_weir_trace_name(literal)                                     \
    __extension__ ({                                                          \
        static const char  array[WEIR_SPAN_NAME_ROOM] = literal;              \
        array;                                                                \
    })


static ngx_inline weir_attribute_t *
ngx_http_weir_trace_attribute(ngx_http_weir_trace_attributes_t *attributes,
    const char *name, size_t len)
{
    weir_attribute_t  *a;

    ngx_http_weir_assert(attributes->n < NGX_HTTP_WEIR_TRACE_ATTRIBUTES);

    a = &attributes->elts[attributes->n++];
    a->name = name;
    a->name_len = len;
    a->name_room = WEIR_SPAN_NAME_ROOM;

    return a;
}


static ngx_inline void
ngx_http_weir_trace_add_text(weir_attribute_t *a, ngx_str_t *text, size_t max)
{
    a->type = WEIR_ATTRIBUTE_TEXT;
    a->value.text.data = (char *) text->data;
    a->value.text.len = ngx_min(text->len, max);
}


static ngx_inline void
ngx_http_weir_trace_add_number(weir_attribute_t *a, int64_t number)
{
    a->type = WEIR_ATTRIBUTE_NUMBER;
    a->value.number = number;
}


/* The text is not copied, and is cut to max bytes; name is a literal. */
#define ngx_http_weir_trace_text(attributes, name, text, max)                 \
    ngx_http_weir_trace_add_text(                                             \
        ngx_http_weir_trace_attribute(attributes,                             \
                                      ngx_http_weir_trace_name(name),         \
                                      sizeof(name) - 1),                      \
        text, max)

#define ngx_http_weir_trace_number(attributes, name, number)                  \
    ngx_http_weir_trace_add_number(                                           \
        ngx_http_weir_trace_attribute(attributes,                             \
                                      ngx_http_weir_trace_name(name),         \
                                      sizeof(name) - 1),                      \
        number)


/*
 * A span of the trace, with the trace's first span as its parent.  Sets each
 * member but id, kind, name, times and attributes.elts; a call that clears all
 * takes longer.
 */

static ngx_inline void
ngx_http_weir_trace_child(ngx_http_weir_trace_ctx_t *ctx, weir_span_t *span)
{
    ngx_memcpy(span->trace_id, ctx->context.trace_id, WEIR_TRACE_ID_LEN);
    ngx_memcpy(span->parent_id, ctx->context.span_id, WEIR_SPAN_ID_LEN);

    span->remote_parent = 0;
    span->flags = ctx->context.flags;
    span->tracestate.data = (char *) ctx->tracestate.data;
    span->tracestate.len = ctx->tracestate.len;
    span->encoded.len = 0;
    span->attributes.n = 0;
    span->event_count = 0;
    span->link_count = 0;
    span->status = WEIR_SPAN_STATUS_UNSET;
    span->status_message.len = 0;
}


/* Gives the span its only link. */

static ngx_inline void
ngx_http_weir_trace_link(weir_span_t *span, weir_span_link_t *link,
    weir_context_t *to)
{
    ngx_memzero(link, sizeof(weir_span_link_t));

    ngx_memcpy(link->trace_id, to->trace_id, WEIR_TRACE_ID_LEN);
    ngx_memcpy(link->span_id, to->span_id, WEIR_SPAN_ID_LEN);
    link->flags = to->flags;

    span->links = link;
    span->link_count = 1;
}


#endif /* _NGX_HTTP_WEIR_TRACE_PRIVATE_H_INCLUDED_ */
