// needs: backend/shop/signup_input.c backend/shop/representation.c
// needs: backend/http/server.c backend/http/request.c backend/http/route.c backend/http/listen.c backend/log/log.c
// needs: common/problem.c common/traceparent.c common/random.c
#include "shop/representation.h"
#include "shop/signup_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const weir_field_t fields[] = {
    {"id", 0, 1, 0, 0},
    {"old", 1, 1, 2, 3},
    {"new", 1, 2, 0, 0},
};

static void assert_shown(int version, const char *want)
{
    const weir_str_t values[] = {WEIR_STR("7"), WEIR_STR("a\"b")};
    size_t want_len = strlen(want);

    /* at every size of the buffer: never past it, and always the whole length */
    for (size_t cap = 0; cap <= want_len; cap++) {
        char *buf = malloc(cap > 0 ? cap : 1);

        assert_int_equal(weir_represent(buf, cap, fields, 3, values, version), want_len);
        assert_memory_equal(buf, want, cap);
        free(buf);
    }
}

static void versions_have_their_fields(void **state)
{
    (void)state;
    assert_shown(1, "{\"id\":\"7\",\"old\":\"a\\\"b\"}\n");
    assert_shown(2, "{\"id\":\"7\",\"old\":\"a\\\"b\",\"new\":\"a\\\"b\"}\n");
    assert_shown(3, "{\"id\":\"7\",\"new\":\"a\\\"b\"}\n");
}

/* Every prefix, from memory of exactly its size, so that a sanitizer sees one byte too far. */
static void prefixes_are_read_to_their_end(void **state)
{
    const char *body =
        "{\"email\":\"a.b@ex-ample.com\",\"displayName\":\"\xc2\xa0\xf0\x9f\x8c\x8a\"}";
    size_t len = strlen(body);
    weir_input_error_t errors[WEIR_SIGNUP_ERRORS_MAX];
    weir_signup_input_t input;
    char why[512];

    (void)state;
    for (size_t n = 0; n <= len; n++) {
        char *exact = malloc(n > 0 ? n : 1);
        weir_str_t s = {exact, n};

        memcpy(exact, body, n);
        weir_email_check(s);
        weir_display_name_check(s);
        assert_int_equal(weir_signup_read(s, &input, errors, why, sizeof(why)), n < len ? -1 : 0);
        free(exact);
    }

    assert_string_equal(input.email, "a.b@ex-ample.com");
    json_decref(input.root);
}

static void limits_are_exact(void **state)
{
    char email[WEIR_EMAIL_MAX + 2], name[WEIR_DISPLAY_NAME_MAX + 2];

    (void)state;
    memset(email, 'a', sizeof(email));
    memcpy(email, "me@", 3);
    for (size_t i = 60; i < WEIR_EMAIL_MAX; i += 60)
        email[i] = '.';
    assert_null(weir_email_check((weir_str_t){email, WEIR_EMAIL_MAX}));
    assert_non_null(weir_email_check((weir_str_t){email, WEIR_EMAIL_MAX + 1}));

    memset(name, 'x', sizeof(name));
    assert_null(weir_display_name_check((weir_str_t){name, WEIR_DISPLAY_NAME_MAX}));
    assert_non_null(weir_display_name_check((weir_str_t){name, WEIR_DISPLAY_NAME_MAX + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_have_their_fields),
        cmocka_unit_test(prefixes_are_read_to_their_end),
        cmocka_unit_test(limits_are_exact),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
