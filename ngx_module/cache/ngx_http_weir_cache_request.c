/*
 * A request's way through the precontent phase: what the cache knows of it from
 * now on, whether it is looked up at all, where it goes on each time that it was
 * waiting, and what is let go when it leaves.
 *
 * A request that waits is parked: the client's time-outs and its leaving are
 * watched as nginx does for a delayed request.
 *
 * Whatever a request holds (a flight, a lease, pins, look-ups) its context
 * names, and the context's cleanup gives back, at whatever point the request
 * ends.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_clock.h"


static ngx_int_t ngx_http_weir_cache_start(ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_create_ctx(
    ngx_http_request_t *r, ngx_http_weir_cache_loc_conf_t *clcf);
static void ngx_http_weir_cache_cleanup(void *data);
static ngx_uint_t ngx_http_weir_cache_keeps_conditions(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_end_refresh(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_error_page(
    ngx_http_weir_cache_ctx_t *ctx);


ngx_int_t
ngx_http_weir_cache_handler(ngx_http_request_t *r)
{
    ngx_int_t                        rc;
    ngx_http_weir_cache_ctx_t       *ctx, *first;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx) {

        if (ctx->reading || ctx->looking || ctx->waiting
            || ctx->wait.timer_set)
        {
            return NGX_AGAIN;
        }

        if (ctx->status != NGX_HTTP_WEIR_CACHE_NONE) {
            return NGX_DECLINED;
        }

        if (!ctx->started) {
            return ngx_http_weir_cache_start(ctx);
        }

        return ctx->leasing ? ngx_http_weir_cache_decide_lease(ctx)
               : ctx->l2 ? ngx_http_weir_cache_decide_l2(ctx)
               : ngx_http_weir_cache_find(ctx);
    }

    if (r != r->main) {
        return r->background ? ngx_http_weir_cache_end_refresh(r)
                             : NGX_DECLINED;
    }

    first = NULL;

    if (r->internal) {
        first = ngx_http_weir_cache_led_away(r);

        if (ngx_http_weir_cache_forbidden(r) == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    if (first) {
        /* nginx sets r->error_page only without recursive_error_pages */
        rc = ngx_http_weir_cache_error_page(first);
        if (rc != NGX_DECLINED) {
            return rc;
        }
    }

    if (r->error_page) {
        return NGX_DECLINED;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL || r->method == NGX_HTTP_CONNECT) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_weir_cache_create_ctx(r, clcf);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_weir_cache_start(ctx);
}


/* Whether the request is looked up at all, once its body is known. */

static ngx_int_t
ngx_http_weir_cache_start(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_METHOD);
    }

    rc = ngx_http_weir_cache_check_body(ctx);

    if (rc == NGX_DECLINED) {
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    if (rc != NGX_OK) {
        return rc;
    }

    ctx->started = 1;

    if (ngx_http_weir_cache_key(ctx) != NGX_OK
        || ngx_http_weir_cache_read_request(ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->key.len == 0) {
        /* weir_cache_key says nothing about this request */
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    switch (ngx_http_test_predicates(r, ctx->conf->bypass)) {

    case NGX_ERROR:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    case NGX_DECLINED:
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    return ngx_http_weir_cache_find(ctx);
}


static ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_create_ctx(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf)
{
    ngx_int_t                   forbidden;
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    forbidden = r->internal ? ngx_http_weir_cache_forbidden(r) : 0;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_cache_ctx_t));

    if (cln == NULL || forbidden == NGX_ERROR) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_cache_ctx_t));
    ctx->request = r;
    ctx->earlier = r->upstream;
    ctx->conf = clcf;
    ctx->arrived = ngx_http_weir_ms();
    ctx->forbidden = forbidden;
    weir_cache_control_init(&ctx->request_cc);

    cln->handler = ngx_http_weir_cache_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_weir_cache_module);

    return ctx;
}


/* A request that goes away waits for no reply and sends no entry. */

