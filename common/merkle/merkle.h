/*
 * Merkle trees as in RFC 9162 section 2.1 (and RFC 6962), with SHA-256: a tree that grows at its
 * end, and proofs that it has a leaf, or that a smaller tree is its beginning.
 *
 *   leaf   SHA-256(0x00 || data)
 *   node   SHA-256(0x01 || left || right)
 *
 * A leaf cannot be taken for a node, because their first bytes differ. Functions that verify take
 * any input.
 */
#ifndef WEIR_MERKLE_H
#define WEIR_MERKLE_H

#include "common/merkle/sha256.h"

#include <stdbool.h>

#define WEIR_MERKLE_DEPTH 64 /* the most hashes of a proof, and the most peaks */

/*
 * A tree without its leaves: the roots of the complete trees that it consists of, the largest
 * first. There is one for each bit of size that is set.
 */
typedef struct {
    uint64_t size; /* leaves */
    weir_hash_t peaks[WEIR_MERKLE_DEPTH];
} weir_merkle_t;

/* The number of peaks of a tree of that size. */
static inline size_t weir_merkle_peaks(uint64_t size)
{
    return (size_t)__builtin_popcountll(size);
}

void weir_merkle_leaf(const weir_hash_part_t *data, size_t parts, weir_hash_t *out);

/* Adds a leaf, which is hashed already. A tree of {0} is empty. */
void weir_merkle_append(weir_merkle_t *tree, const weir_hash_t *leaf);

/* The root; that of an empty tree is SHA-256 of nothing. */
void weir_merkle_root(const weir_merkle_t *tree, weir_hash_t *out);

typedef struct {
    size_t len;
    weir_hash_t hashes[WEIR_MERKLE_DEPTH];
} weir_merkle_path_t;

/*
 * RFC 9162 section 2.1.3.1: the proof that the tree of n leaves has leaves[index]; index < n. Takes
 * time in proportion to n.
 */
void weir_merkle_inclusion(const weir_hash_t *leaves, uint64_t n, uint64_t index,
                           weir_merkle_path_t *path);

/* RFC 9162 section 2.1.4.1: that the tree of the first m leaves is its beginning; 0 < m <= n. */
void weir_merkle_consistency(const weir_hash_t *leaves, uint64_t m, uint64_t n,
                             weir_merkle_path_t *path);

/* RFC 9162 section 2.1.3.2 */
bool weir_merkle_includes(const weir_hash_t *root, uint64_t size, uint64_t index,
                          const weir_hash_t *leaf, const weir_merkle_path_t *path);

/* RFC 9162 section 2.1.4.2; a tree of no leaves is the beginning of none: there is no proof. */
bool weir_merkle_is_consistent(const weir_hash_t *old_root, uint64_t old_size,
                               const weir_hash_t *root, uint64_t size,
                               const weir_merkle_path_t *path);

#endif
