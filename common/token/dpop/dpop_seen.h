/*
 * Proofs that were used: a table of fixed size in memory that processes share, so that none is
 * accepted twice (RFC 9449 section 11.1).
 *
 * A proof is remembered until it would be refused for its age. If there is no room for it, it is
 * refused: to forget another one instead would let that one be used again. So that the owner of one
 * key cannot fill the table for all others, a key has at most half of the places of each set.
 *
 * The table has keyed digests of proofs, never their text; nobody without its secret can choose the
 * set of a proof. The caller holds a lock of its own around each call.
 */
#ifndef WEIR_DPOP_SEEN_H
#define WEIR_DPOP_SEEN_H

#include "common/text/str.h"
#include "common/token/key/thumbprint.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_DPOP_SEEN_PLACES 32 /* of a set */
#define WEIR_DPOP_SEEN_SHARE (WEIR_DPOP_SEEN_PLACES / 2)

typedef struct {
    uint64_t digests[WEIR_DPOP_SEEN_PLACES];
    uint32_t until[WEIR_DPOP_SEEN_PLACES]; /* s since the epoch; free from then on */
    uint32_t keys[WEIR_DPOP_SEEN_PLACES];  /* a part of the digest of the key */
} weir_dpop_seen_set_t;

typedef struct {
    uint8_t secret[32];
    uint64_t n; /* sets */
    weir_dpop_seen_set_t sets[];
} weir_dpop_seen_t;

typedef enum { WEIR_DPOP_NEW, WEIR_DPOP_USED, WEIR_DPOP_NO_ROOM } weir_dpop_seen_result_t;

/* The sets of a table of at most that size in bytes; 0: none. */
uint64_t weir_dpop_seen_sets(size_t size);

/* The bytes of a table of that many sets. */
size_t weir_dpop_seen_size(uint64_t sets);

/* Makes an empty table in memory of that size, with a new secret. */
void weir_dpop_seen_init(weir_dpop_seen_t *seen, uint64_t sets);

/* True if the proof is remembered. */
bool weir_dpop_seen_has(const weir_dpop_seen_t *seen, const uint8_t key[WEIR_THUMBPRINT],
                        weir_str_t jti, int64_t now);

/*
 * Remembers the proof with that jti, of the key with that thumbprint, until that time (> now). Both
 * times are seconds since the epoch.
 */
weir_dpop_seen_result_t weir_dpop_seen_add(weir_dpop_seen_t *seen,
                                           const uint8_t key[WEIR_THUMBPRINT], weir_str_t jti,
                                           int64_t now, int64_t until);

#endif
