/*
 * The response that is stored for a request, in shared memory or in Redis'
 * reply, and its evaluation by RFC 9111 section 4.  A response with Vary is
 * found under the variant that the request selects; under the key itself there
 * is a pointer, which names the fields.
 *
 * An entry that may not be used as it is is kept for validation.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry_check.h"
#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/ngx_http_weir_cache_find.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "cache/lookup/ngx_http_weir_cache_part.h"
#include "cache/ngx_http_weir_cache_entry.h"
#include "http/ngx_http_weir_assert.h"


static ngx_int_t ngx_http_weir_cache_find_variant(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_find_is_ahead(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_find_is_overdue(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_find_accept(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_http_weir_cache_verdict_e ngx_http_weir_cache_find_judge(
    ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_find_wishes(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc);
static void ngx_http_weir_cache_find_keep_stale(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_find_matches(
    ngx_http_weir_cache_ctx_t *ctx);


ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_find_in_memory(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                      rc;
    weir_str_t                     data;
    ngx_pool_t                    *pool;
    ngx_http_weir_cache_verdict_e  verdict;

    ctx->from_redis = 0;
    pool = ctx->request->pool;

    ngx_http_weir_assert(ctx->key.len != 0 && ctx->pin.node == NULL);

    for ( ;; ) {
        rc = ngx_http_weir_cache_zone_get(ctx->conf->zone,
                                          ctx->varies ? ctx->variant
                                                      : ctx->digest,
                                          pool, &ctx->pin);
        if (rc != NGX_OK) {
            return NGX_HTTP_WEIR_CACHE_NOTHING;
        }

        data.data = (char *) ctx->pin.data;
        data.len = ctx->pin.len;

        if (weir_entry_view(data, &ctx->entry) != NULL
            || !ngx_http_weir_cache_find_matches(ctx))
        {
            break;
        }

        if (!(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER)) {

            if (ngx_http_weir_cache_find_is_ahead(ctx)
                || !ngx_http_weir_cache_validity_outlived(ctx, &ctx->pin)
                || !ngx_http_weir_cache_part_fits(ctx))
            {
                break;
            }

            verdict = ngx_http_weir_cache_find_judge(ctx);

            if (verdict != NGX_HTTP_WEIR_CACHE_NOTHING) {
                return verdict;
            }

            ngx_http_weir_cache_find_keep_stale(ctx);
            break;
        }

        if (ctx->varies) {
            /* a pointer leads to a response, never to another pointer */
            break;
        }

        rc = ngx_http_weir_cache_find_variant(ctx);

        ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);

        if (rc != NGX_OK) {
            return NGX_HTTP_WEIR_CACHE_FAIL;
        }
    }

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);

    return NGX_HTTP_WEIR_CACHE_NOTHING;
}


ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_find_in_redis(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_verdict_e  verdict;

    if (!ngx_http_weir_cache_find_accept(ctx)) {
        return NGX_HTTP_WEIR_CACHE_NOTHING;
    }

    if (ctx->entry.flags & WEIR_ENTRY_VARY_POINTER) {

        if (ctx->varies) {
            return NGX_HTTP_WEIR_CACHE_NOTHING;
        }

        return ngx_http_weir_cache_find_variant(ctx) == NGX_OK
               ? NGX_HTTP_WEIR_CACHE_LOOK_AGAIN : NGX_HTTP_WEIR_CACHE_FAIL;
    }

    ctx->from_redis = 1;

    verdict = ngx_http_weir_cache_find_judge(ctx);

    if (verdict == NGX_HTTP_WEIR_CACHE_NOTHING) {
        ngx_http_weir_cache_find_keep_stale(ctx);
    }

    return verdict;
}


ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_find_behind_lease(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_entry_t                   entry;
    ngx_http_weir_cache_verdict_e  verdict;

    if (ctx->lookup == NULL) {
        return NGX_HTTP_WEIR_CACHE_NOTHING;
    }

    entry = ctx->entry;

    if (ngx_http_weir_cache_find_accept(ctx)
        && !(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER))
    {
        ctx->from_redis = 1;

        verdict = ngx_http_weir_cache_find_judge(ctx);

        if (verdict != NGX_HTTP_WEIR_CACHE_NOTHING) {
            return verdict;
        }
    }

    ctx->from_redis = 0;
    ctx->entry = entry;

    return NGX_HTTP_WEIR_CACHE_NOTHING;
}


void
ngx_http_weir_cache_find_take_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    ctx->entry = ctx->stale;
    ctx->from_redis = (ctx->stale_lookup != NULL);
}


/* The variant that the request selects by the pointer in ctx->entry. */

static ngx_int_t
ngx_http_weir_cache_find_variant(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t  fields;

    ngx_http_weir_assert(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER);
    ngx_http_weir_assert(!ctx->varies);

    fields.data = (u_char *) ctx->entry.vary.data;
    fields.len = ctx->entry.vary.len;

    return ngx_http_weir_cache_key_vary_select(ctx, &fields);
}


/*
 * The clock was set back after the entry was stored: its age is unknown, and
 * would be none until the clock has caught up.  An entry from Redis was checked
 * when it was decoded.
 */

