/* The spans of a request that is kept; private to trace/. */

#ifndef _NGX_HTTP_WEIR_TRACE_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_TRACE_PRIVATE_H_INCLUDED_


#include "common/trace/encode/frame.h"
#include "common/trace/span.h"
#include "export/ngx_http_weir_export.h"
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
    ngx_http_weir_exporter_t   *exporter;
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
    uint64_t                    protocol;  /* of a server span: the text */
    const void                 *version;
    const void                 *tracestate;
    ngx_uint_t                  cache;     /* ngx_http_weir_cache_status_e */
    ngx_str_t                   text;
    ngx_uint_t                  slot;      /* modulo the number of slots */
} ngx_http_weir_trace_key_t;

/* Slots of a location; a power of two. */
#define NGX_HTTP_WEIR_TRACE_KNOWN  8


struct ngx_http_weir_trace_known_s {
    uint64_t                    number;    /* of the key; 0: nothing is known */
    uint64_t                    protocol;
    const void                 *version;
    const void                 *tracestate;
    ngx_uint_t                  cache;
    size_t                      text_len;
    u_char                      text[NGX_HTTP_WEIR_TRACE_KEY_MAX];
    weir_frame_t                frame;
};


/*
 * known: what all keys have of the trace; false if the span has no key, because its
 * tracestate is the request's own.
 */
static ngx_inline ngx_uint_t ngx_http_weir_trace_key_begin(
    ngx_http_weir_trace_kept_t *kept, ngx_http_weir_trace_key_t *key,
    weir_span_kind_t kind);

/* known: the frame of spans with that key in the request's location, or NULL. */
static ngx_inline const weir_frame_t *ngx_http_weir_trace_known(
    ngx_http_weir_trace_kept_t *kept, ngx_http_weir_trace_key_t *key);

/* known: true if the texts are the same. */
static ngx_inline ngx_uint_t ngx_http_weir_trace_is_same(const u_char *a,
    const u_char *b, size_t len);

/* known: where the frame of spans with that key is, or may be; NULL: nowhere. */
static ngx_inline ngx_http_weir_trace_known_t *ngx_http_weir_trace_known_slot(
    ngx_http_request_t *r, ngx_http_weir_trace_key_t *key);

/*
 * known: makes the frame of spans with that key, of a span with all that they have in
 * common; if there is no room, they are not known.
 */
void ngx_http_weir_trace_known_keep(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key, weir_span_t *span);

/*
 * A span of a frame begins and ends where it is exported; attributes come between.
 * Returns where it begins, NULL: there is no room.  End returns false if there was
 * no room, and nothing was exported: another encoding is to be tried.
 */
static ngx_inline char *ngx_http_weir_trace_framed_begin(
    ngx_http_weir_trace_kept_t *kept, const weir_frame_t *frame,
    const weir_frame_own_t *own, weir_frame_place_t *place);
static ngx_inline ngx_uint_t ngx_http_weir_trace_framed_end(
    ngx_http_weir_trace_kept_t *kept, char *span, weir_frame_place_t *place);

/* server: exports the server span; as ngx_http_weir_export_span(). */
ngx_int_t ngx_http_weir_trace_server(ngx_http_weir_trace_kept_t *kept);

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


/* The trace begins here. */

static ngx_inline ngx_uint_t
ngx_http_weir_trace_is_root(ngx_http_weir_trace_ctx_t *ctx)
{
    uint64_t  parent;

    ngx_memcpy(&parent, ctx->parent_id, WEIR_SPAN_ID_LEN);

    return parent == 0;
}


/* The status of the response, as $status; 0: none. */

static ngx_inline ngx_uint_t
ngx_http_weir_trace_status(ngx_http_request_t *r)
{
    return r->err_status ? r->err_status : r->headers_out.status;
}


/*
 * The number of the method that was sent, of the client or a subrequest; 0: not
 * known, or not that of r->method.
 */

static ngx_inline ngx_uint_t
ngx_http_weir_trace_method_number(ngx_http_request_t *r)
{
    ngx_str_t  *line, *name;

    line = &r->request_line;
    name = &r->method_name;

    /* HTTP/2 and HTTP/3 have the line as a copy */

    if (r->method <= NGX_HTTP_UNKNOWN || r->method >= (1 << 28)
        || (r == r->main && name->data != line->data
            && (line->len <= name->len || line->data[name->len] != ' '
                || ngx_memcmp(line->data, name->data, name->len) != 0)))
    {
        return 0;
    }

    return r->method;
}


