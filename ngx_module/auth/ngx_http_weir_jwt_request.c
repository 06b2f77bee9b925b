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


static ngx_http_weir_jwt_ctx_t *ngx_http_weir_jwt_request_ctx(
    ngx_http_request_t *r);
static ngx_http_weir_jwt_proof_t *ngx_http_weir_jwt_request_proof(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_jwt_request_turn(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_int_t ngx_http_weir_jwt_request_await_keys(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_int_t ngx_http_weir_jwt_request_judge(
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_jwt_request_is_known(
    ngx_http_weir_jwt_ctx_t *ctx);
static weir_token_reason_t ngx_http_weir_jwt_request_parse(
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_int_t ngx_http_weir_jwt_request_end(ngx_http_weir_jwt_ctx_t *ctx,
    weir_token_reason_t reason);
static weir_token_reason_t ngx_http_weir_jwt_request_is_revoked(
    ngx_http_weir_jwt_ctx_t *ctx, int64_t expires, uint64_t *revision);
static void ngx_http_weir_jwt_request_believe(ngx_http_weir_jwt_ctx_t *ctx,
    int64_t expires, uint64_t *revision);
static void ngx_http_weir_jwt_request_verify(ngx_http_weir_jwt_turn_t *turn);
static void ngx_http_weir_jwt_request_accept(ngx_http_weir_jwt_ctx_t *ctx);


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
    ngx_http_weir_jwt_ctx_t **result)
{
    ngx_int_t                 rc;
    ngx_http_weir_jwt_ctx_t  *ctx;

    ctx = ngx_http_weir_jwt_request_ctx(r);
    *result = ctx;

    if (ctx == NULL) {
        return NGX_ERROR;
    }

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
        (void) ngx_http_weir_jwt_request_end(ctx, WEIR_TOKEN_NO_TURN);
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


/* That of the request in its location, with the text of its token; NULL: no
   memory. */

static ngx_http_weir_jwt_ctx_t *
ngx_http_weir_jwt_request_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t            *cln;
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_jwt_module);

    if (ctx && ctx->conf == jlcf) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_jwt_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_jwt_ctx_t));
    ctx->request = r;
    ctx->conf = jlcf;
    ctx->main = ngx_http_get_module_main_conf(r, ngx_http_weir_jwt_module);

    if (jlcf->bound >= NGX_HTTP_WEIR_JWT_BOUND_DPOP) {
        ctx->earlier = ngx_http_weir_jwt_request_proof(r);
    }

    cln->handler = ngx_http_weir_jwt_request_cleanup;

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

static ngx_int_t
ngx_http_weir_jwt_request_judge(ngx_http_weir_jwt_ctx_t *ctx)
{
    weir_str_t                   keys;
    weir_token_reason_t          reason;
    ngx_http_weir_jwt_fresh_t   *fresh;
    ngx_http_weir_jwt_memory_t  *memory;

    if (ctx->result != NGX_HTTP_WEIR_JWT_PENDING) {
        return NGX_OK;
    }

    if (ctx->proof || ngx_http_weir_jwt_request_is_known(ctx)) {
        return ctx->result == NGX_HTTP_WEIR_JWT_PENDING ? NGX_DECLINED
                                                        : NGX_OK;
    }

    reason = ngx_http_weir_jwt_request_parse(ctx);
    fresh = ctx->fresh;

    if (reason == WEIR_TOKEN_OK) {
        reason = weir_token_check(&fresh->token, &ctx->issuer->token,
                                  ngx_time(), &fresh->expires);
    }

    if (reason == WEIR_TOKEN_OK
        && ngx_http_weir_jwt_keys_use(ctx->issuer->source, &ctx->generation)
           != NGX_OK)
    {
        reason = WEIR_TOKEN_NO_KEYS;
    }

    if (reason != WEIR_TOKEN_OK) {
        return ngx_http_weir_jwt_request_end(ctx, reason);
    }

    keys.data = (char *) ctx->issuer->keys;
    keys.len = sizeof(ctx->issuer->keys);

    memory = ctx->main->memory;
    weir_remembered_digest(memory->verified, keys, ctx->text,
                           fresh->digest);

    if (weir_remembered_has(memory->verified, fresh->digest)) {
        return ngx_http_weir_jwt_request_end(ctx, WEIR_TOKEN_OK);
    }

    if (weir_remembered_has(memory->refused, fresh->digest)) {
        return ngx_http_weir_jwt_request_end(ctx, WEIR_TOKEN_BAD_SIGNATURE);
    }

    reason = weir_token_has_key(&fresh->token, &ctx->issuer->token);

    return reason == WEIR_TOKEN_OK ? NGX_DECLINED
                               : ngx_http_weir_jwt_request_end(ctx, reason);
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
        || ngx_memcmp(known->keys, issuer->keys, sizeof(known->keys)) != 0)
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


/* Once for a request: it may be judged again when it has waited. */

static weir_token_reason_t
ngx_http_weir_jwt_request_parse(ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_uint_t                    i;
    weir_str_t                    iss;
    weir_token_reason_t           reason;
    ngx_http_weir_jwt_issuer_t  **issuers;

    if (ctx->fresh == NULL) {
        ctx->fresh = ngx_pcalloc(ctx->request->pool,
                                 sizeof(ngx_http_weir_jwt_fresh_t));
        if (ctx->fresh == NULL) {
            return WEIR_TOKEN_NO_MEMORY;
        }

        ctx->fresh->ctx = ctx;
        ctx->fresh->turn.verify = ngx_http_weir_jwt_request_verify;
    }

    if (ctx->fresh->token.claims) {
        return WEIR_TOKEN_OK;
    }

    reason = weir_token_parse(ctx->text, &ctx->fresh->token);
    if (reason != WEIR_TOKEN_OK) {
        return reason;
    }

    iss = weir_token_issuer_of(&ctx->fresh->token);
    issuers = ctx->conf->issuers->elts;

    /* the check names what is wrong if no issuer has that name */

    ctx->issuer = issuers[0];

    for (i = 1; i < ctx->conf->issuers->nelts; i++) {
        if (iss.data && weir_str_eq(issuers[i]->token.issuer, iss)) {
            ctx->issuer = issuers[i];
        }
    }

    return WEIR_TOKEN_OK;
}


/* NGX_OK, or NGX_DECLINED if a good token needs a proof. */

static ngx_int_t
ngx_http_weir_jwt_request_end(ngx_http_weir_jwt_ctx_t *ctx,
    weir_token_reason_t reason)
{
    if (reason == WEIR_TOKEN_OK) {
        ngx_http_weir_jwt_request_accept(ctx);

    } else {
        ctx->result = NGX_HTTP_WEIR_JWT_REFUSED;
        ctx->reason = reason;
    }

    return ctx->result == NGX_HTTP_WEIR_JWT_PENDING ? NGX_DECLINED : NGX_OK;
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

static void
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


/* Its turn has come; the same token may have been verified meanwhile. */

static void
ngx_http_weir_jwt_request_verify(ngx_http_weir_jwt_turn_t *turn)
{
    weir_token_reason_t          reason;
    ngx_http_weir_jwt_ctx_t     *ctx;
    ngx_http_weir_jwt_fresh_t   *fresh;
    ngx_http_weir_jwt_memory_t  *memory;

    fresh = (ngx_http_weir_jwt_fresh_t *)
                ((u_char *) turn - offsetof(ngx_http_weir_jwt_fresh_t, turn));
    ctx = fresh->ctx;

    if (ngx_http_weir_jwt_request_judge(ctx) == NGX_OK || ctx->proof) {
        return;
    }

    reason = weir_token_verify(&fresh->token, &ctx->issuer->token);
    memory = ctx->main->memory;

    if (reason == WEIR_TOKEN_OK) {
        weir_remembered_add(memory->verified, fresh->digest);

    } else if (reason == WEIR_TOKEN_BAD_SIGNATURE) {
        weir_remembered_add(memory->refused, fresh->digest);
    }

    (void) ngx_http_weir_jwt_request_end(ctx, reason);
}


/* This worker knows the token from now on; without memory, the request does. */

static void
ngx_http_weir_jwt_request_accept(ngx_http_weir_jwt_ctx_t *ctx)
{
    uint64_t                          revision;
    ngx_log_t                        *log;
    ngx_http_weir_jwt_known_t        *known;
    ngx_http_weir_jwt_fresh_t        *fresh;
    ngx_http_weir_jwt_known_table_t  *table;

    fresh = ctx->fresh;
    log = ctx->request->connection->log;

    ctx->claims = fresh->token.claims;

    if (ctx->main->known == NULL) {
        ctx->main->known = ngx_http_weir_jwt_known_create(log);
    }

    table = ctx->main->known;
    known = table ? ngx_http_weir_jwt_known_add(table, ctx->text,
                                                &fresh->token, log)
                  : NULL;
    if (known == NULL) {
        revision = 0;
        ngx_http_weir_jwt_request_believe(ctx, fresh->expires, &revision);
        return;
    }

    known->issuer = ctx->issuer;
    known->expires = fresh->expires;
    known->since = ngx_time();
    ngx_memcpy(known->keys, ctx->issuer->keys, sizeof(known->keys));

    ngx_http_weir_jwt_known_keep(known);
    ctx->known = known;

    ngx_http_weir_jwt_request_believe(ctx, fresh->expires, &known->revision);
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
