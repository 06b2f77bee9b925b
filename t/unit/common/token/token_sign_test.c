// needs: common/token/sign.c common/token/signature.c common/token/base64url.c common/token/json.c
// needs: common/token/token.c common/token/claims.c common/token/key/jwk.c
// needs: common/token/key/jwks.c common/token/key/algorithm.c
/* Keys that sign, and their tokens, which the other side of common/token/ verifies. */
#include "common/token/sign.h"
#include "common/token/token.h"
#include "vectors.h"

#include <openssl/err.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PEM(text) "-----BEGIN PRIVATE KEY-----\n" text "\n-----END PRIVATE KEY-----\n"

/* RFC 8037 appendix A.1, in PKCS #8 */
#define ED25519 PEM("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g")
#define P256                                                                                       \
    PEM("MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgk4QjUxv+sqQSy2Za\n"                       \
        "VucFMRt2hbJY3QDtUJm6z7YFCn2hRANCAATrOlRB0+o7S/N4Ls9FzFbfERYLyUcM\n"                       \
        "vjE2VyF81rVTpfJ/5ZwS37iCsn5e2qDtF9M/EsSGe0svhqS7jGNJklZn")
#define P384                                                                                       \
    PEM("MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDAYM4ClHqpB/bpduY6A\n"                       \
        "udq+woYt4fjQXhcnHS+QVcBAjnEfBlDZ5Nzd8MVWcwyEkA+hZANiAAQ5Tb1XNQi2\n"                       \
        "zfD9DrVSRm/TieXql5T6g1Nha2QCZdstWvDNOtWCmDNsNav6xW/2PXfB36kGGXC7\n"                       \
        "gKTuo9qlIJQ9RfDMuxADA9hPtF8n3FbEKWLFiOgUijyhs2nR6QGmK1g=")
#define X25519 PEM("MC4CAQAwBQYDK2VuBCIEIFD+1UTxS3GLERAZk0Wv/8O3XzCrdQ8QSNH2tiTT2fRB")
#define ENCRYPTED                                                                                  \
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"                                                      \
    "MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAgy/yHDXDkabAICCAAw\n"                           \
    "DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEG1ZKekhkfFtNc2Kmi7xvvAEgZDb\n"                           \
    "WlOIJsf4Iy4oZagqgaDQCZY5DZ1eyi26TQzEEva5QtuzYchQRz43Ad4nF38zDtNq\n"                           \
    "w9RK9+XUYVHffnjBD02b8daGzGQJA+WpQjMiPiTE67a3faxuarXtvemTY3BNVsg5\n"                           \
    "9syz0ZHM0tkN/YkNQprVEyaKIs/zBSL8fJvC5PePx994EJMFgLfirR+sl+mnZ+c=\n"                           \
    "-----END ENCRYPTED PRIVATE KEY-----\n"
/* the public part of ED25519 */
#define PUBLIC                                                                                     \
    "-----BEGIN PUBLIC KEY-----\n"                                                                 \
    "MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n"                               \
    "-----END PUBLIC KEY-----\n"

#define CLAIMS "{\"iss\":\"weir\",\"aud\":\"shop\",\"sub\":\"alice\",\"iat\":1000,\"exp\":1030}"

static void read_key(const char *pem, weir_signer_t *signer)
{
    assert_null(weir_signer_read(signer, weir_str(pem)));
    assert_int_equal(ERR_peek_error(), 0);
}

