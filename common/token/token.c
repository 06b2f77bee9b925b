/*
 * Parsing of a token: RFC 7515 section 5.2, steps 1 to 5; and its signature. See token.h.
 *
 * The parameters of the header that would let the token choose its own key (jku, jwk, x5u, x5c, RFC
 * 7515 section 4.1) may be ignored, but no issuer that is configured with its keys has a use for
 * them, so a token that has one is refused. crit (section 4.1.11) is always refused: no extension
 * is supported.
 */

#include "common/token/token.h"

#include "common/token/base64url.h"
#include "common/token/claims.h"
#include "common/token/json.h"
#include "common/token/signature.h"

#include <stdlib.h>

typedef struct {
    weir_str_t header, payload, signature;
} parts_t;

static bool split(weir_str_t text, parts_t *parts)
{
    const char *first, *second, *end = text.data + text.len;

    first = memchr(text.data, '.', text.len);
    if (first == NULL)
        return false;
    second = memchr(first + 1, '.', (size_t)(end - first - 1));
    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
        return false;

    parts->header = (weir_str_t){text.data, (size_t)(first - text.data)};
    parts->payload = (weir_str_t){first + 1, (size_t)(second - first - 1)};
    parts->signature = (weir_str_t){second + 1, (size_t)(end - second - 1)};

    return parts->header.len > 0 && parts->payload.len > 0 && parts->signature.len > 0;
}

/* Decodes a part to *at, and moves *at behind it. */
static bool decode(weir_str_t part, char **at, weir_str_t *decoded)
{
    decoded->data = *at;
    if (!weir_base64url_decode(part, (uint8_t *)*at, &decoded->len))
        return false;
    *at += decoded->len;

    return true;
}

/* RFC 7515 section 4.1 */
static weir_token_reason_t read_header(weir_token_t *token, bool is_proof)
{
    static const char *const keys[] = {"jku", "x5u", "x5c", "jwk"};
    size_t n = sizeof(keys) / sizeof(keys[0]) - (is_proof ? 1 : 0);
    weir_str_t alg;

    if (!weir_token_json_text(token->header, "alg", &alg) || alg.data == NULL ||
        !weir_token_json_text(token->header, "kid", &token->kid) ||
        !weir_token_json_text(token->header, "typ", &token->type))
        return WEIR_TOKEN_BAD_HEADER;

    for (size_t i = 0; i < n; i++) {
        if (json_object_get(token->header, keys[i]) != NULL)
            return WEIR_TOKEN_BRINGS_KEY;
    }

    if (json_object_get(token->header, "crit") != NULL)
        return WEIR_TOKEN_CRITICAL;

    token->algorithm = weir_token_algorithm(alg);

    return token->algorithm != NULL ? WEIR_TOKEN_OK : WEIR_TOKEN_BAD_ALGORITHM;
}

static weir_token_reason_t read_json(weir_str_t text, json_t **object,
                                     weir_token_reason_t otherwise)
{
    json_error_t why;

    *object = weir_token_json(text, &why);
    if (*object != NULL)
        return WEIR_TOKEN_OK;

    return weir_token_json_no_memory(&why) ? WEIR_TOKEN_NO_MEMORY : otherwise;
}

