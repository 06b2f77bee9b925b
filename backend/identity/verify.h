/*
 * Verifies the tokens of weir_identity: a JWT of the edge that names the caller, and is bound to
 * the method and the path of one request, or to the beginning of paths (docs/guides/identity.md).
 * Plain C over common/token/, no libevent.
 *
 * An edge sends the same token for all requests of a second that it can say the same of, so
 * verified ones are kept: in a table of WEIR_VERIFIER_PLACES, in which a newer one takes the place
 * of an older one. Times and binding are compared for each request.
 */
#ifndef WEIR_VERIFY_H
#define WEIR_VERIFY_H

#include "common/text/str.h"
#include "common/token/key/jwks.h"
#include "http/caller/identity.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_VERIFIER_PLACES 1024
#define WEIR_VERIFIER_LEEWAY_S 5 /* by which the clocks of edge and backend may differ */
#define WEIR_VERIFIER_TYPE "weir-identity+jwt"

typedef struct weir_verifier weir_verifier_t;

/* The result for a token. */
typedef enum {
    WEIR_VERDICT_ACCEPTED,
    WEIR_VERDICT_MISSING,     /* there is none */
    WEIR_VERDICT_MALFORMED,   /* it is no token of an edge */
    WEIR_VERDICT_AUDIENCE,    /* it is of another issuer, or for another audience */
    WEIR_VERDICT_TIME,        /* it has expired, or is of the future */
    WEIR_VERDICT_BINDING,     /* it is bound to another method or path */
    WEIR_VERDICT_UNKNOWN_KEY, /* no key of the set has signed it */
    WEIR_VERDICT_SIGNATURE,   /* its signature is wrong */
    WEIR_VERDICT_NO_KEYS,     /* there are no keys yet */
    WEIR_VERDICTS
} weir_verdict_t;

/* A constant: "accepted", "unknown_key" …, for metrics and logs. */
const char *weir_verdict_name(weir_verdict_t verdict);

/*
 * callers: the issuers whose subjects and scopes are believed, with blanks between them; empty: all
 * that the edge believes. A caller with a token of another one is anonymous. The texts are copied.
 * There are no keys yet.
 */
weir_verifier_t *weir_verifier_new(const char *issuer, const char *audience, const char *callers);
void weir_verifier_free(weir_verifier_t *verifier);

/*
 * Replaces the keys by those of a JWK Set, and forgets what was verified with the old ones. False
 * if it cannot be used: why has the reason, and the old keys stay.
 */
bool weir_verifier_keys(weir_verifier_t *verifier, weir_str_t document,
                        char why[WEIR_JWKS_WHY_MAX]);

/*
 * Verifies the token (data NULL: there is none) of a request with that method and path, at that
 * time in seconds since 1970. If it is accepted, *identity becomes one that the caller owns.
 */
weir_verdict_t weir_verifier_check(weir_verifier_t *verifier, weir_str_t token, const char *method,
                                   weir_str_t path, int64_t now, weir_identity_t **identity);

#endif
