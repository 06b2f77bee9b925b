// needs: common/trace/context.c common/trace/tracestate.c common/trace/sampling.c
// needs: common/trace/b3.c common/trace/ids.c common/ids/random.c
#include "common/trace/b3.h"
#include "common/trace/context.h"
#include "common/trace/ids.h"
#include "common/trace/sampling.h"
#include "common/trace/tracestate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

/* --- traceparent ----------------------------------------------------------------------------- */

static void the_two_known_flags_are_kept(void **state)
{
    static const struct {
        const char *sent;
        uint8_t flags;
    } cases[] = {{"00", 0}, {"01", 1}, {"02", 2}, {"03", 3}, {"ff", 3}, {"fc", 0}};
    weir_context_t context;
    char text[64], out[WEIR_CONTEXT_LEN];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "00-" TRACE "-" SPAN "-%s", cases[i].sent);
        assert_int_equal(weir_context_parse(weir_str(text), &context), 0);
        assert_int_equal(context.flags, cases[i].flags);
        weir_context_format(&context, out);
        snprintf(text, sizeof(text), "00-" TRACE "-" SPAN "-%02x", cases[i].flags);
        assert_memory_equal(out, text, WEIR_CONTEXT_LEN);
    }
}

static void new_ids_differ_and_are_random(void **state)
{
    weir_context_t a, b;

    (void)state;
    weir_trace_ids_new(&a);
    weir_trace_ids_new(&b);
    assert_memory_not_equal(a.trace_id, b.trace_id, 16);
    assert_memory_not_equal(a.span_id, b.span_id, 8);
    assert_int_equal(a.flags, WEIR_CONTEXT_RANDOM);
}

/* A generator that was seeded before fork() makes the same ids in parent and child. */
static void a_process_that_seeds_again_makes_other_ids(void **state)
{
    uint8_t here[8], there[8];
    int ends[2];

    (void)state;
    weir_trace_ids_seed();
    assert_int_equal(pipe(ends), 0);
    if (fork() == 0) {
        weir_trace_ids_seed();
        weir_trace_ids_span(there);
        _exit(write(ends[1], there, 8) != 8);
    }
    weir_trace_ids_span(here);
    assert_int_equal(read(ends[0], there, 8), 8);
    assert_memory_not_equal(here, there, 8);
    close(ends[0]);
    close(ends[1]);
}

/* --- tracestate ------------------------------------------------------------------------------ */

/* The header that is sent on for the lines, which are separated by newlines; NULL: invalid. */
static const char *passed_on(const char *lines, const char *own)
{
    static char out[WEIR_TRACESTATE_ROOM + 1];
    weir_str_t line[64];
    weir_tracestate_t parsed;
    size_t n = 0, len;

    for (;;) {
        len = strcspn(lines, "\n");
        line[n++] = (weir_str_t){lines, len};
        if (lines[len] == '\0')
            break;
        lines += len + 1;
    }
    if (weir_tracestate_parse(line, n, &parsed) != 0) {
        assert_int_equal(parsed.n, 0);
        return NULL;
    }
    len = weir_tracestate_format(&parsed, WEIR_STR("ot"), weir_str(own), out);
    out[len] = '\0';

    return out;
}

