/*
 * What the cache has nginx's upstream module do with the rest of a response:
 * that the response is treated as complete, or that its body is not collected
 * first.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/store/ngx_http_weir_cache_store.h"


static ngx_int_t ngx_http_weir_cache_upstream_no_body(void *data);
static ngx_int_t ngx_http_weir_cache_upstream_no_bytes(void *data,
    ssize_t bytes);


void
ngx_http_weir_cache_upstream_leave(ngx_http_upstream_t *u)
{
    if (u->cacheable || u->store) {
        u->pipe->downstream_error = 1;
        return;
    }

    u->keepalive = 0;

    if (u->buffering) {
        u->pipe->upstream_done = 1;
    }

    u->length = 0;
    u->input_filter_init = ngx_http_weir_cache_upstream_no_body;
    u->input_filter = ngx_http_weir_cache_upstream_no_bytes;
}


void
ngx_http_weir_cache_upstream_take_body(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_upstream_t  *u;

    u = ctx->request->upstream;

    if (ctx->storing) {
        u->buffering = 0;

    } else {
        ngx_http_weir_cache_upstream_leave(u);
    }
}


static ngx_int_t
ngx_http_weir_cache_upstream_no_body(void *data)
{
    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_cache_upstream_no_bytes(void *data, ssize_t bytes)
{
    return NGX_OK;
}
