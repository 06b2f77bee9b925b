/* Merkle trees; see merkle.h. */
#include "common/merkle/merkle.h"

#include <assert.h>
#include <string.h>

void weir_merkle_leaf(const weir_hash_part_t *data, size_t parts, weir_hash_t *out)
{
    static const uint8_t prefix = 0x00;
    weir_hash_part_t all[WEIR_MERKLE_DEPTH];

    assert(parts < WEIR_MERKLE_DEPTH);
    all[0] = (weir_hash_part_t){&prefix, 1};
    memcpy(all + 1, data, parts * sizeof(*data));
    weir_sha256(all, parts + 1, out);
}

static void hash_node(const weir_hash_t *left, const weir_hash_t *right, weir_hash_t *out)
{
    uint8_t node[1 + 2 * WEIR_SHA256_LEN];

    node[0] = 0x01;
    memcpy(node + 1, left->bytes, WEIR_SHA256_LEN);
    memcpy(node + 1 + WEIR_SHA256_LEN, right->bytes, WEIR_SHA256_LEN);
    weir_sha256(&(weir_hash_part_t){node, sizeof(node)}, 1, out);
}

void weir_merkle_append(weir_merkle_t *tree, const weir_hash_t *leaf)
{
    size_t n = weir_merkle_peaks(tree->size);

    assert(tree->size < UINT64_MAX && n < WEIR_MERKLE_DEPTH);
    tree->peaks[n] = *leaf;
    /* as an addition of 1 carries over the bits that are set */
    for (uint64_t bits = tree->size; bits & 1; bits >>= 1, n--)
        hash_node(&tree->peaks[n - 1], &tree->peaks[n], &tree->peaks[n - 1]);
    tree->size++;
}

void weir_merkle_root(const weir_merkle_t *tree, weir_hash_t *out)
{
    size_t n = weir_merkle_peaks(tree->size);

    if (n == 0) {
        weir_sha256(NULL, 0, out);
        return;
    }
    *out = tree->peaks[n - 1];
    while (--n > 0)
        hash_node(&tree->peaks[n - 1], out, out);
}

/* --- making proofs ------------------------------------------------------------------------ */

/* The largest power of two that is smaller than n, which is at least 2. */
static uint64_t split(uint64_t n)
{
    return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

static void hash_leaves(const weir_hash_t *leaves, uint64_t n, weir_hash_t *out)
{
    weir_merkle_t tree = {.size = 0};

    for (uint64_t i = 0; i < n; i++)
        weir_merkle_append(&tree, &leaves[i]);
    weir_merkle_root(&tree, out);
}

/* The hashes come from the top to the bottom; a proof has them in the other direction. */
static void turn(weir_merkle_path_t *path)
{
    for (size_t i = 0; i < path->len / 2; i++) {
        weir_hash_t other = path->hashes[i];

        path->hashes[i] = path->hashes[path->len - 1 - i];
        path->hashes[path->len - 1 - i] = other;
    }
}

void weir_merkle_inclusion(const weir_hash_t *leaves, uint64_t n, uint64_t index,
                           weir_merkle_path_t *path)
{
    assert(index < n);
    path->len = 0;
    while (n > 1) {
        uint64_t k = split(n);

        if (index < k) {
            hash_leaves(leaves + k, n - k, &path->hashes[path->len++]);
            n = k;
        } else {
            hash_leaves(leaves, k, &path->hashes[path->len++]);
            leaves += k;
            index -= k;
            n -= k;
        }
    }
    turn(path);
}

void weir_merkle_consistency(const weir_hash_t *leaves, uint64_t m, uint64_t n,
                             weir_merkle_path_t *path)
{
    bool is_whole = true; /* the verifier knows the hash of the old tree itself */

    assert(m > 0 && m <= n);
    path->len = 0;
    while (m < n) {
        uint64_t k = split(n);

        if (m <= k) {
            hash_leaves(leaves + k, n - k, &path->hashes[path->len++]);
            n = k;
        } else {
            hash_leaves(leaves, k, &path->hashes[path->len++]);
            leaves += k;
            m -= k;
            n -= k;
            is_whole = false;
        }
    }
    if (!is_whole)
        hash_leaves(leaves, n, &path->hashes[path->len++]);
    turn(path);
}

/* --- verifying them ----------------------------------------------------------------------- */

static bool is_equal(const weir_hash_t *a, const weir_hash_t *b)
{
    return memcmp(a->bytes, b->bytes, WEIR_SHA256_LEN) == 0;
}

bool weir_merkle_includes(const weir_hash_t *root, uint64_t size, uint64_t index,
                          const weir_hash_t *leaf, const weir_merkle_path_t *path)
{
    uint64_t fn = index, sn = size - 1;
    weir_hash_t r = *leaf;

    if (index >= size || path->len > WEIR_MERKLE_DEPTH)
        return false;
    for (size_t i = 0; i < path->len; i++) {
        if (sn == 0)
            return false;
        if (fn & 1 || fn == sn) {
            hash_node(&path->hashes[i], &r, &r);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            hash_node(&r, &path->hashes[i], &r);
        }
        fn >>= 1;
        sn >>= 1;
    }

    return sn == 0 && is_equal(&r, root);
}

/* Steps 4 to 7; the path's first hash is `first`, and the hashes from `from` on follow. */
static bool climb(uint64_t old_size, uint64_t size, const weir_hash_t *first,
                  const weir_merkle_path_t *path, size_t from, weir_hash_t *fr, weir_hash_t *sr)
{
    uint64_t fn = old_size - 1, sn = size - 1;

    while (fn & 1) {
        fn >>= 1;
        sn >>= 1;
    }
    *fr = *sr = *first;
    for (size_t i = from; i < path->len; i++) {
        const weir_hash_t *c = &path->hashes[i];

        if (sn == 0)
            return false;
        if (fn & 1 || fn == sn) {
            hash_node(c, fr, fr);
            hash_node(c, sr, sr);
            while (!(fn & 1) && fn != 0) {
                fn >>= 1;
                sn >>= 1;
            }
        } else {
            hash_node(sr, c, sr);
        }
        fn >>= 1;
        sn >>= 1;
    }

    return sn == 0;
}

bool weir_merkle_is_consistent(const weir_hash_t *old_root, uint64_t old_size,
                               const weir_hash_t *root, uint64_t size,
                               const weir_merkle_path_t *path)
{
    bool is_complete = (old_size & (old_size - 1)) == 0; /* a power of two */
    const weir_hash_t *first = is_complete ? old_root : &path->hashes[0];
    weir_hash_t fr, sr;

    if (old_size == 0 || old_size > size || path->len > WEIR_MERKLE_DEPTH)
        return false;
    if (old_size == size)
        return path->len == 0 && is_equal(old_root, root);
    if (path->len == 0)
        return false;

    return climb(old_size, size, first, path, is_complete ? 0 : 1, &fr, &sr) &&
           is_equal(&fr, old_root) && is_equal(&sr, root);
}
