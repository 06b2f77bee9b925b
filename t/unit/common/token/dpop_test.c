// needs: common/token/dpop/dpop.c common/token/dpop/dpop_url.c common/token/dpop/dpop_nonce.c
// needs: common/token/dpop/dpop_seen.c common/token/token.c common/token/claims.c
// needs: common/token/signature.c common/token/base64url.c common/token/json.c
// needs: common/token/key/thumbprint.c common/token/key/jwks.c common/token/key/jwk.c
// needs: common/token/key/algorithm.c common/token/reason.c common/hash/blake2b.c
// needs: common/ids/random.c
/* Proofs of clients: the examples of RFC 9449, 7638 and 8037, URLs, nonces and used proofs. */
#include "common/token/dpop/dpop.h"
#include "common/token/dpop/dpop_nonce.h"
#include "common/token/dpop/dpop_seen.h"
#include "common/token/dpop/dpop_url.h"

#include "common/token/base64url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* RFC 9449 section 7.1: the proof and the token of figure 12; iat is 1562262618. */
#define PROOF                                                                                      \
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj"   \
    "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5"   \
    "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUI"   \
    "iwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI"   \
    "2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzh"  \
    "rtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
#define TOKEN "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
#define ISSUED 1562262618
#define JKT "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"

static const weir_str_t origins[] = {{"http://other.example", 20},
                                     {"https://resource.example.org", 28}};

static weir_dpop_request_t request_of_rfc(void)
{
    return (weir_dpop_request_t){.algorithms = WEIR_TOKEN_ALL_ALGORITHMS,
                                 .window = 60,
                                 .method = WEIR_STR("GET"),
                                 .origins = origins,
                                 .n_origins = 2,
                                 .path = WEIR_STR("/protectedresource?a=b"),
                                 .token = WEIR_STR(TOKEN)};
}

static weir_token_reason_t check(const weir_dpop_request_t *request, int64_t now)
{
    json_t *claims = json_pack("{s:{s:s}}", "cnf", "jkt", JKT);
    weir_token_reason_t reason;
    weir_dpop_t dpop;

    assert_int_equal(weir_dpop_parse(weir_str(PROOF), &dpop), WEIR_TOKEN_OK);
    reason = weir_dpop_check(&dpop, request, claims, now);
    weir_dpop_release(&dpop);
    json_decref(claims);

    return reason;
}

static void the_example_of_the_rfc_is_good(void **state)
{
    weir_dpop_request_t request = request_of_rfc();
    weir_dpop_t dpop;

    (void)state;

    assert_int_equal(weir_dpop_parse(weir_str(PROOF), &dpop), WEIR_TOKEN_OK);
    assert_true(weir_str_eq(dpop.jti, WEIR_STR("e1j3V_bKic8-LAEB")));
    assert_int_equal(dpop.issued, ISSUED);
    assert_null(dpop.nonce.data);
    assert_int_equal(weir_dpop_verify(&dpop), WEIR_TOKEN_OK);
    weir_dpop_release(&dpop);

    assert_int_equal(check(&request, ISSUED), WEIR_TOKEN_OK);
}

static void a_proof_is_for_one_request(void **state)
{
    weir_dpop_request_t request = request_of_rfc();

    (void)state;

    assert_int_equal(check(&request, ISSUED + 60), WEIR_TOKEN_OK);
    assert_int_equal(check(&request, ISSUED + 61), WEIR_TOKEN_PROOF_TIME);
    assert_int_equal(check(&request, ISSUED - 60), WEIR_TOKEN_OK);
    assert_int_equal(check(&request, ISSUED - 61), WEIR_TOKEN_PROOF_TIME);

    request.method = WEIR_STR("POST");
    assert_int_equal(check(&request, ISSUED), WEIR_TOKEN_PROOF_METHOD);
    request = request_of_rfc();
    request.path = WEIR_STR("/protected");
    assert_int_equal(check(&request, ISSUED), WEIR_TOKEN_PROOF_URL);
    request = request_of_rfc();
    request.n_origins = 1;
    assert_int_equal(check(&request, ISSUED), WEIR_TOKEN_PROOF_URL);
    request.n_origins = 0;
    assert_int_equal(check(&request, ISSUED), WEIR_TOKEN_PROOF_URL);
    request = request_of_rfc();
    request.token = WEIR_STR("another");
    assert_int_equal(check(&request, ISSUED), WEIR_TOKEN_PROOF_TOKEN);
    request = request_of_rfc();
    request.algorithms &= ~weir_token_algorithm(WEIR_STR("ES256"))->bit;
    assert_int_equal(check(&request, ISSUED), WEIR_TOKEN_PROOF_ALGORITHM);
}

