// needs: backend/db/array.c backend/log/alloc.c backend/log/log.c common/problem.c
#include "db/array.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_empty(void **state)
{
    weir_array_t a = {0}, b = {0};
    char *text = weir_array_close(&a);

    (void)state;
    assert_string_equal(text, "{}");
    assert_string_equal(weir_array_text(&b), "{}");
    free(b.text);
    free(text);
}

static void test_elements(void **state)
{
    weir_array_t a = {0};
    char *text;

    (void)state;
    weir_array_add(&a, "a");
    assert_string_equal(weir_array_text(&a), "{\"a\"}");
    weir_array_add(&a, NULL);
    weir_array_add(&a, "");
    weir_array_add(&a, "quote \" backslash \\ brace } comma ,");
    weir_array_add_int(&a, INT64_MIN);
    text = weir_array_close(&a);
    assert_string_equal(text, "{\"a\",NULL,\"\",\"quote \\\" backslash \\\\ brace } comma ,\","
                              "\"-9223372036854775808\"}");
    assert_int_equal(a.len, 0);
    free(text);
}

/* Each length from none to beyond several growths, all bytes to be escaped. */
static void test_growth(void **state)
{
    char element[600];
    weir_array_t a = {0};
    size_t at = 0;

    (void)state;
    for (size_t n = 0; n < sizeof(element); n++) {
        memset(element, '"', n);
        element[n] = '\0';
        weir_array_add(&a, element);
        assert_int_equal(a.text[at], n == 0 ? '{' : ',');
        at += 1 + 2 + 2 * n;
        assert_int_equal(a.len, at);
        assert_int_equal(weir_array_text(&a)[at], '}');
    }
    free(weir_array_close(&a));
}

/* The memory of 256 bytes is full to the last byte: 50 + 3, then 2 * 100 + 3. */
static void test_exactly_full(void **state)
{
    char plain[51] = "", quotes[101] = "";
    weir_array_t a = {0};

    (void)state;
    memset(plain, 'a', sizeof(plain) - 1);
    memset(quotes, '"', sizeof(quotes) - 1);
    weir_array_add(&a, plain);
    weir_array_add(&a, quotes);
    assert_int_equal(a.len, 256);
    assert_string_equal(weir_array_text(&a) + 254, "\"\"}");
    free(weir_array_close(&a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_exactly_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
