/*
 * The context that is sent to upstreams.
 *
 * Each try is a span of its own, whose id goes upstream.  nginx sends the
 * request again from the same buffers: so the id of another try is written over
 * the old one, wherever the old one is in the buffer of the header (traceparent,
 * b3, parameters of FastCGI).  gRPC and HTTP/2 compress the header: there, the
 * compressed value is looked for, and the new id is one that takes as many bits
 * at each place.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/text/hex.h"
#include "common/text/huffman.h"
#include "common/trace/b3.h"
#include "common/trace/ids.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_clock.h"
#include "trace/ngx_http_weir_trace.h"


static void ngx_http_weir_trace_inject(ngx_http_request_t *r, void *data);
static ngx_int_t ngx_http_weir_trace_inject_add(ngx_http_request_t *r,
    ngx_list_t *headers, void *data);
static ngx_int_t ngx_http_weir_trace_inject_b3(ngx_http_request_t *r,
    ngx_list_t *headers, weir_context_t *context,
    ngx_http_weir_trace_call_t *call);
static void ngx_http_weir_trace_inject_made(ngx_http_request_t *r, void *data);
static ngx_uint_t ngx_http_weir_trace_inject_write(ngx_http_request_t *r,
    ngx_http_weir_trace_call_t *call, uint8_t *old, uint8_t *id);
static ngx_uint_t ngx_http_weir_trace_inject_replace(ngx_buf_t *b, void *from,
    void *to, size_t len);
static ngx_uint_t ngx_http_weir_trace_inject_compressed(ngx_buf_t *b,
    ngx_http_weir_trace_call_t *call, char *from, char *digits);


/* Added lines. */
static ngx_http_weir_forward_name_t  ngx_http_weir_trace_traceparent =
    ngx_http_weir_forward_name("traceparent", "traceparent");
static ngx_http_weir_forward_name_t  ngx_http_weir_trace_tracestate =
    ngx_http_weir_forward_name("tracestate", "tracestate");
static ngx_http_weir_forward_name_t  ngx_http_weir_trace_b3 =
    ngx_http_weir_forward_name("b3", "b3");
static ngx_http_weir_forward_name_t  ngx_http_weir_trace_b3_trace_id =
    ngx_http_weir_forward_name("X-B3-TraceId", "x-b3-traceid");
static ngx_http_weir_forward_name_t  ngx_http_weir_trace_b3_span_id =
    ngx_http_weir_forward_name("X-B3-SpanId", "x-b3-spanid");
static ngx_http_weir_forward_name_t  ngx_http_weir_trace_b3_parent_id =
    ngx_http_weir_forward_name("X-B3-ParentSpanId", "x-b3-parentspanid");
static ngx_http_weir_forward_name_t  ngx_http_weir_trace_b3_sampled =
    ngx_http_weir_forward_name("X-B3-Sampled", "x-b3-sampled");


static ngx_str_t  ngx_http_weir_trace_inject_names[] = {
    ngx_string("traceparent"),
    ngx_string("tracestate"),
    ngx_string("b3"),
    ngx_string("X-B3-TraceId"),
    ngx_string("X-B3-SpanId"),
    ngx_string("X-B3-ParentSpanId"),
    ngx_string("X-B3-Sampled"),
    ngx_string("X-B3-Flags")
};


/*
 * Names that are left out of the client's header: those of B3 only if B3 is
 * sent, because nothing else says that upstreams read them.
 */

#define NGX_HTTP_WEIR_TRACE_NAMES_W3C  2
#define NGX_HTTP_WEIR_TRACE_NAMES_ALL                                         \
    (sizeof(ngx_http_weir_trace_inject_names) / sizeof(ngx_str_t))


/*
 * Before the content phase, in each location that asks an upstream.  A background
 * refresh, whose trace begins here, is never asked by direct.
 */

ngx_int_t
ngx_http_weir_trace_content_handler(ngx_http_request_t *r)
{
    ngx_http_weir_loc_conf_t        *wlcf;
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    if (r->internal) {
        ngx_http_weir_forward_release(r);
    }

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);

    if (tlcf->mode == NGX_HTTP_WEIR_TRACE_OFF
        || (tlcf->direct && !r->background) || r->content_handler == NULL)
    {
        return NGX_DECLINED;
    }

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    if (wlcf->pass.len) {
        ngx_http_weir_trace_inject(r, NULL);
    }

    return NGX_DECLINED;
}


/* Without memory, the request goes upstream with the client's context. */

