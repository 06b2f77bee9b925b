/*
 * Keys that sign tokens, and the tokens: a JWS of compact form (RFC 7515 section 3.1).
 *
 * The type of the key decides the algorithm: ES256 for a key on P-256 (RFC 7518 section 3.4), EdDSA
 * for Ed25519 (RFC 8037 section 3.1). Both have signatures of 64 bytes, so tokens with claims of
 * one length have one length.
 */
#ifndef WEIR_TOKEN_SIGN_H
#define WEIR_TOKEN_SIGN_H

#include "common/text/str.h"
#include "common/token/base64url.h"
#include "common/token/key/algorithm.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>

#define WEIR_SIGN_KEY_MAX 16384   /* bytes of a file with a key */
#define WEIR_SIGN_KID 43          /* characters of a kid: SHA-256 in base64url */
#define WEIR_SIGN_JWK_MAX 384     /* bytes of a public key as JSON, with its NUL */
#define WEIR_SIGN_TYPE_MAX 32     /* characters of typ */
#define WEIR_SIGN_SIGNATURE 64    /* bytes */
#define WEIR_SIGN_CLAIMS_MAX 8192 /* bytes of a token's claims */

/* Room for a token whose claims have n bytes. */
#define WEIR_SIGN_TOKEN_MAX(n)                                                                     \
    (WEIR_BASE64URL_CHARS(64 + WEIR_SIGN_KID + WEIR_SIGN_TYPE_MAX) + WEIR_BASE64URL_CHARS(n) +     \
     WEIR_BASE64URL_CHARS(WEIR_SIGN_SIGNATURE) + 2)

typedef struct {
    EVP_PKEY *pkey;
    const weir_token_algorithm_t *algorithm;
    bool is_private;             /* it can sign */
    char kid[WEIR_SIGN_KID + 1]; /* thumbprint of the public key: RFC 7638 */
    char jwk[WEIR_SIGN_JWK_MAX]; /* the public key: RFC 7517, with kid, alg and use */
} weir_signer_t;

/*
 * Reads the first key in a text of PEM: a private one in PKCS #8 (RFC 5958) without a password, or
 * a public one. Returns NULL, or a constant text that says why it cannot be used; nothing must be
 * released then. The caller releases a signer with weir_signer_release().
 */
const char *weir_signer_read(weir_signer_t *signer, weir_str_t pem);

void weir_signer_release(weir_signer_t *signer);

/*
 * The signature of a text, with a private key; false: OpenSSL has failed, for lack of memory for
 * example. Leaves OpenSSL's queue of errors empty. About 20 microseconds for ES256.
 */
bool weir_signer_sign(const weir_signer_t *signer, weir_str_t text,
                      uint8_t signature[WEIR_SIGN_SIGNATURE]);

/*
 * Writes the token with that typ and these claims, a JSON object, to out, which has room for
 * WEIR_SIGN_TOKEN_MAX(claims.len). Returns its length; 0: OpenSSL has failed, or the key is a
 * public one.
 */
size_t weir_signer_token(const weir_signer_t *signer, const char *type, weir_str_t claims,
                         char *out);

/*
 * Writes a JWK Set (RFC 7517 section 5) of these keys to out, at most size bytes with a NUL.
 * Returns its length without the NUL, which must be below size.
 */
size_t weir_signer_jwks(const weir_signer_t *const *signers, size_t n, char *out, size_t size);

#endif
