/*
 * The verdict on a request.  It needs the request's context (ctx), its identity
 * (the folder key), the stored response (find, part, lookup), and the turn to
 * ask the upstream (turn, lease).  Nothing in this folder sends a response or
 * asks an upstream.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_DECIDE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_DECIDE_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * The verdict on a request that is new, or that has waited.  Sets ctx->entry,
 * or ctx->reason.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide(
    ngx_http_weir_cache_ctx_t *ctx);

/* FORWARD, or REFUSE if the client accepts stored responses only. */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_decide_forward(
    ngx_http_weir_cache_ctx_t *ctx, ngx_http_weir_cache_status_e reason);


#endif /* _NGX_HTTP_WEIR_CACHE_DECIDE_H_INCLUDED_ */
