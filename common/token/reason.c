/* The texts of the reasons; see reason.h. */

#include "common/token/reason.h"

const char *weir_token_reason_text(weir_token_reason_t reason)
{
    static const char *const texts[WEIR_TOKEN_REASONS] = {
        [WEIR_TOKEN_OK] = "the token is good",
        [WEIR_TOKEN_NO_MEMORY] = "there is no memory to read the token",
        [WEIR_TOKEN_TOO_LARGE] = "the token is too large",
        [WEIR_TOKEN_NOT_COMPACT] = "the token does not have three parts",
        [WEIR_TOKEN_BAD_BASE64] = "a part of the token is no base64url",
        [WEIR_TOKEN_BAD_HEADER] = "the header of the token is malformed",
        [WEIR_TOKEN_BRINGS_KEY] = "the header of the token names a key of its own",
        [WEIR_TOKEN_CRITICAL] = "the header of the token has critical parameters",
        [WEIR_TOKEN_BAD_ALGORITHM] = "the algorithm of the token is not allowed",
        [WEIR_TOKEN_WRONG_TYPE] = "the type of the token is another",
        [WEIR_TOKEN_BAD_CLAIMS] = "the claims of the token are malformed",
        [WEIR_TOKEN_WRONG_ISSUER] = "the token is of another issuer",
        [WEIR_TOKEN_WRONG_AUDIENCE] = "the token is for another audience",
        [WEIR_TOKEN_NO_EXPIRY] = "the token never expires",
        [WEIR_TOKEN_EXPIRED] = "the token has expired",
        [WEIR_TOKEN_NOT_YET] = "the token is not valid yet",
        [WEIR_TOKEN_FROM_FUTURE] = "the token was issued in the future",
        [WEIR_TOKEN_TOO_OLD] = "the token was issued too long ago",
        [WEIR_TOKEN_UNKNOWN_KEY] = "the issuer has no such key",
        [WEIR_TOKEN_AMBIGUOUS_KEY] = "the token does not say which key it is signed with",
        [WEIR_TOKEN_BAD_SIGNATURE] = "the signature of the token is wrong",
        [WEIR_TOKEN_NO_KEYS] = "the keys of the issuer are not known",
        [WEIR_TOKEN_NO_TURN] = "too many tokens wait to be verified",
        [WEIR_TOKEN_REVOKED] = "the token was revoked",
        [WEIR_TOKEN_OUTLIVES] = "the token has no iat, or lives longer than revocations are kept",
        [WEIR_TOKEN_BOUND] = "the token is bound to another key, or to none",
        [WEIR_TOKEN_STALE] = "it is not known which tokens are revoked",
    };

    return texts[reason];
}

const char *weir_token_reason_name(weir_token_reason_t reason)
{
    static const char *const names[WEIR_TOKEN_REASONS] = {
        [WEIR_TOKEN_OK] = "ok",
        [WEIR_TOKEN_NO_MEMORY] = "no_memory",
        [WEIR_TOKEN_TOO_LARGE] = "too_large",
        [WEIR_TOKEN_NOT_COMPACT] = "not_compact",
        [WEIR_TOKEN_BAD_BASE64] = "bad_base64",
        [WEIR_TOKEN_BAD_HEADER] = "bad_header",
        [WEIR_TOKEN_BRINGS_KEY] = "brings_key",
        [WEIR_TOKEN_CRITICAL] = "critical",
        [WEIR_TOKEN_BAD_ALGORITHM] = "bad_algorithm",
        [WEIR_TOKEN_WRONG_TYPE] = "wrong_type",
        [WEIR_TOKEN_BAD_CLAIMS] = "bad_claims",
        [WEIR_TOKEN_WRONG_ISSUER] = "wrong_issuer",
        [WEIR_TOKEN_WRONG_AUDIENCE] = "wrong_audience",
        [WEIR_TOKEN_NO_EXPIRY] = "no_expiry",
        [WEIR_TOKEN_EXPIRED] = "expired",
        [WEIR_TOKEN_NOT_YET] = "not_yet",
        [WEIR_TOKEN_FROM_FUTURE] = "from_future",
        [WEIR_TOKEN_TOO_OLD] = "too_old",
        [WEIR_TOKEN_UNKNOWN_KEY] = "unknown_key",
        [WEIR_TOKEN_AMBIGUOUS_KEY] = "ambiguous_key",
        [WEIR_TOKEN_BAD_SIGNATURE] = "bad_signature",
        [WEIR_TOKEN_NO_KEYS] = "no_keys",
        [WEIR_TOKEN_NO_TURN] = "no_turn",
        [WEIR_TOKEN_REVOKED] = "revoked",
        [WEIR_TOKEN_OUTLIVES] = "outlives",
        [WEIR_TOKEN_BOUND] = "bound",
        [WEIR_TOKEN_STALE] = "revocations_unknown",
    };

    return names[reason];
}
