// needs: backend/identity/verify.c backend/http/caller/identity.c backend/log/alloc.c
// needs: backend/log/log.c
// needs: common/ids/random.c common/problem.c
// needs: common/token/sign.c common/token/signature.c common/token/base64url.c common/token/json.c
// needs: common/token/token.c common/token/claims.c common/token/key/jwk.c
// needs: common/token/key/jwks.c common/token/key/algorithm.c
/* Tokens of identities: what is believed, for which request, and for how long it is kept. */
#include "backend/identity/verify.h"
#include "common/token/sign.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* RFC 8037 appendix A.1, in PKCS #8 */
#define KEY                                                                                        \
    "-----BEGIN PRIVATE KEY-----\n"                                                                \
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"                           \
    "-----END PRIVATE KEY-----\n"
#define NOW 1000000

static weir_signer_t signer;
static weir_verifier_t *verifier;

static int set_up(void **state)
{
    const weir_signer_t *list = &signer;
    char set[WEIR_SIGN_JWK_MAX + 32], why[WEIR_JWKS_WHY_MAX];
    size_t len;

    (void)state;
    assert_null(weir_signer_read(&signer, WEIR_STR(KEY)));
    len = weir_signer_jwks(&list, 1, set, sizeof(set));
    verifier = weir_verifier_new("weir", "shop", "");
    assert_true(weir_verifier_keys(verifier, (weir_str_t){set, len}, why));

    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    weir_verifier_free(verifier);
    weir_signer_release(&signer);

    return 0;
}

/* A token with these claims behind iss, aud and times; in a buffer of this function. */
static weir_str_t token_of(const char *claims)
{
    static char text[4096];
    char all[1024];
    int n =
        snprintf(all, sizeof(all), "{\"iss\":\"weir\",\"aud\":\"shop\",\"iat\":%d,\"exp\":%d,%s}",
                 NOW, NOW + 30, claims);
    size_t len = weir_signer_token(&signer, WEIR_VERIFIER_TYPE, (weir_str_t){all, (size_t)n}, text);

    assert_true(len > 0 && len < sizeof(text));

    return (weir_str_t){text, len};
}

static weir_verdict_t check_at(weir_str_t token, const char *method, const char *path, int64_t now)
{
    weir_identity_t *identity;
    weir_verdict_t verdict =
        weir_verifier_check(verifier, token, method, weir_str(path), now, &identity);

    assert_int_equal(identity != NULL, verdict == WEIR_VERDICT_ACCEPTED);
    weir_identity_drop(identity);

    return verdict;
}

#define ANYONE "\"sub\":\"anonymous\",\"act\":{\"sub\":\"weir\"},\"htm\":\"GET\""
#define ALICE                                                                                      \
    "\"sub\":\"alice\",\"sub_iss\":\"i\",\"scope\":\"a bc d\",\"act\":{\"sub\":\"weir\"},"         \
    "\"htm\":\"GET\""

static void who_calls_is_read(void **state)
{
    weir_identity_t *identity;

    (void)state;
    assert_int_equal(weir_verifier_check(verifier, token_of(ALICE ",\"path\":\"/x\""), "GET",
                                         WEIR_STR("/x"), NOW, &identity),
                     WEIR_VERDICT_ACCEPTED);
    assert_string_equal(identity->subject, "alice");
    assert_string_equal(identity->issuer, "i");
    assert_string_equal(identity->actor, "weir");
    assert_false(identity->anonymous);
    assert_true(weir_identity_has(identity, "a") && weir_identity_has(identity, "bc") &&
                weir_identity_has(identity, "d"));
    assert_false(weir_identity_has(identity, "b") || weir_identity_has(identity, "bc d") ||
                 weir_identity_has(identity, "c"));
    weir_identity_drop(identity);
}

