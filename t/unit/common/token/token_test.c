// needs: common/token/token.c common/token/claims.c common/token/signature.c common/token/reason.c
// needs: common/token/base64url.c common/token/json.c
// needs: common/token/key/jwks.c common/token/key/jwk.c common/token/key/algorithm.c
/* Tokens as a whole: parsed, compared with what is known of their issuer, and verified. */
#include "common/token/claims.h"
#include "common/token/token.h"
#include "vectors.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW 1795564800
#define HEAD "{\"alg\":\"EdDSA\"}"
#define ISS "\"iss\":\"https://issuer.example\",\"aud\":\"api\""
#define GOOD "{" ISS ",\"exp\":1795564900}"

static const weir_str_t audiences[] = {{"other", 5}, {"api", 3}};

static weir_token_issuer_t issuer;
static EVP_PKEY *signer;

static char *encode(char *out, const void *data, size_t len)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = data;
    unsigned bits = 0, count = 0;

    while (len-- > 0) {
        bits = bits << 8 | *p++;
        for (count += 8; count >= 6; count -= 6)
            *out++ = alphabet[bits >> (count - 6) & 63];
    }
    if (count > 0)
        *out++ = alphabet[bits << (6 - count) & 63];
    *out = '\0';

    return out;
}

/* A token of that header and payload, signed by the issuer. */
static weir_str_t token_of(const char *header, const char *payload)
{
    static char text[2 * WEIR_TOKEN_MAX];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t signature[64];
    size_t len = sizeof(signature);
    char *end = encode(text, header, strlen(header));

    *end++ = '.';
    end = encode(end, payload, strlen(payload));

    assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, signer), 1);
    assert_int_equal(
        EVP_DigestSign(md, signature, &len, (const uint8_t *)text, (size_t)(end - text)), 1);
    EVP_MD_CTX_free(md);

    *end++ = '.';
    encode(end, signature, len);

    return weir_str(text);
}

/* The result for a token at that time: of each step, until one refuses. */
static weir_token_reason_t judge_at(weir_str_t text, int64_t now)
{
    weir_token_t token;
    int64_t expires;
    weir_token_reason_t reason = weir_token_parse(text, &token);

    if (reason == WEIR_TOKEN_OK)
        reason = weir_token_check(&token, &issuer, now, &expires);
    if (reason == WEIR_TOKEN_OK) {
        assert_true(expires > now);
        reason = weir_token_verify(&token, &issuer);
    }
    weir_token_release(&token);
    assert_null(token.claims);

    return reason;
}

static weir_token_reason_t judge(const char *header, const char *payload)
{
    return judge_at(token_of(header, payload), NOW);
}

#define is_judged(header, payload, reason)                                                         \
    do {                                                                                           \
        weir_token_reason_t is_ = judge(header, payload);                                          \
        if (is_ != (reason))                                                                       \
            fail_msg("%s %s: %s", header, payload, weir_token_reason_text(is_));                   \
    } while (0)

static int begin(void **state)
{
    uint8_t seed[32] = {1}, public[32];
    char text[256], x[64], why[WEIR_JWKS_WHY_MAX];
    size_t len = sizeof(public);

    (void)state;
    signer = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
    if (signer == NULL || EVP_PKEY_get_raw_public_key(signer, public, &len) != 1)
        return -1;
    encode(x, public, len);
    snprintf(text, sizeof(text),
             "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\",\"x\":\"%s\"}]}", x);
    issuer = (weir_token_issuer_t){.issuer = WEIR_STR("https://issuer.example"),
                                   .audiences = audiences,
                                   .n_audiences = 2,
                                   .algorithms = WEIR_TOKEN_ALL_ALGORITHMS};

    return weir_jwks_parse(weir_str(text), &issuer.keys, why) ? 0 : -1;
}

static int end(void **state)
{
    (void)state;
    weir_jwks_release(&issuer.keys);
    EVP_PKEY_free(signer);

    return 0;
}

