// needs: common/token/key/jwks.c common/token/key/jwk.c common/token/key/algorithm.c
// needs: common/token/base64url.c common/token/json.c
/* JWK Sets: what is a key, what is left out, and what must not be there. */
#include "common/token/key/jwks.h"
#include "vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define KEYS(keys) "{\"keys\":[" keys "]}"
#define EC(crv, x, y, more)                                                                        \
    "{\"kty\":\"EC\",\"crv\":\"" crv "\",\"x\":\"" x "\",\"y\":\"" y "\"" more "}"
#define X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define P256(more) EC("P-256", X, Y, more)
#define ED(more)                                                                                   \
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_"                                  \
    "7TyWQHOg7hcvPapiMlrwIaaPcHURo\"" more "}"
#define RSA(n, e) "{\"kty\":\"RSA\",\"n\":\"" n "\",\"e\":\"" e "\"}"
/* the modulus of RFC 7515 appendix A.2.1, and one of half its length */
#define N                                                                                          \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp"                             \
    "-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW"                             \
    "vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs"                             \
    "LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k"                             \
    "G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2"                             \
    "PAcDTW9gb54h4FRWyuXpoQ"
#define N_1024                                                                                     \
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp"                             \
    "-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW"                             \
    "vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSX"

static const weir_token_algorithm_t *alg(const char *name)
{
    const weir_token_algorithm_t *algorithm = weir_token_algorithm(weir_str(name));

    assert_non_null(algorithm);

    return algorithm;
}

static void parse(const char *text, weir_jwks_t *set)
{
    char why[WEIR_JWKS_WHY_MAX] = "";

    if (!weir_jwks_parse(weir_str(text), set, why))
        fail_msg("%s: %s", text, why);
}

static void keys_of_all_types_are_read(void **state)
{
    static const char *const ec[] = {"ES256", "ES384", "ES512"};
    static const char *const rsa[] = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"};
    const weir_jwk_t *key;
    weir_jwks_t set;

    (void)state;
    parse(KEYS(A2_KEY "," A3_KEY "," A4_KEY "," ED_KEY), &set);
    assert_int_equal(set.n, 4);
    assert_int_equal(set.others, 0);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(weir_jwks_find(&set, alg(rsa[i]), (weir_str_t){0}, &key), WEIR_TOKEN_OK);
    assert_int_equal(weir_jwks_find(&set, alg("EdDSA"), (weir_str_t){0}, &key), WEIR_TOKEN_OK);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(weir_jwks_find(&set, alg(ec[i]), (weir_str_t){0}, &key),
                         i == 1 ? WEIR_TOKEN_UNKNOWN_KEY : WEIR_TOKEN_OK);
    weir_jwks_release(&set);
    assert_null(set.keys);
}

/* RFC 7517 section 5: keys of unknown types and other uses are ignored. */
static void keys_of_others_are_left_out(void **state)
{
    static const char *const others[] = {
        P256(",\"use\":\"enc\""),
        P256(",\"key_ops\":[\"sign\",\"deriveKey\"]"),
        P256(",\"key_ops\":[]"),
        P256(",\"key_ops\":\"verify\""),
        P256(",\"alg\":\"ECDH-ES\""),
        P256(",\"alg\":\"HS256\""),
        P256(",\"alg\":\"none\""),
        EC("secp256k1", X, Y, ""),
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"" X "\"}",
        "{\"kty\":\"AKP\",\"pub\":\"AAAA\"}",
        "{\"kty\":\"rsa\",\"n\":\"AQ\",\"e\":\"AQAB\"}",
    };
    char text[1024], why[WEIR_JWKS_WHY_MAX];
    weir_jwks_t set;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        snprintf(text, sizeof(text), KEYS("%s," ED_KEY), others[i]);
        parse(text, &set);
        if (set.n != 1 || set.others != 1)
            fail_msg("%s is taken for a key", others[i]);
        weir_jwks_release(&set);

        snprintf(text, sizeof(text), KEYS("%s"), others[i]);
        assert_false(weir_jwks_parse(weir_str(text), &set, why));
        assert_string_equal(why, "it has no key for signatures that is supported");
    }
}

