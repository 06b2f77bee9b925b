/*
 * From a request to the decision: a look-up in shared memory and, when there is
 * nothing fresh, in Redis, the same again for the variant when the response
 * varies, and what RFC 9111 section 4 says about what was found.
 * While Redis is asked the request waits in the precontent phase; the
 * client's time-outs and its leaving are watched as nginx does for a delayed
 * request.
 *
 * Whatever goes wrong is a miss: the upstream is asked.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir.h"


static ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_create_ctx(
    ngx_http_request_t *r, ngx_http_weir_cache_loc_conf_t *clcf);
static ngx_int_t ngx_http_weir_cache_find(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_find_l2(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_decide_l2(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_take_lookup(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_use(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_miss(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_keep_stale(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_led_away(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_error_page(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_cache_matches(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_cleanup(void *data);


ngx_int_t
ngx_http_weir_cache_handler(ngx_http_request_t *r)
{
    ngx_http_weir_cache_ctx_t       *ctx;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx) {

        if (ctx->looking || ctx->waiting || ctx->wait.timer_set) {
            return NGX_AGAIN;
        }

        if (ctx->status != NGX_HTTP_WEIR_CACHE_NONE) {
            return NGX_DECLINED;
        }

        return ctx->leasing ? ngx_http_weir_cache_decide_lease(ctx)
               : ctx->l2 ? ngx_http_weir_cache_decide_l2(ctx)
               : ngx_http_weir_cache_find(ctx);
    }

    if (r != r->main) {
        return NGX_DECLINED;
    }

    if (r->internal) {
        ngx_http_weir_cache_led_away(r);
    }

    if (r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    if (r->error_page) {
        return ngx_http_weir_cache_error_page(r);
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_weir_cache_create_ctx(r, clcf);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_METHOD);
    }

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        /* the key doesn't know the body */
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    if (ngx_http_weir_cache_key(ctx) != NGX_OK
        || ngx_http_weir_cache_read_request(ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    switch (ngx_http_test_predicates(r, clcf->bypass)) {

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
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_cache_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_cache_ctx_t));
    ctx->request = r;
    ctx->conf = clcf;
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
    ngx_http_weir_cache_stamp(ctx);

    if (!(ctx->request_cc.flags & WEIR_CC_ONLY_IF_CACHED)) {

        if (ctx->have_stale
            && ngx_http_weir_cache_make_conditional(ctx) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
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


static ngx_int_t
ngx_http_weir_cache_find(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->conf->l1) {
        rc = ngx_http_weir_cache_find_l1(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }

        if (!ctx->collapsed) {
            ngx_http_weir_cache_zone_missed(ctx->conf->zone,
                                            ctx->varies ? ctx->variant
                                                        : ctx->digest);
        }
    }

    return ctx->conf->zone->redis ? ngx_http_weir_cache_find_l2(ctx)
                                  : ngx_http_weir_cache_miss(ctx);
}


/* NGX_BUSY: there is nothing that may be served. */

ngx_int_t
ngx_http_weir_cache_find_l1(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t     rc;
    ngx_str_t     fields;
    weir_str_t    data;
    ngx_pool_t   *pool;

    ctx->l2 = 0;
    pool = ctx->request->pool;

    for ( ;; ) {
        rc = ngx_http_weir_cache_zone_get(ctx->conf->zone,
                                          ctx->varies ? ctx->variant
                                                      : ctx->digest,
                                          pool, &ctx->pin);
        if (rc != NGX_OK) {
            return NGX_BUSY;
        }

        data.data = (char *) ctx->pin.data;
        data.len = ctx->pin.len;

        if (weir_entry_view(data, &ctx->entry) != NULL
            || !ngx_http_weir_cache_matches(ctx))
        {
            break;
        }

        if (!(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER)) {

            if (!ngx_http_weir_cache_outlived(ctx)
                || !ngx_http_weir_cache_part_fits(ctx))
            {
                break;
            }

            rc = ngx_http_weir_cache_use(ctx);

            if (rc != NGX_BUSY) {
                return rc;
            }

            ngx_http_weir_cache_keep_stale(ctx);
            break;
        }

        if (ctx->varies) {
            break;
        }

        fields.data = (u_char *) ctx->entry.vary.data;
        fields.len = ctx->entry.vary.len;

        rc = ngx_http_weir_cache_variant(ctx, &fields);

        ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);

        if (rc != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);

    return NGX_BUSY;
}


/* Asks Redis; NGX_AGAIN: the request waits. */

static ngx_int_t
ngx_http_weir_cache_find_l2(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ngx_http_weir_cache_lookup(ctx, 0) != NGX_OK) {
        ctx->unavailable = 1;
        return ngx_http_weir_cache_miss(ctx);
    }

    ctx->l2 = 1;

    return ngx_http_weir_cache_park(ctx);
}


/* The request waits, and is dropped when its client leaves. */

ngx_int_t
ngx_http_weir_cache_park(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


void
ngx_http_weir_cache_resume(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/* What Redis has answered, and what it means for the request. */

static ngx_int_t
ngx_http_weir_cache_decide_l2(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  fields;

    if (!ngx_http_weir_cache_take_lookup(ctx)) {
        return ngx_http_weir_cache_miss(ctx);
    }

    if (ctx->entry.flags & WEIR_ENTRY_VARY_POINTER) {
        fields.data = (u_char *) ctx->entry.vary.data;
        fields.len = ctx->entry.vary.len;

        if (ngx_http_weir_cache_variant(ctx, &fields) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->l2 = 0;

        return ngx_http_weir_cache_find(ctx);
    }

    rc = ngx_http_weir_cache_use(ctx);

    if (rc == NGX_BUSY) {
        ngx_http_weir_cache_keep_stale(ctx);
        rc = ngx_http_weir_cache_miss(ctx);
    }

    return rc;
}


/* Whether ctx->entry is now one of Redis that may be looked at further. */

static ngx_uint_t
ngx_http_weir_cache_take_lookup(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_uint_t  pointer;

    if (ngx_http_weir_cache_lookup_result(ctx) != NGX_OK
        || !ngx_http_weir_cache_matches(ctx))
    {
        return 0;
    }

    pointer = (ctx->entry.flags & WEIR_ENTRY_VARY_POINTER) != 0;

    if (!pointer
        && (!ngx_http_weir_cache_outlived(ctx)
            || !ngx_http_weir_cache_part_fits(ctx)))
    {
        return 0;
    }

    if (ctx->conf->l1
        && (pointer
            || ngx_http_weir_cache_age(&ctx->entry)
               < (time_t) ctx->entry.lifetime))
    {
        ngx_http_weir_cache_lookup_keep(ctx);
    }

    return 1;
}


ngx_int_t
ngx_http_weir_cache_use_lookup(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t     rc;
    weir_entry_t  entry;

    if (ctx->lookup == NULL) {
        return NGX_BUSY;
    }

    ctx->l2 = 1;
    entry = ctx->entry;

    if (ngx_http_weir_cache_take_lookup(ctx)
        && !(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER))
    {
        rc = ngx_http_weir_cache_use(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    ctx->entry = entry;

    return NGX_BUSY;
}


void
ngx_http_weir_cache_freshness(weir_entry_t *entry,
    weir_cache_freshness_t *freshness)
{
    freshness->initial_age = entry->initial_age;
    freshness->lifetime = entry->lifetime;
    freshness->stale_while_revalidate = entry->stale_while_revalidate;
    freshness->stale_if_error = entry->stale_if_error;
    freshness->must_revalidate = (entry->flags & WEIR_ENTRY_MUST_REVALIDATE)
                                 != 0;
    freshness->no_cache = (entry->flags & WEIR_ENTRY_NO_CACHE) != 0;
}


/* Serves ctx->entry, or goes on if it is not wanted; NGX_BUSY: it is stale. */

static ngx_int_t
ngx_http_weir_cache_use(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_cache_freshness_t  freshness;

    ngx_http_weir_cache_freshness(&ctx->entry, &freshness);

    switch (weir_cache_use(&freshness, ngx_http_weir_cache_age(&ctx->entry),
                           &ctx->request_cc))
    {
    case WEIR_CACHE_FRESH:
        if (ctx->soft) {
            return NGX_BUSY;
        }

        ctx->status = NGX_HTTP_WEIR_CACHE_HIT;
        return ngx_http_weir_cache_answer(ctx);

    case WEIR_CACHE_ALLOWED_STALE:
        ctx->status = NGX_HTTP_WEIR_CACHE_STALE;
        return ngx_http_weir_cache_answer(ctx);

    case WEIR_CACHE_STALE:
        return NGX_BUSY;

    default:
        ngx_http_weir_cache_keep_stale(ctx);
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_REQUEST);
    }
}


/* ctx->entry is kept to be validated, or to be served when all else fails. */

static void
ngx_http_weir_cache_keep_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->have_stale && ctx->stale.stored >= ctx->entry.stored) {
        return;
    }

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->stale_pin);
    ngx_http_weir_cache_lookup_release(&ctx->stale_lookup);

    ctx->stale = ctx->entry;
    ctx->have_stale = 1;
    ctx->stale_soft = ctx->soft;

    if (ctx->l2) {
        ctx->stale_lookup = ctx->lookup;
        ngx_http_weir_cache_lookup_hold(ctx->lookup);

    } else {
        ctx->stale_pin = ctx->pin;
        ctx->pin.node = NULL;
    }
}


/* Neither level has anything fresh. */

static ngx_int_t
ngx_http_weir_cache_miss(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_weir_cache_status_e   status;

    if (ctx->have_stale) {
        rc = ngx_http_weir_cache_stale_at_once(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    status = (ctx->have_stale || ctx->outdated) ? NGX_HTTP_WEIR_CACHE_EXPIRED
             : ctx->varies ? NGX_HTTP_WEIR_CACHE_VARY_MISS
             : NGX_HTTP_WEIR_CACHE_MISS;

    return ngx_http_weir_cache_fly(ctx, status);
}


/*
 * X-Accel-Redirect or an error_page has led to another location: what the first
 * one asked the upstream for will not be stored, so nobody shall wait for it,
 * the request itself least of all.
 */

static void
ngx_http_weir_cache_led_away(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_cache_cleanup) {
            continue;
        }

        ctx = cln->data;

        if (ctx->request == r) {
            ngx_http_weir_cache_end_flight(ctx, 1);
        }
    }
}


/*
 * An error_page has led away from the location whose cache has something stale
 * for such a case.
 */

static ngx_int_t
ngx_http_weir_cache_error_page(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_cache_cleanup) {
            continue;
        }

        ctx = cln->data;

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

    return NGX_DECLINED;
}


/* Another text of the same digest is not for this request. */

static ngx_uint_t
ngx_http_weir_cache_matches(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_entry_t  *entry;

    entry = &ctx->entry;

    return entry->key.len == ctx->key.len
           && ngx_memcmp(entry->key.data, ctx->key.data, ctx->key.len) == 0
           && (!ctx->varies
               || (entry->vary.len == ctx->vary.len
                   && ngx_memcmp(entry->vary.data, ctx->vary.data,
                                 ctx->vary.len)
                      == 0));
}


weir_str_t
ngx_http_weir_cache_entry_header(weir_entry_t *entry, const char *name)
{
    size_t      pos;
    weir_str_t  n, value, wanted, none;

    wanted.data = name;
    wanted.len = ngx_strlen(name);
    none.data = NULL;
    none.len = 0;

    pos = 0;

    while (weir_entry_next_header(entry->headers, &pos, &n, &value)) {
        if (weir_str_caseeq(n, wanted)) {
            return value;
        }
    }

    return none;
}


time_t
ngx_http_weir_cache_age(weir_entry_t *entry)
{
    int64_t      resident;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    resident = (int64_t) tp->sec * 1000 + tp->msec - entry->stored;

    return entry->initial_age + (resident > 0 ? resident / 1000 : 0);
}
