/*
 * The token of a request, and whether it is believed.
 *
 * The result is computed once for each location in which the request is, at the
 * latest in the access phase; a variable may need it earlier.  An internal
 * redirect clears the contexts of modules, but not the cleanups of the pool: so
 * a token that was verified before a redirect is still known, which matters to
 * the cache.
 *
 * What is cheap comes first: a token that this worker knows is compared, one
 * that any worker has verified or refused is parsed, and one that is new waits
 * for its turn.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "auth/ngx_http_weir_jwt_private.h"
#include "http/ngx_http_weir.h"


static ngx_http_weir_jwt_proof_t *ngx_http_weir_jwt_request_proof(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_jwt_request_turn(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_int_t ngx_http_weir_jwt_request_await_keys(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_jwt_request_is_known(
    ngx_http_weir_jwt_ctx_t *ctx);
static weir_token_reason_t ngx_http_weir_jwt_request_is_revoked(
    ngx_http_weir_jwt_ctx_t *ctx, int64_t expires, uint64_t *revision);


ngx_http_weir_jwt_ctx_t *
ngx_http_weir_jwt_request(ngx_http_request_t *r)
{
    ngx_http_weir_jwt_ctx_t  *ctx;

    ctx = ngx_http_weir_jwt_request_ctx(r);

    /* the token, and then its proof */

    while (ctx && ctx->result == NGX_HTTP_WEIR_JWT_PENDING
           && ngx_http_weir_jwt_request_judge(ctx) != NGX_OK
           && ngx_http_weir_jwt_turn_now(ctx->proof ? &ctx->proof->turn
                                                    : &ctx->fresh->turn))
    {
        /* void */
    }

    return ctx && ctx->reason == WEIR_TOKEN_NO_MEMORY ? NULL : ctx;
}


ngx_int_t
ngx_http_weir_jwt_request_wait(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_int_t  rc;

    do {
        rc = ngx_http_weir_jwt_request_turn(r, ctx);

        if (rc == NGX_OK) {
            rc = ngx_http_weir_jwt_request_await_keys(r, ctx);
        }

    } while (rc == NGX_OK && ctx->result == NGX_HTTP_WEIR_JWT_PENDING);

    return rc;
}


/* NGX_OK with a result that is not PENDING, NGX_AGAIN, NGX_ERROR. */

static ngx_int_t
ngx_http_weir_jwt_request_turn(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_int_t                  rc;
    ngx_http_weir_jwt_turn_t  *turn;
    ngx_http_weir_jwt_wait_t  *wait;

    if (ngx_http_weir_jwt_request_judge(ctx) != NGX_OK) {

        turn = ctx->proof ? &ctx->proof->turn : &ctx->fresh->turn;
        wait = ctx->proof ? &ctx->proof->wait : &ctx->fresh->wait;

        rc = ngx_http_weir_jwt_turn_is_lost(turn, wait)
             ? NGX_BUSY
             : ngx_http_weir_jwt_turn_take(r, turn, wait);

        if (rc != NGX_BUSY) {
            return rc;
        }

        ngx_http_weir_jwt_turn_leave(turn);
        (void) ngx_http_weir_jwt_fresh_end(ctx, WEIR_TOKEN_NO_TURN);
    }

    return ctx->reason == WEIR_TOKEN_NO_MEMORY ? NGX_ERROR : NGX_OK;
}


/*
 * While the issuer's keys may be about to change, the request waits.  NGX_OK,
 * with the result PENDING if they have changed; NGX_AGAIN.
 */

static ngx_int_t
ngx_http_weir_jwt_request_await_keys(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx)
{
    if (ctx->result != NGX_HTTP_WEIR_JWT_REFUSED
        || (ctx->reason != WEIR_TOKEN_UNKNOWN_KEY
            && ctx->reason != WEIR_TOKEN_NO_KEYS))
    {
        return NGX_OK;
    }

    switch (ngx_http_weir_jwt_keys_wait(r, ctx->issuer->source,
                                        &ctx->fresh->keys_wait, ctx->reason,
                                        ctx->generation))
    {
    case NGX_AGAIN:
        return NGX_AGAIN;

    case NGX_OK:
        ctx->result = NGX_HTTP_WEIR_JWT_PENDING;
        ctx->reason = WEIR_TOKEN_OK;
        return NGX_OK;

    default: /* NGX_DECLINED */
        return NGX_OK;
    }
}


