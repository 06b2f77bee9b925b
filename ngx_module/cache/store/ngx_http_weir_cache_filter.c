/*
 * The filters that process the upstream's response on its way to the client.
 *
 * They run before all other filters: they see the upstream's response before
 * another filter has changed header or body.  They begin to store it
 * (response), replace a 304 or an error by the stored response (replace), or
 * discard it if only the cache wanted it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/purge/ngx_http_weir_cache_purge.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "record/ngx_http_weir_record.h"


static ngx_int_t ngx_http_weir_cache_filter_header(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_filter_take_header(
    ngx_http_weir_cache_ctx_t *ctx, ngx_uint_t genuine, char **instead);
static ngx_int_t ngx_http_weir_cache_filter_pass_header(
    ngx_http_weir_cache_ctx_t *ctx, ngx_uint_t genuine, char *instead);
static ngx_int_t ngx_http_weir_cache_filter_replace(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_filter_revalidated(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_filter_head(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_filter_body(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_weir_cache_filter_send_instead(
    ngx_http_weir_cache_ctx_t *ctx, ngx_uint_t failed);
static ngx_uint_t ngx_http_weir_cache_filter_is_end(
    ngx_http_weir_cache_ctx_t *ctx,
    ngx_buf_t *b);
static void ngx_http_weir_cache_filter_blocked(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_filter_consume(ngx_chain_t *in);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_http_weir_cache_filter_init(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_cache_filter_header;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_cache_filter_body;
}


static ngx_int_t
ngx_http_weir_cache_filter_header(ngx_http_request_t *r)
{
    char                       *instead;
    ngx_uint_t                  genuine;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || ctx->state != NGX_HTTP_WEIR_CACHE_STATE_FORWARDED) {

        /* a "return" answers before the phase that detects this */

        if (ctx == NULL && r->internal && (r == r->main || r->background)
            && ngx_http_weir_cache_response_led_away(r) && r->background)
        {
            /* a background refresh has no client that could receive a body */
            r->header_only = 1;
        }

        return ngx_http_next_header_filter(r);
    }

    /* an error page of nginx itself is not the upstream's response */

    genuine = (r->upstream != ctx->earlier
               && ngx_http_weir_upstream_status(r) == r->headers_out.status);

    if (ctx->storing && !genuine) {
        /* a later filter has replaced the response, for example by 412 */
        ngx_http_weir_cache_turn_end(ctx, 0);
        ngx_http_weir_cache_record_abandon(ctx, "replaced by another response");
        return ngx_http_next_header_filter(r);
    }

    if (ngx_http_weir_cache_filter_take_header(ctx, genuine, &instead)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!ctx->storing && !ctx->stored) {
        ngx_http_weir_cache_turn_not_stored(ctx);
    }

    if (ctx->background) {
        ngx_http_weir_cache_invalidate_unseen(ctx);

        if (genuine) {
            ngx_http_weir_cache_upstream_take_body(ctx);
        }

        return NGX_OK;
    }

    return ngx_http_weir_cache_filter_pass_header(ctx, genuine, instead);
}


/*
 * Evaluates the header that has arrived: it validates the stored response, a
 * stored response replaces it (*instead is the reason, otherwise NULL), or it
 * is stored.
 */

static ngx_int_t
ngx_http_weir_cache_filter_take_header(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t genuine, char **instead)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;
    *instead = NULL;

    if (genuine && ctx->conditional
        && r->headers_out.status == NGX_HTTP_NOT_MODIFIED)
    {
        rc = ngx_http_weir_cache_filter_revalidated(ctx);

    } else if (genuine && ctx->have_stale && r->method == NGX_HTTP_HEAD
               && r->headers_out.status == NGX_HTTP_OK
               && ctx->stale.status == NGX_HTTP_OK)
    {
        rc = ngx_http_weir_cache_filter_head(ctx);

    } else {

        if (ctx->have_stale && !ctx->background) {
            *instead = ngx_http_weir_cache_validate_instead_of_error(ctx);
        }

        if (*instead) {
            rc = ngx_http_weir_cache_filter_replace(ctx);

        } else if (genuine && r->method == NGX_HTTP_GET && ctx->key.len) {
            /* without memory the response is sent and not stored */
            (void) ngx_http_weir_cache_response_prepare(ctx);
            rc = NGX_OK;

        } else if (genuine && r->method == NGX_HTTP_POST) {
            (void) ngx_http_weir_cache_response_prepare_post(ctx);
            rc = NGX_OK;

        } else {
            ngx_http_weir_cache_response_not_passed_on(ctx);
            rc = NGX_OK;
        }
    }

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* Sends the header to the client, and the replacement of a body. */

