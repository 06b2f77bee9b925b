// needs: common/problem.c
#include "common/problem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static void assert_string(weir_str_t in, const char *json)
{
    char buf[128];
    size_t n = weir_json_string(buf, sizeof(buf), in);

    assert_int_equal(n, strlen(json));
    assert_memory_equal(buf, json, n);
}

static void strings_are_escaped(void **state)
{
    (void)state;
    assert_string(WEIR_STR(""), "\"\"");
    assert_string(WEIR_STR("a\"b\\c"), "\"a\\\"b\\\\c\"");
    assert_string(WEIR_STR("\n\0\x1f"), "\"\\u000a\\u0000\\u001f\"");
    assert_string(WEIR_STR("\xc3\xa9\xf0\x9f\x8c\x8a"), "\"\xc3\xa9\xf0\x9f\x8c\x8a\"");
}

static void bytes_that_are_no_utf8_are_replaced(void **state)
{
    (void)state;
    assert_string(WEIR_STR("\xff"), "\"\xef\xbf\xbd\"");
    assert_string(WEIR_STR("\xc3"), "\"\xef\xbf\xbd\"");                 /* cut short */
    assert_string(WEIR_STR("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\""); /* overlong */
    assert_string(WEIR_STR("\xed\xa0\x80"),
                  "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
}

static void nothing_is_written_past_the_capacity(void **state)
{
    weir_problem_t p = {.title = "Not Found", .status = 404, .detail = WEIR_STR("no user")};
    char whole[256], part[256];
    size_t n = weir_problem_json(whole, sizeof(whole), &p);

    (void)state;
    for (size_t cap = 0; cap <= n; cap++) {
        memset(part, '#', sizeof(part));
        assert_int_equal(weir_problem_json(part, cap, &p), n);
        assert_memory_equal(part, whole, cap);
        assert_int_equal(part[cap], '#');
    }
}

static void members_stand_in_the_document(void **state)
{
    const char *want = "{\"type\":\"https://example.com/p\",\"title\":\"T\",\"status\":406,"
                       "\"detail\":\"d\",\"instance\":\"/i\",\"offered\":[1]}\n";
    weir_problem_t p = {"https://example.com/p", "T", 406, WEIR_STR("d"), WEIR_STR("/i"),
                        "\"offered\":[1]"};
    char buf[256];

    (void)state;
    assert_int_equal(weir_problem_json(buf, sizeof(buf), &p), strlen(want));
    assert_memory_equal(buf, want, strlen(want));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped),
        cmocka_unit_test(bytes_that_are_no_utf8_are_replaced),
        cmocka_unit_test(nothing_is_written_past_the_capacity),
        cmocka_unit_test(members_stand_in_the_document),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