ngx_http_weir_jwt_ctx_t *
ngx_http_weir_jwt_request_ctx(ngx_http_request_t *r)
{
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_jwt_module);

    if (ctx && ctx->conf == jlcf) {
        return ctx;
    }

    ctx = ngx_palloc(r->pool, sizeof(ngx_http_weir_jwt_ctx_t));
    if (ctx == NULL) {
        return NULL;
    }

    ctx->request = r;
    ctx->conf = jlcf;
    ctx->main = ngx_http_get_module_main_conf(r, ngx_http_weir_jwt_module);
    ctx->reason = WEIR_TOKEN_OK;
    ctx->proof = NULL;
    ctx->earlier = NULL;
    ctx->issuer = NULL;
    ctx->known = NULL;
    ctx->fresh = NULL;
    ctx->claims = NULL;
    ctx->generation = 0;
    ctx->expires = 0;
    ctx->challenge = NULL;

    if (jlcf->bound >= NGX_HTTP_WEIR_JWT_BOUND_DPOP) {
        ctx->earlier = ngx_http_weir_jwt_request_proof(r);
    }

    ctx->cleanup.handler = ngx_http_weir_jwt_request_cleanup;
    ctx->cleanup.data = ctx;
    ctx->cleanup.next = r->pool->cleanup;
    r->pool->cleanup = &ctx->cleanup;

    switch (ngx_http_weir_jwt_find(r, jlcf, &ctx->text, &ctx->scheme)) {

    case NGX_OK:
        ctx->result = NGX_HTTP_WEIR_JWT_PENDING;
        break;

    case NGX_DECLINED:
        ctx->result = NGX_HTTP_WEIR_JWT_ABSENT;
        ctx->scheme = NGX_HTTP_WEIR_JWT_NO_SCHEME;
        break;

    case NGX_ABORT:
        ctx->result = NGX_HTTP_WEIR_JWT_SEVERAL;
        break;

    default: /* NGX_ERROR */
        return NULL;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_weir_jwt_module);

    return ctx;
}


/* The last one that was read for the request; NULL: none. */

static ngx_http_weir_jwt_proof_t *
ngx_http_weir_jwt_request_proof(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_weir_jwt_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_jwt_request_cleanup) {
            continue;
        }

        ctx = cln->data;

        if (ctx->request == r && ctx->proof) {
            return ctx->proof;
        }
    }

    return NULL;
}


/*
 * NGX_OK: the result is no longer PENDING; NGX_DECLINED: the signature must be
 * verified, that of ctx->proof if there is one.
 */

ngx_int_t
ngx_http_weir_jwt_request_judge(ngx_http_weir_jwt_ctx_t *ctx)
{
    if (ctx->result != NGX_HTTP_WEIR_JWT_PENDING) {
        return NGX_OK;
    }

    if (ctx->proof == NULL && !ngx_http_weir_jwt_request_is_known(ctx)) {
        return ngx_http_weir_jwt_fresh(ctx);
    }

    return ctx->result == NGX_HTTP_WEIR_JWT_PENDING ? NGX_DECLINED : NGX_OK;
}


/* A token that this worker has parsed, and that is still good. */

static ngx_uint_t
ngx_http_weir_jwt_request_is_known(ngx_http_weir_jwt_ctx_t *ctx)
{
    time_t                            now;
    ngx_http_weir_jwt_known_t        *known;
    ngx_http_weir_jwt_issuer_t       *issuer;
    ngx_http_weir_jwt_known_table_t  *table;

    table = ctx->main->known;

    if (table == NULL) {
        return 0;
    }

    known = ngx_http_weir_jwt_known_find(table, ctx->text,
                                         ctx->conf->issuers->elts,
                                         ctx->conf->issuers->nelts);
    if (known == NULL) {
        return 0;
    }

    issuer = known->issuer;
    now = ngx_time();

    if (ngx_http_weir_jwt_keys_use(issuer->source, &ctx->generation)
        != NGX_OK)
    {
        return 0;
    }

    if (now >= known->expires || now < known->since
        || known->generation != ctx->generation)
    {
        ngx_http_weir_jwt_known_forget(table, known);
        return 0;
    }

    ngx_http_weir_jwt_known_keep(known);

    ctx->known = known;
    ctx->issuer = issuer;
    ctx->claims = known->token.claims;

    ngx_http_weir_jwt_request_believe(ctx, known->expires, &known->revision);

    return 1;
}