static void good_tokens_are_good(void **state)
{
    static const char *const headers[] = {
        HEAD,
        "{\"alg\":\"EdDSA\",\"kid\":\"k\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"jwt\"}",
        "{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\",\"x5t\":\"abc\",\"other\":[1,{}]}",
        "{\"typ\":\"application/at+JWT\",\"alg\":\"EdDSA\"}",
    };
    static const char *const payloads[] = {
        GOOD,
        "{" ISS ",\"exp\":1795564800.5}",
        "{" ISS ",\"exp\":9007199254740992,\"nbf\":1795564800,\"iat\":1795564800}",
        "{\"iss\":\"https://issuer.example\",\"aud\":[\"x\",\"api\"],\"exp\":1.8e9,\"nbf\":-1}",
        "{" ISS ",\"exp\":1795564900,\"sub\":\"\",\"jti\":\"1\",\"more\":{\"a\":[null]}}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        for (size_t j = 0; j < sizeof(payloads) / sizeof(payloads[0]); j++)
            is_judged(headers[i], payloads[j], WEIR_TOKEN_OK);
    }
}

typedef struct {
    const char *text;
    weir_token_reason_t reason;
} judged_t;

static void headers_are_checked(void **state)
{
    static const judged_t headers[] = {
        {"{\"alg\":\"none\"}", WEIR_TOKEN_BAD_ALGORITHM},
        {"{\"alg\":\"HS256\"}", WEIR_TOKEN_BAD_ALGORITHM},
        {"{\"alg\":\"eddsa\"}", WEIR_TOKEN_BAD_ALGORITHM},
        {"{\"alg\":\"\"}", WEIR_TOKEN_BAD_ALGORITHM},
        {"{\"alg\":\"ES256\"}", WEIR_TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"RS256\",\"kid\":\"k\"}", WEIR_TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"EdDSA\",\"kid\":\"K\"}", WEIR_TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"EdDSA\",\"kid\":\"\"}", WEIR_TOKEN_UNKNOWN_KEY},
        {"{\"alg\":\"EdDSA\",\"kid\":7}", WEIR_TOKEN_BAD_HEADER},
        {"{\"alg\":\"EdDSA\",\"typ\":null}", WEIR_TOKEN_BAD_HEADER},
        {"{\"alg\":[\"EdDSA\"]}", WEIR_TOKEN_BAD_HEADER},
        {"{\"kid\":\"k\"}", WEIR_TOKEN_BAD_HEADER},
        {"{}", WEIR_TOKEN_BAD_HEADER},
        {"[]", WEIR_TOKEN_BAD_HEADER},
        {"\"EdDSA\"", WEIR_TOKEN_BAD_HEADER},
        {"{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}", WEIR_TOKEN_BAD_HEADER},
        {"{\"alg\":\"none\",\"\\u0061lg\":\"EdDSA\"}", WEIR_TOKEN_BAD_HEADER},
        {HEAD " x", WEIR_TOKEN_BAD_HEADER},
        {"{\"alg\":\"EdDSA\",\"x\":\"\xff\"}", WEIR_TOKEN_BAD_HEADER},
        {"{\"alg\":\"EdDSA\",\"crit\":[\"b64\"],\"b64\":false}", WEIR_TOKEN_CRITICAL},
        {"{\"alg\":\"EdDSA\",\"crit\":[]}", WEIR_TOKEN_CRITICAL},
        {"{\"alg\":\"EdDSA\",\"crit\":null}", WEIR_TOKEN_CRITICAL},
        {"{\"alg\":\"EdDSA\",\"jku\":\"https://x\"}", WEIR_TOKEN_BRINGS_KEY},
        {"{\"alg\":\"EdDSA\",\"jwk\":{}}", WEIR_TOKEN_BRINGS_KEY},
        {"{\"alg\":\"EdDSA\",\"x5u\":\"https://x\"}", WEIR_TOKEN_BRINGS_KEY},
        {"{\"alg\":\"EdDSA\",\"x5c\":[\"x\"]}", WEIR_TOKEN_BRINGS_KEY},
        {"{\"alg\":\"EdDSA\",\"typ\":\"dpop+jwt\"}", WEIR_TOKEN_WRONG_TYPE},
        {"{\"alg\":\"EdDSA\",\"typ\":\"\"}", WEIR_TOKEN_WRONG_TYPE},
        {"{\"alg\":\"EdDSA\",\"typ\":\"application/\"}", WEIR_TOKEN_WRONG_TYPE},
        {"{\"alg\":\"EdDSA\",\"typ\":\"text/JWT\"}", WEIR_TOKEN_WRONG_TYPE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        is_judged(headers[i].text, GOOD, headers[i].reason);
}

static void claims_are_checked(void **state)
{
    static const judged_t payloads[] = {
        {"[]", WEIR_TOKEN_BAD_CLAIMS},
        {"null", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1795564900,\"exp\":1795564900}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1795564900,\"a\":{\"b\":1,\"b\":1}}", WEIR_TOKEN_BAD_CLAIMS},
        {GOOD "{}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS "}", WEIR_TOKEN_NO_EXPIRY},
        {"{" ISS ",\"exp\":null}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":\"1795564900\"}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":true}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":9007199254740993}", WEIR_TOKEN_OK},
        {"{" ISS ",\"exp\":9223372036854775807}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":9223372036854775808}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1e300}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1e999}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1795564800}", WEIR_TOKEN_EXPIRED},
        {"{" ISS ",\"exp\":1795564799.9}", WEIR_TOKEN_EXPIRED},
        {"{" ISS ",\"exp\":0}", WEIR_TOKEN_EXPIRED},
        {"{" ISS ",\"exp\":-1795564900}", WEIR_TOKEN_EXPIRED},
        {"{" ISS ",\"exp\":1795564900,\"nbf\":1795564801}", WEIR_TOKEN_NOT_YET},
        {"{" ISS ",\"exp\":1795564900,\"nbf\":1795564800.1}", WEIR_TOKEN_NOT_YET},
        {"{" ISS ",\"exp\":1795564900,\"nbf\":\"0\"}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1795564900,\"iat\":1795564801}", WEIR_TOKEN_FROM_FUTURE},
        {"{" ISS ",\"exp\":1795564900,\"iat\":[]}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1795564900,\"sub\":1}", WEIR_TOKEN_BAD_CLAIMS},
        {"{" ISS ",\"exp\":1795564900,\"jti\":{}}", WEIR_TOKEN_BAD_CLAIMS},
        {"{\"aud\":\"api\",\"exp\":1795564900}", WEIR_TOKEN_WRONG_ISSUER},
        {"{\"iss\":\"\",\"aud\":\"api\",\"exp\":1795564900}", WEIR_TOKEN_WRONG_ISSUER},
        {"{\"iss\":\"https://issuer.example/\",\"aud\":\"api\",\"exp\":1795564900}",
         WEIR_TOKEN_WRONG_ISSUER},
        {"{\"iss\":\"HTTPS://issuer.example\",\"aud\":\"api\",\"exp\":1795564900}",
         WEIR_TOKEN_WRONG_ISSUER},
        {"{\"iss\":[\"https://issuer.example\"],\"aud\":\"api\",\"exp\":1795564900}",
         WEIR_TOKEN_BAD_CLAIMS},
        {"{\"iss\":\"https://issuer.example\",\"exp\":1795564900}", WEIR_TOKEN_WRONG_AUDIENCE},
        {"{\"iss\":\"https://issuer.example\",\"aud\":\"api2\",\"exp\":1795564900}",
         WEIR_TOKEN_WRONG_AUDIENCE},
        {"{\"iss\":\"https://issuer.example\",\"aud\":\"\",\"exp\":1795564900}",
         WEIR_TOKEN_WRONG_AUDIENCE},
        {"{\"iss\":\"https://issuer.example\",\"aud\":[],\"exp\":1795564900}",
         WEIR_TOKEN_WRONG_AUDIENCE},
        {"{\"iss\":\"https://issuer.example\",\"aud\":[\"API\"],\"exp\":1795564900}",
         WEIR_TOKEN_WRONG_AUDIENCE},
        {"{\"iss\":\"https://issuer.example\",\"aud\":[\"api\",1],\"exp\":1795564900}",
         WEIR_TOKEN_BAD_CLAIMS},
        {"{\"iss\":\"https://issuer.example\",\"aud\":{\"api\":1},\"exp\":1795564900}",
         WEIR_TOKEN_BAD_CLAIMS},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
        is_judged(HEAD, payloads[i].text, payloads[i].reason);
}

