/* Tokens that are bound to a key of their holder (cnf, RFC 7800). */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"


static ngx_uint_t ngx_http_weir_jwt_bound_to_certificate(
    ngx_http_request_t *r, const json_t *claims);
static ngx_int_t ngx_http_weir_jwt_bound_to_key(ngx_http_weir_jwt_ctx_t *ctx);
static weir_token_reason_t ngx_http_weir_jwt_bound_read_proof(
    ngx_http_weir_jwt_ctx_t *ctx);
static weir_token_reason_t ngx_http_weir_jwt_bound_check_proof(
    ngx_http_weir_jwt_ctx_t *ctx);
static void ngx_http_weir_jwt_bound_verify(ngx_http_weir_jwt_turn_t *turn);


ngx_int_t
ngx_http_weir_jwt_bound(ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_uint_t  good;

    switch (ctx->conf->bound) {

    case NGX_HTTP_WEIR_JWT_BOUND_CERTIFICATE:
        good = ngx_http_weir_jwt_bound_to_certificate(ctx->request,
                                                      ctx->claims);
        break;

    case NGX_HTTP_WEIR_JWT_BOUND_REFUSE:
        good = !weir_claims_are_bound(ctx->claims);
        break;

    case NGX_HTTP_WEIR_JWT_BOUND_DPOP_OR_NONE:
        if (!weir_claims_are_bound(ctx->claims)
            && ctx->scheme != NGX_HTTP_WEIR_JWT_DPOP)
        {
            return NGX_OK;
        }

        /* fall through */

    case NGX_HTTP_WEIR_JWT_BOUND_DPOP:

        /* one that is sent as a Bearer token proves nothing */

        if (ctx->scheme == NGX_HTTP_WEIR_JWT_DPOP
            && weir_claims_need_proof(ctx->claims))
        {
            return ngx_http_weir_jwt_bound_to_key(ctx);
        }

        good = 0;
        break;

    default: /* NGX_HTTP_WEIR_JWT_BOUND_IGNORE */
        return NGX_OK;
    }

    if (!good) {
        ctx->reason = WEIR_TOKEN_BOUND;
    }

    return good ? NGX_OK : NGX_ABORT;
}


/*
 * RFC 8705 section 3: the handshake has proved that the client has the key of
 * its certificate.  Whether the certificate was verified does not matter here.
 */

static ngx_uint_t
ngx_http_weir_jwt_bound_to_certificate(ngx_http_request_t *r,
    const json_t *claims)
{
#if (NGX_HTTP_SSL)
    u_char        digest[EVP_MAX_MD_SIZE];
    X509         *cert;
    ngx_uint_t    same;
    unsigned int  len;

    if (r->connection->ssl == NULL) {
        return 0;
    }

    cert = SSL_get_peer_certificate(r->connection->ssl->connection);
    if (cert == NULL) {
        return 0;
    }

    same = X509_digest(cert, EVP_sha256(), digest, &len)
           && len == WEIR_CLAIMS_DIGEST
           && weir_claims_are_bound_to(claims, digest);

    X509_free(cert);

    return same;
#else
    return 0;
#endif
}


/*
 * RFC 9449 section 7: a proof of this request.  What costs little is compared
 * now; its signature waits for its turn.  A proof that was verified for the
 * request stays good when it comes to another location.
 */

static ngx_int_t
ngx_http_weir_jwt_bound_to_key(ngx_http_weir_jwt_ctx_t *ctx)
{
    weir_token_reason_t         reason;
    ngx_http_weir_jwt_proof_t  *proof;

    if (ctx->proof == NULL && ctx->earlier
        && weir_str_eq(ctx->earlier->text, ctx->text))
    {
        ctx->proof = ctx->earlier;
    }

    if (ctx->proof == NULL) {
        reason = ngx_http_weir_jwt_bound_read_proof(ctx);

        if (reason != WEIR_TOKEN_OK) {
            ctx->reason = reason;
            return NGX_ABORT;
        }
    }

    proof = ctx->proof;

    switch (proof->state) {

    case NGX_HTTP_WEIR_JWT_PROOF_GOOD:
        return NGX_OK;

    case NGX_HTTP_WEIR_JWT_PROOF_REFUSED:
        reason = proof->reason;
        break;

    default: /* NGX_HTTP_WEIR_JWT_PROOF_READ */
        reason = ngx_http_weir_jwt_bound_check_proof(ctx);
        break;
    }

    if (reason != WEIR_TOKEN_OK) {
        ctx->reason = reason;
        return NGX_ABORT;
    }

    proof->ctx = ctx;

    return NGX_AGAIN;
}