static void uses_that_include_signatures_are_taken(void **state)
{
    weir_jwks_t set;

    (void)state;
    parse(KEYS(P256(",\"use\":\"sig\",\"key_ops\":[\"sign\",\"verify\"],\"alg\":\"ES256\"")), &set);
    assert_int_equal(set.n, 1);
    weir_jwks_release(&set);
}

/* a prime number of 2048 bits */
#define PRIME                                                                                      \
    "9R6n27BXtkMrsFFW2_Fekr33_43Af1Zeb12cp-"                                                       \
    "E084wqyxfcMddchNyZUDdx_bkhJ0zijES9hj44CzKz9gH17w6Lza4P6Dm3mtMFupEORpVSPjh_yyKU4S"             \
    "5QYarfYZ2n7TEN0CkJ8Q_008uqtLKuNxFv20pgWPl39t_CxWYvX_O8ndFm2OUVnArz1jxlImcLUP90v7"             \
    "KDYMKIpwZecaMYp0NA6zVi0byCo3jfMyeTR4Q3hkWq80fDmm70nnYXXh5qQoeZW0aQdlj2UemZThYdA3"             \
    "UwRpnSLmHp8LoDd0UCGSiBzCWmFU0xAt38AoulVLcEumDJForn7XTA-JY6sqtxWQ"

typedef struct {
    const char *keys, *why;
} refused_t;

static const refused_t refused[] = {
    {P256(",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\""), "secret"},
    {ED(",\"d\":\"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A\""), "secret"},
    {"{\"kty\":\"oct\",\"k\":\"AAAA\"}", "secret"},
    {"{\"kty\":\"oct\"}", "secret"},
    {"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\",\"p\":\"AQAB\"}", "secret"},
    {"{\"kty\":\"AKP\",\"d\":1}", "secret"},
    {"7", "no object"},
    {"[]", "no object"},
    {"{}", "\"kty\""},
    {"{\"kty\":1}", "\"kty\""},
    {P256(",\"use\":1"), "is no text"},
    {P256(",\"alg\":[\"ES256\"]"), "is no text"},
    {P256(",\"kid\":1"), "is no text"},
    {P256(",\"alg\":\"ES384\""), "does not fit"},
    {P256(",\"alg\":\"RS256\""), "does not fit"},
    {ED(",\"alg\":\"ES256\""), "does not fit"},
    {EC("P-256", Y, X, ""), "not on its curve"},
    {EC("P-256", X, X, ""), "not on its curve"},
    {EC("P-256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", ""),
     "not on its curve"},
    {EC("P-384", X, Y, ""), "another length"},
    {EC("P-256", "AH_NzidwdsRdQYPL7m_bS3tYBzM1e-nvE7rPbjx70VRF", Y, ""), "another length"},
    {EC("P-256", X, "", ""), "another length"},
    {EC("P-256", X "=", Y, ""), "another length"},
    {"{\"kty\":\"EC\",\"x\":\"" X "\",\"y\":\"" Y "\"}", "\"crv\""},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" X "\"}", "another length"},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}", "another length"},
    {"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" X "\"}", "another length"},
    {RSA(N_1024, "AQAB"), "fewer than 2048 bits"},
    {RSA("AQAB", "AQAB"), "fewer than 2048 bits"},
    {RSA(N, "AQ"), "exponent"},
    {RSA(N, "Aw"), "exponent"},
    {RSA(N, "AQAC"), "exponent"},
    {RSA(N, "AQABAQABAQABAQAB"), "exponent"},
    {RSA(N, "AAEAAQ"), "zero byte"},
    {RSA(N, ""), "missing"},
    {RSA(N, "AQA="), "missing"},
    {P256(",\"kid\":\"a\"") "," P256(",\"kid\":\"a\""), "of an earlier one"},
};

