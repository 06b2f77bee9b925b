/* The thumbprint of a key: RFC 7638, with SHA-256; RFC 8037 section 2 for OKP. */
#ifndef WEIR_THUMBPRINT_H
#define WEIR_THUMBPRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#define WEIR_THUMBPRINT 32 /* bytes */

/*
 * The thumbprint of a JSON Web Key of kty RSA, EC or OKP. False if a member that it needs is
 * missing or has another character than those of base64url and of names of curves, or if OpenSSL
 * fails. Whether the key can be used is for weir_jwk_read() to say.
 */
bool weir_thumbprint(const json_t *jwk, uint8_t digest[WEIR_THUMBPRINT]);

#endif