static void nobody_has_no_scope(void **state)
{
    weir_identity_t *identity;

    (void)state;
    assert_int_equal(weir_verifier_check(verifier,
                                         token_of(ANYONE ",\"scope\":\"admin\",\"path\":\"/x\""),
                                         "GET", WEIR_STR("/x"), NOW, &identity),
                     WEIR_VERDICT_ACCEPTED);
    assert_true(identity->anonymous);
    assert_string_equal(identity->subject, WEIR_IDENTITY_ANONYMOUS);
    assert_string_equal(identity->scopes, "");
    weir_identity_drop(identity);
}

/* Of two issuers, each could name the users of the other one. */
static void callers_of_other_issuers_are_nobody(void **state)
{
    static const struct {
        const char *callers;
        bool known; /* of the issuer "i" */
    } cases[] = {{"", true},    {" ", true},    {"i", true}, {"x\ti  ii", true},
                 {"ii", false}, {"x y", false}, {"I", false}};
    const weir_signer_t *list = &signer;
    char set[WEIR_SIGN_JWK_MAX + 32], why[WEIR_JWKS_WHY_MAX];
    size_t len = weir_signer_jwks(&list, 1, set, sizeof(set));

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        weir_verifier_t *v = weir_verifier_new("weir", "shop", cases[i].callers);
        weir_identity_t *identity;

        assert_true(weir_verifier_keys(v, (weir_str_t){set, len}, why));
        assert_int_equal(weir_verifier_check(v, token_of(ALICE ",\"path\":\"/x\""), "GET",
                                             WEIR_STR("/x"), NOW, &identity),
                         WEIR_VERDICT_ACCEPTED);
        assert_int_equal(identity->anonymous, !cases[i].known);
        assert_string_equal(identity->subject, cases[i].known ? "alice" : WEIR_IDENTITY_ANONYMOUS);
        assert_string_equal(identity->issuer, cases[i].known ? "i" : "");
        assert_int_equal(weir_identity_has(identity, "a"), cases[i].known);
        weir_identity_drop(identity);
        weir_verifier_free(v);
    }
}

static void a_token_is_for_its_request(void **state)
{
    weir_str_t token = token_of(ANYONE ",\"path\":\"/x\"");

    (void)state;
    for (int i = 0; i < 2; i++) { /* verified, and kept */
        assert_int_equal(check_at(token, "GET", "/x", NOW), WEIR_VERDICT_ACCEPTED);
        assert_int_equal(check_at(token, "PUT", "/x", NOW), WEIR_VERDICT_BINDING);
        assert_int_equal(check_at(token, "get", "/x", NOW), WEIR_VERDICT_BINDING);
        assert_int_equal(check_at(token, "GET", "/x/", NOW), WEIR_VERDICT_BINDING);
        assert_int_equal(check_at(token, "GET", "/", NOW), WEIR_VERDICT_BINDING);
        assert_int_equal(check_at(token, "GET", "", NOW), WEIR_VERDICT_BINDING);
    }

    token = token_of(ANYONE ",\"prefix\":\"/x/\"");
    assert_int_equal(check_at(token, "GET", "/x/", NOW), WEIR_VERDICT_ACCEPTED);
    assert_int_equal(check_at(token, "GET", "/x/y", NOW), WEIR_VERDICT_ACCEPTED);
    assert_int_equal(check_at(token, "GET", "/x", NOW), WEIR_VERDICT_BINDING);
    assert_int_equal(check_at(token, "GET", "/y/x/", NOW), WEIR_VERDICT_BINDING);
}

static void a_kept_token_ends(void **state)
{
    weir_str_t token = token_of(ANYONE ",\"path\":\"/x\"");
    int64_t last = NOW + 30 + WEIR_VERIFIER_LEEWAY_S - 1;

    (void)state;
    assert_int_equal(check_at(token, "GET", "/x", NOW - WEIR_VERIFIER_LEEWAY_S - 1),
                     WEIR_VERDICT_TIME);
    assert_int_equal(check_at(token, "GET", "/x", last), WEIR_VERDICT_ACCEPTED);
    assert_int_equal(check_at(token, "GET", "/x", last + 1), WEIR_VERDICT_TIME);
}

