/*
 * The filters: the upstream's response on its way to the client.
 *
 * They are the first of all: they see what the upstream said, before any other
 * filter has changed headers or body.  What they do with it: begin to store it
 * (response), let a 304 or an error be answered by what is stored (replace), or
 * swallow it, when only the cache wanted it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_cache_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_replace(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_revalidated(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_head(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_same(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *name);
static ngx_int_t ngx_http_weir_cache_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_weir_cache_replace_body(
    ngx_http_weir_cache_ctx_t *ctx, ngx_chain_t *in);
static ngx_uint_t ngx_http_weir_cache_consume(ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_http_weir_cache_init_filters(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_cache_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_cache_body_filter;
}


static ngx_int_t
ngx_http_weir_cache_header_filter(ngx_http_request_t *r)
{
    char                       *detail;
    ngx_int_t                   rc;
    ngx_uint_t                  genuine;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || ctx->status == NGX_HTTP_WEIR_CACHE_NONE
        || ctx->status == NGX_HTTP_WEIR_CACHE_HIT
        || ctx->status == NGX_HTTP_WEIR_CACHE_STALE)
    {
        return ngx_http_next_header_filter(r);
    }

    /* a page of nginx's own, though an upstream was asked, is not its answer */

    genuine = (r->upstream
               && r->upstream->headers_in.status_n == r->headers_out.status);
    detail = NULL;

    if (ctx->conditional) {
        r->headers_in.headers = ctx->headers_in;
    }

    if (genuine && ctx->conditional
        && r->headers_out.status == NGX_HTTP_NOT_MODIFIED)
    {
        rc = ngx_http_weir_cache_revalidated(ctx);

    } else if (genuine && ctx->have_stale && r->method == NGX_HTTP_HEAD
               && r->headers_out.status == NGX_HTTP_OK
               && ctx->stale.status == NGX_HTTP_OK)
    {
        rc = ngx_http_weir_cache_head(ctx);

    } else {
        detail = ctx->have_stale && !ctx->background
                 ? ngx_http_weir_cache_instead_of_error(ctx) : NULL;

        if (detail) {
            rc = ngx_http_weir_cache_replace(ctx);

        } else if (genuine && r->method == NGX_HTTP_GET && ctx->key.len) {
            rc = ngx_http_weir_cache_prepare(ctx);

        } else if (genuine && r->method == NGX_HTTP_POST) {
            rc = ngx_http_weir_cache_prepare_post(ctx);

        } else {
            rc = NGX_DECLINED;
        }
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (!ctx->storing && !ctx->stored) {
        ngx_http_weir_cache_end_flight(ctx, 1);
    }

    if (ctx->background) {
        return NGX_OK;
    }

    if ((r->upstream || detail)
        && ngx_http_weir_cache_forwarded(ctx, detail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (detail) {
        ctx->status = NGX_HTTP_WEIR_CACHE_STALE;
    }

    /* these have no body, and so no last buffer */

    if (ctx->storing && (r->headers_out.status == NGX_HTTP_NO_CONTENT
                         || r->headers_out.status == 205))
    {
        ngx_http_weir_cache_store(ctx);
    }

    return ngx_http_next_header_filter(r);
}


/* The answer becomes ctx->stale; what comes as a body is thrown away. */

static ngx_int_t
ngx_http_weir_cache_replace(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->entry = ctx->stale;
    ctx->replacing = 1;

    ngx_http_clean_header(r);
    r->err_status = 0;

    return ngx_http_weir_cache_restore(ctx);
}


/*
 * 304 for the stored response: its header lines are renewed by those of the 304
 * (RFC 9111 section 3.2), it is stored again as if it had just come, and is the
 * answer.
 */

static ngx_int_t
ngx_http_weir_cache_revalidated(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t   rc;
    weir_str_t  data;
    ngx_uint_t  status;

    status = ctx->status;

    ctx->by_request = (status == NGX_HTTP_WEIR_CACHE_REQUEST);
    ctx->status = NGX_HTTP_WEIR_CACHE_REVALIDATED;

    rc = ngx_http_weir_cache_prepare(ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        /* it may be used this once, and not be kept */
        ngx_http_weir_cache_drop(ctx);
        ctx->status = status;
        return ngx_http_weir_cache_replace(ctx);
    }

    ngx_memcpy(ctx->buf + ctx->len, ctx->stale.body.data,
               ctx->stale.body.len);
    ctx->len += ctx->stale.body.len;

    data.data = (char *) ctx->buf;
    data.len = ctx->len;

    ngx_http_weir_cache_store(ctx);

    if (weir_entry_view(data, &ctx->stale) != NULL) {
        return NGX_ERROR;
    }

    return ngx_http_weir_cache_replace(ctx);
}


/*
 * A HEAD's 200 tells what a GET would have brought (section 4.3.5): it renews
 * the stored response like a 304, or that one has been replaced.
 */

static ngx_int_t
ngx_http_weir_cache_head(ngx_http_weir_cache_ctx_t *ctx)
{
    off_t  length;

    static ngx_str_t  etag = ngx_string("ETag");
    static ngx_str_t  modified = ngx_string("Last-Modified");

    length = ctx->request->upstream->headers_in.content_length_n;

    if ((length < 0 || length == (off_t) ctx->stale.body.len)
        && ngx_http_weir_cache_same(ctx, &etag)
        && ngx_http_weir_cache_same(ctx, &modified))
    {
        return ngx_http_weir_cache_revalidated(ctx);
    }

    ngx_http_weir_cache_drop(ctx);

    return NGX_DECLINED;
}


/* Whether the response has no such header, or that of the stored one. */

static ngx_uint_t
ngx_http_weir_cache_same(ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *name)
{
    weir_str_t        stored, value;
    ngx_table_elt_t  *h;

    h = ngx_http_weir_find_header(&ctx->request->upstream->headers_in.headers,
                                  name);
    if (h == NULL) {
        return 1;
    }

    stored = ngx_http_weir_cache_entry_header(&ctx->stale,
                                              (char *) name->data);
    value.data = (char *) h->value.data;
    value.len = h->value.len;

    return weir_str_eq(stored, value);
}


static ngx_int_t
ngx_http_weir_cache_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                *cl;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL
        || (!ctx->storing && !ctx->replacing && !ctx->background))
    {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->replacing) {
        return ngx_http_weir_cache_replace_body(ctx, in);
    }

    for (cl = in; cl && ctx->storing; cl = cl->next) {

        if (ngx_http_weir_cache_append(ctx, cl->buf) != NGX_OK) {
            return NGX_ERROR;
        }

        /* a subrequest's last buffer is none of the response's */

        if ((cl->buf->last_buf
             || (ctx->background && cl->buf->last_in_chain
                 && ngx_buf_special(cl->buf)))
            && ctx->storing)
        {
            ngx_http_weir_cache_store(ctx);
        }
    }

    if (ctx->background) {
        ngx_http_weir_cache_consume(in);
        return NGX_OK;
    }

    return ngx_http_next_body_filter(r, in);
}


/* The upstream's body, or nginx's page, is swallowed; at its end the entry's. */

static ngx_int_t
ngx_http_weir_cache_replace_body(ngx_http_weir_cache_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_chain_t  *out;

    if (!ngx_http_weir_cache_consume(in) || ctx->background) {
        return NGX_OK;
    }

    ctx->replacing = 0;

    out = ngx_http_weir_cache_body(ctx);

    return out ? ngx_http_next_body_filter(ctx->request, out) : NGX_ERROR;
}


/* Marks buffers as sent; whether the last one was among them. */

static ngx_uint_t
ngx_http_weir_cache_consume(ngx_chain_t *in)
{
    ngx_uint_t    last;
    ngx_chain_t  *cl;

    last = 0;

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
        last |= cl->buf->last_buf;
    }

    return last;
}