static void
ngx_http_weir_trace_inject(ngx_http_request_t *r, void *data)
{
    ngx_http_weir_trace_call_t      *call;
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);
    call = ngx_http_weir_trace_call_create(r, tlcf,
                                           ngx_http_weir_trace_get(r));

    if (call == NULL) {
        return;
    }

    ngx_memzero(&call->forward, sizeof(ngx_http_weir_forward_t));

    call->forward.cloned = ngx_http_weir_trace_inject;
    call->forward.made = ngx_http_weir_trace_inject_made;
    call->forward.data = call;

    if (call->context & NGX_HTTP_WEIR_TRACE_INJECT) {
        call->forward.add = ngx_http_weir_trace_inject_add;
        call->forward.again = ngx_http_weir_trace_inject_again;
        call->forward.names = ngx_http_weir_trace_inject_names;
        call->forward.n = (call->context & (NGX_HTTP_WEIR_TRACE_B3
                                            |NGX_HTTP_WEIR_TRACE_B3MULTI))
                          ? NGX_HTTP_WEIR_TRACE_NAMES_ALL
                          : NGX_HTTP_WEIR_TRACE_NAMES_W3C;
    }

    if (ngx_http_weir_forward(r, &call->forward) != NGX_OK) {
        return;
    }

    call->next = call->ctx->calls;
    call->ctx->calls = call;
}