static ngx_int_t
ngx_http_weir_cache_filter_pass_header(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t genuine, char *instead)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->upstream != ctx->earlier || instead) {
        ngx_http_weir_cache_answer_forwarded(ctx, instead);
    }

    if (instead) {
        ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_SERVED);
        ctx->status = NGX_HTTP_WEIR_CACHE_STALE;
        ngx_http_weir_record_event(r, "weir.cache.stale");
    }

    /* these have no body, and so no last buffer */

    if (ctx->storing && (r->headers_out.status == NGX_HTTP_NO_CONTENT
                         || r->headers_out.status == 205))
    {
        ngx_http_weir_cache_store(ctx);
    }

    if (genuine && instead == NULL && ctx->edge_conditions
        && !ctx->replacing && r->headers_out.status == NGX_HTTP_OK)
    {
        /*
         * The upstream was asked for the whole response without the client's
         * conditions, so the conditions are evaluated here, as on a hit.  A
         * client that asks for several ranges gets the whole response, because
         * nginx can cut only one range out of a response that is still
         * arriving.
         */

        r->single_range = 1;
        ngx_http_weir_cache_restore_conditions(r);
    }

    rc = ngx_http_next_header_filter(r);

    if (ctx->storing && ctx->edge_conditions && r->header_only) {
        /* a 304 for this client; the body is read on, for other clients */
        r->header_only = 0;
        ctx->swallowing = 1;
    }

    if (!ctx->replacing || rc == NGX_ERROR || rc > NGX_OK) {
        return rc;
    }

    return ngx_http_weir_cache_filter_send_instead(ctx, instead != NULL);
}


/*
 * Sends the stored body at once: the rest of the upstream's response is not
 * needed, and may be late or never end.
 */