static void leeway_and_age_are_those_of_the_issuer(void **state)
{
    weir_str_t text = token_of(HEAD, "{" ISS ",\"exp\":200,\"nbf\":100,\"iat\":90}");

    (void)state;
    issuer.leeway = 10;
    assert_int_equal(judge_at(text, 79), WEIR_TOKEN_NOT_YET);
    assert_int_equal(judge_at(text, 89), WEIR_TOKEN_NOT_YET);
    assert_int_equal(judge_at(text, 90), WEIR_TOKEN_OK);
    assert_int_equal(judge_at(text, 209), WEIR_TOKEN_OK);
    assert_int_equal(judge_at(text, 210), WEIR_TOKEN_EXPIRED);
    issuer.max_age = 50;
    assert_int_equal(judge_at(text, 149), WEIR_TOKEN_OK);
    assert_int_equal(judge_at(text, 150), WEIR_TOKEN_TOO_OLD);
    text = token_of(HEAD, GOOD);
    assert_int_equal(judge_at(text, NOW), WEIR_TOKEN_TOO_OLD);
    issuer.leeway = issuer.max_age = 0;
}

static void a_type_may_be_required(void **state)
{
    (void)state;
    issuer.type = WEIR_STR("at+jwt");
    is_judged("{\"alg\":\"EdDSA\",\"typ\":\"at+jwt\"}", GOOD, WEIR_TOKEN_OK);
    is_judged("{\"alg\":\"EdDSA\",\"typ\":\"application/AT+JWT\"}", GOOD, WEIR_TOKEN_OK);
    is_judged("{\"alg\":\"EdDSA\",\"typ\":\"JWT\"}", GOOD, WEIR_TOKEN_WRONG_TYPE);
    is_judged(HEAD, GOOD, WEIR_TOKEN_WRONG_TYPE);
    issuer.type = (weir_str_t){NULL, 0};
}