static void a_key_has_its_thumbprint(void **state)
{
    weir_signer_t signer, public;

    (void)state;
    read_key(ED25519, &signer);
    assert_true(signer.is_private);
    /* RFC 8037 appendix A.3 */
    assert_string_equal(signer.kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_non_null(strstr(signer.jwk, "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\""));

    read_key(PUBLIC, &public);
    assert_false(public.is_private);
    assert_string_equal(public.kid, signer.kid);
    assert_string_equal(public.jwk, signer.jwk);

    weir_signer_release(&signer);
    weir_signer_release(&public);
}

/* RFC 8037 appendix A.4: EdDSA has one signature for a text */
static void a_text_has_the_signature_of_the_rfc(void **state)
{
    uint8_t signature[WEIR_SIGN_SIGNATURE], expected[WEIR_SIGN_SIGNATURE + 2];
    weir_signer_t signer;
    size_t len;

    (void)state;
    read_key(ED25519, &signer);
    assert_true(weir_signer_sign(&signer, weir_str(ED_TEXT), signature));
    assert_true(weir_base64url_decode(weir_str(ED_SIGNATURE), expected, &len));
    assert_int_equal(len, WEIR_SIGN_SIGNATURE);
    assert_memory_equal(signature, expected, len);
    weir_signer_release(&signer);
}

static void is_believed(const char *text, size_t len, const weir_token_issuer_t *issuer)
{
    weir_token_t token;
    int64_t expires;

    assert_int_equal(weir_token_parse((weir_str_t){text, len}, &token), WEIR_TOKEN_OK);
    assert_int_equal(weir_token_check(&token, issuer, 1010, &expires), WEIR_TOKEN_OK);
    assert_int_equal(weir_token_verify(&token, issuer), WEIR_TOKEN_OK);
    weir_token_release(&token);
}

static void a_token_is_believed(void **state)
{
    static const weir_str_t audience = {"shop", 4};
    char set[2 * WEIR_SIGN_JWK_MAX + 32], why[WEIR_JWKS_WHY_MAX];
    char token[WEIR_SIGN_TOKEN_MAX(sizeof(CLAIMS))];
    weir_signer_t signers[2];
    const weir_signer_t *list[2] = {&signers[0], &signers[1]};
    weir_token_issuer_t issuer = {.issuer = {"weir", 4},
                                  .audiences = &audience,
                                  .n_audiences = 1,
                                  .algorithms = WEIR_TOKEN_ALL_ALGORITHMS,
                                  .type = {"weir-identity+jwt", 17}};
    size_t len;

    (void)state;
    read_key(ED25519, &signers[0]);
    read_key(P256, &signers[1]);
    len = weir_signer_jwks(list, 2, set, sizeof(set));
    assert_int_equal(len, strlen(set));
    assert_true(weir_jwks_parse((weir_str_t){set, len}, &issuer.keys, why));
    assert_int_equal(issuer.keys.n, 2);

    /* often, since r and s of ES256 begin with a zero byte at times */
    for (int i = 0; i < 1000; i++) {
        len = weir_signer_token(&signers[i % 2], "weir-identity+jwt", WEIR_STR(CLAIMS), token);
        assert_true(len > 0 && len <= sizeof(token));
        is_believed(token, len, &issuer);
    }
    assert_int_equal(ERR_peek_error(), 0);

    weir_jwks_release(&issuer.keys);
    weir_signer_release(&signers[0]);
    weir_signer_release(&signers[1]);
}

static void a_public_key_signs_nothing(void **state)
{
    char token[WEIR_SIGN_TOKEN_MAX(2)];
    weir_signer_t signer;

    (void)state;
    read_key(PUBLIC, &signer);
    assert_int_equal(weir_signer_token(&signer, "JWT", WEIR_STR("{}"), token), 0);
    weir_signer_release(&signer);
}

static void other_keys_are_refused(void **state)
{
    static const char type[] = "its type is another than EC on P-256 (ES256) and Ed25519 (EdDSA)";
    static const struct {
        const char *pem, *why;
    } keys[] = {
        {P384, type},
        {X25519, type},
        {ENCRYPTED, "it is encrypted with a password"},
        {"", "it is no key in PEM"},
        {"-----BEGIN PRIVATE KEY-----\n", "it is no key in PEM"},
        {PEM("MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v"), "it is no key in PEM"},
    };
    static char large[WEIR_SIGN_KEY_MAX + 1];
    weir_signer_t signer;

    (void)state;
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_string_equal(weir_signer_read(&signer, weir_str(keys[i].pem)), keys[i].why);
        assert_null(signer.pkey);
        assert_int_equal(ERR_peek_error(), 0);
    }
    assert_string_equal(weir_signer_read(&signer, (weir_str_t){large, sizeof(large)}),
                        "it has more than 16384 bytes");
}

static void a_set_is_cut_to_its_room(void **state)
{
    weir_signer_t signer;
    const weir_signer_t *list = &signer;
    char set[64];

    (void)state;
    read_key(ED25519, &signer);
    assert_true(weir_signer_jwks(&list, 1, set, sizeof(set)) >= sizeof(set));
    assert_int_equal(strlen(set), sizeof(set) - 1);
    weir_signer_release(&signer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_has_its_thumbprint),
        cmocka_unit_test(a_text_has_the_signature_of_the_rfc),
        cmocka_unit_test(a_token_is_believed),
        cmocka_unit_test(a_public_key_signs_nothing),
        cmocka_unit_test(other_keys_are_refused),
        cmocka_unit_test(a_set_is_cut_to_its_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
