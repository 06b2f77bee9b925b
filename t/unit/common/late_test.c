// needs: common/trace/late/late.c common/trace/tracestate.c common/trace/context.c
#include "common/trace/late/late.h"
#include "common/trace/tracestate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* How many ids a text has, and how it ends: 0 or -1. */
static int count(const char *text, int *n)
{
    weir_str_t rest = weir_str(text);
    uint8_t id[WEIR_TRACE_ID_LEN];
    int is;

    for (*n = 0; (is = weir_trace_next_id(&rest, id)) == 1; (*n)++)
        assert_int_equal(id[0], *n == 0 ? 0xaa : 0xbb);

    return is;
}

static void ids_are_read_one_by_one(void **state)
{
    int n;

    (void)state;
    assert_int_equal(count("", &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(count(A, &n), 0);
    assert_int_equal(n, 1);
    assert_int_equal(count(A " " B, &n), 0);
    assert_int_equal(n, 2);
}

static void what_is_no_id_ends_the_list(void **state)
{
    static const char *const bad[] = {
        A " ", A "," B, A "  " B, A " b", A A, A " " B "\n", A " 00000000000000000000000000000000"};
    static const char *const none[] = {" " A, "A", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    int n;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(count(bad[i], &n), -1);
        assert_in_range(n, 0, 2);
    }
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
        assert_int_equal(count(none[i], &n), -1);
        assert_int_equal(n, 0);
    }
}

static void a_tracestate_may_say_late(void **state)
{
    (void)state;
    assert_true(weir_trace_is_late(WEIR_STR("weir=late")));
    assert_true(weir_trace_is_late(WEIR_STR("a=1, weir=late ,b=2")));
    assert_false(weir_trace_is_late((weir_str_t){NULL, 0}));
    assert_false(weir_trace_is_late(WEIR_STR("weir=later")));
    assert_false(weir_trace_is_late(WEIR_STR("weir=x,weir=late")));
    assert_false(weir_trace_is_late(WEIR_STR("a=weir=late")));
    assert_false(weir_trace_is_late(WEIR_STR("weir=late,=")));
}

static const char *put(const char *before, const char *key)
{
    static char out[WEIR_TRACESTATE_ROOM + 1];
    weir_str_t line = weir_str(before);
    weir_tracestate_t state;

    assert_int_equal(weir_tracestate_parse(&line, 1, &state), 0);
    weir_tracestate_put(&state, weir_str(key), WEIR_STR("v"));
    out[weir_tracestate_format(&state, WEIR_STR("ot"), WEIR_STR(""), out)] = '\0';

    return out;
}

static void a_member_is_put_before_others(void **state)
{
    char many[32 * 6 + 1] = "", expected[32 * 6 + 1] = "k=v";

    (void)state;
    assert_string_equal(put("", "k"), "k=v");
    assert_string_equal(put("a=1,b=2", "k"), "k=v,a=1,b=2");
    assert_string_equal(put("a=1,k=2,b=3", "k"), "k=v,a=1,b=3");
    assert_string_equal(put("k=2", "k"), "k=v");
    for (int i = 0; i < 32; i++) {
        snprintf(many + strlen(many), 7, "%sm%d=1", i > 0 ? "," : "", i + 10);
        if (i < 31)
            snprintf(expected + strlen(expected), 7, ",m%d=1", i + 10);
    }
    assert_string_equal(put(many, "k"), expected);
    snprintf(expected, 7, "m41=v,");
    memcpy(expected + 6, many, 31 * 6 - 1);
    expected[32 * 6 - 1] = '\0';
    assert_string_equal(put(many, "m41"), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_read_one_by_one),
        cmocka_unit_test(what_is_no_id_ends_the_list),
        cmocka_unit_test(a_tracestate_may_say_late),
        cmocka_unit_test(a_member_is_put_before_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
