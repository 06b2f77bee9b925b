// needs: ngx_module/cache/policy/cache_control.c
#include "cache/policy/cache_control.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define MAX WEIR_CACHE_SECONDS_MAX

static weir_cache_control_t parse(const char *line)
{
    weir_cache_control_t cc;

    weir_cache_control_init(&cc);
    weir_cache_control_parse(&cc, (weir_str_t){line, strlen(line)});
    return cc;
}

static void flags_are_read(void **state)
{
    static const struct {
        const char *line;
        unsigned flags;
    } rows[] = {
        {"", 0},
        {",", 0},
        {" \t, ,,", 0},
        {"no-store", WEIR_CC_NO_STORE},
        {"NO-Store", WEIR_CC_NO_STORE},
        {"\t no-store \t", WEIR_CC_NO_STORE},
        {",,no-store,,private,", WEIR_CC_NO_STORE | WEIR_CC_PRIVATE},
        {"no-store,no-store", WEIR_CC_NO_STORE},
        {"no-cache", WEIR_CC_NO_CACHE},
        {"no-transform, only-if-cached", WEIR_CC_NO_TRANSFORM | WEIR_CC_ONLY_IF_CACHED},
        {"must-revalidate,proxy-revalidate", WEIR_CC_MUST_REVALIDATE | WEIR_CC_PROXY_REVALIDATE},
        {"must-understand, public, immutable",
         WEIR_CC_MUST_UNDERSTAND | WEIR_CC_PUBLIC | WEIR_CC_IMMUTABLE},

        /* other names */
        {"no-stor, no-store-x, xno-store, no_store", 0},
        {"unknown, unknown=1, unknown=\"x\"", 0},

        /* inside a quoted-string nothing counts */
        {"x=\"no-store\"", 0},
        {"x=\"a, no-store\"", 0},
        {"x=\"a\\\", no-store\"", 0},
        {"x=\"a\\\\\", no-store", WEIR_CC_NO_STORE},
        {"x=\"never closed, no-store", 0},
        {"x=\"ends with \\", 0},
        {"x y=\"a, no-store\", private", WEIR_CC_PRIVATE},

        /* what forbids counts however it is written, what allows must be right */
        {"no-store=1", WEIR_CC_NO_STORE},
        {"no-store=\"x\"", WEIR_CC_NO_STORE},
        {"no-store x", WEIR_CC_NO_STORE},
        {"no-store;", WEIR_CC_NO_STORE},
        {"private;", WEIR_CC_PRIVATE},
        {"private x", WEIR_CC_PRIVATE},
        {"public;", 0},
        {"public x", 0},
        {"must-understand x, no-store", WEIR_CC_NO_STORE},

        /* a name that is none ends at the comma */
        {"@no-store, private", WEIR_CC_PRIVATE},
        {"=no-store, private", WEIR_CC_PRIVATE},
        {"\"no-store\", private", WEIR_CC_PRIVATE},
        {"(no-store), private", WEIR_CC_PRIVATE},
        {"\xff\xfe, private", WEIR_CC_PRIVATE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_control_t cc = parse(rows[i].line);

        if (cc.flags != rows[i].flags)
            fail_msg("%s: flags %#x, not %#x", rows[i].line, cc.flags, rows[i].flags);
    }
}

static void seconds_are_read(void **state)
{
    static const struct {
        const char *line;
        int64_t max_age;
    } rows[] = {
        {"", -1},
        {"max-age=0", 0},
        {"max-age=60", 60},
        {"Max-Age=60", 60},
        {"max-age=0060", 60},
        {"max-age=\"60\"", 60},
        {"max-age=60 , private", 60},
        {"private,max-age=60", 60},

        /* huge */
        {"max-age=2147483647", 2147483647},
        {"max-age=2147483648", MAX},
        {"max-age=2147483649", MAX},
        {"max-age=4294967297", MAX},
        {"max-age=18446744073709551617", MAX},
        {"max-age=99999999999999999999999999999999999999", MAX},

        /* of a directive that stands twice the first counts */
        {"max-age=60, max-age=90", 60},
        {"max-age=x, max-age=90", 0},

        /* no number: stale */
        {"max-age", 0},
        {"max-age=", 0},
        {"max-age=\"\"", 0},
        {"max-age=-1", 0},
        {"max-age=+1", 0},
        {"max-age=1.5", 0},
        {"max-age=1e3", 0},
        {"max-age=0x10", 0},
        {"max-age=60s", 0},
        {"max-age= 60", 0},
        {"max-age =60", 0},
        {"max-age=60 60", 0},
        {"max-age=60;", 0},
        {"max-age='60'", 0},
        {"max-age=\"60", 0},
        {"max-age=\" 60\"", 0},
        {"max-age=\"6\\0\"", 0},
        {"max-age=\"60\"60", 0},
        {"max-age=60=60", 0},
        {"max-ages=60", -1},
        {"x-max-age=60", -1},
        {"x=\"max-age=60\"", -1},
        {"x=\", max-age=60", -1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_control_t cc = parse(rows[i].line);

        if (cc.max_age != rows[i].max_age)
            fail_msg("%s: %lld, not %lld", rows[i].line, (long long)cc.max_age,
                     (long long)rows[i].max_age);
    }
}

static void every_duration_has_its_field(void **state)
{
    weir_cache_control_t cc = parse("max-age=1, s-maxage=2, min-fresh=3, max-stale=4, "
                                    "stale-while-revalidate=5, stale-if-error=6");

    (void)state;
    assert_int_equal(cc.max_age, 1);
    assert_int_equal(cc.s_maxage, 2);
    assert_int_equal(cc.min_fresh, 3);
    assert_int_equal(cc.max_stale, 4);
    assert_int_equal(cc.stale_while_revalidate, 5);
    assert_int_equal(cc.stale_if_error, 6);
    assert_int_equal(cc.flags, 0);

    /* max-stale without a number is any staleness */
    assert_int_equal(parse("max-stale").max_stale, MAX);
    assert_int_equal(parse("max-stale, max-stale=1").max_stale, MAX);
    assert_int_equal(parse("max-stale=1, max-stale").max_stale, 1);
    assert_int_equal(parse("max-stale=").max_stale, 0);
    assert_int_equal(parse("max-stale x").max_stale, 0);
    assert_int_equal(parse("max-stale=x").max_stale, 0);
    assert_int_equal(parse("no-store").max_stale, -1);
}

static void fields_may_be_named(void **state)
{
    static const struct {
        const char *line, *no_cache, *private;
        unsigned flags;
    } rows[] = {
        {"no-cache=\"A\"", "A", "", 0},
        {"no-cache=\"A, B\", private=\"C\"", "A, B", "C", 0},
        {"no-cache=A", "A", "", 0}, /* a token, which old servers send */
        {"NO-CACHE=\"A\"", "A", "", 0},
        {"no-cache=\"\"", "", "", WEIR_CC_NO_CACHE},
        {"no-cache=", "", "", WEIR_CC_NO_CACHE},
        {"private=\"\", no-cache", "", "", WEIR_CC_PRIVATE | WEIR_CC_NO_CACHE},

        /* with and without names: the whole response */
        {"no-cache=\"A\", no-cache", "A", "", WEIR_CC_NO_CACHE},
        {"private=\"A\", private=\"B\"", "", "A", WEIR_CC_PRIVATE},

        /* names that can't be known for sure: the whole response */
        {"no-cache=\"A", "", "", WEIR_CC_NO_CACHE},
        {"no-cache=\"A\" B", "", "", WEIR_CC_NO_CACHE},
        {"no-cache=\"A\"\"B\"", "", "", WEIR_CC_NO_CACHE},
        {"private=\"Set\\-Cookie\"", "", "", WEIR_CC_PRIVATE},
        {"private=\"A\\\", B\"", "", "", WEIR_CC_PRIVATE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_cache_control_t cc = parse(rows[i].line);

        if (!weir_str_eq(cc.no_cache_fields,
                         (weir_str_t){rows[i].no_cache, strlen(rows[i].no_cache)}) ||
            !weir_str_eq(cc.private_fields,
                         (weir_str_t){rows[i].private, strlen(rows[i].private)}) ||
            cc.flags != rows[i].flags)
            fail_msg("%s: no-cache \"%.*s\", private \"%.*s\", flags %#x", rows[i].line,
                     (int)cc.no_cache_fields.len, cc.no_cache_fields.data,
                     (int)cc.private_fields.len, cc.private_fields.data, cc.flags);
    }
}

static void lines_add_up(void **state)
{
    weir_cache_control_t cc;

    (void)state;
    weir_cache_control_init(&cc);
    assert_int_equal(weir_cache_control_parse(&cc, WEIR_STR("max-age=60, x, private=\"A\"")), 3);
    assert_int_equal(weir_cache_control_parse(&cc, WEIR_STR("max-age=90")), 1);
    assert_int_equal(weir_cache_control_parse(&cc, WEIR_STR("s-maxage=1, , no-store")), 2);
    assert_int_equal(weir_cache_control_parse(&cc, WEIR_STR(" , ")), 0);
    assert_int_equal(weir_cache_control_parse(&cc, (weir_str_t){NULL, 0}), 0);
    assert_int_equal(cc.max_age, 60);
    assert_int_equal(cc.s_maxage, 1);
    assert_int_equal(cc.flags, WEIR_CC_NO_STORE);
    assert_memory_equal(cc.private_fields.data, "A", 1);
}

/* A NUL is no token character, nor the end of the line. */
static void nul_is_a_byte_like_others(void **state)
{
    weir_cache_control_t cc;

    (void)state;
    weir_cache_control_init(&cc);
    weir_cache_control_parse(&cc, WEIR_STR("max-age\0=60, no-store\0, private"));
    assert_int_equal(cc.max_age, 0);
    assert_int_equal(cc.flags, WEIR_CC_NO_STORE | WEIR_CC_PRIVATE);
}

/* RFC 9213; number: max-age, -1 when there is none, -2 when the field is ignored */
static void targeted_fields_are_dictionaries(void **state)
{
    static const struct {
        const char *line;
        int64_t number;
        unsigned flags;
    } rows[] = {
        {"max-age=60", 60, 0},
        {" max-age=60 ,\tno-store;a=\"b\";c", 60, WEIR_CC_NO_STORE},
        {"max-age=99999999999", MAX, 0},
        {"no-cache, private, foo=(1", -2, 0},
        {"no-cache=\"A\"", -1, 0},
        {"no-store=?0", -1, 0},
        {"no-store=?1", -1, WEIR_CC_NO_STORE},

        /* of two of one name the last one counts */
        {"max-age=60, max-age=5", 5, 0},
        {"no-store, max-age=60, no-store=?0", 60, 0},
        {"private, private=\"A\"", -1, 0},
        {"no-cache=\"A\", no-cache", -1, WEIR_CC_NO_CACHE},

        /* another type is no number of seconds */
        {"max-age=\"60\"", 0, 0},
        {"max-age=60.5", 0, 0},
        {"max-age=-60", 0, 0},
        {"max-age=token", 0, 0},
        {"max-age", 0, 0},

        /* no Dictionary */
        {"", -2, 0},
        {"MAX-AGE=60", -2, 0},
        {"max-age=60,", -2, 0},
        {"max-age =60", -2, 0},
        {"max-age= 60", -2, 0},
        {"max-age=60, &&", -2, 0},
        {"max-age=\"60", -2, 0},
        {"max-age=1234567890123456", -2, 0},
        {"max-age=60;=1", -2, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        weir_str_t line = {rows[i].line, strlen(rows[i].line)};
        weir_cache_control_t cc;
        bool valid = weir_cache_control_parse_targeted(&cc, &line, 1);

        if (valid != (rows[i].number != -2) || cc.flags != rows[i].flags ||
            (valid && cc.max_age != rows[i].number))
            fail_msg("\"%s\": %d, max-age %lld, flags %x", rows[i].line, valid,
                     (long long)cc.max_age, cc.flags);
    }
}

static void delta_seconds_are_digits(void **state)
{
    (void)state;
    assert_int_equal(weir_cache_delta_seconds(WEIR_STR("0")), 0);
    assert_int_equal(weir_cache_delta_seconds(WEIR_STR("00017")), 17);
    assert_int_equal(weir_cache_delta_seconds(WEIR_STR("2147483647")), 2147483647);
    assert_int_equal(weir_cache_delta_seconds(WEIR_STR("21474836480")), MAX);
    assert_int_equal(weir_cache_delta_seconds((weir_str_t){NULL, 0}), -1);
    assert_int_equal(weir_cache_delta_seconds(WEIR_STR("-1")), -1);
    assert_int_equal(weir_cache_delta_seconds(WEIR_STR("1 ")), -1);
    assert_int_equal(weir_cache_delta_seconds(WEIR_STR("99999999999999999999x")), -1);
}

static void lists_name_fields(void **state)
{
    weir_str_t list = WEIR_STR(" Set-Cookie ,,X-A\t, x-b");

    (void)state;
    assert_true(weir_cache_lists_field(list, WEIR_STR("set-cookie")));
    assert_true(weir_cache_lists_field(list, WEIR_STR("X-a")));
    assert_true(weir_cache_lists_field(list, WEIR_STR("X-B")));
    assert_false(weir_cache_lists_field(list, WEIR_STR("X")));
    assert_false(weir_cache_lists_field(list, WEIR_STR("Set-Cookie2")));
    assert_false(weir_cache_lists_field((weir_str_t){NULL, 0}, WEIR_STR("X")));
    assert_false(weir_cache_lists_field(WEIR_STR(","), WEIR_STR("X")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_are_read),
        cmocka_unit_test(seconds_are_read),
        cmocka_unit_test(every_duration_has_its_field),
        cmocka_unit_test(fields_may_be_named),
        cmocka_unit_test(lines_add_up),
        cmocka_unit_test(nul_is_a_byte_like_others),
        cmocka_unit_test(targeted_fields_are_dictionaries),
        cmocka_unit_test(delta_seconds_are_digits),
        cmocka_unit_test(lists_name_fields),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
