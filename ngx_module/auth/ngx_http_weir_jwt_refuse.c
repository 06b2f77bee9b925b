/*
 * Refusals: 401 without a good token, 403 if its claims do not suffice, 400 for
 * more than one token (RFC 6750 section 3.1), each with a challenge; and 503 if
 * it is not known whether the token is good.
 *
 * With "satisfy any" another module may still admit the request.  Then only the
 * status is returned, and nginx sends its own page if no module admits it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"
#include "http/ngx_http_weir.h"


static ngx_str_t *ngx_http_weir_jwt_refuse_describe(
    ngx_http_weir_jwt_ctx_t *ctx, weir_problem_t *problem);
static ngx_str_t *ngx_http_weir_jwt_refuse_token(ngx_http_weir_jwt_ctx_t *ctx,
    weir_problem_t *problem);
static ngx_int_t ngx_http_weir_jwt_refuse_unavailable(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_problem_t *problem);
static ngx_int_t ngx_http_weir_jwt_refuse_challenge(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, ngx_str_t *challenge);


static ngx_str_t  ngx_http_weir_jwt_authenticate =
                                             ngx_string("WWW-Authenticate");


ngx_int_t
ngx_http_weir_jwt_refuse(ngx_http_request_t *r, ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_str_t                 *challenge;
    weir_problem_t             problem;
    ngx_http_core_loc_conf_t  *clcf;

    ngx_memzero(&problem, sizeof(weir_problem_t));

    challenge = ngx_http_weir_jwt_refuse_describe(ctx, &problem);

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "weir_jwt refused the request: %s",
                  ctx->result == NGX_HTTP_WEIR_JWT_REFUSED
                  ? weir_token_reason_text(ctx->reason) : problem.title);

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (problem.status == NGX_HTTP_SERVICE_UNAVAILABLE) {

        if (clcf->satisfy != NGX_HTTP_SATISFY_ANY) {
            return ngx_http_weir_jwt_refuse_unavailable(r, ctx, &problem);
        }

        /* of any other status, other modules would not be asked */
        problem.status = NGX_HTTP_UNAUTHORIZED;
    }

    if (ngx_http_weir_jwt_refuse_challenge(r, ctx, challenge) != NGX_OK
        || (ctx->reason == WEIR_TOKEN_PROOF_NONCE
            && ngx_http_weir_jwt_dpop_add_nonce(r, ctx->main->dpop) != NGX_OK))
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (clcf->satisfy == NGX_HTTP_SATISFY_ANY
        && problem.status != NGX_HTTP_BAD_REQUEST)
    {
        return problem.status;
    }

    return ngx_http_weir_send_problem(r, &problem);
}


/* Fills the problem by the result; returns the challenge. */

static ngx_str_t *
ngx_http_weir_jwt_refuse_describe(ngx_http_weir_jwt_ctx_t *ctx,
    weir_problem_t *problem)
{
    ngx_http_weir_jwt_challenges_t  *challenges;

    challenges = &ctx->conf->challenges[ctx->scheme];

    switch (ctx->result) {

    case NGX_HTTP_WEIR_JWT_ABSENT:
        problem->status = NGX_HTTP_UNAUTHORIZED;
        problem->title = "Token required";
        problem->detail = WEIR_STR("The request has no token.");
        return &challenges->realm;

    case NGX_HTTP_WEIR_JWT_SEVERAL:
        problem->status = NGX_HTTP_BAD_REQUEST;
        problem->title = "Several tokens";
        problem->detail = WEIR_STR("The request has more than one token; send"
                                   " one.");
        return &challenges->invalid_request;

    case NGX_HTTP_WEIR_JWT_REFUSED:
        return ngx_http_weir_jwt_refuse_token(ctx, problem);

    default: /* NGX_HTTP_WEIR_JWT_VERIFIED */
        problem->status = NGX_HTTP_FORBIDDEN;
        problem->title = "Insufficient scope";
        problem->detail = WEIR_STR("The token does not permit this request.");
        return &challenges->insufficient_scope;
    }
}


