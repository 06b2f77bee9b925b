/*
 * The background refresh of a stale response that is served at once (RFC 5861
 * section 3).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "record/ngx_http_weir_record.h"


static ngx_int_t ngx_http_weir_cache_refresh_fail(ngx_http_request_t *r);


/*
 * Starts a subrequest without output: it goes through the same location, and
 * the upstream's response is only stored.  The subrequest takes over the
 * flight.
 *
 * Until it ends, nginx reads no other request from an HTTP/1 connection.  So
 * the connection is closed after the response, and the client's next request
 * does not wait for the upstream.
 */

ngx_int_t
ngx_http_weir_cache_refresh(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t         *r, *sr;
    ngx_http_weir_cache_ctx_t  *refresh;

    r = ctx->request;

    refresh = ngx_http_weir_cache_ctx_copy(ctx);
    if (refresh == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_subrequest(r, &r->uri, &r->args, &sr, NULL,
                            NGX_HTTP_SUBREQUEST_CLONE
                            |NGX_HTTP_SUBREQUEST_BACKGROUND)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_weir_record_refresh(r, sr);

    if (r->http_version < NGX_HTTP_VERSION_20) {
        r->keepalive = 0;
    }

    sr->error_page = 1;  /* no error page: the output is discarded */
    sr->method = NGX_HTTP_GET;
    ngx_str_set(&sr->method_name, "GET");

    ngx_http_weir_cache_ctx_hand_over(ctx, refresh, sr);
    ngx_http_weir_cache_ctx_forward(refresh, NGX_HTTP_WEIR_CACHE_EXPIRED);

    if (ngx_http_weir_cache_condition_replace(refresh) != NGX_OK) {
        sr->content_handler = ngx_http_weir_cache_refresh_fail;
    }

    return NGX_OK;
}


/* Instead of asking the upstream with the client's conditions. */

static ngx_int_t
ngx_http_weir_cache_refresh_fail(ngx_http_request_t *r)
{
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}
