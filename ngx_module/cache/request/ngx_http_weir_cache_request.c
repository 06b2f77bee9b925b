/*
 * A request in the precontent phase.  The look-up decides
 * (ngx_http_weir_cache_decide.c); this file is the one place that acts on the
 * verdict: it sends the stored response, lets the upstream be asked, or parks
 * the request until the event that it waits for.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/key/ngx_http_weir_cache_key_text.h"
#include "cache/lookup/key/ngx_http_weir_cache_redirect.h"
#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/lookup/ngx_http_weir_cache_decide.h"
#include "cache/lookup/ngx_http_weir_cache_find.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/ngx_http_weir_cache_entry.h"
#include "cache/request/ngx_http_weir_cache_request.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_park.h"
#include "record/ngx_http_weir_record.h"


static ngx_int_t ngx_http_weir_cache_request_first_run(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_request_share(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_request_resume(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_request_start(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_request_act(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_verdict_e verdict);
static ngx_int_t ngx_http_weir_cache_request_wait(
    ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_state_e state);
static ngx_int_t ngx_http_weir_cache_request_serve(
    ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status);
static ngx_int_t ngx_http_weir_cache_request_forward(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_request_refuse(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_request_keeps_conditions(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_request_end_refresh(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_request_error_page(
    ngx_http_weir_cache_ctx_t *ctx);


ngx_int_t
ngx_http_weir_cache_request_handler(ngx_http_request_t *r)
{
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL) {
        return ngx_http_weir_cache_request_first_run(r);
    }

    if (ngx_http_weir_cache_ctx_waits(ctx)) {
        return NGX_AGAIN;
    }

    switch (ctx->state) {

    case NGX_HTTP_WEIR_CACHE_STATE_FORWARDED:
    case NGX_HTTP_WEIR_CACHE_STATE_SERVED:
    case NGX_HTTP_WEIR_CACHE_STATE_REFUSED:
        return NGX_DECLINED;

    default:
        return ngx_http_weir_cache_request_resume(ctx);
    }
}


/* A request that has waited: its token may have expired in that time. */

static ngx_int_t
ngx_http_weir_cache_request_resume(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->state == NGX_HTTP_WEIR_CACHE_STATE_BODY) {
        ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_NEW);
    }

    if (ctx->partition.len && !ngx_http_weir_jwt_share_holds(ctx->request)) {
        ngx_http_weir_cache_ctx_stop_waiting(ctx);
        ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_REFUSED);

        return ngx_http_weir_jwt_share_refuse(ctx->request);
    }

    return ngx_http_weir_cache_request_act(ctx,
                            ctx->state == NGX_HTTP_WEIR_CACHE_STATE_NEW
                            ? ngx_http_weir_cache_request_start(ctx)
                            : ngx_http_weir_cache_decide(ctx));
}


/* A request that is new in this location, which may be one without a cache. */