static ngx_int_t
ngx_http_weir_cache_filter_send_instead(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t failed)
{
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_weir_assert(ctx->replacing);

    if (failed && r->upstream != ctx->earlier) {
        ngx_http_weir_cache_upstream_leave(r->upstream);
    }

    if (r->header_only) {
        return NGX_OK;
    }

    out = ngx_http_weir_cache_answer_body(ctx);
    if (out == NULL) {
        return NGX_ERROR;
    }

    rc = ngx_http_next_body_filter(r, out);

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/* Makes ctx->stale the response; the upstream's body is discarded. */

static ngx_int_t
ngx_http_weir_cache_filter_replace(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_weir_assert(ctx->have_stale);

    ctx->entry = ctx->stale;
    ctx->replacing = 1;

    ngx_http_clean_header(r);
    r->err_status = 0;

    return ngx_http_weir_cache_restore(ctx);
}


/*
 * 304 for the stored response: its header lines are renewed by those of the 304
 * (RFC 9111 section 3.2), it is stored again as if it had just arrived, and it
 * is sent.
 */

static ngx_int_t
ngx_http_weir_cache_filter_revalidated(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t   rc;
    weir_str_t  data;
    ngx_uint_t  status;

    status = ctx->status;

    ngx_http_weir_assert(ctx->have_stale);

    ctx->by_request = (status == NGX_HTTP_WEIR_CACHE_REQUEST);
    ctx->status = NGX_HTTP_WEIR_CACHE_REVALIDATED;

    rc = ngx_http_weir_cache_validate_is_about_stale(ctx)
         ? ngx_http_weir_cache_response_prepare(ctx) : NGX_DECLINED;

    if (rc != NGX_OK) {

        if (rc == NGX_DECLINED) {
            /* it may be used this once, and not be stored */
            ngx_http_weir_cache_store_drop(ctx);
        }

        ctx->status = status;
        return ngx_http_weir_cache_filter_replace(ctx);
    }

    ngx_http_weir_assert(ctx->storing);
    ngx_http_weir_assert(ctx->stale.body.len <= ctx->size - ctx->len);

    ngx_memcpy(ctx->buf + ctx->len, ctx->stale.body.data,
               ctx->stale.body.len);
    ctx->len += ctx->stale.body.len;

    data.data = (char *) ctx->buf;
    data.len = ctx->len;

    ngx_http_weir_cache_store(ctx);

    if (weir_entry_view(data, &ctx->stale) != NULL) {
        return NGX_ERROR;
    }

    return ngx_http_weir_cache_filter_replace(ctx);
}


/*
 * A HEAD's 200 has the header that a GET would have: it renews the stored
 * response like a 304, or shows that the stored one is outdated.
 */

static ngx_int_t
ngx_http_weir_cache_filter_head(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_weir_cache_validate_compare_head(ctx);

    if (rc == NGX_OK) {
        return ngx_http_weir_cache_filter_revalidated(ctx);
    }

    if (rc == NGX_ABORT) {
        ngx_http_weir_cache_store_drop(ctx);
    }

    return NGX_DECLINED;
}


static ngx_int_t
ngx_http_weir_cache_filter_body(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_int_t                   rc;
    ngx_uint_t                  storing;
    ngx_chain_t                *cl;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL
        || (!ctx->storing && !ctx->replacing && !ctx->background
            && !ctx->swallowing))
    {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->replacing && in) {
        /* the stored body is already being sent */
        ngx_http_weir_cache_filter_consume(in);
        return NGX_OK;
    }

    storing = ctx->storing;

    for (cl = in; cl && ctx->storing; cl = cl->next) {

        ngx_http_weir_cache_record_append(ctx, cl->buf);

        if (ctx->storing && ngx_http_weir_cache_filter_is_end(ctx, cl->buf)) {
            ngx_http_weir_cache_store(ctx);
        }
    }

    if (ctx->background || ctx->swallowing) {

        if (storing && !ctx->storing) {
            /* complete, or abandoned */
            ngx_http_weir_cache_upstream_leave(r->upstream);
        }

        ngx_http_weir_cache_filter_consume(in);
        return in ? NGX_OK : ngx_http_next_body_filter(r, NULL);
    }

    rc = ngx_http_next_body_filter(r, in);

    if (rc == NGX_AGAIN && ctx->storing && ctx->in_flight) {
        ngx_http_weir_cache_filter_blocked(ctx);
    }

    return rc;
}


/*
 * True if the upstream's response ends with this buffer, which has been
 * collected.  The last buffer of a subrequest is not part of the response.
 * Without buffering, the upstream module reuses a buffer, with the last_buf
 * that nginx's range filter has set at the end of the client's range.
 */

static ngx_uint_t
ngx_http_weir_cache_filter_is_end(ngx_http_weir_cache_ctx_t *ctx, ngx_buf_t *b)
{
    off_t  length;

    ngx_http_weir_assert(ctx->storing && ctx->len >= ctx->head_len);

    if (ngx_buf_special(b)) {
        return b->last_buf || (ctx->background && b->last_in_chain);
    }

    length = ctx->request->upstream->headers_in.content_length_n;

    return b->last_buf
           && (length < 0 || (off_t) (ctx->len - ctx->head_len) >= length);
}


/*
 * The client reads slowly.  If the upstream module does not write the excess to
 * files, it stops reading from the upstream, and the response arrives at this
 * client's pace: other requests must not wait for it.
 */

static void
ngx_http_weir_cache_filter_blocked(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;

    if (u->buffering && u->pipe
        && u->pipe->max_temp_file_size >= (off_t) ctx->conf->max_size)
    {
        return;
    }

    ngx_http_weir_cache_turn_end(ctx, 0);
}


/* Marks buffers as sent. */

static void
ngx_http_weir_cache_filter_consume(ngx_chain_t *in)
{
    ngx_chain_t  *cl;

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
    }
}