/* The same for a token that is not believed, or of which nothing is known. */

static ngx_str_t *
ngx_http_weir_jwt_refuse_token(ngx_http_weir_jwt_ctx_t *ctx,
    weir_problem_t *problem)
{
    ngx_http_weir_jwt_challenges_t  *challenges;

    challenges = &ctx->conf->challenges[ctx->scheme];

    problem->status = NGX_HTTP_SERVICE_UNAVAILABLE;
    problem->title = "Token cannot be verified";

    switch (ctx->reason) {

    case WEIR_TOKEN_NO_KEYS:
        problem->detail = WEIR_STR("The keys of the token's issuer are not"
                                   " available now; retry after the time in"
                                   " Retry-After.");
        return &challenges->realm;

    case WEIR_TOKEN_NO_TURN:
        problem->detail = WEIR_STR("Too many tokens wait to be verified; retry"
                                   " after the time in Retry-After.");
        return &challenges->realm;

    case WEIR_TOKEN_STALE:
        problem->detail = WEIR_STR("It is not known now which tokens were"
                                   " revoked; retry after the time in"
                                   " Retry-After.");
        return &challenges->realm;

    case WEIR_TOKEN_PROOF_NO_ROOM:
        problem->detail = WEIR_STR("Too many proofs are in use; retry with"
                                   " another one after the time in"
                                   " Retry-After.");
        return &challenges->realm;

    default:
        break;
    }

    problem->status = NGX_HTTP_UNAUTHORIZED;

    if (ctx->reason == WEIR_TOKEN_PROOF_NONCE) {
        problem->title = "Nonce required";
        problem->detail = WEIR_STR("The proof needs the nonce that is in"
                                   " DPoP-Nonce.");
        return &challenges->use_nonce;
    }

    if (ctx->reason >= WEIR_TOKEN_PROOF_MISSING) {
        problem->title = "Invalid proof";
        problem->detail = WEIR_STR("The request has no proof for its token that"
                                   " is accepted here.");
        return &challenges->invalid_proof;
    }

    problem->title = "Invalid token";

    if (ctx->reason == WEIR_TOKEN_EXPIRED) {
        problem->detail = WEIR_STR("The token has expired.");
        return &challenges->expired_token;
    }

    problem->detail = WEIR_STR("The token is not one that is accepted here.");

    return &challenges->invalid_token;
}


/* 503; an error_page that is protected, too, has the header already. */

static ngx_int_t
ngx_http_weir_jwt_refuse_unavailable(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_problem_t *problem)
{
    time_t     retry;
    ngx_str_t  value;

    static ngx_str_t  name = ngx_string("Retry-After");

    if (ngx_http_weir_find_header(&r->headers_out.headers, &name) == NULL) {

        value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
        if (value.data == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        retry = ctx->reason == WEIR_TOKEN_NO_KEYS
                ? ngx_http_weir_jwt_keys_retry(ctx->issuer->source) : 1;

        value.len = ngx_sprintf(value.data, "%T", retry) - value.data;

        if (ngx_http_weir_add_header(r, &name, &value) == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    return ngx_http_weir_send_problem(r, problem);
}


/*
 * An error_page that is protected, too, is refused again: the same challenge is
 * not added twice.
 */

static ngx_int_t
ngx_http_weir_jwt_refuse_challenge(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, ngx_str_t *challenge)
{
    ngx_table_elt_t  *h;

    h = ngx_http_weir_find_header(&r->headers_out.headers,
                                  &ngx_http_weir_jwt_authenticate);

    if (h && h->value.len == challenge->len
        && ngx_strncmp(h->value.data, challenge->data, challenge->len) == 0)
    {
        return NGX_OK;
    }

    ctx->challenge = ngx_http_weir_add_header(r,
                                              &ngx_http_weir_jwt_authenticate,
                                              challenge);

    return ctx->challenge ? NGX_OK : NGX_ERROR;
}
