/*
 * Tokens whose signature was verified before: a table of keyed digests of fixed size, in which a
 * newer one takes the place of an older one. It has no claims and no times, so these are compared
 * each time; it only saves the verification of a signature.
 *
 * The digest is a MAC of the token and of its issuer's keys, under a secret of the process. So
 * nobody can find another token with the digest of a good one, and a change of the keys forgets the
 * tokens that were signed with the previous ones.
 */
#ifndef WEIR_REMEMBERED_H
#define WEIR_REMEMBERED_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_REMEMBERED_DIGEST 32 /* bytes */
#define WEIR_REMEMBERED_SETS 1024 /* a power of two */
#define WEIR_REMEMBERED_WAYS 4    /* digests in a set */

typedef struct {
    uint8_t secret[32];
    uint8_t digests[WEIR_REMEMBERED_SETS][WEIR_REMEMBERED_WAYS][WEIR_REMEMBERED_DIGEST];
} weir_remembered_t;

/* Forgets everything, and takes a new secret. */
void weir_remembered_init(weir_remembered_t *remembered);

/* The digest of a token; keys is the digest of its issuer's keys. */
void weir_remembered_digest(const weir_remembered_t *remembered, weir_str_t keys, weir_str_t token,
                            uint8_t digest[WEIR_REMEMBERED_DIGEST]);

bool weir_remembered_has(const weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST]);

/* Adds a digest that is not in the table. */
void weir_remembered_add(weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST]);

#endif
