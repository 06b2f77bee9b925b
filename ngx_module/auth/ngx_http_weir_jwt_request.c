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


ngx_http_weir_jwt_ctx_t *
ngx_http_weir_jwt_request(ngx_http_request_t *r)
{
    ngx_http_weir_jwt_ctx_t  *ctx;

    ctx = ngx_http_weir_jwt_request_ctx(r);

    /* the token, and then its proof */

    while (ctx && ctx->result == NGX_HTTP_WEIR_JWT_PENDING
           && ngx_http_weir_jwt_judge(ctx) != NGX_OK
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

    if (ngx_http_weir_jwt_judge(ctx) != NGX_OK) {

        turn = ctx->proof ? &ctx->proof->turn : &ctx->fresh->turn;
        wait = ctx->proof ? &ctx->proof->wait : &ctx->fresh->wait;

        rc = ngx_http_weir_jwt_turn_is_lost(turn, wait)
             ? NGX_BUSY
             : ngx_http_weir_jwt_turn_take(r, turn, wait);

        if (rc != NGX_BUSY) {
            return rc;
        }

        ngx_http_weir_jwt_turn_leave(turn);
        (void) ngx_http_weir_jwt_judge_end(ctx, WEIR_TOKEN_NO_TURN);
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

    /* the other fields become zero, without a call */

    *ctx = (ngx_http_weir_jwt_ctx_t) {
        .request = r,
        .conf = jlcf,
        .main = ngx_http_get_module_main_conf(r, ngx_http_weir_jwt_module)
    };

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