static void members_are_kept_in_order_with_ours_on_the_left(void **state)
{
    static const struct {
        const char *sent, *own, *passed_on;
    } cases[] = {
        {"a=1,b=2", "", "a=1,b=2"},
        {"a=1,b=2", "th:8", "ot=th:8,a=1,b=2"},
        {"a=1,ot=th:0,b=2", "th:8", "ot=th:8,a=1,b=2"},
        {"a=1,ot=th:0", "", "a=1"},
        {"", "th:8", "ot=th:8"},
        {"", "", ""},
        {" a=1 ,\t b=2\t", "", "a=1,b=2"},
        {"a=1,,b=2,", "", "a=1,b=2"},
        {"a=1\nb=2\n\nc=3", "", "a=1,b=2,c=3"},
        {"a=1,a=2", "", "a=1"},
        {"0a=x,a_b-c*d/e@f=y", "", "0a=x,a_b-c*d/e@f=y"},
        {"fw529a3039@dt=FfAaTx.~!", "", "fw529a3039@dt=FfAaTx.~!"},
        {"a= x y", "", "a= x y"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *out = passed_on(cases[i].sent, cases[i].own);

        assert_non_null(out);
        assert_string_equal(out, cases[i].passed_on);
    }
}

static void a_malformed_member_drops_all(void **state)
{
    static const char *const bad[] = {
        "a",    "a=",   "=1",    "A=1",   "a=1,B=2", "a=1=2", "a=\x7f",  "a=\xc3", "a=x\ty",
        "_a=1", "@a=1", "a b=1", "a=1;b", "a =1",    "a=1,b", "a=1\nb=", "\xff=1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (strcmp(bad[i], "a=1;b") == 0)
            assert_non_null(passed_on(bad[i], "")); /* ";" may be in a value */
        else if (passed_on(bad[i], "") != NULL)
            fail_msg("\"%s\" was taken for a tracestate", bad[i]);
    }
}

static void lengths_of_keys_and_values_are_limited(void **state)
{
    char text[700];

    (void)state;
    snprintf(text, sizeof(text), "%0256d=1", 0);
    assert_non_null(passed_on(text, ""));
    snprintf(text, sizeof(text), "%0257d=1", 0);
    assert_null(passed_on(text, ""));
    snprintf(text, sizeof(text), "a=%0256d", 0);
    assert_non_null(passed_on(text, ""));
    snprintf(text, sizeof(text), "a=%0257d", 0);
    assert_null(passed_on(text, ""));
}

static void there_are_at_most_32_members(void **state)
{
    char text[1024], *p = text;
    const char *out;

    (void)state;
    for (int i = 0; i < 32; i++)
        p += sprintf(p, "%sk%d=1", i ? "," : "", i);
    assert_string_equal(passed_on(text, ""), text);

    /* ours takes the place of the last one */
    out = passed_on(text, "th:8");
    assert_int_equal(strncmp(out, "ot=th:8,k0=1,", 13), 0);
    assert_non_null(strstr(out, ",k30=1"));
    assert_null(strstr(out, "k31"));

    sprintf(p, ",k32=1");
    assert_null(passed_on(text, ""));
}

static void beyond_512_bytes_long_members_go_first_then_the_last(void **state)
{
    char text[2048], exact[513];
    const char *out;

    (void)state;
    /* 4 * 127 and 3 commas are 511 bytes: all are kept, with ours on top */
    snprintf(exact, sizeof(exact), "a=%0125d,b=%0125d,c=%0125d,d=%0125d", 1, 2, 3, 4);
    assert_string_equal(passed_on(exact, ""), exact);
    snprintf(text, sizeof(text), "ot=th:8,%s", exact);
    assert_string_equal(passed_on(exact, "th:8"), text);

    snprintf(text, sizeof(text), "long=%0200d,%s,e=5", 0, exact);
    out = passed_on(text, "");
    assert_null(strstr(out, "long="));
    assert_string_equal(out, exact); /* and e, the last one, has no room */
}

/* --- sampling -------------------------------------------------------------------------------- */

static const char *member(const char *ot, uint64_t threshold)
{
    static char out[WEIR_TRACESTATE_VALUE + 1];

    out[weir_sampling_member(weir_str(ot), threshold, out)] = '\0';

    return out;
}

static void thresholds_are_those_of_the_specification(void **state)
{
    static const struct {
        double ratio;
        const char *th;
    } cases[] = {
        {1, "th:0"},        {0.5, "th:8"},        {0.25, "th:c"},       {0.1, "th:e666"},
        {0.01, "th:fd70a"}, {0.001, "th:ffbe77"}, {2.0 / 3, "th:5555"}, {1.0 / 3, "th:aaab"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(member("", weir_sampling_threshold(cases[i].ratio)), cases[i].th);
    assert_true(weir_sampling_threshold(0) == WEIR_SAMPLING_NEVER);
    assert_string_equal(member("", WEIR_SAMPLING_NEVER), "");
}

static void other_sub_members_are_kept(void **state)
{
    char text[300];

    (void)state;
    assert_string_equal(member("th:8;rv:abcdef01234567", WEIR_SAMPLING_ALWAYS),
                        "th:0;rv:abcdef01234567");
    assert_string_equal(member("x:y;th:8", WEIR_SAMPLING_NEVER), "x:y");
    assert_string_equal(member("x:y;z:1", UINT64_C(1) << 55), "th:8;x:y;z:1");
    assert_string_equal(member("th:8", WEIR_SAMPLING_NEVER), "");

    /* where there is no room for all, the randomness remains */
    snprintf(text, sizeof(text), "x:%0234d;rv:abcdef01234567", 0);
    assert_string_equal(member(text, weir_sampling_threshold(0.1)), "th:e666;rv:abcdef01234567");
}

static void randomness_is_of_rv_or_of_the_trace_id(void **state)
{
    const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70};

    (void)state;
    assert_true(weir_sampling_randomness(id, WEIR_STR("")) == UINT64_C(0x10203040506070));
    assert_true(weir_sampling_randomness(id, WEIR_STR("th:8;rv:fedcba98765432")) ==
                UINT64_C(0xfedcba98765432));
    assert_true(weir_sampling_randomness(id, WEIR_STR("rv:fedcba9876543")) ==
                UINT64_C(0x10203040506070));
    assert_true(weir_sampling_randomness(id, WEIR_STR("rv:FEDCBA98765432")) ==
                UINT64_C(0x10203040506070));
}

/* Of 20000 new traces a tenth is sampled; the standard deviation is 42. */
static void a_ratio_is_kept_and_consistent(void **state)
{
    uint64_t tenth = weir_sampling_threshold(0.1), half = weir_sampling_threshold(0.5), r;
    weir_context_t context;
    int n = 0;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        weir_trace_ids_new(&context);
        r = weir_sampling_randomness(context.trace_id, WEIR_STR(""));
        if (r >= tenth) {
            n++;
            assert_true(r >= half);
        }
    }
    assert_in_range(n, 2000 - 8 * 42, 2000 + 8 * 42);
}

/* --- B3 -------------------------------------------------------------------------------------- */

static void a_single_header_of_b3_is_read_and_written(void **state)
{
    static const struct {
        const char *value;
        int rc;
        weir_b3_sampling_t sampling;
    } cases[] = {
        {TRACE "-" SPAN "-1", 0, WEIR_B3_ACCEPTED},
        {TRACE "-" SPAN "-0", 0, WEIR_B3_DENIED},
        {TRACE "-" SPAN "-d", 0, WEIR_B3_DEBUG},
        {TRACE "-" SPAN, 0, WEIR_B3_DEFERRED},
        {TRACE "-" SPAN "-1-05e3ac9a4f6e3b90", 0, WEIR_B3_ACCEPTED},
        {"a3ce929d0e0e4736-" SPAN "-1", 0, WEIR_B3_ACCEPTED},
        {"0", 1, WEIR_B3_DENIED},
        {"1", 1, WEIR_B3_ACCEPTED},
        {"d", 1, WEIR_B3_DEBUG},
        {"", -1, 0},
        {"2", -1, 0},
        {"-", -1, 0},
        {TRACE, -1, 0},
        {TRACE "-" SPAN "-", -1, 0},
        {TRACE "-" SPAN "-1-", -1, 0},
        {TRACE "-" SPAN "-1-05e3ac9a4f6e3b9", -1, 0},
        {TRACE "-" SPAN "-1-05e3ac9a4f6e3b90-1", -1, 0},
        {"00000000000000000000000000000000-" SPAN "-1", -1, 0},
        {TRACE "-0000000000000000-1", -1, 0},
        {"4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-1", -1, 0},
    };
    weir_context_t context;
    weir_b3_sampling_t sampling;
    char out[WEIR_B3_LEN];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int rc = weir_b3_parse(weir_str(cases[i].value), &context, &sampling);

        if (rc != cases[i].rc)
            fail_msg("\"%s\": %d", cases[i].value, rc);
        if (rc >= 0)
            assert_int_equal(sampling, cases[i].sampling);
        if (rc == 0)
            assert_int_equal(context.flags, sampling >= WEIR_B3_ACCEPTED);
    }

    assert_int_equal(weir_b3_parse(weir_str(cases[0].value), &context, &sampling), 0);
    weir_b3_format(&context, out);
    assert_memory_equal(out, cases[0].value, WEIR_B3_LEN);
}

