/* Proofs that a client has the key of its token; see dpop.h. */

#include "common/token/dpop/dpop.h"

#include "common/token/base64url.h"
#include "common/token/claims.h"
#include "common/token/dpop/dpop_url.h"
#include "common/token/json.h"
#include "common/token/key/jwk.h"
#include "common/token/signature.h"

#include <openssl/evp.h>
#include <stdlib.h>

#define DIGEST 32
#define DIGEST_TEXT WEIR_BASE64URL_CHARS(DIGEST)

/* What the reasons of a token are called for a proof. */
static weir_token_reason_t reason_of(weir_token_reason_t reason)
{
    switch (reason) {
    case WEIR_TOKEN_OK:
    case WEIR_TOKEN_NO_MEMORY:
        return reason;
    case WEIR_TOKEN_BAD_ALGORITHM:
        return WEIR_TOKEN_PROOF_ALGORITHM;
    case WEIR_TOKEN_BRINGS_KEY:
        return WEIR_TOKEN_PROOF_KEY;
    default:
        return WEIR_TOKEN_PROOF_MALFORMED;
    }
}

static bool read_text(const json_t *claims, const char *name, weir_str_t *text)
{
    return weir_token_json_text(claims, name, text) && text->len > 0;
}

/* htu in memory of its own, written in one way. */
static weir_token_reason_t read_url(weir_dpop_t *dpop)
{
    weir_str_t htu;
    size_t origin;
    char *url;

    if (!read_text(dpop->token.claims, "htu", &htu))
        return WEIR_TOKEN_PROOF_MALFORMED;

    url = malloc(WEIR_DPOP_URL_MAX(htu.len));
    if (url == NULL)
        return WEIR_TOKEN_NO_MEMORY;

    dpop->url.data = url;

    return weir_dpop_url(htu, url, &dpop->url.len, &origin) ? WEIR_TOKEN_OK : WEIR_TOKEN_PROOF_URL;
}

/* RFC 9449 section 4.2 */
static weir_token_reason_t read_claims(weir_dpop_t *dpop)
{
    const json_t *claims = dpop->token.claims;

    if (!read_text(claims, "jti", &dpop->jti) || dpop->jti.len > WEIR_DPOP_JTI_MAX ||
        !read_text(claims, "htm", &dpop->method) || !weir_claims_issued(claims, &dpop->issued) ||
        !weir_token_json_text(claims, "ath", &dpop->ath) ||
        !weir_token_json_text(claims, "nonce", &dpop->nonce))
        return WEIR_TOKEN_PROOF_MALFORMED;

    return read_url(dpop);
}

/* The key is believed by its thumbprint only, so a secret one is refused before. */
static weir_token_reason_t read_key(weir_dpop_t *dpop)
{
    const json_t *jwk = json_object_get(dpop->token.header, "jwk");

    if (!json_is_object(jwk) || weir_jwk_is_secret(jwk) || !weir_thumbprint(jwk, dpop->key))
        return WEIR_TOKEN_PROOF_KEY;

    return WEIR_TOKEN_OK;
}

static weir_token_reason_t parse(weir_str_t text, weir_dpop_t *dpop)
{
    weir_token_reason_t reason;

    if (text.len > WEIR_DPOP_MAX)
        return WEIR_TOKEN_PROOF_MALFORMED;

    reason = reason_of(weir_token_parse_proof(text, &dpop->token));
    if (reason == WEIR_TOKEN_OK && !weir_token_is_type(&dpop->token, WEIR_STR("dpop+jwt")))
        reason = WEIR_TOKEN_PROOF_TYPE;
    if (reason == WEIR_TOKEN_OK)
        reason = read_key(dpop);
    if (reason == WEIR_TOKEN_OK)
        reason = read_claims(dpop);

    return reason;
}

weir_token_reason_t weir_dpop_parse(weir_str_t text, weir_dpop_t *dpop)
{
    weir_token_reason_t reason;

    *dpop = (weir_dpop_t){0};

    reason = parse(text, dpop);
    if (reason != WEIR_TOKEN_OK)
        weir_dpop_release(dpop);

    return reason;
}

