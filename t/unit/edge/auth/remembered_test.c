// needs: ngx_module/auth/remembered.c common/hash/blake2b.c common/ids/random.c
#include "auth/remembered.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static weir_remembered_t remembered, other;

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
    weir_remembered_init(&remembered);
    digest_of(&remembered, keys, "a", a);
    digest_of(&remembered, keys, "b", b);
    assert_false(weir_remembered_has(&remembered, a));
    weir_remembered_add(&remembered, a);
    assert_true(weir_remembered_has(&remembered, a));
    assert_false(weir_remembered_has(&remembered, b));
    for (size_t i = 0; i < sizeof(a); i++) {
        a[i] ^= 1;
        assert_false(weir_remembered_has(&remembered, a));
        a[i] ^= 1;
    }
}

static void the_digest_is_that_of_token_keys_and_secret(void **state)
{
    static const weir_str_t new_keys = {"0123456789abcdef0123456789abcdeF", 32};
    uint8_t digest[WEIR_REMEMBERED_DIGEST], same[WEIR_REMEMBERED_DIGEST];

    (void)state;
    weir_remembered_init(&remembered);
    weir_remembered_init(&other);
    digest_of(&remembered, keys, "token", digest);
    digest_of(&remembered, keys, "token", same);
    assert_memory_equal(digest, same, sizeof(digest));
    digest_of(&remembered, new_keys, "token", same);
    assert_memory_not_equal(digest, same, sizeof(digest));
    digest_of(&remembered, keys, "tokem", same);
    assert_memory_not_equal(digest, same, sizeof(digest));
    digest_of(&other, keys, "token", same);
    assert_memory_not_equal(digest, same, sizeof(digest));
}

/* The newest of a set stay; nothing is written behind the table. */
static void a_full_set_forgets_its_oldest(void **state)
{
    uint8_t digest[WEIR_REMEMBERED_DIGEST] = {0};

    (void)state;
    weir_remembered_init(&remembered);
    digest[0] = 0xff; /* with the next byte, the last of the sets */
    digest[1] = 0xff;
    for (uint8_t i = 1; i <= 3 * WEIR_REMEMBERED_WAYS; i++) {
        digest[31] = i;
        weir_remembered_add(&remembered, digest);
    }
    for (uint8_t i = 1; i <= 3 * WEIR_REMEMBERED_WAYS; i++) {
        digest[31] = i;
        assert_int_equal(weir_remembered_has(&remembered, digest), i > 2 * WEIR_REMEMBERED_WAYS);
    }
}

static void as_many_are_remembered_as_the_guide_says(void **state)
{
    uint8_t digest[WEIR_REMEMBERED_DIGEST];
    char token[16];
    int found = 0;

    (void)state;
    weir_remembered_init(&remembered);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1024; i++) {
            snprintf(token, sizeof(token), "%d", i);
            digest_of(&remembered, keys, token, digest);
            if (round == 0)
                weir_remembered_add(&remembered, digest);
            else
                found += weir_remembered_has(&remembered, digest);
        }
    }
    /* a quarter of the table: few sets have more than four */
    assert_in_range(found, 990, 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_added_is_remembered),
        cmocka_unit_test(the_digest_is_that_of_token_keys_and_secret),
        cmocka_unit_test(a_full_set_forgets_its_oldest),
        cmocka_unit_test(as_many_are_remembered_as_the_guide_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
