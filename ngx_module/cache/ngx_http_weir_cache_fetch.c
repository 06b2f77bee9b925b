/*
 * From a key to the decision: a look-up in shared memory and, when there is
 * nothing fresh, in Redis, the same again for the variant when the response
 * varies, and what RFC 9111 section 4 says about what was found.
 *
 * Whatever goes wrong is a miss: the upstream is asked.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry_check.h"
#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir_park.h"


static ngx_int_t ngx_http_weir_cache_find_l2(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_is_overdue(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_take_lookup(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_use(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_miss(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_wishes(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc);
static void ngx_http_weir_cache_keep_stale(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_matches(ngx_http_weir_cache_ctx_t *ctx);


ngx_int_t
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

            if (!ngx_http_weir_cache_outlived(ctx, &ctx->pin)
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

    return ngx_http_weir_park(ctx->request);
}


ngx_int_t
ngx_http_weir_cache_decide_l2(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;
    ngx_str_t  fields;

    if (!ngx_http_weir_cache_take_lookup(ctx)) {
        return ngx_http_weir_cache_miss(ctx);
    }

    if (ctx->entry.flags & WEIR_ENTRY_VARY_POINTER) {

        if (ctx->varies) {
            /* a pointer leads to a response, never to another pointer */
            return ngx_http_weir_cache_miss(ctx);
        }

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


/*
 * Redis drops an entry when weir_cache_keep is over; one that is older was put
 * back.  It would be served while a stale one may be, however old it is.
 */

static ngx_uint_t
ngx_http_weir_cache_is_overdue(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t        fresh, after;
    weir_entry_t  *entry;

    entry = &ctx->entry;

    fresh = ngx_max(entry->lifetime, entry->initial_age);
    after = ngx_max(entry->stale_while_revalidate, entry->stale_if_error);
    after = ngx_max(after, (int64_t) ctx->conf->keep);

    return ngx_http_weir_cache_age(entry)
           > fresh + after + WEIR_ENTRY_CLOCK_SKEW / 1000;
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
        && (ngx_http_weir_cache_is_overdue(ctx)
            || !ngx_http_weir_cache_outlived(ctx, NULL)
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


/* Serves ctx->entry; NGX_BUSY: it is stale, or not wanted. */

static ngx_int_t
ngx_http_weir_cache_use(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_cache_control_t    wishes;
    weir_cache_freshness_t  freshness;

    ngx_http_weir_cache_freshness(&ctx->entry, &freshness);
    ngx_http_weir_cache_wishes(ctx, &wishes);

    switch (weir_cache_use(&freshness, ngx_http_weir_cache_age(&ctx->entry),
                           &wishes))
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
        ctx->refused = 1;
        return NGX_BUSY;
    }
}


/*
 * What the request asks of ctx->entry.  A client that wants the origin asked is
 * not heard while the response is younger than weir_cache_request_control says,
 * nor when the origin was asked for it after this request came; that is known of
 * responses that this box has in memory.
 */

static void
ngx_http_weir_cache_wishes(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc)
{
    int64_t      age;
    ngx_time_t  *tp;

    *cc = ctx->request_cc;

    tp = ngx_timeofday();
    age = (int64_t) tp->sec * 1000 + tp->msec - ctx->entry.stored;

    if ((!ctx->l2 && ctx->pin.began > ctx->arrived)
        || age < (int64_t) ctx->conf->request_control)
    {
        cc->flags &= ~WEIR_CC_NO_CACHE;
        cc->max_age = -1;
        cc->min_fresh = -1;
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

    if (ctx->have_stale && !ctx->refused) {
        rc = ngx_http_weir_cache_stale_at_once(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    status = ctx->refused ? NGX_HTTP_WEIR_CACHE_REQUEST
             : (ctx->have_stale || ctx->outdated) ? NGX_HTTP_WEIR_CACHE_EXPIRED
             : ctx->varies ? NGX_HTTP_WEIR_CACHE_VARY_MISS
             : NGX_HTTP_WEIR_CACHE_MISS;

    return ngx_http_weir_cache_fly(ctx, status);
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
