// needs: backend/ctl/spans/scan.c
#include "ctl/spans/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN_ID "00f067aa0ba902b7"

/* A line of a resource's attributes, and of a span's members. */
#define LINE(attributes, members)                                                                  \
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[" attributes "]},\"scopeSpans\":[{"        \
    "\"scope\":{\"name\":\"]}\"},\"spans\":[{" members "}]}]}]}"

#define SERVICE "{\"key\":\"service.name\",\"value\":{\"stringValue\":\"shop\"}}"
#define OTHER "{\"key\":\"a\",\"value\":{\"stringValue\":\"\\\\\\\"}]\\\\\"}}"
#define IDS "\"traceId\":\"" ID "\",\"spanId\":\"" SPAN_ID "\""
#define TIMES "\"startTimeUnixNano\":\"18446744073709551615\",\"endTimeUnixNano\":7"

static bool scan(const char *line, weir_spans_scanned_t *scanned)
{
    return weir_spans_scan(weir_str(line), scanned);
}

static void a_span_is_read(void **state)
{
    weir_spans_scanned_t s;

    (void)state;
    assert_true(
        scan(LINE(OTHER "," SERVICE, IDS ",\"parentSpanId\":\"" SPAN_ID "\",\"name\":\"GET\"," TIMES
                                         ",\"attributes\":[[{\"x\":[-1.5e3,true,null]}]],"
                                         "\"status\":{\"message\":\"}\",\"code\":2}"),
             &s));
    assert_string_equal(s.trace_id, ID);
    assert_false(s.is_root);
    assert_true(s.is_error);
    assert_true(s.start == UINT64_MAX);
    assert_true(s.end == 7);
    assert_true(weir_str_eq(s.service, WEIR_STR("shop")));
    assert_true(weir_str_eq(s.name, WEIR_STR("GET")));
}

static void what_is_missing_is_empty(void **state)
{
    weir_spans_scanned_t s;

    (void)state;
    assert_true(scan("{\"resourceSpans\":[{\"resource\":{},\"scopeSpans\":[{\"scope\":{},"
                     "\"spans\":[{" IDS "}]}]}]}",
                     &s));
    assert_true(s.is_root);
    assert_false(s.is_error);
    assert_true(s.start == 0 && s.end == 0);
    assert_int_equal(s.service.len, 0);
    assert_int_equal(s.name.len, 0);
}

static void a_parent_of_zeros_is_none(void **state)
{
    weir_spans_scanned_t s;

    (void)state;
    assert_true(scan(LINE("", IDS ",\"parentSpanId\":\"0000000000000000\""), &s));
    assert_true(s.is_root);
    assert_true(scan(LINE("", IDS ",\"parentSpanId\":\"\""), &s));
    assert_true(s.is_root);
}

static void capital_digits_become_small(void **state)
{
    weir_spans_scanned_t s;

    (void)state;
    assert_true(scan(LINE("", "\"traceId\":\"4BF92F3577B34DA6A3CE929D0E0E4736\","
                              "\"spanId\":\"00F067AA0BA902B7\""),
                     &s));
    assert_string_equal(s.trace_id, ID);
    assert_string_equal(s.span_id, SPAN_ID);
}

/* These are decoded as a whole: they may be something else, or wrong. */
static void other_lines_are_left(void **state)
{
    static const char *const lines[] = {
        "",
        "{}",
        "{\"resourceSpans\":[]}",
        LINE("", "\"spanId\":\"" SPAN_ID "\""),
        LINE("", "\"traceId\":\"" ID "\""),
        LINE("", "\"traceId\":\"00000000000000000000000000000000\""),
        LINE("", "\"traceId\":\"4bf92f\""),
        LINE("", "\"traceId\":7"),
        LINE("", IDS ",\"spanId\":\"0000000000000000\""),
        LINE("", IDS ",\"name\":\"a\\n\""),
        LINE("", IDS ",\"na\\u006de\":\"a\""),
        LINE("", IDS ",\"startTimeUnixNano\":\"x\""),
        LINE("", IDS ",\"startTimeUnixNano\":-1"),
        LINE("", IDS ",\"startTimeUnixNano\":\"18446744073709551616\""),
        LINE("", IDS ",\"status\":{\"code\":\"STATUS_CODE_ERROR\"}"),
        LINE("{\"value\":{},\"key\":\"service.name\"}", IDS),
        LINE("{\"key\":\"service.name\",\"value\":{\"intValue\":\"1\"}}", IDS),
        LINE(SERVICE "," SERVICE, IDS),
        LINE("", IDS "},{" IDS),
        LINE("", IDS) " ",
        " " LINE("", IDS),
    };
    weir_spans_scanned_t s;

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (scan(lines[i], &s))
            fail_msg("taken: %s", lines[i]);
    }
}

static void half_a_line_is_left(void **state)
{
    static const char line[] = LINE(OTHER "," SERVICE, IDS ",\"name\":\"GET\"," TIMES);
    weir_spans_scanned_t s;

    (void)state;
    assert_true(scan(line, &s));
    for (size_t len = 0; len < sizeof(line) - 1; len++) {
        char copy[sizeof(line)]; /* not behind its end */

        memcpy(copy, line, len);
        assert_false(weir_spans_scan((weir_str_t){copy, len}, &s));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_span_is_read),
        cmocka_unit_test(what_is_missing_is_empty),
        cmocka_unit_test(a_parent_of_zeros_is_none),
        cmocka_unit_test(capital_digits_become_small),
        cmocka_unit_test(other_lines_are_left),
        cmocka_unit_test(half_a_line_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