void weir_dpop_release(weir_dpop_t *dpop)
{
    weir_token_release(&dpop->token);
    free((void *)(uintptr_t)dpop->url.data);
    *dpop = (weir_dpop_t){0};
}

/* One of the origins, and the same path. */
static weir_token_reason_t check_url(const weir_dpop_t *dpop, const weir_dpop_request_t *request)
{
    weir_token_reason_t reason = WEIR_TOKEN_PROOF_URL;
    size_t len, origin;
    weir_str_t whole;
    char *text, *url;

    for (size_t i = 0; i < request->n_origins && reason == WEIR_TOKEN_PROOF_URL; i++) {
        whole.len = request->origins[i].len + request->path.len;
        text = malloc(whole.len + WEIR_DPOP_URL_MAX(whole.len));
        if (text == NULL)
            return WEIR_TOKEN_NO_MEMORY;

        memcpy(text, request->origins[i].data, request->origins[i].len);
        if (request->path.len > 0)
            memcpy(text + request->origins[i].len, request->path.data, request->path.len);
        whole.data = text;
        url = text + whole.len;

        if (weir_dpop_url(whole, url, &len, &origin) &&
            weir_str_eq((weir_str_t){url, len}, dpop->url))
            reason = WEIR_TOKEN_OK;
        free(text);
    }

    return reason;
}

/* RFC 9449 section 4.2: ath is the SHA-256 of the token, in base64url. */
static bool is_token(weir_str_t ath, weir_str_t token)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    char text[DIGEST_TEXT];
    unsigned len = 0;

    if (ath.len != DIGEST_TEXT ||
        EVP_Digest(token.data, token.len, digest, &len, EVP_sha256(), NULL) != 1 || len != DIGEST)
        return false;

    (void)weir_base64url_encode(text, digest, DIGEST);

    return weir_str_eq(ath, (weir_str_t){text, DIGEST_TEXT});
}

weir_token_reason_t weir_dpop_check(const weir_dpop_t *dpop, const weir_dpop_request_t *request,
                                    const json_t *claims, int64_t now)
{
    weir_token_reason_t reason;

    if ((dpop->token.algorithm->bit & request->algorithms) == 0)
        return WEIR_TOKEN_PROOF_ALGORITHM;
    if (!weir_claims_are_bound_to_key(claims, dpop->key))
        return WEIR_TOKEN_PROOF_OTHER_KEY;
    if (!weir_str_eq(dpop->method, request->method))
        return WEIR_TOKEN_PROOF_METHOD;
    if (now > dpop->issued + request->window || now < dpop->issued - request->window)
        return WEIR_TOKEN_PROOF_TIME;

    reason = check_url(dpop, request);
    if (reason == WEIR_TOKEN_OK && !is_token(dpop->ath, request->token))
        reason = WEIR_TOKEN_PROOF_TOKEN;

    return reason;
}

weir_token_reason_t weir_dpop_verify(const weir_dpop_t *dpop)
{
    const json_t *jwk = json_object_get(dpop->token.header, "jwk");
    weir_token_reason_t reason = WEIR_TOKEN_PROOF_KEY;
    const char *why;
    weir_jwk_t key;

    switch (weir_jwk_read(jwk, &key, &why)) {
    case WEIR_JWK_USABLE:
        break;
    case WEIR_JWK_NO_MEMORY:
        return WEIR_TOKEN_NO_MEMORY;
    default:
        return WEIR_TOKEN_PROOF_KEY;
    }

    if ((key.algorithms & dpop->token.algorithm->bit) != 0)
        reason = weir_signature_is_good(key.pkey, dpop->token.algorithm, dpop->token.signed_text,
                                        dpop->token.signature)
                     ? WEIR_TOKEN_OK
                     : WEIR_TOKEN_PROOF_SIGNATURE;
    weir_jwk_release(&key);

    return reason;
}
