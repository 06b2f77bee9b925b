/* The public keys of an issuer: a JWK Set, RFC 7517 section 5. */
#ifndef WEIR_JWKS_H
#define WEIR_JWKS_H

#include "common/text/str.h"
#include "common/token/key/algorithm.h"
#include "common/token/key/jwk.h"
#include "common/token/reason.h"

#define WEIR_JWKS_MAX (256 * 1024) /* bytes of a document */
#define WEIR_JWKS_KEYS_MAX 100     /* in a document */
#define WEIR_JWKS_WHY_MAX 256      /* bytes of a reason, with its NUL */

typedef struct {
    weir_jwk_t *keys;
    size_t n;
    size_t others; /* keys of the document that are left out: of another type or use */
} weir_jwks_t;

/*
 * Reads the document. False if it is no JWK Set, or if a key is malformed, too weak or secret, if
 * two keys of one type have the same kid, or if no key can be used: why then has the reason, which
 * contains no text of the document. The caller releases a set with weir_jwks_release().
 */
bool weir_jwks_parse(weir_str_t text, weir_jwks_t *set, char why[WEIR_JWKS_WHY_MAX]);

/*
 * The same in parts, for a loop that must not stand still: weir_jwks_read() reads the document
 * (some ms at most), then weir_jwks_check() is called for each key (weir_jwk_check()). If it is
 * false, the set must not be used. A document that was checked before need not be again.
 */
bool weir_jwks_read(weir_str_t text, weir_jwks_t *set, char why[WEIR_JWKS_WHY_MAX]);
bool weir_jwks_check(const weir_jwks_t *set, size_t i, char why[WEIR_JWKS_WHY_MAX]);

/* The algorithms that any key of the set may verify, as bits. */
unsigned weir_jwks_algorithms(const weir_jwks_t *set);

void weir_jwks_release(weir_jwks_t *set);

/*
 * The key with that kid that may verify the algorithm. Without a kid (data NULL) it is the only key
 * that may. Returns WEIR_TOKEN_OK, WEIR_TOKEN_UNKNOWN_KEY or WEIR_TOKEN_AMBIGUOUS_KEY.
 */
weir_token_reason_t weir_jwks_find(const weir_jwks_t *set, const weir_token_algorithm_t *algorithm,
                                   weir_str_t kid, const weir_jwk_t **key);

#endif