static ngx_uint_t
ngx_http_weir_cache_find_is_ahead(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t      now;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    now = (int64_t) tp->sec * 1000 + tp->msec;

    return ctx->entry.stored > now + WEIR_ENTRY_CLOCK_SKEW;
}


/*
 * Redis expires an entry at the end of weir_cache_keep, so an older entry was
 * restored by someone.  Without this check it would be served as long as stale
 * responses may be, regardless of its age.
 */

static ngx_uint_t
ngx_http_weir_cache_find_is_overdue(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t        fresh, after;
    weir_entry_t  *entry;

    entry = &ctx->entry;

    fresh = ngx_max(entry->lifetime, entry->initial_age);
    after = ngx_max(entry->stale_while_revalidate, entry->stale_if_error);
    after = ngx_max(after, (int64_t) ctx->conf->keep);

    return ngx_http_weir_cache_entry_age(entry)
           > fresh + after + WEIR_ENTRY_CLOCK_SKEW / 1000;
}


/* True if ctx->entry is an entry from Redis that may be evaluated further. */

static ngx_uint_t
ngx_http_weir_cache_find_accept(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_uint_t  pointer;

    if (ngx_http_weir_cache_lookup_result(ctx) != NGX_OK
        || !ngx_http_weir_cache_find_matches(ctx))
    {
        return 0;
    }

    pointer = (ctx->entry.flags & WEIR_ENTRY_VARY_POINTER) != 0;

    if (!pointer
        && (ngx_http_weir_cache_find_is_overdue(ctx)
            || !ngx_http_weir_cache_validity_outlived(ctx, NULL)
            || !ngx_http_weir_cache_part_fits(ctx)))
    {
        return 0;
    }

    if (ctx->conf->l1
        && (pointer
            || ngx_http_weir_cache_entry_age(&ctx->entry)
               < (time_t) ctx->entry.lifetime))
    {
        ngx_http_weir_cache_lookup_keep(ctx);
    }

    return 1;
}


/* The verdict on ctx->entry, a valid entry, for this request. */

static ngx_http_weir_cache_verdict_e
ngx_http_weir_cache_find_judge(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_cache_control_t    wishes;
    weir_cache_freshness_t  freshness;

    ngx_http_weir_assert(!(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER));

    ngx_http_weir_cache_entry_freshness(&ctx->entry, &freshness);
    ngx_http_weir_cache_find_wishes(ctx, &wishes);

    switch (weir_cache_use(&freshness,
                           ngx_http_weir_cache_entry_age(&ctx->entry),
                           &wishes))
    {
    case WEIR_CACHE_FRESH:
        return ctx->soft ? NGX_HTTP_WEIR_CACHE_NOTHING
                         : NGX_HTTP_WEIR_CACHE_SERVE;

    case WEIR_CACHE_ALLOWED_STALE:
        return NGX_HTTP_WEIR_CACHE_SERVE_STALE;

    case WEIR_CACHE_STALE:
        return NGX_HTTP_WEIR_CACHE_NOTHING;

    default:
        ctx->refused = 1;
        return NGX_HTTP_WEIR_CACHE_NOTHING;
    }
}


/*
 * Applies the request's Cache-Control to ctx->entry.  A client's wish to ask
 * the origin is ignored while the response is younger than
 * weir_cache_request_control allows, and if the origin was asked after this
 * request arrived; the latter is known only for responses that this edge has in
 * memory.
 */

static void
ngx_http_weir_cache_find_wishes(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc)
{
    int64_t      age;
    ngx_time_t  *tp;

    *cc = ctx->request_cc;

    tp = ngx_timeofday();
    age = (int64_t) tp->sec * 1000 + tp->msec - ctx->entry.stored;

    if ((!ctx->from_redis && ctx->pin.began > ctx->arrived)
        || age < (int64_t) ctx->conf->request_control)
    {
        cc->flags &= ~WEIR_CC_NO_CACHE;
        cc->max_age = -1;
        cc->min_fresh = -1;
    }
}


/*
 * Keeps ctx->entry for validation, or as a stale response if the upstream
 * fails.
 */

static void
ngx_http_weir_cache_find_keep_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->have_stale && ctx->stale.stored >= ctx->entry.stored) {
        return;
    }

    ngx_http_weir_assert(!ctx->from_redis || ctx->lookup != NULL);

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->stale_pin);
    ngx_http_weir_cache_lookup_release(&ctx->stale_lookup);

    ctx->stale = ctx->entry;
    ctx->have_stale = 1;
    ctx->stale_soft = ctx->soft;

    if (ctx->from_redis) {
        ctx->stale_lookup = ctx->lookup;
        ngx_http_weir_cache_lookup_hold(ctx->lookup);

    } else {
        ctx->stale_pin = ctx->pin;
        ctx->pin.node = NULL;
    }
}


/* Entries with the same digest and another text are not for this request. */

static ngx_uint_t
ngx_http_weir_cache_find_matches(ngx_http_weir_cache_ctx_t *ctx)
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
