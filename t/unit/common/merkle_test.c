// needs: common/merkle/merkle.c common/merkle/sha256.c
/* The trees and proofs of RFC 9162 section 2.1, with the test data of Certificate Transparency. */
#include "common/merkle/merkle.h"
#include "common/text/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define LEAVES 8
#define MANY 130

/* The leaves of Certificate Transparency's reference tests, in hexadecimal digits. */
static const char *const inputs[LEAVES] = {
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
};

/* The roots of the trees of the first 1 to 8 of them. */
static const char *const roots[LEAVES] = {
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static weir_hash_t hash_of(const char *digits)
{
    weir_hash_t hash;

    for (size_t i = 0; i < WEIR_SHA256_LEN; i++)
        hash.bytes[i] =
            (uint8_t)(weir_unhex(digits[2 * i], 0) << 4 | weir_unhex(digits[2 * i + 1], 0));
    return hash;
}

static void is_hash(const weir_hash_t *hash, const char *digits)
{
    char text[2 * WEIR_SHA256_LEN + 1] = "";

    weir_hex(text, hash->bytes, WEIR_SHA256_LEN);
    assert_string_equal(text, digits);
}

static weir_hash_t leaf_of(const char *digits)
{
    uint8_t data[32];
    size_t len = strlen(digits) / 2;
    weir_hash_t leaf;

    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(weir_unhex(digits[2 * i], 0) << 4 | weir_unhex(digits[2 * i + 1], 0));
    weir_merkle_leaf(&(weir_hash_part_t){data, len}, 1, &leaf);
    return leaf;
}

/* RFC 9162 section 2.1.1, literally. */
static void root_of(const weir_hash_t *leaves, size_t n, weir_hash_t *out)
{
    weir_hash_t left, right;
    size_t k = 1;

    if (n == 1) {
        *out = leaves[0];
        return;
    }
    while (2 * k < n)
        k *= 2;
    root_of(leaves, k, &left);
    root_of(leaves + k, n - k, &right);
    weir_sha256(
        (weir_hash_part_t[]){{"\x01", 1}, {left.bytes, sizeof(left)}, {right.bytes, sizeof(right)}},
        3, out);
}

static void roots_are_those_of_the_reference(void **state)
{
    weir_merkle_t tree = {0};
    weir_hash_t root;

    (void)state;
    weir_merkle_root(&tree, &root);
    is_hash(&root, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size_t i = 0; i < LEAVES; i++) {
        weir_hash_t leaf = leaf_of(inputs[i]);

        weir_merkle_append(&tree, &leaf);
        assert_int_equal(tree.size, i + 1);
        weir_merkle_root(&tree, &root);
        is_hash(&root, roots[i]);
    }
}

static void is_path(const weir_merkle_path_t *path, const char *const *digits, size_t n)
{
    assert_int_equal(path->len, n);
    for (size_t i = 0; i < n; i++)
        is_hash(&path->hashes[i], digits[i]);
}

#define IS_PATH(path, ...)                                                                         \
    is_path(path, (const char *const[]){__VA_ARGS__},                                              \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void proofs_are_those_of_the_reference(void **state)
{
    weir_hash_t leaves[LEAVES];
    weir_merkle_path_t path;

    (void)state;
    for (size_t i = 0; i < LEAVES; i++)
        leaves[i] = leaf_of(inputs[i]);

    weir_merkle_inclusion(leaves, 1, 0, &path);
    assert_int_equal(path.len, 0);
    weir_merkle_inclusion(leaves, 8, 0, &path);
    IS_PATH(&path, "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4");
    weir_merkle_inclusion(leaves, 8, 5, &path);
    IS_PATH(&path, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
    weir_merkle_inclusion(leaves, 3, 2, &path);
    IS_PATH(&path, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");

    weir_merkle_consistency(leaves, 1, 1, &path);
    assert_int_equal(path.len, 0);
    weir_merkle_consistency(leaves, 1, 8, &path);
    IS_PATH(&path, "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4");
    weir_merkle_consistency(leaves, 6, 8, &path);
    IS_PATH(&path, "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7");
    weir_merkle_consistency(leaves, 2, 5, &path);
    IS_PATH(&path, "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b");
}

/* --- all trees up to a size ------------------------------------------------------------------ */

static weir_hash_t many[MANY], many_roots[MANY + 1];

static int make_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < MANY; i++)
        weir_merkle_leaf(&(weir_hash_part_t){&i, sizeof(i)}, 1, &many[i]);
    for (size_t n = 1; n <= MANY; n++)
        root_of(many, n, &many_roots[n]);
    return 0;
}

static void trees_grow_as_defined(void **state)
{
    weir_merkle_t tree = {0};
    weir_hash_t root;

    (void)state;
    for (size_t n = 1; n <= MANY; n++) {
        weir_merkle_append(&tree, &many[n - 1]);
        weir_merkle_root(&tree, &root);
        assert_memory_equal(&root, &many_roots[n], sizeof(root));
    }
}

/* Each proof holds, for its own leaf, place and tree, and with all of its hashes only. */
static void inclusion_is_proved_for_one_place(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= MANY; n += n < 20 ? 1 : 7) {
        for (uint64_t i = 0; i < n; i++) {
            weir_merkle_path_t path;

            weir_merkle_inclusion(many, n, i, &path);
            assert_true(weir_merkle_includes(&many_roots[n], n, i, &many[i], &path));
            for (uint64_t k = 0; k < n; k++) {
                assert_int_equal(weir_merkle_includes(&many_roots[n], n, i, &many[k], &path),
                                 k == i);
                assert_int_equal(weir_merkle_includes(&many_roots[n], n, k, &many[i], &path),
                                 k == i);
            }
            assert_false(weir_merkle_includes(&many_roots[n], n, n, &many[i], &path));
            for (size_t k = 0; k < path.len; k++) {
                path.hashes[k].bytes[7] ^= 1;
                assert_false(weir_merkle_includes(&many_roots[n], n, i, &many[i], &path));
                path.hashes[k].bytes[7] ^= 1;
            }
            path.hashes[path.len++] = many[0];
            assert_false(weir_merkle_includes(&many_roots[n], n, i, &many[i], &path));
            path.len -= 2;
            if (n > 1)
                assert_false(weir_merkle_includes(&many_roots[n], n, i, &many[i], &path));
        }
    }
}

static void consistency_is_proved_for_two_trees(void **state)
{
    (void)state;
    for (uint64_t n = 1; n <= MANY; n += n < 20 ? 1 : 7) {
        for (uint64_t m = 1; m <= n; m++) {
            weir_merkle_path_t path;

            weir_merkle_consistency(many, m, n, &path);
            assert_true(weir_merkle_is_consistent(&many_roots[m], m, &many_roots[n], n, &path));
            for (uint64_t k = 1; k <= n; k++) {
                assert_int_equal(
                    weir_merkle_is_consistent(&many_roots[k], m, &many_roots[n], n, &path), k == m);
                assert_int_equal(
                    weir_merkle_is_consistent(&many_roots[m], m, &many_roots[k], n, &path), k == n);
            }
            for (size_t k = 0; k < path.len; k++) {
                path.hashes[k].bytes[31] ^= 0x80;
                assert_false(
                    weir_merkle_is_consistent(&many_roots[m], m, &many_roots[n], n, &path));
                path.hashes[k].bytes[31] ^= 0x80;
            }
            path.hashes[path.len++] = many[0];
            assert_false(weir_merkle_is_consistent(&many_roots[m], m, &many_roots[n], n, &path));
        }
    }
}

static void odd_sizes_prove_nothing(void **state)
{
    weir_hash_t a = hash_of(roots[0]);
    weir_merkle_path_t path = {.len = WEIR_MERKLE_DEPTH};

    (void)state;
    assert_false(weir_merkle_includes(&a, 0, 0, &a, &path));
    assert_false(weir_merkle_includes(&a, UINT64_MAX, UINT64_MAX - 1, &a, &path));
    assert_false(weir_merkle_is_consistent(&a, 0, &a, 0, &path));
    assert_false(weir_merkle_is_consistent(&a, 0, &a, UINT64_MAX, &path));
    assert_false(weir_merkle_is_consistent(&a, 2, &a, 1, &path));
    assert_false(weir_merkle_is_consistent(&a, UINT64_MAX - 1, &a, UINT64_MAX, &path));
    path.len = 0;
    assert_false(weir_merkle_includes(&a, 0, 0, &a, &path));
    assert_false(weir_merkle_includes(&a, 2, 0, &a, &path));
    assert_true(weir_merkle_includes(&a, 1, 0, &a, &path));
    assert_false(weir_merkle_is_consistent(&a, 1, &a, 2, &path));
    assert_true(weir_merkle_is_consistent(&a, 1, &a, 1, &path));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_those_of_the_reference),
        cmocka_unit_test(proofs_are_those_of_the_reference),
        cmocka_unit_test(trees_grow_as_defined),
        cmocka_unit_test(inclusion_is_proved_for_one_place),
        cmocka_unit_test(consistency_is_proved_for_two_trees),
        cmocka_unit_test(odd_sizes_prove_nothing),
    };

    return cmocka_run_group_tests(tests, make_many, NULL);
}