static void
ngx_http_weir_cache_cleanup(void *data)
{
    ngx_http_weir_cache_ctx_t  *ctx = data;

    if (ctx->waiting) {
        ngx_http_weir_redis_cancel(&ctx->command);
    }

    if (ctx->leasing) {
        /* Redis may have given it, or may yet: it is let go behind that */
        ctx->lease = ctx->lease_wanted;
    }

    if (ctx->looking) {
        ngx_http_weir_cache_lookup_leave(ctx);
    }

    if (ctx->wait.timer_set) {
        ngx_del_timer(&ctx->wait);
    }

    ngx_http_weir_cache_end_flight(ctx, 0);

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);
    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->stale_pin);

    ngx_http_weir_cache_lookup_release(&ctx->lookup);
    ngx_http_weir_cache_lookup_release(&ctx->stale_lookup);
}


ngx_int_t
ngx_http_weir_cache_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status)
{
    weir_problem_t  problem;

    ctx->status = status;
    ctx->request_time = ngx_time();
    ctx->began = ngx_http_weir_ms();
    ngx_http_weir_cache_note_lines(ctx);
    ngx_http_weir_cache_stamp(ctx);

    if (!(ctx->request_cc.flags & WEIR_CC_ONLY_IF_CACHED)) {

        if (ngx_http_weir_cache_keeps_conditions(ctx)) {
            ctx->edge_conditions = 1;
            ngx_http_weir_cache_own_conditions(ctx);
        }

        return NGX_DECLINED;
    }

    /* RFC 9111 section 5.2.1.7 */

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_GATEWAY_TIME_OUT;
    problem.title = "Not in the cache";
    problem.detail = WEIR_STR("The request takes only a stored response, and"
                              " there is none that may be used.");

    return ngx_http_weir_send_problem(ctx->request, &problem);
}


/*
 * Whether the upstream gets the cache's conditions, or none, instead of the
 * client's: when something stored can be validated, and when the answer may be
 * stored, for it must be one that others can use too.  Where it is known that
 * it can't be, the client's own save the upstream work.
 */

static ngx_uint_t
ngx_http_weir_cache_keeps_conditions(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->have_stale
        && (ngx_http_weir_cache_entry_header(&ctx->stale, "ETag").len
            || ngx_http_weir_cache_entry_header(&ctx->stale,
                                                "Last-Modified").len))
    {
        return 1;
    }

    if (r->headers_in.range == NULL && r->headers_in.if_range == NULL
        && r->headers_in.if_match == NULL
        && r->headers_in.if_none_match == NULL
        && r->headers_in.if_modified_since == NULL
        && r->headers_in.if_unmodified_since == NULL)
    {
        return 0;
    }

    return r->method == NGX_HTTP_GET && ctx->key.len
           && !(ctx->request_cc.flags & WEIR_CC_NO_STORE)
           && (ctx->conf->l1 || !ctx->unavailable)
           && !ngx_http_weir_cache_known_uncacheable(ctx);
}


ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_led_away(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx, *last;

    last = NULL;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_cache_cleanup) {
            continue;
        }

        ctx = cln->data;

        if (ctx->request == r) {
            ngx_http_weir_cache_not_passed_on(ctx);
            ngx_http_weir_cache_not_stored(ctx);

            if (ctx->holding) {
                ctx->holding = 0;
                r->aio = 0;
            }

            if (last == NULL) {
                last = ctx;
            }
        }
    }

    return last;
}


/*
 * A background refresh was led to another location: what is there belongs to
 * another key, and there is no client to get it.  The subrequest ends here;
 * NGX_DECLINED: it is none of the cache's.
 */

static ngx_int_t
ngx_http_weir_cache_end_refresh(ngx_http_request_t *r)
{
    if (ngx_http_weir_cache_led_away(r) == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_finalize_request(r, NGX_OK);

    return NGX_DONE;
}


/*
 * The request was led away from the location of that context: where that was by an
 * error_page, and its cache has something stale for such a case, this is the
 * answer.  NGX_DECLINED: it is not.
 */

static ngx_int_t
ngx_http_weir_cache_error_page(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!ctx->have_stale || ctx->status == NGX_HTTP_WEIR_CACHE_STALE
        || ngx_http_weir_cache_instead_of_error(ctx) == NULL)
    {
        return NGX_DECLINED;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_weir_cache_module);
    ngx_http_clean_header(r);
    r->err_status = 0;

    ngx_http_weir_cache_take_stale(ctx);
    ctx->status = NGX_HTTP_WEIR_CACHE_STALE;

    return ngx_http_weir_cache_answer(ctx);
}