static void wrong_keys_are_refused(void **state)
{
    char text[2048], why[WEIR_JWKS_WHY_MAX];
    weir_jwks_t set;

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        snprintf(text, sizeof(text), KEYS(ED_KEY ",%s"), refused[i].keys);
        if (weir_jwks_parse(weir_str(text), &set, why))
            fail_msg("%s was read", refused[i].keys);
        if (strstr(why, refused[i].why) == NULL || strncmp(why, "key ", 4) != 0)
            fail_msg("%s: %s", refused[i].keys, why);
        assert_null(set.keys);
    }
}

/* An RSA modulus that is prime, or even, has no private exponent that only its owner knows. */
static void a_modulus_is_odd_and_composite(void **state)
{
    char text[1024], why[WEIR_JWKS_WHY_MAX];
    weir_jwks_t set;

    (void)state;
    snprintf(text, sizeof(text), KEYS("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%s\"}"), PRIME);
    assert_false(weir_jwks_parse(weir_str(text), &set, why));
    assert_string_equal(why, "key 1: it is no valid RSA key");

    /* which is found when it is checked, not when it is read */
    assert_true(weir_jwks_read(weir_str(text), &set, why));
    assert_false(weir_jwks_check(&set, 0, why));
    weir_jwks_release(&set);

    snprintf(text, sizeof(text), KEYS("{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%.*sg\"}"),
             (int)strlen(N) - 1, N);
    assert_false(weir_jwks_parse(weir_str(text), &set, why));
    assert_string_equal(why, "key 1: it is no valid RSA key");
}

static void documents_that_are_no_set_are_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]}",
        KEYS(ED_KEY) "x",
        "{\"keys\":[" ED_KEY "],\"keys\":[" ED_KEY "]}",
        "{\"keys\":[" ED_KEY "],\"ke\\u0079s\":[]}",
        KEYS(P256(",\"kty\":\"EC\"")),
        P256(""),
        "\xef\xbb\xbf" KEYS(ED_KEY),
    };
    char why[WEIR_JWKS_WHY_MAX];
    weir_jwks_t set;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        if (weir_jwks_parse(weir_str(bad[i]), &set, why))
            fail_msg("%s was read", bad[i]);
        assert_true(strlen(why) > 0);
        assert_null(set.keys);
    }
}

/* Someone who took the wrong URL or file is told which it is. */
static void what_else_a_document_is_is_said(void **state)
{
    static const struct {
        const char *text, *why;
    } others[] = {
        {"", "it is empty"},
        {" \r\n\t", "it is empty"},
        {"-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n", "PEM"},
        {"\n-----BEGIN CERTIFICATE-----\n", "PEM"},
        {"ssh-ed25519 AAAA a@b\n", "SSH"},
        {"<!DOCTYPE html>\n<html></html>", "HTML"},
        {"  <html></html>", "HTML"},
        {"\x1f\x8b\x08", "gzip"},
        {"\x30\x82\x01", "DER"},
        {"\xef\xbb\xbf{}", "byte order mark"},
        {"{\"issuer\":\"https://a\",\"jwks_uri\":\"https://a/k\"}", "whose \"jwks_uri\" is meant"},
        {ED_KEY, "it is one key"},
        {"{\"a1\":\"-----BEGIN CERTIFICATE-----\\n\"}", "PEM by their names"},
        {"{\"error\":\"no\"}", "it has no array \"keys\""},
        {"[" ED_KEY "]", "it is no JSON object"},
        {"eyJhbGciOiJIUzI1NiJ9.e30.AA", "it is no JSON object without duplicate members: line 1"},
    };
    char why[WEIR_JWKS_WHY_MAX];
    weir_jwks_t set;

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_false(weir_jwks_parse(weir_str(others[i].text), &set, why));
        if (strstr(why, others[i].why) == NULL)
            fail_msg("%s: %s", others[i].text, why);
    }
}

