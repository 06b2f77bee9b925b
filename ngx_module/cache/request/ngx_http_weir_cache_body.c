/*
 * GET and HEAD with a request body.  Such a body has no meaning (RFC 9110
 * section 9.3.1) and is not part of the key, and an upstream that does not
 * expect it may read it as the next request of the connection.
 *
 * Over HTTP/1.1 the framing says whether there is a body.  Over HTTP/2 and
 * HTTP/3 the end of the stream may arrive in a frame of its own; nginx then
 * sets r->headers_in.chunked for a request without a body.  So the body is read
 * there before anything is decided.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/ngx_http_weir_cache_decide.h"
#include "cache/request/ngx_http_weir_cache_request.h"
#include "http/ngx_http_weir.h"


static void ngx_http_weir_cache_body_handler(ngx_http_request_t *r);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_body_found(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_body_is_own(ngx_http_request_t *r);


ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_body_check(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (r->headers_in.content_length_n > 0) {
        return ngx_http_weir_cache_body_found(ctx);
    }

    if (!r->headers_in.chunked) {
        return NGX_HTTP_WEIR_CACHE_NOTHING;
    }

    if (r->http_version < NGX_HTTP_VERSION_20) {
        return ngx_http_weir_cache_body_found(ctx);
    }

    return ctx->body_read ? ngx_http_weir_cache_body_found(ctx)
                          : NGX_HTTP_WEIR_CACHE_READ_BODY;
}


/*
 * The handler continues the phases; it is also called at once if the body has
 * already arrived.
 */

ngx_int_t
ngx_http_weir_cache_body_read(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    rc = ngx_http_read_client_request_body(r,
                                           ngx_http_weir_cache_body_handler);

    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }

    ngx_http_finalize_request(r, NGX_DONE);

    return NGX_DONE;
}


static void
ngx_http_weir_cache_body_handler(ngx_http_request_t *r)
{
    off_t                       size;
    ngx_chain_t                *cl;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    ctx->body_read = 1;

    size = 0;

    if (r->request_body) {
        for (cl = r->request_body->bufs; cl; cl = cl->next) {
            size += ngx_buf_size(cl->buf);
        }
    }

    if (size == 0) {
        /* as if the stream had ended with its header */
        r->headers_in.content_length_n = -1;
        r->headers_in.chunked = 0;
    }

    r->write_event_handler = ngx_http_core_run_phases;
    ngx_http_core_run_phases(r);
}


static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_body_found(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->conf->get_body == NGX_HTTP_WEIR_CACHE_BODY_BYPASS
        || !ngx_http_weir_cache_body_is_own(ctx->request))
    {
        return ngx_http_weir_cache_decide_forward(ctx,
                                                  NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    return NGX_HTTP_WEIR_CACHE_REFUSE_BODY;
}


ngx_int_t
ngx_http_weir_cache_body_refuse(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_problem_t       problem;
    ngx_http_request_t  *r;

    r = ctx->request;
    r->keepalive = 0;

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_BAD_REQUEST;
    problem.title = "Request body not allowed";
    problem.detail = WEIR_STR("A GET or HEAD request must not have a body"
                              " here.");

    return ngx_http_weir_send_problem(r, &problem);
}


/*
 * True if the client sent the body with a GET or HEAD, and no upstream has
 * received it yet: X-Accel-Redirect turns a POST into a GET.  nginx has a
 * request line for HTTP/2 and HTTP/3, too.
 */

static ngx_uint_t
ngx_http_weir_cache_body_is_own(ngx_http_request_t *r)
{
    if (r->internal && r->upstream) {
        return 0;
    }

    return (r->request_line.len > 4
            && ngx_strncmp(r->request_line.data, "GET ", 4) == 0)
           || (r->request_line.len > 5
               && ngx_strncmp(r->request_line.data, "HEAD ", 5) == 0);
}
