/*
 * The context in requests of proxy_pass over HTTP/1, as most upstreams are asked.
 *
 * When nginx chooses a server it has made the request, which is a text.  The
 * function that initializes the choice is called by another one, which inserts
 * the lines of the context into a copy of the text.  That takes a third of what
 * it takes to let nginx make the request from a changed header
 * (ngx_http_weir_forward.h).
 *
 * Invariant: the location sets neither of the lines itself, so all lines of these
 * names in the text are the client's.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/text/hex.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "http/ngx_http_weir_pass.h"
#include "trace/ngx_http_weir_trace.h"


static ngx_int_t ngx_http_weir_trace_direct_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_http_upstream_init_peer_pt ngx_http_weir_trace_direct_find(
    ngx_http_weir_trace_main_conf_t *tmcf, ngx_http_upstream_srv_conf_t *us);
static void ngx_http_weir_trace_direct_add(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf);
static ngx_int_t ngx_http_weir_trace_direct_insert(ngx_http_request_t *r,
    ngx_http_weir_trace_call_t *call, u_char *text);
static ngx_inline u_char *ngx_http_weir_trace_direct_lines(u_char *p,
    ngx_http_weir_trace_call_t *call);
static ngx_uint_t ngx_http_weir_trace_direct_is_sent(ngx_http_request_t *r);
static u_char *ngx_http_weir_trace_direct_rest(u_char *p, u_char *from,
    u_char *last);
static ngx_uint_t ngx_http_weir_trace_direct_is_line(u_char *p, u_char *last);
static ngx_int_t ngx_http_weir_trace_direct_reinit(ngx_http_request_t *r);


static ngx_str_t  ngx_http_weir_trace_direct_names[] = {
    ngx_string("traceparent"),
    ngx_string("tracestate")
};


/* Bytes of both lines without the value of tracestate. */
#define NGX_HTTP_WEIR_TRACE_DIRECT_LINES                                      \
    (sizeof("traceparent: " CRLF "tracestate: " CRLF) - 1 + WEIR_CONTEXT_LEN)


ngx_int_t
ngx_http_weir_trace_direct_merge(ngx_conf_t *cf,
    ngx_http_weir_trace_loc_conf_t *tlcf)
{
    ngx_http_upstream_conf_t         *ucf;
    ngx_http_weir_trace_direct_t     *direct;
    ngx_http_weir_trace_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_trace_module);

    if (tlcf->mode == NGX_HTTP_WEIR_TRACE_OFF
        || tlcf->mode == NGX_HTTP_WEIR_TRACE_VARIABLE
        || !(tlcf->context & NGX_HTTP_WEIR_TRACE_INJECT)
        || (tlcf->context & (NGX_HTTP_WEIR_TRACE_B3
                             |NGX_HTTP_WEIR_TRACE_B3MULTI)))
    {
        return NGX_OK;
    }

    ucf = ngx_http_weir_pass_plain(cf, ngx_http_weir_trace_direct_names, 2);

    if (ucf == NULL || ucf->upstream->peer.init == NULL) {
        return NGX_OK;
    }

    tlcf->init = ngx_http_weir_trace_direct_find(tmcf, ucf->upstream);

    if (tlcf->init == NULL) {
        direct = ngx_array_push(&tmcf->direct);
        if (direct == NULL) {
            return NGX_ERROR;
        }

        direct->upstream = ucf->upstream;
        direct->init = ucf->upstream->peer.init;
        ucf->upstream->peer.init = ngx_http_weir_trace_direct_init;

        tlcf->init = direct->init;
    }

    tlcf->direct = ucf;

    return NGX_OK;
}


/* NULL: the upstream has its own one. */

static ngx_http_upstream_init_peer_pt
ngx_http_weir_trace_direct_find(ngx_http_weir_trace_main_conf_t *tmcf,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_uint_t                     i;
    ngx_http_weir_trace_direct_t  *direct;

    direct = tmcf->direct.elts;

    for (i = 0; i < tmcf->direct.nelts; i++) {
        if (direct[i].upstream == us) {
            return direct[i].init;
        }
    }

    return NULL;
}


/* Called for all requests to the upstream, of any location. */

static ngx_int_t
ngx_http_weir_trace_direct_init(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_upstream_init_peer_pt    init;
    ngx_http_weir_trace_loc_conf_t   *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);

    if (tlcf->direct == r->upstream->conf) {

        if (!r->background) {
            ngx_http_weir_trace_direct_add(r, tlcf);
        }

        return tlcf->init(r, us);
    }

    init = ngx_http_weir_trace_direct_find(
                  ngx_http_get_module_main_conf(r, ngx_http_weir_trace_module),
                  us);

    ngx_http_weir_assert(init != NULL);

    return init(r, us);
}


/* Without memory, the request goes upstream with the client's context. */

