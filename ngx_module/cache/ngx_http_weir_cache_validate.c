/*
 * What a stale response is still good for: to be validated with the upstream
 * (RFC 9111 section 4.3), to be served while that happens behind the client's
 * back (RFC 5861 section 3), or to be served when the upstream fails (section
 * 4).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"


/*
 * A subrequest that nobody sees: it goes through the same location, and what
 * the upstream says goes to the store only.  It takes over the flight.
 *
 * Until it ends nginx reads no other request from an HTTP/1 connection.  So that
 * the client waits for no upstream with its next one it is told to come on
 * another connection.
 */

ngx_int_t
ngx_http_weir_cache_refresh(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t         *r, *sr;
    ngx_pool_cleanup_t         *cln, *own;
    ngx_http_weir_cache_ctx_t  *refresh;

    r = ctx->request;

    for (own = r->pool->cleanup; own->data != ctx; own = own->next) {
        /* void */
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_cache_ctx_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    refresh = cln->data;
    ngx_memzero(refresh, sizeof(ngx_http_weir_cache_ctx_t));

    if (ngx_http_subrequest(r, &r->uri, &r->args, &sr, NULL,
                            NGX_HTTP_SUBREQUEST_CLONE
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (r->http_version < NGX_HTTP_VERSION_20) {
        r->keepalive = 0;
    }

    sr->error_page = 1;  /* no page for an error that nobody sees */
    sr->method = NGX_HTTP_GET;
    ngx_str_set(&sr->method_name, "GET");

    /* the stale entry stays pinned by the main request, which ends later */

    refresh->request = sr;
    refresh->conf = ctx->conf;
    refresh->key = ctx->key;
    refresh->key_text = ctx->key_text;
    refresh->vary = ctx->vary;
    ngx_memcpy(refresh->digest, ctx->digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    ngx_memcpy(refresh->variant, ctx->variant, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    refresh->varies = ctx->varies;
    refresh->stale = ctx->stale;
    refresh->have_stale = 1;
    refresh->background = 1;
    refresh->status = NGX_HTTP_WEIR_CACHE_EXPIRED;
    refresh->request_time = ngx_time();
    refresh->began = ngx_http_weir_cache_ms();
    refresh->forbidden = ctx->forbidden;
    ngx_http_weir_cache_note_lines(refresh);
    ngx_http_weir_cache_stamp(refresh);
    weir_cache_control_init(&refresh->request_cc);

    ngx_memcpy(refresh->flight, ctx->flight, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    refresh->flight_token = ctx->flight_token;
    refresh->in_flight = 1;
    ctx->in_flight = 0;

    cln->handler = own->handler;

    ngx_http_set_ctx(sr, refresh, ngx_http_weir_cache_module);

    ngx_http_weir_cache_own_conditions(refresh);

    return NGX_OK;
}


char *
ngx_http_weir_cache_instead_of_error(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                 window;
    ngx_uint_t              status, mask;
    ngx_http_request_t     *r;
    ngx_http_upstream_t    *u;
    weir_cache_freshness_t  freshness;

    r = ctx->request;
    u = r->upstream;

    if (u == NULL) {
        /* refused before the upstream was asked */
        status = r->err_status ? r->err_status : r->headers_out.status;
        mask = (status == NGX_HTTP_SERVICE_UNAVAILABLE)
               ? NGX_HTTP_WEIR_CACHE_STALE_BREAKER : 0;

    } else if (u->headers_in.status_n == 0) {
        /* no header came: nginx notes why */
        status = u->state ? u->state->status : 0;

        if (status == 0) {
            /* no server was tried: its name has no address, say */
            status = r->err_status ? r->err_status : r->headers_out.status;
        }

        mask = (status == NGX_HTTP_GATEWAY_TIME_OUT)
               ? NGX_HTTP_WEIR_CACHE_STALE_TIMEOUT
               : (status == NGX_HTTP_BAD_GATEWAY)
               ? NGX_HTTP_WEIR_CACHE_STALE_ERROR : 0;

    } else {
        switch (u->headers_in.status_n) {
        case NGX_HTTP_INTERNAL_SERVER_ERROR:
            mask = NGX_HTTP_WEIR_CACHE_STALE_500;
            break;
        case NGX_HTTP_BAD_GATEWAY:
            mask = NGX_HTTP_WEIR_CACHE_STALE_502;
            break;
        case NGX_HTTP_SERVICE_UNAVAILABLE:
            mask = NGX_HTTP_WEIR_CACHE_STALE_503;
            break;
        case NGX_HTTP_GATEWAY_TIME_OUT:
            mask = NGX_HTTP_WEIR_CACHE_STALE_504;
            break;
        default:
            mask = 0;
        }
    }

    if (mask == 0) {
        return NULL;
    }

    ngx_http_weir_cache_freshness(&ctx->stale, &freshness);

    window = freshness.stale_if_error;

    if (ctx->request_cc.stale_if_error > window) {
        window = ctx->request_cc.stale_if_error;
    }

    if (ctx->conf->use_stale & mask) {
        window = INT64_MAX;
    }

    /*
     * What is fresh is here only because the request didn't want it, or because
     * it was invalidated softly.
     */

    if ((window == 0 && !ctx->stale_soft)
        || !weir_cache_may_be_stale(&freshness,
                                    ngx_http_weir_cache_age(&ctx->stale),
                                    window))
    {
        return NULL;
    }

    /* it may have been invalidated while the upstream was asked */

    ngx_http_weir_cache_take_stale(ctx);

    return ngx_http_weir_cache_outlived(ctx) ? "stale-if-error" : NULL;
}