static ngx_int_t
ngx_http_weir_trace_inject_add(ngx_http_request_t *r, ngx_list_t *headers,
    void *data)
{
    ngx_http_weir_trace_call_t  *call = data;

    weir_context_t              context;
    ngx_http_weir_trace_ctx_t  *ctx;

    ctx = call->ctx;
    context = ctx->context;
    ngx_memcpy(context.span_id, call->first.id, WEIR_SPAN_ID_LEN);
    weir_context_format(&context, call->traceparent);

    if (ngx_http_weir_forward_push(headers, &ngx_http_weir_trace_traceparent,
                                   (u_char *) call->traceparent,
                                   WEIR_CONTEXT_LEN)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ctx->tracestate.len
        && ngx_http_weir_forward_push(headers, &ngx_http_weir_trace_tracestate,
                                      ctx->tracestate.data,
                                      ctx->tracestate.len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return (call->context & (NGX_HTTP_WEIR_TRACE_B3
                             |NGX_HTTP_WEIR_TRACE_B3MULTI))
           ? ngx_http_weir_trace_inject_b3(r, headers, &context, call)
           : NGX_OK;
}


static ngx_int_t
ngx_http_weir_trace_inject_b3(ngx_http_request_t *r, ngx_list_t *headers,
    weir_context_t *context, ngx_http_weir_trace_call_t *call)
{
    u_char  *b3, *parent;

    b3 = ngx_pnalloc(r->pool, WEIR_B3_LEN + 2 * WEIR_SPAN_ID_LEN);
    if (b3 == NULL) {
        return NGX_ERROR;
    }

    parent = b3 + WEIR_B3_LEN;

    weir_b3_format(context, (char *) b3);
    weir_hex((char *) parent, call->ctx->context.span_id, WEIR_SPAN_ID_LEN);

    if ((call->context & NGX_HTTP_WEIR_TRACE_B3)
        && ngx_http_weir_forward_push(headers, &ngx_http_weir_trace_b3, b3,
                                      WEIR_B3_LEN)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!(call->context & NGX_HTTP_WEIR_TRACE_B3MULTI)) {
        return NGX_OK;
    }

    if (ngx_http_weir_forward_push(headers, &ngx_http_weir_trace_b3_trace_id,
                                   b3, 2 * WEIR_TRACE_ID_LEN)
        != NGX_OK
        || ngx_http_weir_forward_push(headers, &ngx_http_weir_trace_b3_span_id,
                                      b3 + 2 * WEIR_TRACE_ID_LEN + 1,
                                      2 * WEIR_SPAN_ID_LEN)
           != NGX_OK
        || ngx_http_weir_forward_push(headers,
                                      &ngx_http_weir_trace_b3_parent_id,
                                      parent, 2 * WEIR_SPAN_ID_LEN)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_weir_forward_push(headers, &ngx_http_weir_trace_b3_sampled,
                                      b3 + WEIR_B3_LEN - 1, 1);
}


/*
 * If the request has tried upstreams before, nginx appends a state that
 * separates them after this call, and then one for each try.
 */

static void
ngx_http_weir_trace_inject_made(ngx_http_request_t *r, void *data)
{
    ngx_http_weir_trace_call_t  *call = data;

    call->upstream = r->upstream;
    call->start = ngx_http_weir_ticks();
    call->first.state = r->upstream_states ? r->upstream_states->nelts + 1 : 0;
}


/* Called while the last state is that of the new try. */

void
ngx_http_weir_trace_inject_again(ngx_http_request_t *r, void *data)
{
    ngx_http_weir_trace_call_t  *call = data;

    ngx_uint_t                  n;
    ngx_http_weir_trace_try_t  *tries;

    if (r->upstream_states == NULL || r->upstream_states->nelts == 0) {
        return;
    }

    if (call->more == NULL) {
        call->more = ngx_array_create(r->pool, 2,
                                      sizeof(ngx_http_weir_trace_try_t));
        if (call->more == NULL) {
            return;
        }
    }

    if (ngx_array_push(call->more) == NULL) {
        return;
    }

    n = call->more->nelts - 1;
    tries = call->more->elts;

    weir_trace_ids_span(tries[n].id);
    tries[n].state = r->upstream_states->nelts - 1;

    if (!ngx_http_weir_trace_inject_write(r, call,
                                          n ? tries[n - 1].id : call->first.id,
                                          tries[n].id))
    {
        call->more->nelts--;
    }
}


/*
 * True if the old id was found in the header's buffer, the first one.  Another id
 * may have been chosen.
 */

static ngx_uint_t
ngx_http_weir_trace_inject_write(ngx_http_request_t *r,
    ngx_http_weir_trace_call_t *call, uint8_t *old, uint8_t *id)
{
    ngx_buf_t   *b;
    ngx_uint_t   i;
    char         digits[2 * WEIR_SPAN_ID_LEN], from[2 * WEIR_SPAN_ID_LEN];

    if (r->upstream->request_bufs == NULL) {
        return 0;
    }

    b = r->upstream->request_bufs->buf;

    if (b->start == NULL || b->in_file) {
        return 0;
    }

    weir_hex(from, old, WEIR_SPAN_ID_LEN);
    weir_hex(digits, id, WEIR_SPAN_ID_LEN);

    if (ngx_http_weir_trace_inject_replace(b, from, digits, sizeof(digits))) {
        return 1;
    }

    weir_huffman_alike(digits, from, sizeof(digits));

    if (!ngx_http_weir_trace_inject_compressed(b, call, from, digits)) {
        return 0;
    }

    for (i = 0; i < WEIR_SPAN_ID_LEN; i++) {
        id[i] = (uint8_t) (weir_unhex(digits[2 * i], 0) * 16
                           + weir_unhex(digits[2 * i + 1], 0));
    }

    return 1;
}


static ngx_uint_t
ngx_http_weir_trace_inject_replace(ngx_buf_t *b, void *from, void *to,
    size_t len)
{
    u_char      *p;
    ngx_uint_t   found;

    found = 0;
    p = b->start;

    while (b->last - p >= (ssize_t) len) {

        p = memmem(p, b->last - p, from, len);
        if (p == NULL) {
            break;
        }

        p = ngx_cpymem(p, to, len);
        found = 1;
    }

    return found;
}


/* The values that have the id: traceparent, b3 and X-B3-SpanId. */

static ngx_uint_t
ngx_http_weir_trace_inject_compressed(ngx_buf_t *b,
    ngx_http_weir_trace_call_t *call, char *from, char *digits)
{
    size_t           len;
    u_char          *id, traceparent[WEIR_CONTEXT_LEN], b3[WEIR_B3_LEN];
    uint8_t          old[WEIR_HUFFMAN_MAX(WEIR_CONTEXT_LEN)];
    uint8_t          new[WEIR_HUFFMAN_MAX(WEIR_CONTEXT_LEN)];
    ngx_str_t        values[3];
    ngx_uint_t       i, found;
    weir_context_t   context;

    static const size_t  places[] = {
        3 + 2 * WEIR_TRACE_ID_LEN + 1, 2 * WEIR_TRACE_ID_LEN + 1, 0
    };

    context = call->ctx->context;
    weir_context_format(&context, (char *) traceparent);
    weir_b3_format(&context, (char *) b3);

    values[0].data = traceparent;
    values[0].len = WEIR_CONTEXT_LEN;
    values[1].data = b3;
    values[1].len = WEIR_B3_LEN;
    values[2].data = b3 + places[1];
    values[2].len = 2 * WEIR_SPAN_ID_LEN;

    found = 0;

    for (i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        id = values[i].data + places[i];

        ngx_memcpy(id, from, 2 * WEIR_SPAN_ID_LEN);
        len = weir_huffman(old, (char *) values[i].data, values[i].len);

        ngx_memcpy(id, digits, 2 * WEIR_SPAN_ID_LEN);

        if (weir_huffman(new, (char *) values[i].data, values[i].len) == len) {
            found |= ngx_http_weir_trace_inject_replace(b, old, new, len);
        }
    }

    return found;
}