static ngx_int_t
ngx_http_weir_cache_request_first_run(ngx_http_request_t *r)
{
    ngx_int_t                        rc, forbidden;
    ngx_http_weir_cache_ctx_t       *ctx, *first;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    if (r != r->main) {
        return r->background ? ngx_http_weir_cache_request_end_refresh(r)
                             : NGX_DECLINED;
    }

    first = NULL;
    forbidden = 0;

    if (r->internal) {
        first = ngx_http_weir_cache_response_led_away(r);
        forbidden = ngx_http_weir_cache_redirect_forbidden(r,
                                                  first ? first->conf : NULL);

        if (forbidden == NGX_ERROR) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    if (first) {
        /* nginx sets r->error_page only without recursive_error_pages */
        rc = ngx_http_weir_cache_request_error_page(first);
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

    ctx = ngx_http_weir_cache_ctx_create(r, clcf, forbidden);

    if (ctx == NULL || ngx_http_weir_cache_request_share(ctx) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_weir_cache_request_act(ctx,
                                       ngx_http_weir_cache_request_start(ctx));
}


/*
 * RFC 9111 section 3.5, also for a token in a cookie: unless
 * weir_cache_authorized names those who share the response, nobody does.
 */

static ngx_int_t
ngx_http_weir_cache_request_share(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t   rc;
    ngx_uint_t  authorized;

    if (!ngx_http_weir_jwt_is_private(ctx->request)) {
        return NGX_OK;
    }

    authorized = 0;

    rc = ngx_http_weir_jwt_share(ctx->request, &ctx->partition, &authorized);

    if (rc == NGX_DECLINED) {
        ctx->private = 1;
        ctx->forbidden = 1;
        ngx_str_null(&ctx->partition);
        return NGX_OK;
    }

    ctx->authorized = authorized;

    return rc;
}


/* Decides whether the request is looked up at all, after its body is known. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_request_start(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t             *r;
    ngx_http_weir_cache_verdict_e   verdict;

    r = ctx->request;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {

        /* for its invalidation: a redirect changes what the key is made of */

        if (ctx->conf->invalidate
            && ngx_http_weir_cache_key_text(r, ctx->conf, &ctx->key_text)
               != NGX_OK)
        {
            return NGX_HTTP_WEIR_CACHE_FAIL;
        }

        return ngx_http_weir_cache_decide_forward(ctx,
                                                  NGX_HTTP_WEIR_CACHE_METHOD);
    }

    verdict = ngx_http_weir_cache_body_check(ctx);

    if (verdict != NGX_HTTP_WEIR_CACHE_NOTHING) {
        return verdict;
    }

    if (ngx_http_weir_cache_key_make(ctx) != NGX_OK
        || ngx_http_weir_cache_key_read_request(ctx) != NGX_OK)
    {
        return NGX_HTTP_WEIR_CACHE_FAIL;
    }

    if (ctx->private) {
        /* without a key, nothing is looked up or stored */
        ctx->key.len = 0;
    }

    if (ctx->key.len == 0) {
        /* or weir_cache_key is empty for this request */
        return ngx_http_weir_cache_decide_forward(ctx,
                                                  NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    switch (ngx_http_test_predicates(r, ctx->conf->bypass)) {

    case NGX_ERROR:
        return NGX_HTTP_WEIR_CACHE_FAIL;

    case NGX_DECLINED:
        return ngx_http_weir_cache_decide_forward(ctx,
                                                  NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    return ngx_http_weir_cache_decide(ctx);
}


/* Returns the value for the phase handler. */

static ngx_int_t
ngx_http_weir_cache_request_act(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_verdict_e verdict)
{
    switch (verdict) {

    case NGX_HTTP_WEIR_CACHE_SERVE:
        return ngx_http_weir_cache_request_serve(ctx, NGX_HTTP_WEIR_CACHE_HIT);

    case NGX_HTTP_WEIR_CACHE_SERVE_STALE_AND_REFRESH:

        /* without memory for it the next request starts one */
        (void) ngx_http_weir_cache_refresh(ctx);
        return ngx_http_weir_cache_request_serve(ctx,
                                                 NGX_HTTP_WEIR_CACHE_STALE);

    case NGX_HTTP_WEIR_CACHE_SERVE_STALE:
        return ngx_http_weir_cache_request_serve(ctx,
                                                 NGX_HTTP_WEIR_CACHE_STALE);

    case NGX_HTTP_WEIR_CACHE_FORWARD:
        return ngx_http_weir_cache_request_forward(ctx);

    case NGX_HTTP_WEIR_CACHE_REFUSE:
        return ngx_http_weir_cache_request_refuse(ctx);

    case NGX_HTTP_WEIR_CACHE_READ_BODY:
        ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_BODY);
        return ngx_http_weir_cache_body_read(ctx);

    case NGX_HTTP_WEIR_CACHE_REFUSE_BODY:
        ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_REFUSED);
        return ngx_http_weir_cache_body_refuse(ctx);

    case NGX_HTTP_WEIR_CACHE_WAIT_REDIS:
        return ngx_http_weir_cache_request_wait(ctx,
                                            NGX_HTTP_WEIR_CACHE_STATE_REDIS);

    case NGX_HTTP_WEIR_CACHE_WAIT_LEASE:
        return ngx_http_weir_cache_request_wait(ctx,
                                            NGX_HTTP_WEIR_CACHE_STATE_LEASE);

    case NGX_HTTP_WEIR_CACHE_WAIT_TURN:
        return ngx_http_weir_cache_request_wait(ctx,
                                                NGX_HTTP_WEIR_CACHE_STATE_TURN);

    default: /* NGX_HTTP_WEIR_CACHE_FAIL */
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
}


/*
 * A request that cannot be parked ends with an error, so that the event it
 * would have waited for does not resume it.
 */

static ngx_int_t
ngx_http_weir_cache_request_wait(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_state_e state)
{
    ngx_int_t  rc;

    ngx_http_weir_cache_ctx_enter(ctx, state);

    rc = ngx_http_weir_park(ctx->request);

    if (rc != NGX_AGAIN) {
        ngx_http_weir_cache_ctx_stop_waiting(ctx);

    } else if (state == NGX_HTTP_WEIR_CACHE_STATE_TURN) {
        ngx_http_weir_cache_turn_sleep(ctx);
    }

    return rc;
}


static ngx_int_t
ngx_http_weir_cache_request_serve(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status)
{
    ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_SERVED);
    ctx->status = status;

    if (status == NGX_HTTP_WEIR_CACHE_STALE) {
        ngx_http_weir_record_event(ctx->request, "weir.cache.stale");
    }

    return ngx_http_weir_cache_answer_send(ctx);
}


static ngx_int_t
ngx_http_weir_cache_request_forward(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_ctx_forward(ctx, ctx->reason);

    if (ngx_http_weir_cache_request_keeps_conditions(ctx)) {
        ctx->edge_conditions = 1;

        if (ngx_http_weir_cache_condition_replace(ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return NGX_DECLINED;
}


/* Only-if-cached (RFC 9111 section 5.2.1.7). */

static ngx_int_t
ngx_http_weir_cache_request_refuse(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_problem_t  problem;

    ngx_http_weir_cache_ctx_enter(ctx, NGX_HTTP_WEIR_CACHE_STATE_REFUSED);
    ctx->status = ctx->reason;

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_GATEWAY_TIME_OUT;
    problem.title = "Not in the cache";
    problem.detail = WEIR_STR("The request accepts only a stored response,"
                              " and no usable one is stored.");

    return ngx_http_weir_send_problem(ctx->request, &problem);
}


/*
 * True if the upstream request gets the cache's conditions, or none, instead of
 * the client's: if a stored entry can be validated, and if the response may be
 * stored, because then it must suit other clients, too.  For responses known to
 * be uncacheable, the client's own conditions are kept and save the upstream
 * work.
 */

static ngx_uint_t
ngx_http_weir_cache_request_keeps_conditions(ngx_http_weir_cache_ctx_t *ctx)
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
           && !ngx_http_weir_cache_turn_uncacheable(ctx);
}


/*
 * A background refresh was led to another location, whose response has another
 * key, and there is no client to receive it.  The subrequest ends here;
 * NGX_DECLINED: it is not a subrequest of the cache.
 */

static ngx_int_t
ngx_http_weir_cache_request_end_refresh(ngx_http_request_t *r)
{
    if (ngx_http_weir_cache_response_led_away(r) == NULL) {
        return NGX_DECLINED;
    }

    ngx_http_finalize_request(r, NGX_OK);

    return NGX_DONE;
}


/*
 * The request left the location of that context.  If an error_page led it away,
 * and the cache has a stale response for that error, the stale response is
 * sent.  NGX_DECLINED: it is not.
 */

static ngx_int_t
ngx_http_weir_cache_request_error_page(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (!ctx->have_stale || ctx->state != NGX_HTTP_WEIR_CACHE_STATE_FORWARDED
        || ngx_http_weir_cache_validate_instead_of_error(ctx) == NULL)
    {
        return NGX_DECLINED;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_weir_cache_module);
    ngx_http_clean_header(r);
    r->err_status = 0;

    ngx_http_weir_cache_find_take_stale(ctx);

    return ngx_http_weir_cache_request_act(ctx,
                                           NGX_HTTP_WEIR_CACHE_SERVE_STALE);
}