static void several_headers_of_b3_are_read(void **state)
{
    weir_b3_multi_t h = {.trace_id = WEIR_STR(TRACE), .span_id = WEIR_STR(SPAN)};
    weir_context_t context;
    weir_b3_sampling_t sampling;

    (void)state;
    assert_int_equal(weir_b3_parse_multi(&h, &context, &sampling), 0);
    assert_int_equal(sampling, WEIR_B3_DEFERRED);
    h.sampled = WEIR_STR("true");
    assert_int_equal(weir_b3_parse_multi(&h, &context, &sampling), 0);
    assert_int_equal(sampling, WEIR_B3_ACCEPTED);
    h.flags = WEIR_STR("1");
    h.sampled = WEIR_STR("0");
    assert_int_equal(weir_b3_parse_multi(&h, &context, &sampling), 0);
    assert_int_equal(sampling, WEIR_B3_DEBUG);
    h.flags = WEIR_STR("0");
    h.sampled = WEIR_STR("2");
    assert_int_equal(weir_b3_parse_multi(&h, &context, &sampling), -1);
    h = (weir_b3_multi_t){.sampled = WEIR_STR("0")};
    assert_int_equal(weir_b3_parse_multi(&h, &context, &sampling), 1);
    assert_int_equal(sampling, WEIR_B3_DENIED);
    h = (weir_b3_multi_t){.trace_id = WEIR_STR(TRACE)};
    assert_int_equal(weir_b3_parse_multi(&h, &context, &sampling), -1);
    h = (weir_b3_multi_t){.trace_id = {NULL, 0}};
    assert_int_equal(weir_b3_parse_multi(&h, &context, &sampling), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_known_flags_are_kept),
        cmocka_unit_test(new_ids_differ_and_are_random),
        cmocka_unit_test(a_process_that_seeds_again_makes_other_ids),
        cmocka_unit_test(members_are_kept_in_order_with_ours_on_the_left),
        cmocka_unit_test(a_malformed_member_drops_all),
        cmocka_unit_test(lengths_of_keys_and_values_are_limited),
        cmocka_unit_test(there_are_at_most_32_members),
        cmocka_unit_test(beyond_512_bytes_long_members_go_first_then_the_last),
        cmocka_unit_test(thresholds_are_those_of_the_specification),
        cmocka_unit_test(other_sub_members_are_kept),
        cmocka_unit_test(randomness_is_of_rv_or_of_the_trace_id),
        cmocka_unit_test(a_ratio_is_kept_and_consistent),
        cmocka_unit_test(a_single_header_of_b3_is_read_and_written),
        cmocka_unit_test(several_headers_of_b3_are_read),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