/* Each change of a character of the proof is found, at the latest by its signature. */
static void a_changed_proof_is_not_verified(void **state)
{
    char text[] = PROOF;
    weir_dpop_t dpop;

    (void)state;

    for (size_t i = 0; i < sizeof(text) - 2; i += 7) {
        char old = text[i];

        text[i] = old == 'A' ? 'B' : 'A';
        if (weir_dpop_parse(weir_str(text), &dpop) == WEIR_TOKEN_OK) {
            assert_int_not_equal(weir_dpop_verify(&dpop), WEIR_TOKEN_OK);
            weir_dpop_release(&dpop);
        }
        text[i] = old;
    }
}

static void expect_thumbprint(const char *jwk, const char *expected)
{
    json_t *key = json_loads(jwk, 0, NULL);
    uint8_t digest[WEIR_THUMBPRINT];
    char text[WEIR_BASE64URL_CHARS(WEIR_THUMBPRINT) + 1];

    assert_non_null(key);
    if (expected == NULL) {
        assert_false(weir_thumbprint(key, digest));
    } else {
        assert_true(weir_thumbprint(key, digest));
        *weir_base64url_encode(text, digest, sizeof(digest)) = '\0';
        assert_string_equal(text, expected);
    }
    json_decref(key);
}

static void thumbprints(void **state)
{
    (void)state;

    /* RFC 7638 section 3.1, RFC 8037 appendix A.3 */
    expect_thumbprint(
        "{\"kty\":\"RSA\",\"n\":\"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86z"
        "wu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5"
        "w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpb"
        "ISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8aw"
        "apJzKnqDKgw\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"kid\":\"2011-04-29\"}",
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    expect_thumbprint(
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMl"
        "rwIaaPcHURo\"}",
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    expect_thumbprint("{\"kty\":\"oct\",\"k\":\"AAAA\"}", NULL);
    expect_thumbprint("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAA\"}", NULL);
    expect_thumbprint("{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"A\\\"\",\"y\":\"A\"}", NULL);
    expect_thumbprint("{\"kty\":\"EC\",\"crv\":7,\"x\":\"AA\",\"y\":\"A\"}", NULL);
    expect_thumbprint("{}", NULL);
}

/* expected NULL: it is no URL; else what it is written as, with "|" behind the origin. */
static void expect_url(const char *url, const char *expected)
{
    char out[256], text[256];
    size_t len = 0, origin = 0;
    bool good = weir_dpop_url(weir_str(url), out, &len, &origin);

    if (expected == NULL) {
        assert_false(good);
        return;
    }
    assert_true(good);
    assert_in_range(len, 0, WEIR_DPOP_URL_MAX(strlen(url)));
    snprintf(text, sizeof(text), "%.*s|%.*s", (int)origin, out, (int)(len - origin), out + origin);
    assert_string_equal(text, expected);
}

static void urls_are_written_in_one_way(void **state)
{
    static const char *const cases[][2] = {
        {"https://a.example", "https://a.example|/"},
        {"HTTPS://A.Example/", "https://a.example|/"},
        {"https://a.example.:443/x", "https://a.example|/x"},
        {"http://a:080/", "http://a|/"},
        {"http://a:443/", "http://a:443|/"},
        {"http://a:/", "http://a|/"},
        {"https://a:80", "https://a:80|/"},
        {"https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443|/x"},
        {"https://a/x?y/../z#..", "https://a|/x"},
        {"https://a?x", "https://a|/"},
        {"https://a#x", "https://a|/"},
        {"https://a/%7euser/%2f%2F", "https://a|/~user/%2F%2F"},
        {"https://a/b/../c/./d", "https://a|/c/d"},
        {"https://a/b/..", "https://a|/"},
        {"https://a/b/.", "https://a|/b/"},
        {"https://a/../../b", "https://a|/b"},
        {"https://a//../b", "https://a|/b"},
        {"https://a/b//c", "https://a|/b//c"},
        {"https://a/%2e%2E/b", "https://a|/b"},
        {"https://a/...", "https://a|/..."},
        {"https://a/b/..c", "https://a|/b/..c"},
        {"ftp://a/", NULL},
        {"https:/a/", NULL},
        {"https:///", NULL},
        {"https://", NULL},
        {"https://.", NULL},
        {"https://a../", NULL},
        {"//a/", NULL},
        {"/a", NULL},
        {"", NULL},
        {"https://u@a/", NULL},
        {"https://a b/", NULL},
        {"https://a:0/", NULL},
        {"https://a:65536/", NULL},
        {"https://a:99999999999/", NULL},
        {"https://a:x/", NULL},
        {"https://a%41/", NULL},
        {"https://[::1/", NULL},
        {"https://[::1]x/", NULL},
        {"https://[g]/", NULL},
        {"https://a/%", NULL},
        {"https://a/%4", NULL},
        {"https://a/%4g", NULL},
        {"https://a/b c", NULL},
        {"https://a/b\tc", NULL},
        {"https://a\\b/", NULL},
    };

    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_url(cases[i][0], cases[i][1]);
}

static void nonces(void **state)
{
    uint8_t secret[WEIR_DPOP_NONCE_SECRET] = {1}, other[WEIR_DPOP_NONCE_SECRET] = {2};
    char text[WEIR_DPOP_NONCE];
    weir_str_t nonce = {text, sizeof(text)};

    (void)state;

    weir_dpop_nonce_make(secret, ISSUED, text);
    assert_int_equal(weir_dpop_nonce_age(secret, nonce, ISSUED), 0);
    assert_int_equal(weir_dpop_nonce_age(secret, nonce, ISSUED + 7), 7);
    assert_int_equal(weir_dpop_nonce_age(secret, nonce, ISSUED - 1), -1);
    assert_int_equal(weir_dpop_nonce_age(other, nonce, ISSUED), -1);
    assert_int_equal(weir_dpop_nonce_age(secret, (weir_str_t){text, sizeof(text) - 1}, ISSUED), -1);
    assert_int_equal(weir_dpop_nonce_age(secret, (weir_str_t){NULL, 0}, ISSUED), -1);
    for (size_t i = 0; i < sizeof(text); i++) {
        char old = text[i];

        text[i] = old == 'A' ? 'B' : 'A';
        assert_int_equal(weir_dpop_nonce_age(secret, nonce, ISSUED + 100000), -1);
        text[i] = old;
    }
}

static weir_dpop_seen_result_t use(weir_dpop_seen_t *seen, uint8_t key, unsigned jti, int64_t now)
{
    uint8_t thumbprint[WEIR_THUMBPRINT] = {key};
    weir_str_t text = {(const char *)&jti, sizeof(jti)};
    weir_dpop_seen_result_t result = weir_dpop_seen_add(seen, thumbprint, text, now, now + 60);

    if (result != WEIR_DPOP_NO_ROOM)
        assert_true(weir_dpop_seen_has(seen, thumbprint, text, now));

    return result;
}

static void a_proof_is_used_once(void **state)
{
    weir_dpop_seen_t *seen = malloc(weir_dpop_seen_size(64));

    (void)state;

    assert_int_equal(weir_dpop_seen_sets(weir_dpop_seen_size(64)), 64);
    assert_int_equal(weir_dpop_seen_sets(1), 0);
    weir_dpop_seen_init(seen, 64);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(use(seen, 0, i, 1000), WEIR_DPOP_NEW);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(use(seen, 0, i, 1059), WEIR_DPOP_USED);
    assert_int_equal(use(seen, 1, 7, 1059), WEIR_DPOP_NEW);
    for (unsigned i = 0; i < 300; i++)
        assert_int_equal(use(seen, 0, i, 1060), WEIR_DPOP_NEW);
    free(seen);
}

/* The owner of one key fills half of the table; what is in use is never forgotten. */
static void one_key_leaves_room_for_others(void **state)
{
    weir_dpop_seen_t *seen = malloc(weir_dpop_seen_size(4));
    unsigned own = 0, others = 0;

    (void)state;

    weir_dpop_seen_init(seen, 4);
    for (unsigned i = 0; i < 10000; i++)
        own += use(seen, 0, i, 1000) == WEIR_DPOP_NEW;
    assert_int_equal(own, 4 * WEIR_DPOP_SEEN_SHARE);
    for (unsigned i = 0; i < 10000; i++)
        others += use(seen, (uint8_t)(1 + i % 200), i, 1000) == WEIR_DPOP_NEW;
    assert_int_equal(others, 4 * (WEIR_DPOP_SEEN_PLACES - WEIR_DPOP_SEEN_SHARE));
    for (unsigned i = 0; i < 10000; i++)
        assert_int_not_equal(use(seen, 0, i, 1059), WEIR_DPOP_NEW);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_is_good),
        cmocka_unit_test(a_proof_is_for_one_request),
        cmocka_unit_test(a_changed_proof_is_not_verified),
        cmocka_unit_test(thumbprints),
        cmocka_unit_test(urls_are_written_in_one_way),
        cmocka_unit_test(nonces),
        cmocka_unit_test(a_proof_is_used_once),
        cmocka_unit_test(one_key_leaves_room_for_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
