/*
 * The registered claims of a token (RFC 7519 section 4.1), compared with what is known of its
 * issuer; and what a location may require of its claims.
 */
#ifndef WEIR_TOKEN_CLAIMS_H
#define WEIR_TOKEN_CLAIMS_H

#include "common/text/str.h"
#include "common/token/reason.h"
#include "common/token/token.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* As weir_token_check(), for the claims alone. */
weir_token_reason_t weir_claims_check(const json_t *claims, const weir_token_issuer_t *issuer,
                                      int64_t now, int64_t *expires);

/* Characters of a name for weir_claim_find(). */
#define WEIR_CLAIM_NAME_MAX 255

/*
 * The claim of that name; or NULL. A dot of the name is part of it, or leads to the member of an
 * object: of all readings that the token has, the one whose first name is longest. So
 * "realm_access.roles" is the claim of that name, or if there is none, the member roles of
 * realm_access; and "https://a.example/roles" works as it is.
 */
const json_t *weir_claim_find(const json_t *claims, const char *name);

/*
 * True if the claim is that text, a number or boolean that is written so, or an array that contains
 * one of these.
 */
bool weir_claim_has(const json_t *claims, const char *name, weir_str_t value);

/*
 * True if the scopes of the token contain that one: scope (RFC 8693 section 4.2), which is a list
 * with spaces between its elements, or an array; or scp, as some issuers name it.
 */
bool weir_claims_have_scope(const json_t *claims, weir_str_t scope);

/*
 * The claim as text, without NUL and control characters: a string as it is, a number or boolean as
 * it is written in JSON, anything else as JSON with sorted members and no characters but ASCII.
 * False if there is no such claim, if it is null, if a string has control characters, or a space at
 * an end, or if there is no memory. The caller releases *text with free(), which has *len bytes and
 * a NUL behind them.
 */
bool weir_claim_text(const json_t *claim, char **text, size_t *len);

/* The time at which the token was issued (iat), in seconds, rounded down; false: there is none. */
bool weir_claims_issued(const json_t *claims, int64_t *seconds);

/* Bytes of a SHA-256 digest, and its characters in base64url. */
#define WEIR_CLAIMS_DIGEST 32
#define WEIR_CLAIMS_DIGEST_TEXT 43

/* True if the token is bound to a key of its holder (cnf, RFC 7800). */
bool weir_claims_are_bound(const json_t *claims);

/* True if it is bound to the certificate of that digest (RFC 8705 section 3.1). */
bool weir_claims_are_bound_to(const json_t *claims, const uint8_t digest[WEIR_CLAIMS_DIGEST]);

/* True if it is bound to a key for proofs (jkt, RFC 9449 section 6.1), whichever. */
bool weir_claims_need_proof(const json_t *claims);

/* True if it is bound to the key of that thumbprint (RFC 7638). */
bool weir_claims_are_bound_to_key(const json_t *claims, const uint8_t digest[WEIR_CLAIMS_DIGEST]);

#endif