static void an_algorithm_may_be_forbidden(void **state)
{
    (void)state;
    issuer.algorithms = weir_token_algorithm(WEIR_STR("ES256"))->bit;
    is_judged(HEAD, GOOD, WEIR_TOKEN_BAD_ALGORITHM);
    issuer.algorithms = WEIR_TOKEN_ALL_ALGORITHMS;
}

static void forms_that_are_not_compact_are_refused(void **state)
{
    static const char *const bad[] = {"",     ".",    "..",     "a.b",       "a..c",
                                      ".b.c", "a.b.", "a.b.c.", "a.b.c.d.e", "{\"payload\":\"a\"}",
                                      "...."};
    char good[512], text[600];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(judge_at(weir_str(bad[i]), NOW), WEIR_TOKEN_NOT_COMPACT);

    snprintf(good, sizeof(good), "%s", token_of(HEAD, GOOD).data);
    snprintf(text, sizeof(text), "%s=", good);
    assert_int_equal(judge_at(weir_str(text), NOW), WEIR_TOKEN_BAD_BASE64);
    snprintf(text, sizeof(text), " %s", good);
    assert_int_equal(judge_at(weir_str(text), NOW), WEIR_TOKEN_BAD_BASE64);
    /* 64 bytes end with four bits that must be 0 */
    snprintf(text, sizeof(text), "%s", good);
    text[strlen(text) - 1]++;
    assert_int_equal(judge_at(weir_str(text), NOW), WEIR_TOKEN_BAD_BASE64);
    snprintf(text, sizeof(text), "%s", good);
    text[strlen(text) - 3] ^= 1;
    assert_int_not_equal(judge_at(weir_str(text), NOW), WEIR_TOKEN_OK);
    assert_int_equal(judge_at(weir_str(good), NOW), WEIR_TOKEN_OK);
}

static void sizes_have_limits(void **state)
{
    static char text[2 * WEIR_TOKEN_MAX];
    weir_str_t token;

    (void)state;
    snprintf(text, sizeof(text), "{" ISS ",\"exp\":1795564900,\"x\":\"%0*d\"}", 12000, 0);
    is_judged(HEAD, text, WEIR_TOKEN_OK);
    snprintf(text, sizeof(text), "{" ISS ",\"exp\":1795564900,\"x\":\"%0*d\"}", 12300, 0);
    is_judged(HEAD, text, WEIR_TOKEN_TOO_LARGE);

    snprintf(text, sizeof(text), "{\"alg\":\"EdDSA\",\"x\":\"%0*d\"}", 2000, 0);
    is_judged(text, GOOD, WEIR_TOKEN_OK);
    snprintf(text, sizeof(text), "{\"alg\":\"EdDSA\",\"x\":\"%0*d\"}", 2100, 0);
    is_judged(text, GOOD, WEIR_TOKEN_TOO_LARGE);

    token = token_of(HEAD, GOOD);
    snprintf(text, sizeof(text), "%.*s.%0*d", (int)token.len, token.data, 10, 0);
    *strrchr(text, '.') = '0';
    memset(text + token.len, 'A', 1400);
    text[token.len + 1400] = '\0';
    assert_int_equal(judge_at(weir_str(text), NOW), WEIR_TOKEN_TOO_LARGE);
}

