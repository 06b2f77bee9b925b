/*
 * Tokens that were verified before, or refused for their signature: a table of keyed digests of
 * fixed size, in memory that processes share, in which a newer one takes the place of an older one.
 * It has no claims and no times, so these are compared each time; it only saves the verification of
 * a signature.
 *
 * The digest is a MAC of the token and of its issuer's keys, under a secret of the table. So nobody
 * can find another token with the digest of a good one, a change of the keys forgets the tokens
 * that were signed with the previous ones, and the memory contains no token.
 *
 * There is no lock. A digest is four words, which are read and written one by one: a digest that is
 * being replaced, by one process or by two at a time, is a mixture of words of several, which
 * equals no other digest (each word has 64 bits that nobody can choose). A process that is killed
 * while it writes leaves such a mixture. So the worst that can happen is that a digest is
 * forgotten.
 */
#ifndef WEIR_REMEMBERED_H
#define WEIR_REMEMBERED_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_REMEMBERED_DIGEST 32 /* bytes */
#define WEIR_REMEMBERED_WORDS (WEIR_REMEMBERED_DIGEST / 8)
#define WEIR_REMEMBERED_WAYS 8 /* digests in a set */

typedef struct {
    uint64_t next; /* number of digests that were added: the next replaces the oldest */
    uint64_t digests[WEIR_REMEMBERED_WAYS][WEIR_REMEMBERED_WORDS];
} weir_remembered_set_t;

typedef struct {
    uint8_t secret[32];
    uint64_t n; /* sets, a power of two */
    weir_remembered_set_t sets[];
} weir_remembered_t;

/* The bytes of a table of that many sets. */
size_t weir_remembered_size(size_t sets);

/* Makes an empty table in memory of that size, with a new secret. */
void weir_remembered_init(weir_remembered_t *remembered, size_t sets);

/* The digest of a token; keys is the digest of its issuer's keys. */
void weir_remembered_digest(const weir_remembered_t *remembered, weir_str_t keys, weir_str_t token,
                            uint8_t digest[WEIR_REMEMBERED_DIGEST]);

bool weir_remembered_has(const weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST]);

/* Adds a digest, unless the table has it. */
void weir_remembered_add(weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST]);

#endif
