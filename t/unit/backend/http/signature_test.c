// needs: backend/http/signature.c backend/log/alloc.c backend/log/log.c common/problem.c
/* Keys and signatures of webhooks; the first vector is the specification's own. */
#include "http/signature.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>

#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TIME "1614265330"
#define NOW 1614265330
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static weir_secret_t key(const char *text)
{
    weir_secret_t secret = {0};

    assert_true(weir_secret_parse(text, &secret));
    return secret;
}

static weir_secret_t known(void)
{
    return key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
}

static void makes_the_signature_of_the_specification(void **state)
{
    weir_secret_t secret = known();
    char out[WEIR_SIGNATURE_LEN + 1];

    (void)state;
    assert_int_equal(secret.len, 24);
    weir_signature_make(&secret, ID, TIME, WEIR_STR(BODY), out);
    assert_string_equal(out, SIGNATURE);
}

static const char *check(const char *id, const char *time, const char *signatures, const char *body,
                         int64_t now)
{
    weir_secret_t secrets[2] = {{{0}, 0}, known()};

    return weir_signature_check(secrets, 2, id, time, signatures, (weir_str_t){body, strlen(body)},
                                now);
}

static void takes_what_is_signed_and_in_time_only(void **state)
{
    (void)state;
    assert_null(check(ID, TIME, SIGNATURE, BODY, NOW));
    assert_null(check(ID, TIME, "v1,AAAA " SIGNATURE, BODY, NOW));
    assert_null(check(ID, TIME, "v1a," SIGNATURE "  " SIGNATURE " ", BODY, NOW));
    assert_null(check(ID, TIME, SIGNATURE, BODY, NOW + 300));
    assert_null(check(ID, TIME, SIGNATURE, BODY, NOW - 300));

    assert_non_null(check(ID, TIME, SIGNATURE, BODY, NOW + 301));
    assert_non_null(check(ID, TIME, SIGNATURE, BODY, NOW - 301));
    assert_non_null(check(ID, TIME, SIGNATURE, BODY " ", NOW));
    assert_non_null(check(ID "x", TIME, SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, "1614265331", SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, TIME, "", BODY, NOW));
    assert_non_null(check(ID, TIME, "v2" SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, TIME, SIGNATURE "=", BODY, NOW));
    assert_non_null(check(NULL, TIME, SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, NULL, SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, TIME, NULL, BODY, NOW));
    assert_non_null(check("", TIME, SIGNATURE, BODY, NOW));
    assert_non_null(check("a b", TIME, SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, "", SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, "-1614265330", SIGNATURE, BODY, NOW));
    assert_non_null(check(ID, "99999999999999999999", SIGNATURE, BODY, NOW));
}

/* The seventeenth is not looked at: how much is compared has a limit. */
static void looks_at_sixteen_signatures(void **state)
{
    char many[1024] = "";

    (void)state;
    for (int i = 0; i < 15; i++)
        strcat(many, "v1,x ");
    strcat(many, SIGNATURE);
    assert_null(check(ID, TIME, many, BODY, NOW));
    memmove(many + 5, many, strlen(many) + 1);
    memcpy(many, "v1,x ", 5);
    assert_non_null(check(ID, TIME, many, BODY, NOW));
}

/* A key that is not set fits nothing, not even what is signed with an empty one. */
static void a_key_that_is_not_set_fits_nothing(void **state)
{
    weir_secret_t none = {{0}, 0};
    char out[WEIR_SIGNATURE_LEN + 1];

    (void)state;
    weir_signature_make(&none, ID, TIME, WEIR_STR(BODY), out);
    assert_non_null(weir_signature_check(&none, 1, ID, TIME, out, WEIR_STR(BODY), NOW));
}

static void refuses_what_is_no_key(void **state)
{
    static const char *const wrong[] = {"",
                                        "whsec_",
                                        "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
                                        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS=", /* 23 bytes */
                                        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa*w",
                                        "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"};
    weir_secret_t secret;
    char text[128] = "whsec_";

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(weir_secret_parse(wrong[i], &secret));

    /* 64 bytes are 86 digits and two signs; one more byte is too many. */
    memset(text + 6, 'A', 86);
    strcpy(text + 92, "==");
    assert_int_equal(key(text).len, 64);
    strcpy(text + 92, "A=");
    assert_false(weir_secret_parse(text, &secret));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_the_signature_of_the_specification),
        cmocka_unit_test(takes_what_is_signed_and_in_time_only),
        cmocka_unit_test(looks_at_sixteen_signatures),
        cmocka_unit_test(a_key_that_is_not_set_fits_nothing),
        cmocka_unit_test(refuses_what_is_no_key),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
