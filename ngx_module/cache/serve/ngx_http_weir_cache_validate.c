/*
 * The uses of a stale response: validation with the upstream (RFC 9111 section
 * 4.3), and a replacement for errors of the upstream (RFC 5861 section 4).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/lookup/ngx_http_weir_cache_find.h"
#include "cache/ngx_http_weir_cache_entry.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "http/ngx_http_weir.h"


static ngx_uint_t ngx_http_weir_cache_validate_same_etag(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_validate_same(
    ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *name);
static ngx_uint_t ngx_http_weir_cache_validate_error(
    ngx_http_weir_cache_ctx_t *ctx);


/*
 * An ETag in the 304 must equal the stored one; of a weak ETag, the opaque part
 * (RFC 9111 section 4.3.4): the header of a 304 about another representation
 * must not renew the stored one.  A 304 with another coding, or about a part,
 * must not do so either, whatever its ETag: a client cannot decode a clear body
 * labelled "Content-Encoding: gzip" (section 3.2).
 */

ngx_uint_t
ngx_http_weir_cache_validate_is_about_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    static ngx_str_t  encoding = ngx_string("Content-Encoding");
    static ngx_str_t  range = ngx_string("Content-Range");

    return ngx_http_weir_cache_validate_same_etag(ctx)
           && ngx_http_weir_cache_validate_same(ctx, &encoding)
           && ngx_http_weir_cache_validate_same(ctx, &range);
}


static ngx_uint_t
ngx_http_weir_cache_validate_same_etag(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_str_t        stored, etag;
    ngx_table_elt_t  *h;

    static ngx_str_t  name = ngx_string("ETag");

    h = ngx_http_weir_find_header(&ctx->request->upstream->headers_in.headers,
                                  &name);
    if (h == NULL || h->value.len == 0) {
        return 1;
    }

    etag.data = (char *) h->value.data;
    etag.len = h->value.len;
    stored = ngx_http_weir_cache_entry_header(&ctx->stale, "ETag");

    if (etag.len > 2 && etag.data[0] == 'W' && etag.data[1] == '/') {
        etag.data += 2;
        etag.len -= 2;

        if (stored.len > 2 && stored.data[0] == 'W' && stored.data[1] == '/') {
            stored.data += 2;
            stored.len -= 2;
        }
    }

    return stored.len == 0 || weir_str_eq(stored, etag);
}


ngx_int_t
ngx_http_weir_cache_validate_compare_head(ngx_http_weir_cache_ctx_t *ctx)
{
    off_t        length;
    ngx_list_t  *headers;

    static ngx_str_t  etag = ngx_string("ETag");
    static ngx_str_t  modified = ngx_string("Last-Modified");

    headers = &ctx->request->upstream->headers_in.headers;
    length = ctx->request->upstream->headers_in.content_length_n;

    if ((length >= 0 && length != (off_t) ctx->stale.body.len)
        || !ngx_http_weir_cache_validate_same(ctx, &etag)
        || !ngx_http_weir_cache_validate_same(ctx, &modified))
    {
        return NGX_ABORT;
    }

    /* without a validator the 304 proves nothing */

    return ngx_http_weir_find_header(headers, &etag)
           || ngx_http_weir_find_header(headers, &modified)
           ? NGX_OK : NGX_DECLINED;
}


/* True if the response lacks that header, or has the stored value. */

static ngx_uint_t
ngx_http_weir_cache_validate_same(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *name)
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


/*
 * The bit of weir_cache_use_stale for the response that has arrived; 0: no
 * error.
 */

static ngx_uint_t
ngx_http_weir_cache_validate_error(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_uint_t           status;
    ngx_http_request_t  *r;

    r = ctx->request;

    switch (ngx_http_weir_outcome(r, ctx->earlier, &status)) {

    case NGX_HTTP_WEIR_OUTCOME_NONE:
        /* refused before the upstream was asked */
        status = r->err_status ? r->err_status : r->headers_out.status;
        return (status == NGX_HTTP_SERVICE_UNAVAILABLE)
               ? NGX_HTTP_WEIR_CACHE_STALE_BREAKER : 0;

    case NGX_HTTP_WEIR_OUTCOME_ERROR:
        return NGX_HTTP_WEIR_CACHE_STALE_ERROR;

    case NGX_HTTP_WEIR_OUTCOME_TIMEOUT:
        return NGX_HTTP_WEIR_CACHE_STALE_TIMEOUT;

    case NGX_HTTP_WEIR_OUTCOME_ANSWERED:
        break;

    default:
        return 0;
    }

    switch (status) {
    case NGX_HTTP_INTERNAL_SERVER_ERROR:
        return NGX_HTTP_WEIR_CACHE_STALE_500;
    case NGX_HTTP_BAD_GATEWAY:
        return NGX_HTTP_WEIR_CACHE_STALE_502;
    case NGX_HTTP_SERVICE_UNAVAILABLE:
        return NGX_HTTP_WEIR_CACHE_STALE_503;
    case NGX_HTTP_GATEWAY_TIME_OUT:
        return NGX_HTTP_WEIR_CACHE_STALE_504;
    default:
        return 0;
    }
}


char *
ngx_http_weir_cache_validate_instead_of_error(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                 window;
    ngx_uint_t              mask;
    weir_cache_freshness_t  freshness;

    mask = ngx_http_weir_cache_validate_error(ctx);

    /* the token may have expired while the upstream was asked */

    if (mask == 0 || !ngx_http_weir_jwt_share_holds(&ctx->share)) {
        return NULL;
    }

    ngx_http_weir_cache_entry_freshness(&ctx->stale, &freshness);

    window = freshness.stale_if_error;

    if (ctx->request_cc.stale_if_error > window) {
        window = ctx->request_cc.stale_if_error;
    }

    if (ctx->conf->use_stale & mask
        || (ctx->conf->fallback && mask == NGX_HTTP_WEIR_CACHE_STALE_BREAKER))
    {
        window = INT64_MAX;
    }

    /*
     * A fresh entry is here only because the request refused it, or because it
     * was invalidated softly.
     */

    if ((window == 0 && !ctx->stale_soft)
        || !weir_cache_may_be_stale(&freshness,
                                    ngx_http_weir_cache_entry_age(&ctx->stale),
                                    window))
    {
        return NULL;
    }

    /*
     * it may have been invalidated while the upstream was asked; for an entry
     * that is no longer in memory, that record may have been evicted
     */

    ngx_http_weir_cache_find_take_stale(ctx);

    return ngx_http_weir_cache_validity_outlived(ctx,
                                                 ctx->stale_pin.node
                                                 ? &ctx->stale_pin : NULL)
           ? "stale-if-error" : NULL;
}