static weir_token_reason_t
ngx_http_weir_jwt_bound_read_proof(ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_uint_t                  n;
    weir_str_t                  text;
    weir_token_reason_t         reason;
    ngx_http_weir_jwt_proof_t  *proof;

    static ngx_str_t  name = ngx_string("dpop");

    n = ngx_http_weir_jwt_find_lines(ctx->request, &name, &text);

    if (n != 1) {
        return n ? WEIR_TOKEN_PROOF_MALFORMED : WEIR_TOKEN_PROOF_MISSING;
    }

    proof = ngx_pcalloc(ctx->request->pool, sizeof(ngx_http_weir_jwt_proof_t));
    if (proof == NULL) {
        return WEIR_TOKEN_NO_MEMORY;
    }

    reason = weir_dpop_parse(text, &proof->proof);

    if (reason == WEIR_TOKEN_OK) {
        proof->owner = ctx;
        proof->text = ctx->text;
        proof->turn.verify = ngx_http_weir_jwt_bound_verify;
        ctx->proof = proof;
    }

    return reason;
}


static weir_token_reason_t
ngx_http_weir_jwt_bound_check_proof(ngx_http_weir_jwt_ctx_t *ctx)
{
    time_t                          now;
    int64_t                         age;
    weir_dpop_t                    *proof;
    weir_dpop_request_t             request;
    weir_token_reason_t             reason;
    ngx_http_weir_jwt_dpop_conf_t  *conf;

    now = ngx_time();
    conf = ctx->conf->dpop;
    proof = &ctx->proof->proof;

    if (ngx_http_weir_jwt_dpop_request(ctx->request, conf, ctx->conf->names,
                                      ctx->text, &request)
        != NGX_OK)
    {
        return WEIR_TOKEN_NO_MEMORY;
    }

    reason = weir_dpop_check(proof, &request, ctx->claims, now);

    if (reason != WEIR_TOKEN_OK) {
        return reason;
    }

    if (conf->nonce) {
        age = weir_dpop_nonce_age(ctx->main->dpop->secret, proof->nonce, now);

        if (age < 0 || age > conf->nonce) {
            return WEIR_TOKEN_PROOF_NONCE;
        }
    }

    return ngx_http_weir_jwt_dpop_is_used(ctx->main->dpop, proof)
           ? WEIR_TOKEN_PROOF_REPLAYED : WEIR_TOKEN_OK;
}


/*
 * Its turn has come.  It is remembered as long as any location would accept its
 * age.
 */

static void
ngx_http_weir_jwt_bound_verify(ngx_http_weir_jwt_turn_t *turn)
{
    ngx_http_weir_jwt_ctx_t    *ctx;
    ngx_http_weir_jwt_proof_t  *proof;

    proof = (ngx_http_weir_jwt_proof_t *)
                ((u_char *) turn - offsetof(ngx_http_weir_jwt_proof_t, turn));
    ctx = proof->ctx;

    proof->reason = weir_dpop_verify(&proof->proof);

    if (proof->reason == WEIR_TOKEN_OK) {
        proof->reason = ngx_http_weir_jwt_dpop_use(ctx->main->dpop,
                                                   &proof->proof,
                                                   proof->proof.issued
                                                   + ctx->main->window + 1);
    }

    ctx->reason = proof->reason;

    if (proof->reason == WEIR_TOKEN_OK) {
        proof->state = NGX_HTTP_WEIR_JWT_PROOF_GOOD;
        ctx->result = NGX_HTTP_WEIR_JWT_VERIFIED;

    } else {
        proof->state = NGX_HTTP_WEIR_JWT_PROOF_REFUSED;
        ctx->result = NGX_HTTP_WEIR_JWT_REFUSED;
    }
}


ngx_int_t
ngx_http_weir_jwt_bound_renew(ngx_http_weir_jwt_ctx_t *ctx)
{
    int64_t                         age;
    ngx_http_weir_jwt_dpop_conf_t  *conf;

    conf = ctx->conf->dpop;

    if (ctx->proof == NULL || conf == NULL || conf->nonce == 0) {
        return NGX_OK;
    }

    age = weir_dpop_nonce_age(ctx->main->dpop->secret,
                              ctx->proof->proof.nonce, ngx_time());

    return age < 0 || age > conf->nonce / 2
           ? ngx_http_weir_jwt_dpop_add_nonce(ctx->request, ctx->main->dpop)
           : NGX_OK;
}


void
ngx_http_weir_jwt_bound_release(ngx_http_weir_jwt_ctx_t *ctx)
{
    if (ctx->proof && ctx->proof->owner == ctx) {
        ngx_http_weir_jwt_turn_leave(&ctx->proof->turn);
        weir_dpop_release(&ctx->proof->proof);
    }
}
