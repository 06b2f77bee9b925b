/*
 * Signatures of tokens: RFC 7518 sections 3.3 (RSASSA-PKCS1-v1_5), 3.4 (ECDSA) and 3.5
 * (RSASSA-PSS), RFC 8037 section 3.1 (EdDSA).
 */
#ifndef WEIR_TOKEN_SIGNATURE_H
#define WEIR_TOKEN_SIGNATURE_H

#include "common/text/str.h"
#include "common/token/key/algorithm.h"

#include <openssl/evp.h>
#include <stdbool.h>

#define WEIR_SIGNATURE_MAX 1024 /* bytes: that of RSA with 8192 bits */

/*
 * True if the signature of the text was made with the private part of that key, which must be one
 * for the algorithm. False also if OpenSSL has no memory. Leaves OpenSSL's queue of errors empty.
 */
bool weir_signature_is_good(EVP_PKEY *pkey, const weir_token_algorithm_t *algorithm,
                            weir_str_t text, weir_str_t signature);

#endif