static void
ngx_http_weir_trace_direct_add(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf)
{
    u_char                      *text;
    size_t                       size;
    ngx_buf_t                   *b;
    ngx_http_weir_trace_ctx_t   *ctx;
    ngx_http_weir_trace_call_t  *call;

    b = r->upstream->request_bufs->buf;
    size = b->last - b->pos + tlcf->tracestate.len
           + NGX_HTTP_WEIR_TRACE_DIRECT_LINES;
    text = NULL;

    ctx = r == r->main ? ngx_http_weir_trace_get_main(r, size, &text)
                       : ngx_http_weir_trace_get(r);
    call = ngx_http_weir_trace_call_create(r, tlcf, ctx);

    if (call == NULL) {
        return;
    }

    if (text == NULL || ctx->tracestate.len > tlcf->tracestate.len) {
        text = ngx_pnalloc(r->pool, size + ctx->tracestate.len);
        if (text == NULL) {
            return;
        }
    }

    if (ngx_http_weir_trace_direct_insert(r, call, text) != NGX_OK) {
        return;
    }

    call->upstream = r->upstream;
    call->start = ngx_http_weir_ticks();
    call->first.state = r->upstream_states->nelts;

    call->reinit = r->upstream->reinit_request;
    r->upstream->reinit_request = ngx_http_weir_trace_direct_reinit;

    call->next = call->ctx->calls;
    call->ctx->calls = call;
}


/*
 * Writes the request with the lines to text, which has room for them.  They follow
 * the first one, which is Host if nothing else was configured.
 */

static ngx_int_t
ngx_http_weir_trace_direct_insert(ngx_http_request_t *r,
    ngx_http_weir_trace_call_t *call, u_char *text)
{
    u_char     *p, *rest;
    size_t      len;
    ngx_buf_t  *b;

    b = r->upstream->request_bufs->buf;
    len = b->last - b->pos;

    rest = memchr(b->pos, LF, len);

    if (rest && ++rest < b->last && *rest != CR) {
        rest = memchr(rest, LF, b->last - rest);
        rest = rest ? rest + 1 : NULL;
    }

    if (rest == NULL) {
        ngx_http_weir_assert(0);
        return NGX_DECLINED;
    }

    if (!ngx_http_weir_trace_direct_is_sent(r)) {
        p = ngx_cpymem(text, b->pos, rest - b->pos);
        p = ngx_http_weir_trace_direct_lines(p, call);
        p = ngx_cpymem(p, rest, b->last - rest);

    } else {
        rest = (u_char *) memchr(b->pos, LF, len) + 1;
        p = ngx_cpymem(text, b->pos, rest - b->pos);
        p = ngx_http_weir_trace_direct_lines(p, call);
        p = ngx_http_weir_trace_direct_rest(p, rest, b->last);
    }

    b->start = text;
    b->pos = text;
    b->last = p;
    b->end = p;

    return NGX_OK;
}


static ngx_inline u_char *
ngx_http_weir_trace_direct_lines(u_char *p, ngx_http_weir_trace_call_t *call)
{
    ngx_http_weir_trace_ctx_t  *ctx;

    ctx = call->ctx;

    p = ngx_cpymem(p, "traceparent: ", sizeof("traceparent: ") - 1);
    weir_context_format_span(&ctx->context, call->first.id, (char *) p);
    p += WEIR_CONTEXT_LEN;
    *p++ = CR;
    *p++ = LF;

    if (ctx->tracestate.len) {
        p = ngx_cpymem(p, "tracestate: ", sizeof("tracestate: ") - 1);
        p = ngx_cpymem(p, ctx->tracestate.data, ctx->tracestate.len);
        *p++ = CR;
        *p++ = LF;
    }

    return p;
}


/* True if the client has sent a context, or a line with a name like theirs. */

static ngx_uint_t
ngx_http_weir_trace_direct_is_sent(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            /* "traceparent", "tracestate" */

            if (h[i].key.len - 10 <= 1 && (h[i].key.data[0] | 0x20) == 't') {
                return 1;
            }
        }
    }

    return 0;
}


/* Copies the header's other lines, without those of the client's context. */

static u_char *
ngx_http_weir_trace_direct_rest(u_char *p, u_char *from, u_char *last)
{
    u_char  *next;

    while (from < last && *from != CR) {

        next = memchr(from, LF, last - from);
        next = next ? next + 1 : last;

        if (!ngx_http_weir_trace_direct_is_line(from, next)) {
            p = ngx_cpymem(p, from, next - from);
        }

        from = next;
    }

    return ngx_cpymem(p, from, last - from);
}


static ngx_uint_t
ngx_http_weir_trace_direct_is_line(u_char *p, u_char *last)
{
    ngx_str_t   *name;
    ngx_uint_t   i;

    for (i = 0; i < 2; i++) {
        name = &ngx_http_weir_trace_direct_names[i];

        if (last - p > (ssize_t) name->len && p[name->len] == ':'
            && ngx_strncasecmp(p, name->data, name->len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_weir_trace_direct_reinit(ngx_http_request_t *r)
{
    ngx_http_weir_trace_ctx_t   *ctx;
    ngx_http_weir_trace_call_t  *call;

    ctx = ngx_http_weir_trace_find(r);

    for (call = ctx ? ctx->calls : NULL; call; call = call->next) {
        if (call->upstream == r->upstream) {
            ngx_http_weir_trace_inject_again(r, call);
            return call->reinit(r);
        }
    }

    ngx_http_weir_assert(0);

    return NGX_ERROR;
}