static weir_token_reason_t parse(weir_str_t text, bool is_proof, weir_token_t *token)
{
    weir_token_reason_t reason;
    weir_str_t header, payload;
    parts_t parts;
    char *at;

    if (text.len > WEIR_TOKEN_MAX)
        return WEIR_TOKEN_TOO_LARGE;
    if (text.len == 0 || !split(text, &parts))
        return WEIR_TOKEN_NOT_COMPACT;
    if (WEIR_BASE64URL_BYTES(parts.header.len) > WEIR_TOKEN_HEADER_MAX ||
        WEIR_BASE64URL_BYTES(parts.signature.len) > WEIR_SIGNATURE_MAX)
        return WEIR_TOKEN_TOO_LARGE;

    token->buffer = at = malloc(WEIR_BASE64URL_BYTES(text.len));
    if (at == NULL)
        return WEIR_TOKEN_NO_MEMORY;
    if (!decode(parts.header, &at, &header) || !decode(parts.payload, &at, &payload) ||
        !decode(parts.signature, &at, &token->signature))
        return WEIR_TOKEN_BAD_BASE64;

    reason = read_json(header, &token->header, WEIR_TOKEN_BAD_HEADER);
    if (reason == WEIR_TOKEN_OK)
        reason = read_header(token, is_proof);
    if (reason == WEIR_TOKEN_OK)
        reason = read_json(payload, &token->claims, WEIR_TOKEN_BAD_CLAIMS);
    token->signed_text = (weir_str_t){text.data, parts.header.len + 1 + parts.payload.len};

    return reason;
}

static weir_token_reason_t parse_or_release(weir_str_t text, bool is_proof, weir_token_t *token)
{
    weir_token_reason_t reason;

    *token = (weir_token_t){0};

    reason = parse(text, is_proof, token);
    if (reason != WEIR_TOKEN_OK)
        weir_token_release(token);

    return reason;
}

weir_token_reason_t weir_token_parse(weir_str_t text, weir_token_t *token)
{
    return parse_or_release(text, false, token);
}

weir_token_reason_t weir_token_parse_proof(weir_str_t text, weir_token_t *token)
{
    return parse_or_release(text, true, token);
}

void weir_token_release(weir_token_t *token)
{
    json_decref(token->header);
    json_decref(token->claims);
    free(token->buffer);
    *token = (weir_token_t){0};
}

weir_str_t weir_token_issuer_of(const weir_token_t *token)
{
    weir_str_t issuer;

    (void)weir_token_json_text(token->claims, "iss", &issuer);

    return issuer;
}

/* RFC 8725 section 3.11, RFC 7515 section 4.1.9: "application/" may be left out. */
static bool is_type(weir_str_t type, weir_str_t expected)
{
    static const char prefix[] = "application/";
    size_t len = sizeof(prefix) - 1;

    if (type.len > len && weir_str_caseeq((weir_str_t){type.data, len}, weir_str(prefix)))
        type = (weir_str_t){type.data + len, type.len - len};

    return weir_str_caseeq(type, expected);
}

bool weir_token_is_type(const weir_token_t *token, weir_str_t type)
{
    return is_type(token->type, type);
}

static bool has_type(const weir_token_t *token, const weir_token_issuer_t *issuer)
{
    if (issuer->type.len > 0)
        return is_type(token->type, issuer->type);

    return token->type.data == NULL || is_type(token->type, WEIR_STR("JWT")) ||
           is_type(token->type, WEIR_STR("at+jwt"));
}

weir_token_reason_t weir_token_check(const weir_token_t *token, const weir_token_issuer_t *issuer,
                                     int64_t now, int64_t *expires)
{
    if ((token->algorithm->bit & issuer->algorithms) == 0)
        return WEIR_TOKEN_BAD_ALGORITHM;
    if (!has_type(token, issuer))
        return WEIR_TOKEN_WRONG_TYPE;

    return weir_claims_check(token->claims, issuer, now, expires);
}

weir_token_reason_t weir_token_has_key(const weir_token_t *token, const weir_token_issuer_t *issuer)
{
    const weir_jwk_t *key;

    return weir_jwks_find(&issuer->keys, token->algorithm, token->kid, &key);
}

weir_token_reason_t weir_token_verify(const weir_token_t *token, const weir_token_issuer_t *issuer)
{
    const weir_jwk_t *key;
    weir_token_reason_t reason;

    reason = weir_jwks_find(&issuer->keys, token->algorithm, token->kid, &key);
    if (reason != WEIR_TOKEN_OK)
        return reason;

    return weir_signature_is_good(key->pkey, token->algorithm, token->signed_text, token->signature)
               ? WEIR_TOKEN_OK
               : WEIR_TOKEN_BAD_SIGNATURE;
}
