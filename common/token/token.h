/*
 * A JSON Web Token (RFC 7519) in a JWS of compact form (RFC 7515 section 3.1), and what must hold
 * of it before it is believed (RFC 7515 section 5.2, RFC 7519 section 7.2, RFC 8725 section 3).
 *
 * Parsing believes nothing; weir_token_check() compares all that needs no cryptography with what is
 * known of the issuer, weir_token_verify() verifies the signature. A token is good if both say so.
 */
#ifndef WEIR_JSON_WEB_TOKEN_H
#define WEIR_JSON_WEB_TOKEN_H

#include "common/text/str.h"
#include "common/token/key/algorithm.h"
#include "common/token/key/jwks.h"
#include "common/token/reason.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define WEIR_TOKEN_MAX 16384       /* characters of a token */
#define WEIR_TOKEN_HEADER_MAX 2048 /* bytes of its header, as JSON */

typedef struct {
    weir_str_t signed_text; /* header, dot and payload, in the caller's text */
    json_t *header;
    json_t *claims;
    const weir_token_algorithm_t *algorithm;
    weir_str_t kid;       /* in header; data NULL: none */
    weir_str_t type;      /* typ, in header; data NULL: none */
    weir_str_t signature; /* in buffer */
    char *buffer;
} weir_token_t;

/* What is known of an issuer; all of it belongs to the caller. */
typedef struct {
    weir_str_t issuer;           /* value of iss */
    const weir_str_t *audiences; /* one of them must be in aud; n 0: aud is not compared */
    size_t n_audiences;
    unsigned algorithms; /* that it may use, as bits (algorithm.h) */
    int64_t leeway;      /* seconds by which clocks may differ */
    int64_t max_age;     /* seconds since iat; 0: any */
    weir_str_t type;     /* of its tokens, "at+jwt"; len 0: JWT, at+jwt, or none */
    weir_jwks_t keys;
} weir_token_issuer_t;

/*
 * Splits and decodes the token. The caller releases it with weir_token_release(), whatever the
 * result; the text must live until then. Unless the result is WEIR_TOKEN_OK, the token is empty.
 */
weir_token_reason_t weir_token_parse(weir_str_t text, weir_token_t *token);

/* The same for a proof, whose header brings its own key (jwk). */
weir_token_reason_t weir_token_parse_proof(weir_str_t text, weir_token_t *token);

void weir_token_release(weir_token_t *token);

/* True if typ is that type, with or without "application/" (RFC 7515 section 4.1.9). */
bool weir_token_is_type(const weir_token_t *token, weir_str_t type);

/* The value of iss, which lives as long as the token; data NULL: there is none. */
weir_str_t weir_token_issuer_of(const weir_token_t *token);

/*
 * Algorithm, type and claims of a parsed token. now is in seconds since the epoch; *expires becomes
 * the time from which on the result is WEIR_TOKEN_EXPIRED, leeway included.
 */
weir_token_reason_t weir_token_check(const weir_token_t *token, const weir_token_issuer_t *issuer,
                                     int64_t now, int64_t *expires);

/* The key of a parsed token: WEIR_TOKEN_OK if there is one, which costs little. */
weir_token_reason_t weir_token_has_key(const weir_token_t *token,
                                       const weir_token_issuer_t *issuer);

/* Key and signature of a parsed token whose algorithm the issuer may use. */
weir_token_reason_t weir_token_verify(const weir_token_t *token, const weir_token_issuer_t *issuer);

#endif