/* WEIR_TOKEN_OK, or why a good token is refused by weir_jwt_revocation. */

static weir_token_reason_t
ngx_http_weir_jwt_request_is_revoked(ngx_http_weir_jwt_ctx_t *ctx,
    int64_t expires, uint64_t *revision)
{
    static weir_token_reason_t  reasons[] = {
        WEIR_TOKEN_OK, WEIR_TOKEN_REVOKED, WEIR_TOKEN_OUTLIVES,
        WEIR_TOKEN_STALE
    };

    if (ctx->main->revocation == NULL) {
        return WEIR_TOKEN_OK;
    }

    return reasons[ngx_http_weir_jwt_revocation_check(ctx->main->revocation,
                                                      ctx->claims, expires,
                                                      revision)];
}


/* The token is good, unless it was revoked, or is bound to another client. */

void
ngx_http_weir_jwt_request_believe(ngx_http_weir_jwt_ctx_t *ctx,
    int64_t expires, uint64_t *revision)
{
    ctx->expires = expires;
    ctx->reason = ngx_http_weir_jwt_request_is_revoked(ctx, expires, revision);

    if (ctx->reason == WEIR_TOKEN_OK
        && ctx->conf->bound != NGX_HTTP_WEIR_JWT_BOUND_IGNORE
        && ngx_http_weir_jwt_bound(ctx) == NGX_AGAIN)
    {
        ctx->result = NGX_HTTP_WEIR_JWT_PENDING;
        return;
    }

    ctx->result = ctx->reason == WEIR_TOKEN_OK ? NGX_HTTP_WEIR_JWT_VERIFIED
                                               : NGX_HTTP_WEIR_JWT_REFUSED;
}


ngx_uint_t
ngx_http_weir_jwt_request_holds(ngx_http_weir_jwt_ctx_t *ctx)
{
    uint64_t  revision;

    revision = 0;

    return ngx_time() < ctx->expires
           && ngx_http_weir_jwt_request_is_revoked(ctx, ctx->expires, &revision)
              == WEIR_TOKEN_OK;
}


void
ngx_http_weir_jwt_request_recheck(ngx_http_weir_jwt_ctx_t *ctx)
{
    uint64_t  revision;

    if (ctx->result != NGX_HTTP_WEIR_JWT_VERIFIED) {
        return;
    }

    if (ngx_time() >= ctx->expires) {
        ctx->result = NGX_HTTP_WEIR_JWT_REFUSED;
        ctx->reason = WEIR_TOKEN_EXPIRED;
        return;
    }

    revision = 0;

    ngx_http_weir_jwt_request_believe(ctx, ctx->expires,
                                      ctx->known ? &ctx->known->revision
                                                 : &revision);
}


ngx_uint_t
ngx_http_weir_jwt_is_private(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t            *cln;
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_jwt_request_cleanup) {
            continue;
        }

        ctx = cln->data;

        if (ctx->request == r && ctx->result == NGX_HTTP_WEIR_JWT_VERIFIED) {
            return 1;
        }
    }

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);

    if (jlcf->issuers == NULL) {
        return 0;
    }

    ctx = ngx_http_weir_jwt_request(r);

    return ctx == NULL || !jlcf->optional || jlcf->rules
           || ctx->result != NGX_HTTP_WEIR_JWT_ABSENT;
}


void
ngx_http_weir_jwt_request_cleanup(void *data)
{
    ngx_http_weir_jwt_ctx_t  *ctx = data;

    if (ctx->proof) {
        ngx_http_weir_jwt_bound_release(ctx);
    }

    if (ctx->known) {
        ngx_http_weir_jwt_known_release(ctx->known);
    }

    if (ctx->fresh) {
        ngx_http_weir_jwt_turn_leave(&ctx->fresh->turn);
        weir_token_release(&ctx->fresh->token);
    }
}
