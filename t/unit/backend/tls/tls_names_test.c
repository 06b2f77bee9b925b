// needs: backend/tls/names.c
#include "tls/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static weir_tls_names_t names;

static const char *read_list(const char *text)
{
    const char *wrong;
    size_t len;

    return weir_tls_names_read(&names, text, &wrong, &len);
}

static bool uri(const char *text)
{
    return weir_tls_names_have_uri(&names, text, strlen(text));
}

static bool dns(const char *text)
{
    return weir_tls_names_have_dns(&names, text, strlen(text));
}

static void a_list_is_read(void **state)
{
    static const char *const good[] = {
        "spiffe://a/b", "spiffe://a/*", "spiffe://a.b-c_d/e/F/0.9_-/*", "host",
        "a.b-c.d9",     " a,b\t,, c ",  "xn--bcher-kva.example",        "spiffe://a/..."};
    static const char *const bad[] = {"",
                                      " , ",
                                      "*",
                                      "*.a.b",
                                      "a.*",
                                      "a..b",
                                      ".a",
                                      "a.",
                                      "-a",
                                      "a-",
                                      "a-.b",
                                      "a_b",
                                      "b\xc3\xbc",
                                      "a/b",
                                      "https://a/b",
                                      "spiffe://",
                                      "spiffe://a",
                                      "spiffe://a/",
                                      "spiffe:///b",
                                      "spiffe://A/b",
                                      "spiffe://a:1/b",
                                      "spiffe://u@a/b",
                                      "spiffe://a//b",
                                      "spiffe://a/b/",
                                      "spiffe://a/./b",
                                      "spiffe://a/../b",
                                      "spiffe://a/b%2f",
                                      "spiffe://a/b?c",
                                      "spiffe://a/b#c",
                                      "spiffe://a/b*",
                                      "spiffe://a/*/b",
                                      "spiffe://a/b/**",
                                      "spiffe://*",
                                      "spiffe:///*",
                                      "spiffe://*/b",
                                      "spiffe://a//*",
                                      "spiffe://a/../*",
                                      "SPIFFE://a/b"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(read_list(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (read_list(bad[i]) == NULL)
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void the_wrong_name_is_told(void **state)
{
    const char *text = "a.b, spiffe://a, c", *wrong;
    size_t len;

    (void)state;
    assert_non_null(weir_tls_names_read(&names, text, &wrong, &len));
    assert_ptr_equal(wrong, text + 5);
    assert_int_equal(len, 10);
}

static void a_list_has_a_limit(void **state)
{
    char text[65 * 4 + 1] = "";

    (void)state;
    for (int i = 0; i < 64; i++)
        snprintf(text + strlen(text), 5, "a%02d,", i);
    assert_null(read_list(text));
    assert_int_equal(names.n, 64);
    strcat(text, "b");
    assert_non_null(read_list(text));
}

static void a_spiffe_id_is_compared_by_segments(void **state)
{
    (void)state;
    assert_null(read_list("spiffe://a.b/c, spiffe://a.b/d/*, spiffe://e/*"));
    assert_true(uri("spiffe://a.b/c"));
    assert_false(uri("spiffe://a.b/C"));
    assert_false(uri("spiffe://a.b/c/x"));
    assert_false(uri("spiffe://a.b/cx"));
    assert_false(uri("spiffe://a.b/d"));
    assert_true(uri("spiffe://a.b/d/x"));
    assert_true(uri("spiffe://a.b/d/x/y"));
    assert_false(uri("spiffe://a.b/dx/y"));
    assert_false(uri("spiffe://a.b/d/../c"));
    assert_false(uri("spiffe://a.b/d/"));
    assert_false(uri("spiffe://a.b/d//x"));
    assert_false(uri("spiffe://a.b/d/%78"));
    assert_false(uri("spiffe://a.b/d/*"));
    assert_false(uri("spiffe://a.b/d/x?y"));
    assert_true(uri("spiffe://e/x"));
    assert_false(uri("spiffe://e"));
    assert_false(uri("spiffe://e/"));
    assert_false(uri("spiffe://e.f/x"));
    assert_false(uri("SPIFFE://a.b/c"));
    assert_false(uri("spiffe://A.b/c"));
    assert_false(dns("spiffe://a.b/c"));
}

static void a_nul_byte_ends_no_name(void **state)
{
    (void)state;
    assert_null(read_list("a.b spiffe://a/b spiffe://c/*"));
    assert_false(weir_tls_names_have_dns(&names, "a.b\0", 4));
    assert_false(weir_tls_names_have_dns(&names, "a.b\0.evil", 9));
    assert_false(weir_tls_names_have_uri(&names, "spiffe://a/b\0", 13));
    assert_false(weir_tls_names_have_uri(&names, "spiffe://c/d\0e", 14));
    assert_false(weir_tls_names_have_uri(&names, "spiffe://a/b", 11));
    assert_false(weir_tls_names_have_dns(&names, "", 0));
    assert_false(weir_tls_names_have_uri(&names, "", 0));
}

static void a_dns_name_is_compared_without_case(void **state)
{
    (void)state;
    assert_null(read_list("Edge.Example, x.y"));
    assert_true(dns("edge.example"));
    assert_true(dns("EDGE.EXAMPLE"));
    assert_false(dns("edge.example."));
    assert_false(dns("*.example"));
    assert_false(dns("a.edge.example"));
    assert_false(dns("edge.exampl"));
    assert_false(dns("edge_example"));
    assert_false(uri("edge.example"));
}

static void long_names_match_nothing(void **state)
{
    char text[4096];

    (void)state;
    assert_null(read_list("spiffe://a/*"));
    memset(text, 'b', sizeof(text));
    memcpy(text, "spiffe://a/", 11);
    assert_true(weir_tls_names_have_uri(&names, text, WEIR_TLS_NAME_MAX));
    assert_false(weir_tls_names_have_uri(&names, text, WEIR_TLS_NAME_MAX + 1));
    assert_false(weir_tls_names_have_dns(&names, text, sizeof(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_read),
        cmocka_unit_test(the_wrong_name_is_told),
        cmocka_unit_test(a_list_has_a_limit),
        cmocka_unit_test(a_spiffe_id_is_compared_by_segments),
        cmocka_unit_test(a_nul_byte_ends_no_name),
        cmocka_unit_test(a_dns_name_is_compared_without_case),
        cmocka_unit_test(long_names_match_nothing),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