static void other_keys_forget_what_was_kept(void **state)
{
    weir_str_t token = token_of(ANYONE ",\"path\":\"/x\"");
    static const char other[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
                                "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                                "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
    char why[WEIR_JWKS_WHY_MAX];

    (void)state;
    assert_int_equal(check_at(token, "GET", "/x", NOW), WEIR_VERDICT_ACCEPTED);
    assert_false(weir_verifier_keys(verifier, WEIR_STR("{}"), why));
    assert_int_equal(check_at(token, "GET", "/x", NOW), WEIR_VERDICT_ACCEPTED);
    assert_true(weir_verifier_keys(verifier, WEIR_STR(other), why));
    assert_int_equal(check_at(token, "GET", "/x", NOW), WEIR_VERDICT_UNKNOWN_KEY);
}

static void what_is_not_of_use_is_refused(void **state)
{
    static const char *const claims[] = {
        "\"sub\":\"a\",\"act\":{\"sub\":\"weir\"},\"htm\":\"GET\"",
        "\"sub\":\"a\",\"act\":{\"sub\":\"weir\"},\"path\":\"/x\"",
        "\"sub\":\"a\",\"htm\":\"GET\",\"path\":\"/x\"",
        "\"sub\":\"a\",\"act\":\"weir\",\"htm\":\"GET\",\"path\":\"/x\"",
        "\"sub\":\"\",\"act\":{\"sub\":\"weir\"},\"htm\":\"GET\",\"path\":\"/x\"",
        "\"sub\":7,\"act\":{\"sub\":\"weir\"},\"htm\":\"GET\",\"path\":\"/x\"",
        "\"sub\":\"a\",\"act\":{\"sub\":\"weir\"},\"htm\":[\"GET\"],\"path\":\"/x\"",
        "\"sub\":\"a\",\"act\":{\"sub\":\"weir\"},\"htm\":\"GET\",\"path\":[\"/x\"]",
        ANYONE ",\"path\":\"/x\",\"prefix\":\"/\"",
        ANYONE ",\"path\":\"/x\",\"sub_iss\":true",
        ANYONE ",\"path\":\"/x\",\"scope\":[\"a\"]",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++)
        assert_int_equal(check_at(token_of(claims[i]), "GET", "/x", NOW), WEIR_VERDICT_MALFORMED);
    assert_int_equal(check_at((weir_str_t){NULL, 0}, "GET", "/x", NOW), WEIR_VERDICT_MISSING);
    assert_int_equal(check_at(WEIR_STR(""), "GET", "/x", NOW), WEIR_VERDICT_MALFORMED);
}

/* More tokens than places: all are right, and the memory is freed (AddressSanitizer). */
static void more_tokens_than_places(void **state)
{
    char claims[256], path[32];

    (void)state;
    for (int i = 0; i < 2 * WEIR_VERIFIER_PLACES; i++) {
        snprintf(path, sizeof(path), "/%d", i);
        snprintf(claims, sizeof(claims), ANYONE ",\"path\":\"%s\"", path);
        assert_int_equal(check_at(token_of(claims), "GET", path, NOW), WEIR_VERDICT_ACCEPTED);
    }
}

static void nothing_is_believed_without_keys(void **state)
{
    weir_verifier_t *empty = weir_verifier_new("weir", "shop", "");
    weir_identity_t *identity;

    (void)state;
    assert_int_equal(weir_verifier_check(empty, token_of(ANYONE ",\"path\":\"/x\""), "GET",
                                         WEIR_STR("/x"), NOW, &identity),
                     WEIR_VERDICT_NO_KEYS);
    weir_verifier_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_calls_is_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_has_no_scope, set_up, tear_down),
        cmocka_unit_test_setup_teardown(callers_of_other_issuers_are_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_token_is_for_its_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_kept_token_ends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_keys_forget_what_was_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_of_use_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_tokens_than_places, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_is_believed_without_keys, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
