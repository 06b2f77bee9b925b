// needs: common/token/signature.c common/token/base64url.c common/token/json.c
// needs: common/token/key/jwk.c common/token/key/algorithm.c
/* Signatures of the RFCs' examples, and what is near to them. */
#include "common/token/base64url.h"
#include "common/token/key/jwk.h"
#include "common/token/signature.h"
#include "vectors.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef struct {
    const char *alg, *key, *text, *signature;
} vector_t;

static const vector_t vectors[] = {
    {"RS256", A2_KEY, A2_TEXT, A2_SIGNATURE},
    {"ES256", A3_KEY, A3_TEXT, A3_SIGNATURE},
    {"ES512", A4_KEY, A4_TEXT, A4_SIGNATURE},
    {"EdDSA", ED_KEY, ED_TEXT, ED_SIGNATURE},
    {"RS256", BILBO_KEY, BILBO_RS256_TEXT, BILBO_RS256_SIGNATURE},
    {"PS384", BILBO_KEY, BILBO_PS384_TEXT, BILBO_PS384_SIGNATURE},
};

#define VECTORS (sizeof(vectors) / sizeof(vectors[0]))

static void read_key(const char *text, weir_jwk_t *key)
{
    json_t *jwk = json_loads(text, 0, NULL);
    const char *why;

    assert_non_null(jwk);
    assert_int_equal(weir_jwk_read(jwk, key, &why), WEIR_JWK_USABLE);
    json_decref(jwk);
}

static size_t read_signature(const vector_t *v, uint8_t bytes[WEIR_SIGNATURE_MAX])
{
    size_t len;

    assert_true(weir_base64url_decode(weir_str(v->signature), bytes, &len));

    return len;
}

static bool is_good(const weir_jwk_t *key, const char *alg, const char *text, const uint8_t *bytes,
                    size_t len)
{
    bool good = weir_signature_is_good(key->pkey, weir_token_algorithm(weir_str(alg)),
                                       weir_str(text), (weir_str_t){(const char *)bytes, len});

    assert_int_equal(ERR_peek_error(), 0);

    return good;
}

static void the_examples_are_good(void **state)
{
    uint8_t bytes[WEIR_SIGNATURE_MAX];
    weir_jwk_t key;

    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        read_key(vectors[i].key, &key);
        assert_true(is_good(&key, vectors[i].alg, vectors[i].text, bytes,
                            read_signature(&vectors[i], bytes)));
        weir_jwk_release(&key);
    }
}

/* One bit of the text, one bit of each byte of the signature. */
static void a_changed_bit_is_seen(void **state)
{
    uint8_t bytes[WEIR_SIGNATURE_MAX];
    char text[512];
    weir_jwk_t key;

    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        size_t len = read_signature(&vectors[i], bytes);

        read_key(vectors[i].key, &key);
        for (size_t at = 0; at < len; at++) {
            bytes[at] ^= (uint8_t)(1U << at % 8);
            assert_false(is_good(&key, vectors[i].alg, vectors[i].text, bytes, len));
            bytes[at] ^= (uint8_t)(1U << at % 8);
        }
        snprintf(text, sizeof(text), "%s", vectors[i].text);
        text[strlen(text) - 1] ^= 1;
        assert_false(is_good(&key, vectors[i].alg, text, bytes, len));
        weir_jwk_release(&key);
    }
}

static void the_length_is_fixed(void **state)
{
    uint8_t bytes[WEIR_SIGNATURE_MAX] = {0};
    weir_jwk_t key;

    (void)state;
    for (size_t i = 0; i < VECTORS; i++) {
        size_t len = read_signature(&vectors[i], bytes);

        read_key(vectors[i].key, &key);
        for (size_t other = 0; other <= len + 2; other++) {
            if (other != len)
                assert_false(is_good(&key, vectors[i].alg, vectors[i].text, bytes, other));
        }
        /* zero bytes in front change no number */
        memmove(bytes + 2, bytes, len);
        bytes[0] = bytes[1] = 0;
        assert_false(is_good(&key, vectors[i].alg, vectors[i].text, bytes, len + 2));
        weir_jwk_release(&key);
    }
}

/* r and s are from 1 to n - 1 (FIPS 186-5 section 6.4.2). */
static void ecdsa_has_no_zero_and_no_large_number(void **state)
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    static const uint8_t zero[32];
    const uint8_t *const bad[] = {zero, order};
    uint8_t bytes[WEIR_SIGNATURE_MAX], good[WEIR_SIGNATURE_MAX];
    weir_jwk_t key;

    (void)state;
    read_key(A3_KEY, &key);
    assert_int_equal(read_signature(&vectors[1], good), 64);
    for (size_t r = 0; r < 3; r++) {
        for (size_t s = 0; s < 3; s++) {
            memcpy(bytes, r < 2 ? bad[r] : good, 32);
            memcpy(bytes + 32, s < 2 ? bad[s] : good + 32, 32);
            assert_int_equal(is_good(&key, "ES256", A3_TEXT, bytes, 64), r == 2 && s == 2);
        }
    }
    weir_jwk_release(&key);
}

/* An algorithm that the key could have used, but has not. */
static void another_algorithm_of_the_key_is_no_match(void **state)
{
    static const char *const others[] = {"RS384", "RS512", "PS256", "PS384", "PS512"};
    uint8_t bytes[WEIR_SIGNATURE_MAX];
    weir_jwk_t key;

    (void)state;
    read_key(A2_KEY, &key);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(is_good(&key, others[i], A2_TEXT, bytes, read_signature(&vectors[0], bytes)));
    weir_jwk_release(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_are_good),
        cmocka_unit_test(a_changed_bit_is_seen),
        cmocka_unit_test(the_length_is_fixed),
        cmocka_unit_test(ecdsa_has_no_zero_and_no_large_number),
        cmocka_unit_test(another_algorithm_of_the_key_is_no_match),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
