// needs: ngx_module/auth/verified/remembered.c common/hash/blake2b.c common/ids/random.c
#include "auth/verified/remembered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SETS 64

static weir_remembered_t *remembered, *other;

static int set_up(void **state)
{
    (void)state;
    remembered = malloc(weir_remembered_size(SETS));
    other = malloc(weir_remembered_size(SETS));
    assert_non_null(remembered);
    assert_non_null(other);
    weir_remembered_init(remembered, SETS);
    weir_remembered_init(other, SETS);

    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(remembered);
    free(other);

    return 0;
}

static const weir_str_t keys = {"0123456789abcdef0123456789abcdef", 32};

static void digest_of(const weir_remembered_t *r, weir_str_t k, const char *token,
                      uint8_t digest[WEIR_REMEMBERED_DIGEST])
{
    weir_remembered_digest(r, k, weir_str(token), digest);
}

static void only_what_was_added_is_remembered(void **state)
{
    uint8_t a[WEIR_REMEMBERED_DIGEST], b[WEIR_REMEMBERED_DIGEST];

    (void)state;
    digest_of(remembered, keys, "a", a);
    digest_of(remembered, keys, "b", b);
    assert_false(weir_remembered_has(remembered, a));
    weir_remembered_add(remembered, a);
    assert_true(weir_remembered_has(remembered, a));
    assert_false(weir_remembered_has(remembered, b));
    for (size_t i = 0; i < sizeof(a); i++) {
        a[i] ^= 1;
        assert_false(weir_remembered_has(remembered, a));
        a[i] ^= 1;
    }
}

static void the_digest_is_that_of_token_keys_and_secret(void **state)
{
    static const weir_str_t new_keys = {"0123456789abcdef0123456789abcdeF", 32};
    uint8_t digest[WEIR_REMEMBERED_DIGEST], same[WEIR_REMEMBERED_DIGEST];

    (void)state;
    digest_of(remembered, keys, "token", digest);
    digest_of(remembered, keys, "token", same);
    assert_memory_equal(digest, same, sizeof(digest));
    digest_of(remembered, new_keys, "token", same);
    assert_memory_not_equal(digest, same, sizeof(digest));
    digest_of(remembered, keys, "tokem", same);
    assert_memory_not_equal(digest, same, sizeof(digest));
    digest_of(other, keys, "token", same);
    assert_memory_not_equal(digest, same, sizeof(digest));
}

/* The newest of a set stay; nothing is written behind the table. */
static void a_full_set_forgets_its_oldest(void **state)
{
    uint8_t digest[WEIR_REMEMBERED_DIGEST] = {0};

    (void)state;
    digest[0] = 0xff; /* the last of the sets */
    for (uint8_t i = 1; i <= 3 * WEIR_REMEMBERED_WAYS; i++) {
        digest[31] = i;
        weir_remembered_add(remembered, digest);
    }
    for (uint8_t i = 1; i <= 3 * WEIR_REMEMBERED_WAYS; i++) {
        digest[31] = i;
        assert_int_equal(weir_remembered_has(remembered, digest), i > 2 * WEIR_REMEMBERED_WAYS);
    }
}

/* Another process that adds the same one, or reads while a digest is half replaced. */
static void a_digest_is_added_once_and_a_mixture_is_none(void **state)
{
    uint8_t a[WEIR_REMEMBERED_DIGEST], b[WEIR_REMEMBERED_DIGEST];
    weir_remembered_set_t *set;
    uint64_t word;

    (void)state;
    digest_of(remembered, keys, "a", a);
    memcpy(&word, a, sizeof(word));
    set = &remembered->sets[word % SETS];
    for (int i = 0; i < 2 * WEIR_REMEMBERED_WAYS; i++)
        weir_remembered_add(remembered, a);
    assert_int_equal(set->next, 1);

    digest_of(remembered, keys, "b", b);
    memcpy(&set->digests[0][2], &b[16], 16);
    assert_false(weir_remembered_has(remembered, a));
    assert_false(weir_remembered_has(remembered, b));
    weir_remembered_add(remembered, a);
    assert_true(weir_remembered_has(remembered, a));
}

static void a_quarter_of_the_table_is_remembered(void **state)
{
    uint8_t digest[WEIR_REMEMBERED_DIGEST];
    char token[16];
    int found = 0;

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < SETS * WEIR_REMEMBERED_WAYS / 4; i++) {
            snprintf(token, sizeof(token), "%d", i);
            digest_of(remembered, keys, token, digest);
            if (round == 0)
                weir_remembered_add(remembered, digest);
            else
                found += weir_remembered_has(remembered, digest);
        }
    }
    /* few sets have more than eight */
    assert_in_range(found, SETS * WEIR_REMEMBERED_WAYS / 4 - 4, SETS * WEIR_REMEMBERED_WAYS / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_was_added_is_remembered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_digest_is_that_of_token_keys_and_secret, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_full_set_forgets_its_oldest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_digest_is_added_once_and_a_mixture_is_none, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_quarter_of_the_table_is_remembered, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
