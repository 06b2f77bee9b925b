/*
 * Nonces of a server (RFC 9449 section 8): a time, and a MAC of it under a secret. So a server has
 * nothing to remember, and a client cannot make a proof for a later time.
 */
#ifndef WEIR_DPOP_NONCE_H
#define WEIR_DPOP_NONCE_H

#include "common/text/str.h"

#include <stdint.h>

#define WEIR_DPOP_NONCE 32        /* characters of a nonce */
#define WEIR_DPOP_NONCE_SECRET 32 /* bytes */

/* Writes the nonce of that time, in seconds since the epoch, without a NUL. */
void weir_dpop_nonce_make(const uint8_t secret[WEIR_DPOP_NONCE_SECRET], int64_t now,
                          char nonce[WEIR_DPOP_NONCE]);

/* Seconds since the nonce was made; -1: it was not made with that secret, or in the future. */
int64_t weir_dpop_nonce_age(const uint8_t secret[WEIR_DPOP_NONCE_SECRET], weir_str_t nonce,
                            int64_t now);

#endif
