/*
 * Whether a token is believed.  One that this worker does not know is parsed and
 * checked; if no worker has verified or refused it, its signature waits for its
 * turn.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"


static ngx_int_t ngx_http_weir_jwt_judge_fresh(ngx_http_weir_jwt_ctx_t *ctx);
static weir_token_reason_t ngx_http_weir_jwt_judge_parse(
    ngx_http_weir_jwt_ctx_t *ctx);
static void ngx_http_weir_jwt_judge_verify(ngx_http_weir_jwt_turn_t *turn);
static void ngx_http_weir_jwt_judge_accept(ngx_http_weir_jwt_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_jwt_judge_is_known(
    ngx_http_weir_jwt_ctx_t *ctx);
static weir_token_reason_t ngx_http_weir_jwt_judge_is_revoked(
    ngx_http_weir_jwt_ctx_t *ctx, int64_t expires, uint64_t *revision);
static void ngx_http_weir_jwt_judge_believe(ngx_http_weir_jwt_ctx_t *ctx,
    int64_t expires, uint64_t *revision);


ngx_int_t
ngx_http_weir_jwt_judge(ngx_http_weir_jwt_ctx_t *ctx)
{
    if (ctx->result != NGX_HTTP_WEIR_JWT_PENDING) {
        return NGX_OK;
    }

    if (ctx->proof == NULL && !ngx_http_weir_jwt_judge_is_known(ctx)) {
        return ngx_http_weir_jwt_judge_fresh(ctx);
    }

    return ctx->result == NGX_HTTP_WEIR_JWT_PENDING ? NGX_DECLINED : NGX_OK;
}


/* A token that this worker has parsed, and that is still good. */

static ngx_uint_t
ngx_http_weir_jwt_judge_is_known(ngx_http_weir_jwt_ctx_t *ctx)
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

    ngx_http_weir_jwt_judge_believe(ctx, known->expires, &known->revision);

    return 1;
}


static ngx_int_t
ngx_http_weir_jwt_judge_fresh(ngx_http_weir_jwt_ctx_t *ctx)
{
    weir_str_t                   keys;
    weir_token_reason_t          reason;
    ngx_http_weir_jwt_fresh_t   *fresh;
    ngx_http_weir_jwt_memory_t  *memory;

    reason = ngx_http_weir_jwt_judge_parse(ctx);
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
        return ngx_http_weir_jwt_judge_end(ctx, reason);
    }

    keys.data = (char *) ctx->issuer->keys;
    keys.len = sizeof(ctx->issuer->keys);

    memory = ctx->main->memory;
    weir_remembered_digest(memory->verified, keys, ctx->text,
                           fresh->digest);

    if (weir_remembered_has(memory->verified, fresh->digest)) {
        return ngx_http_weir_jwt_judge_end(ctx, WEIR_TOKEN_OK);
    }

    if (weir_remembered_has(memory->refused, fresh->digest)) {
        return ngx_http_weir_jwt_judge_end(ctx, WEIR_TOKEN_BAD_SIGNATURE);
    }

    reason = weir_token_has_key(&fresh->token, &ctx->issuer->token);

    return reason == WEIR_TOKEN_OK ? NGX_DECLINED
                               : ngx_http_weir_jwt_judge_end(ctx, reason);
}


/* Once for a request: it may be judged again when it has waited. */

static weir_token_reason_t
ngx_http_weir_jwt_judge_parse(ngx_http_weir_jwt_ctx_t *ctx)
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
        ctx->fresh->turn.verify = ngx_http_weir_jwt_judge_verify;
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


ngx_int_t
ngx_http_weir_jwt_judge_end(ngx_http_weir_jwt_ctx_t *ctx,
    weir_token_reason_t reason)
{
    if (reason == WEIR_TOKEN_OK) {
        ngx_http_weir_jwt_judge_accept(ctx);

    } else {
        ctx->result = NGX_HTTP_WEIR_JWT_REFUSED;
        ctx->reason = reason;
    }

    return ctx->result == NGX_HTTP_WEIR_JWT_PENDING ? NGX_DECLINED : NGX_OK;
}


/* Its turn has come; the same token may have been verified meanwhile. */

static void
ngx_http_weir_jwt_judge_verify(ngx_http_weir_jwt_turn_t *turn)
{
    weir_token_reason_t          reason;
    ngx_http_weir_jwt_ctx_t     *ctx;
    ngx_http_weir_jwt_fresh_t   *fresh;
    ngx_http_weir_jwt_memory_t  *memory;

    fresh = (ngx_http_weir_jwt_fresh_t *)
                ((u_char *) turn - offsetof(ngx_http_weir_jwt_fresh_t, turn));
    ctx = fresh->ctx;

    if (ngx_http_weir_jwt_judge(ctx) == NGX_OK || ctx->proof) {
        return;
    }

    reason = weir_token_verify(&fresh->token, &ctx->issuer->token);
    memory = ctx->main->memory;

    if (reason == WEIR_TOKEN_OK) {
        weir_remembered_add(memory->verified, fresh->digest);

    } else if (reason == WEIR_TOKEN_BAD_SIGNATURE) {
        weir_remembered_add(memory->refused, fresh->digest);
    }

    (void) ngx_http_weir_jwt_judge_end(ctx, reason);
}


/* This worker knows the token from now on; without memory, the request does. */

static void
ngx_http_weir_jwt_judge_accept(ngx_http_weir_jwt_ctx_t *ctx)
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
        ngx_http_weir_jwt_judge_believe(ctx, fresh->expires, &revision);
        return;
    }

    known->issuer = ctx->issuer;
    known->expires = fresh->expires;
    known->since = ngx_time();
    known->generation = ctx->generation;

    ngx_http_weir_jwt_known_keep(known);
    ctx->known = known;

    ngx_http_weir_jwt_judge_believe(ctx, fresh->expires, &known->revision);
}


/* WEIR_TOKEN_OK, or why a good token is refused by weir_jwt_revocation. */

static weir_token_reason_t
ngx_http_weir_jwt_judge_is_revoked(ngx_http_weir_jwt_ctx_t *ctx,
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
ngx_http_weir_jwt_judge_believe(ngx_http_weir_jwt_ctx_t *ctx,
    int64_t expires, uint64_t *revision)
{
    ctx->expires = expires;
    ctx->reason = ngx_http_weir_jwt_judge_is_revoked(ctx, expires, revision);

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
ngx_http_weir_jwt_judge_holds(ngx_http_weir_jwt_ctx_t *ctx)
{
    uint64_t  revision;

    revision = 0;

    return ngx_time() < ctx->expires
           && ngx_http_weir_jwt_judge_is_revoked(ctx, ctx->expires, &revision)
              == WEIR_TOKEN_OK;
}


void
ngx_http_weir_jwt_judge_recheck(ngx_http_weir_jwt_ctx_t *ctx)
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

    ngx_http_weir_jwt_judge_believe(ctx, ctx->expires,
                                      ctx->known ? &ctx->known->revision
                                                 : &revision);
}