static ngx_inline weir_attribute_t *
ngx_http_weir_trace_attribute(ngx_http_weir_trace_attributes_t *attributes,
    const char *name)
{
    weir_attribute_t  *a;

    ngx_http_weir_assert(attributes->n < NGX_HTTP_WEIR_TRACE_ATTRIBUTES);

    a = &attributes->elts[attributes->n++];
    a->name = name;

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


/* The text is not copied, and is cut to max bytes. */
#define ngx_http_weir_trace_text(attributes, name, text, max)                 \
    ngx_http_weir_trace_add_text(                                             \
        ngx_http_weir_trace_attribute(attributes, name), text, max)

#define ngx_http_weir_trace_number(attributes, name, number)                  \
    ngx_http_weir_trace_add_number(                                           \
        ngx_http_weir_trace_attribute(attributes, name), number)


static ngx_inline weir_str_t
ngx_http_weir_trace_str(ngx_str_t *text)
{
    weir_str_t  str;

    str.data = (char *) text->data;
    str.len = text->len;

    return str;
}


static ngx_inline ngx_uint_t
ngx_http_weir_trace_key_begin(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_key_t *key, weir_span_kind_t kind)
{
    ngx_http_weir_trace_ctx_t       *ctx;
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    ctx = kept->ctx;
    tlcf = ngx_http_get_module_loc_conf(kept->request,
                                        ngx_http_weir_trace_module);

    key->number = 0;
    key->tracestate = ctx->tracestate.len ? ctx->tracestate.data : NULL;

    if (key->tracestate && key->tracestate != tlcf->tracestate.data) {
        return 0;
    }

    key->number = (uint64_t) kind << 60 | (uint64_t) ctx->context.flags << 56;

    return 1;
}


/* NULL: nothing can be kept for this request. */

static ngx_inline ngx_http_weir_trace_known_t *
ngx_http_weir_trace_known_slot(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key)
{
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);

    if (key->number == 0 || key->text.len > NGX_HTTP_WEIR_TRACE_KEY_MAX
        || tlcf->known == NULL)
    {
        return NULL;
    }

    return &tlcf->known[key->slot & (NGX_HTTP_WEIR_TRACE_KNOWN - 1)];
}


static ngx_inline const weir_frame_t *
ngx_http_weir_trace_known(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_key_t *key)
{
    ngx_http_weir_trace_known_t  *known;

    known = ngx_http_weir_trace_known_slot(kept->request, key);

    return known && known->number == key->number
           && known->protocol == key->protocol
           && known->version == key->version
           && known->tracestate == key->tracestate
           && known->cache == key->cache
           && known->text_len == key->text.len
           && ngx_http_weir_trace_is_same(known->text, key->text.data,
                                          key->text.len)
           ? &known->frame : NULL;
}


/* Words may overlap; most texts are a few words. */

static ngx_inline ngx_uint_t
ngx_http_weir_trace_is_same(const u_char *a, const u_char *b, size_t len)
{
    size_t  i;

    if (len < 8) {
        return ngx_memcmp(a, b, len) == 0;
    }

    for (i = 0; i + 8 < len; i += 8) {
        if (weir_get64(a + i) != weir_get64(b + i)) {
            return 0;
        }
    }

    return weir_get64(a + len - 8) == weir_get64(b + len - 8);
}


static ngx_inline char *
ngx_http_weir_trace_framed_begin(ngx_http_weir_trace_kept_t *kept,
    const weir_frame_t *frame, const weir_frame_own_t *own,
    weir_frame_place_t *place)
{
    char    *span;
    size_t   room;

    span = ngx_http_weir_export_begin(kept->exporter, &room);

    if (span == NULL) {
        return NULL;
    }

    ngx_http_weir_assert(room >= WEIR_FRAME_ROOM);

    place->p = weir_frame_begin(span, frame, own);
    place->end = span + room;

    return span;
}


static ngx_inline ngx_uint_t
ngx_http_weir_trace_framed_end(ngx_http_weir_trace_kept_t *kept, char *span,
    weir_frame_place_t *place)
{
    if (place->p == NULL) {
        return 0;
    }

    weir_frame_end(span, place->p);
    ngx_http_weir_export_end(kept->exporter, span, place->p - span);

    return 1;
}


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
