// needs: backend/shop/signup_input.c backend/api/input.c common/uuid7.c common/random.c
#include "shop/signup_input.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

/* Every prefix, from memory of exactly its size, so that a sanitizer sees one byte too far. */
static void prefixes_are_read_to_their_end(void **state)
{
    const char *body =
        "{\"email\":\"a.b@ex-ample.com\",\"displayName\":\"\xc2\xa0\xf0\x9f\x8c\x8a\"}";
    size_t len = strlen(body);
    weir_input_error_t errors[WEIR_INPUT_ERRORS_MAX];
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
        cmocka_unit_test(prefixes_are_read_to_their_end),
        cmocka_unit_test(limits_are_exact),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
