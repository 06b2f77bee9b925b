/*
 * A public key that verifies signatures, read from a JSON Web Key: RFC 7517 section 4, RFC 7518
 * sections 6.2.1 and 6.3.1, RFC 8037 section 2.
 *
 *   RSA   a modulus of 2048 to 8192 bits, an exponent from 65537 to 2^64
 *   EC    a point on P-256, P-384 or P-521
 *   OKP   Ed25519, Ed448
 */
#ifndef WEIR_JWK_H
#define WEIR_JWK_H

#include "common/text/str.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>

#define WEIR_JWK_RSA_MIN 2048 /* bits of a modulus */
#define WEIR_JWK_RSA_MAX 8192
#define WEIR_JWK_KID_MAX 256 /* bytes */

typedef struct {
    EVP_PKEY *pkey;
    unsigned algorithms; /* that it may verify, as bits (algorithm.h) */
    int has_kid;
    weir_str_t kid;  /* in the key's own memory */
    size_t position; /* in its set, from 1; 0: none */
} weir_jwk_t;

typedef enum {
    WEIR_JWK_USABLE,
    WEIR_JWK_OTHER, /* of another type, or for another use: to be left out (RFC 7517 section 5) */
    WEIR_JWK_WRONG, /* it must not be in a set of public keys */
    WEIR_JWK_NO_MEMORY
} weir_jwk_result_t;

/*
 * Reads the key. Sets *why to a constant text that says why it is not usable. The caller releases a
 * usable key with weir_jwk_release(), and believes it after weir_jwk_check().
 */
weir_jwk_result_t weir_jwk_read(const json_t *jwk, weir_jwk_t *key, const char **why);

/*
 * False if the modulus of an RSA key is even or prime: anybody could sign then. One exponentiation:
 * 2 ms of CPU for 2048 bits, 13 ms for 4096, 90 ms for 8192; nothing for other keys.
 */
bool weir_jwk_check(const weir_jwk_t *key, const char **why);

/* True if it has a secret part. */
bool weir_jwk_is_secret(const json_t *jwk);

void weir_jwk_release(weir_jwk_t *key);

#endif
