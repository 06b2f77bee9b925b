/*
 * Replaces the client's conditions in the upstream request: by those of the
 * stored response (RFC 9111 section 4.3.1), or by none.  The request itself is
 * never changed; see http/forward/ngx_http_weir_forward.h.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache_entry.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"


static ngx_int_t ngx_http_weir_cache_condition_add(ngx_http_request_t *r,
    ngx_list_t *headers, void *data);


static ngx_str_t  ngx_http_weir_cache_condition_names[] = {
    ngx_string("If-None-Match"),
    ngx_string("If-Modified-Since"),
    ngx_string("If-Match"),
    ngx_string("If-Unmodified-Since"),
    ngx_string("If-Range"),
    ngx_string("Range")
};


ngx_int_t
ngx_http_weir_cache_condition_replace(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_forward_t  *forward;

    forward = &ctx->forward;

    forward->names = ngx_http_weir_cache_condition_names;
    forward->n = sizeof(ngx_http_weir_cache_condition_names)
                 / sizeof(ngx_http_weir_cache_condition_names[0]);
    forward->add = ngx_http_weir_cache_condition_add;
    forward->data = ctx;

    return ngx_http_weir_forward(ctx->request, forward);
}


/* The conditions of ctx->stale. */

static ngx_int_t
ngx_http_weir_cache_condition_add(ngx_http_request_t *r, ngx_list_t *headers,
    void *data)
{
    ngx_http_weir_cache_ctx_t  *ctx = data;

    weir_str_t  etag, modified;

    static ngx_http_weir_forward_name_t  none_match =
        ngx_http_weir_forward_name("If-None-Match", "if-none-match");
    static ngx_http_weir_forward_name_t  modified_since =
        ngx_http_weir_forward_name("If-Modified-Since", "if-modified-since");

    if (!ctx->have_stale) {
        return NGX_OK;
    }

    etag = ngx_http_weir_cache_entry_header(&ctx->stale, "ETag");
    modified = ngx_http_weir_cache_entry_header(&ctx->stale, "Last-Modified");

    ctx->conditional = (etag.len || modified.len);

    if (etag.len
        && ngx_http_weir_forward_push(headers, &none_match,
                                      (u_char *) etag.data, etag.len)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    return modified.len
           ? ngx_http_weir_forward_push(headers, &modified_since,
                                        (u_char *) modified.data, modified.len)
           : NGX_OK;
}