/* As deep as a token can be: the parser has a limit of its own. */
static void depth_has_a_limit(void **state)
{
    static char text[WEIR_TOKEN_MAX];

    (void)state;
    memset(text, '[', 12000);
    is_judged(HEAD, text, WEIR_TOKEN_BAD_CLAIMS);
}

static json_t *read(const char *text)
{
    json_t *value = json_loads(text, 0, NULL);

    assert_non_null(value);

    return value;
}

static void dots_of_a_name_lead_into_objects(void **state)
{
    json_t *claims =
        read("{\"a\":{\"b\":{\"c\":[\"x\"]},\"b.c\":\"y\",\"\":{\"d\":\"e\"}},\"a.b\":{\"z\":1},"
             "\"https://a.example/roles\":[\"admin\"],\"t\":\"text\",\"a.\":5}");
    char longest[WEIR_CLAIM_NAME_MAX + 2];

    (void)state;
    assert_true(weir_claim_has(claims, "https://a.example/roles", WEIR_STR("admin")));
    /* the longest first name: a.b has no c, so a is looked at, and its b.c before its b */
    assert_true(weir_claim_has(claims, "a.b.c", WEIR_STR("y")));
    assert_true(weir_claim_has(claims, "a.b.z", WEIR_STR("1")));
    assert_true(weir_claim_has(claims, "a..d", WEIR_STR("e")));
    assert_true(weir_claim_has(claims, "a.", WEIR_STR("5")));
    assert_non_null(weir_claim_find(claims, "a.b"));
    assert_null(weir_claim_find(claims, "t.x"));
    assert_null(weir_claim_find(claims, "b.c"));
    assert_null(weir_claim_find(claims, ".a"));
    assert_null(weir_claim_find(claims, "."));
    memset(longest, '.', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_null(weir_claim_find(claims, longest));
    json_decref(claims);
}

static void a_token_may_be_bound_to_a_certificate(void **state)
{
    uint8_t digest[WEIR_CLAIMS_DIGEST] = {0};
    static const struct {
        const char *claims;
        bool bound, same;
    } rows[] = {
        {"{}", false, false},
        {"{\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}", true, true},
        {"{\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}}", true, false},
        {"{\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}", true, false},
        {"{\"cnf\":{\"x5t#S256\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}", true, false},
        {"{\"cnf\":{\"x5t#S256\":\"\"}}", true, false},
        {"{\"cnf\":{\"x5t#S256\":7}}", true, false},
        {"{\"cnf\":{\"jkt\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}}", true, false},
        {"{\"cnf\":\"x\"}", true, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *claims = read(rows[i].claims);

        assert_int_equal(weir_claims_are_bound(claims), rows[i].bound);
        assert_int_equal(weir_claims_are_bound_to(claims, digest), rows[i].same);
        json_decref(claims);
    }
}

static void the_time_of_issue_is_rounded_down(void **state)
{
    static const struct {
        const char *claims;
        bool known;
        int64_t seconds;
    } rows[] = {
        {"{\"iat\":100}", true, 100},  {"{\"iat\":100.5}", true, 100},
        {"{\"iat\":-0.5}", true, -1},  {"{\"iat\":\"100\"}", false, 0},
        {"{\"iat\":null}", false, 0},  {"{}", false, 0},
        {"{\"iat\":1e300}", false, 0},
    };
    int64_t seconds;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *claims = read(rows[i].claims);

        assert_int_equal(weir_claims_issued(claims, &seconds), rows[i].known);
        if (rows[i].known)
            assert_int_equal(seconds, rows[i].seconds);
        json_decref(claims);
    }
}

static void claims_may_be_required(void **state)
{
    json_t *claims = read("{\"a\":\"x\",\"n\":7,\"b\":true,\"r\":1.5,\"list\":[\"x y\",7,[\"z\"]],"
                          "\"o\":{\"x\":1},\"z\":null,\"e\":\"\"}");

    (void)state;
    assert_true(weir_claim_has(claims, "a", WEIR_STR("x")));
    assert_false(weir_claim_has(claims, "a", WEIR_STR("X")));
    assert_false(weir_claim_has(claims, "a", WEIR_STR("")));
    assert_true(weir_claim_has(claims, "e", WEIR_STR("")));
    assert_true(weir_claim_has(claims, "n", WEIR_STR("7")));
    assert_true(weir_claim_has(claims, "b", WEIR_STR("true")));
    assert_true(weir_claim_has(claims, "r", WEIR_STR("1.5")));
    assert_true(weir_claim_has(claims, "list", WEIR_STR("x y")));
    assert_true(weir_claim_has(claims, "list", WEIR_STR("7")));
    assert_false(weir_claim_has(claims, "list", WEIR_STR("x")));
    assert_false(weir_claim_has(claims, "list", WEIR_STR("z")));
    assert_false(weir_claim_has(claims, "o", WEIR_STR("x")));
    assert_false(weir_claim_has(claims, "o", WEIR_STR("{\"x\":1}")));
    assert_false(weir_claim_has(claims, "z", WEIR_STR("null")));
    assert_false(weir_claim_has(claims, "absent", WEIR_STR("")));
    json_decref(claims);
}

static void scopes_are_whole_words(void **state)
{
    static const char *const with[] = {"{\"scope\":\"read\"}", "{\"scope\":\"a read b\"}",
                                       "{\"scope\":[\"a\",\"read\"]}", "{\"scp\":[\"read\"]}",
                                       "{\"scp\":\"x read\"}"};
    static const char *const without[] = {"{}",
                                          "{\"scope\":\"\"}",
                                          "{\"scope\":\"reader\"}",
                                          "{\"scope\":\"a,read\"}",
                                          "{\"scope\":\"Read\"}",
                                          "{\"scope\":[\"a read\"]}",
                                          "{\"scope\":{\"read\":1}}",
                                          "{\"scope\":1,\"scp\":\"read\"}"};
    json_t *claims;

    (void)state;
    for (size_t i = 0; i < sizeof(with) / sizeof(with[0]); i++) {
        claims = read(with[i]);
        assert_true(weir_claims_have_scope(claims, WEIR_STR("read")));
        json_decref(claims);
    }
    for (size_t i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
        claims = read(without[i]);
        if (weir_claims_have_scope(claims, WEIR_STR("read")))
            fail_msg("%s has the scope", without[i]);
        json_decref(claims);
    }
}

static void claims_have_texts_that_fit_in_a_header(void **state)
{
    static const char *const cases[][2] = {
        {"[\"a b\"]", "a b"},
        {"[\"\"]", ""},
        {"[\"\\u00e4\"]", "\xc3\xa4"},
        {"[\"a\\nb\"]", NULL},
        {"[\"a\\r\"]", NULL},
        {"[\" a\"]", NULL},
        {"[\"a \"]", NULL},
        {"[\" \"]", NULL},
        {"[[\" a \"]]", "[\" a \"]"},
        {"[\"\\u007f\"]", NULL},
        {"[\"\\u0001\"]", NULL},
        {"[null]", NULL},
        {"[[\"\\u007f\"]]", NULL},
        {"[{\"\\u007f\":1}]", NULL},
        {"[true]", "true"},
        {"[-7]", "-7"},
        {"[[\"a\", \"\\r\\n\\u00e4\"]]", "[\"a\",\"\\r\\n\\u00E4\"]"},
        {"[{\"b\": 1, \"a\": {}}]", "{\"a\":{},\"b\":1}"},
    };
    json_t *array;
    char *text;
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        array = read(cases[i][0]);
        assert_int_equal(weir_claim_text(json_array_get(array, 0), &text, &len),
                         cases[i][1] != NULL);
        if (cases[i][1] != NULL) {
            assert_string_equal(text, cases[i][1]);
            assert_int_equal(len, strlen(cases[i][1]));
        }
        free(text);
        json_decref(array);
    }
    assert_false(weir_claim_text(NULL, &text, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_tokens_are_good),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(claims_are_checked),
        cmocka_unit_test(leeway_and_age_are_those_of_the_issuer),
        cmocka_unit_test(a_type_may_be_required),
        cmocka_unit_test(an_algorithm_may_be_forbidden),
        cmocka_unit_test(forms_that_are_not_compact_are_refused),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(claims_may_be_required),
        cmocka_unit_test(dots_of_a_name_lead_into_objects),
        cmocka_unit_test(a_token_may_be_bound_to_a_certificate),
        cmocka_unit_test(the_time_of_issue_is_rounded_down),
        cmocka_unit_test(scopes_are_whole_words),
        cmocka_unit_test(claims_have_texts_that_fit_in_a_header),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