static void sizes_have_limits(void **state)
{
    static char text[WEIR_JWKS_MAX + 2];
    char why[WEIR_JWKS_WHY_MAX];
    weir_jwks_t set;
    size_t len;

    (void)state;
    memset(text, ' ', sizeof(text));
    memcpy(text, KEYS(ED_KEY), strlen(KEYS(ED_KEY)));
    assert_true(weir_jwks_parse((weir_str_t){text, WEIR_JWKS_MAX}, &set, why));
    weir_jwks_release(&set);
    assert_false(weir_jwks_parse((weir_str_t){text, WEIR_JWKS_MAX + 1}, &set, why));

    for (size_t keys = WEIR_JWKS_KEYS_MAX; keys <= WEIR_JWKS_KEYS_MAX + 1; keys++) {
        len = (size_t)sprintf(text, "{\"keys\":[%s", ED_KEY);
        for (size_t i = 1; i < keys; i++)
            len += (size_t)sprintf(text + len, ",{\"kty\":\"x\"}");
        sprintf(text + len, "]}");
        assert_int_equal(weir_jwks_parse(weir_str(text), &set, why), keys == WEIR_JWKS_KEYS_MAX);
        weir_jwks_release(&set);
    }

    for (size_t kid = WEIR_JWK_KID_MAX; kid <= WEIR_JWK_KID_MAX + 1; kid++) {
        sprintf(text, KEYS(ED(",\"kid\":\"%0*d\"")), (int)kid, 0);
        assert_int_equal(weir_jwks_parse(weir_str(text), &set, why), kid == WEIR_JWK_KID_MAX);
        weir_jwks_release(&set);
    }
}

static void a_key_is_found_by_its_name_and_algorithm(void **state)
{
    const weir_jwk_t *key, *named;
    weir_str_t none = {0};
    weir_jwks_t set;

    (void)state;
    parse(KEYS(P256(",\"kid\":\"a\"") "," ED(",\"kid\":\"a\"") "," P256(",\"kid\":\"b\"") "," P256(
              "")),
          &set);
    assert_int_equal(weir_jwks_find(&set, alg("ES256"), WEIR_STR("a"), &named), WEIR_TOKEN_OK);
    assert_ptr_equal(named, &set.keys[0]);
    assert_int_equal(weir_jwks_find(&set, alg("EdDSA"), WEIR_STR("a"), &key), WEIR_TOKEN_OK);
    assert_ptr_equal(key, &set.keys[1]);
    assert_int_equal(weir_jwks_find(&set, alg("EdDSA"), none, &key), WEIR_TOKEN_OK);
    assert_int_equal(weir_jwks_find(&set, alg("EdDSA"), WEIR_STR("b"), &key),
                     WEIR_TOKEN_UNKNOWN_KEY);
    assert_int_equal(weir_jwks_find(&set, alg("ES256"), WEIR_STR("A"), &key),
                     WEIR_TOKEN_UNKNOWN_KEY);
    /* an empty name is a name, which no key has */
    assert_int_equal(weir_jwks_find(&set, alg("ES256"), WEIR_STR(""), &key),
                     WEIR_TOKEN_UNKNOWN_KEY);
    assert_int_equal(weir_jwks_find(&set, alg("ES256"), none, &key), WEIR_TOKEN_AMBIGUOUS_KEY);
    assert_int_equal(weir_jwks_find(&set, alg("RS256"), none, &key), WEIR_TOKEN_UNKNOWN_KEY);
    weir_jwks_release(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_all_types_are_read),
        cmocka_unit_test(keys_of_others_are_left_out),
        cmocka_unit_test(uses_that_include_signatures_are_taken),
        cmocka_unit_test(wrong_keys_are_refused),
        cmocka_unit_test(what_else_a_document_is_is_said),
        cmocka_unit_test(a_modulus_is_odd_and_composite),
        cmocka_unit_test(documents_that_are_no_set_are_refused),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(a_key_is_found_by_its_name_and_algorithm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
