/*
 * Why a token is refused. The reasons are for logs, metrics and tests; a client learns no more than
 * the errors of RFC 6750 section 3.1.
 */
#ifndef WEIR_TOKEN_REASON_H
#define WEIR_TOKEN_REASON_H

typedef enum {
    WEIR_TOKEN_OK = 0,
    WEIR_TOKEN_NO_MEMORY,      /* nothing is known about the token */
    WEIR_TOKEN_TOO_LARGE,      /* longer than WEIR_TOKEN_MAX, or a part than its limit */
    WEIR_TOKEN_NOT_COMPACT,    /* not three parts, or an empty one */
    WEIR_TOKEN_BAD_BASE64,     /* a part is no base64url */
    WEIR_TOKEN_BAD_HEADER,     /* the header is no JSON object, or a parameter has a wrong type */
    WEIR_TOKEN_BRINGS_KEY,     /* the header names or contains a key: jku, jwk, x5u, x5c */
    WEIR_TOKEN_CRITICAL,       /* the header has crit */
    WEIR_TOKEN_BAD_ALGORITHM,  /* alg is unknown, or not one that the issuer may use */
    WEIR_TOKEN_WRONG_TYPE,     /* typ is another than expected */
    WEIR_TOKEN_BAD_CLAIMS,     /* the payload is no JSON object, or a claim has a wrong type */
    WEIR_TOKEN_WRONG_ISSUER,   /* iss is missing or another */
    WEIR_TOKEN_WRONG_AUDIENCE, /* aud is missing, or names none that is expected */
    WEIR_TOKEN_NO_EXPIRY,      /* exp is missing */
    WEIR_TOKEN_EXPIRED,        /* exp has passed */
    WEIR_TOKEN_NOT_YET,        /* nbf is in the future */
    WEIR_TOKEN_FROM_FUTURE,    /* iat is in the future */
    WEIR_TOKEN_TOO_OLD,        /* iat is missing, or longer ago than the issuer's max_age */
    WEIR_TOKEN_UNKNOWN_KEY,    /* no key of the issuer has this kid and fits alg */
    WEIR_TOKEN_AMBIGUOUS_KEY,  /* there is no kid, and more than one key fits alg */
    WEIR_TOKEN_BAD_SIGNATURE,
    WEIR_TOKEN_NO_KEYS,  /* the issuer's keys are not known, so nothing is known about the token */
    WEIR_TOKEN_NO_TURN,  /* too many tokens wait to be verified, so nothing is known about it */
    WEIR_TOKEN_REVOKED,  /* by its jti, its sub, or because it was issued before a time */
    WEIR_TOKEN_OUTLIVES, /* iat is missing, or it lives longer than revocations are kept */
    WEIR_TOKEN_STALE,    /* it is not known which tokens are revoked */
    WEIR_TOKEN_BOUND,    /* to a key that the client has not proved to have */

    /* of the proof beside the token, RFC 9449 section 4.3 */
    WEIR_TOKEN_PROOF_MISSING,   /* there is no header DPoP */
    WEIR_TOKEN_PROOF_MALFORMED, /* it occurs twice, is no JWS, or lacks a claim */
    WEIR_TOKEN_PROOF_TYPE,      /* typ is not dpop+jwt */
    WEIR_TOKEN_PROOF_ALGORITHM, /* alg is unknown, or not one that is accepted */
    WEIR_TOKEN_PROOF_KEY,       /* jwk is missing, secret, or cannot be used for alg */
    WEIR_TOKEN_PROOF_OTHER_KEY, /* jwk is not the key of the token */
    WEIR_TOKEN_PROOF_METHOD,    /* htm is another method */
    WEIR_TOKEN_PROOF_URL,       /* htu is another URL */
    WEIR_TOKEN_PROOF_TIME,      /* iat is too long ago, or too far ahead */
    WEIR_TOKEN_PROOF_TOKEN,     /* ath is of another token */
    WEIR_TOKEN_PROOF_NONCE,     /* nonce is missing, not ours, or too old */
    WEIR_TOKEN_PROOF_SIGNATURE,
    WEIR_TOKEN_PROOF_REPLAYED, /* its jti was used before */
    WEIR_TOKEN_PROOF_NO_ROOM,  /* its jti cannot be remembered, so nothing is known about it */
    WEIR_TOKEN_REASONS
} weir_token_reason_t;

/* A constant text, "the token has expired" for example. */
const char *weir_token_reason_text(weir_token_reason_t reason);

/* A constant name in lower case with underscores, "expired" for example. */
const char *weir_token_reason_name(weir_token_reason_t reason);

#endif
