// needs: common/ids/uuid7.c common/trace/traceparent.c common/trace/context.c
// needs: common/trace/ids.c common/ids/random.c
#include "common/trace/traceparent.h"
#include "common/ids/uuid7.h"
#include "common/text/hex.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static weir_str_t str(const char *s)
{
    return (weir_str_t){s, strlen(s)};
}

/* Eight bytes at a time, and the rest. */
static void each_byte_has_two_digits(void **state)
{
    uint8_t bytes[256];
    char out[2 * sizeof(bytes) + 1], want[3];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    for (size_t n = 0; n <= sizeof(bytes); n += 1 + n / 20) {
        memset(out, '.', sizeof(out));
        weir_hex(out, bytes, n);
        for (size_t i = 0; i < n; i++) {
            snprintf(want, sizeof(want), "%02x", bytes[i]);
            assert_memory_equal(out + 2 * i, want, 2);
        }
        assert_int_equal(out[2 * n], '.');
    }
}

/* RFC 9562 appendix A.6 */
static void a_uuid_is_time_then_randomness(void **state)
{
    const uint8_t random[10] = {0x0c, 0xc3, 0x18, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f};
    char out[WEIR_UUID_LEN + 1];

    (void)state;
    weir_uuid7_from(0x017F22E279B0, random, out);
    assert_string_equal(out, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void uuids_differ_and_can_be_read(void **state)
{
    char a[WEIR_UUID_LEN + 1], b[WEIR_UUID_LEN + 1], read[WEIR_UUID_LEN + 1];

    (void)state;
    weir_uuid7(a);
    weir_uuid7(b);
    assert_string_not_equal(a, b);
    assert_int_equal(a[14], '7');
    assert_int_equal(weir_uuid_parse(str(a), read), 0);
    assert_string_equal(read, a);
}

static void capitals_are_read_as_small_letters(void **state)
{
    char out[WEIR_UUID_LEN + 1];

    (void)state;
    assert_int_equal(weir_uuid_parse(str("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), out), 0);
    assert_string_equal(out, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void what_is_no_uuid_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "1",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2-79b0-7cc3-98c4+dc0c0c07398f",
        "017f22e27-9b0-7cc3-98c4-dc0c0c07398f",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
    };
    char out[WEIR_UUID_LEN + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (weir_uuid_parse(str(bad[i]), out) != -1)
            fail_msg("\"%s\" was taken for a UUID", bad[i]);
    }
}

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static void a_traceparent_is_read_and_written(void **state)
{
    weir_traceparent_t t;
    char out[WEIR_TRACEPARENT_LEN + 1];

    (void)state;
    assert_int_equal(weir_traceparent_parse(str("00-" TRACE "-" SPAN "-01"), &t), 0);
    assert_string_equal(t.trace_id, TRACE);
    assert_string_equal(t.parent_id, SPAN);
    assert_int_equal(t.flags, 1);
    weir_traceparent_format(&t, out);
    assert_string_equal(out, "00-" TRACE "-" SPAN "-01");
}

static void unknown_flags_and_later_versions_are_read(void **state)
{
    weir_traceparent_t t;

    (void)state;
    assert_int_equal(weir_traceparent_parse(str("00-" TRACE "-" SPAN "-fe"), &t), 0);
    assert_int_equal(t.flags, 2); /* the flag of random ids */
    assert_int_equal(weir_traceparent_parse(str("cc-" TRACE "-" SPAN "-01-more"), &t), 0);
    assert_int_equal(weir_traceparent_parse(str("cc-" TRACE "-" SPAN "-01"), &t), 0);
}

static void a_malformed_traceparent_is_ignored(void **state)
{
    static const char *const bad[] = {
        "",
        "00",
        "ff-" TRACE "-" SPAN "-01",
        "0g-" TRACE "-" SPAN "-01",
        "00-" TRACE "-" SPAN "-0g",
        "00-" TRACE "-" SPAN "-01-",
        "00-" TRACE "-" SPAN "-011",
        "cc-" TRACE "-" SPAN "-01.",
        "00_" TRACE "-" SPAN "-01",
        "00-" TRACE "_" SPAN "-01",
        "00-" TRACE "-" SPAN "_01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" TRACE "-00f067aa0ba902b\xff-01",
    };
    weir_traceparent_t t;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (weir_traceparent_parse(str(bad[i]), &t) != -1)
            fail_msg("\"%s\" was taken for a traceparent", bad[i]);
    }
}

static void a_child_keeps_the_trace(void **state)
{
    weir_traceparent_t parent, child;

    (void)state;
    weir_traceparent_new(&parent);
    parent.flags = 0;
    weir_traceparent_child(&parent, &child);
    assert_string_equal(child.trace_id, parent.trace_id);
    assert_string_not_equal(child.parent_id, parent.parent_id);
    assert_int_equal(child.flags, 0);
}

/* From memory of exactly its size, so that a sanitizer sees one byte too far. */
static void nothing_past_the_end_is_read(void **state)
{
    const char *value = "00-" TRACE "-" SPAN "-01-more";

    (void)state;
    for (size_t n = 1; n <= strlen(value); n++) {
        char *exact = malloc(n), uuid[WEIR_UUID_LEN + 1];
        weir_traceparent_t t;

        memcpy(exact, value, n);
        assert_int_equal(weir_traceparent_parse((weir_str_t){exact, n}, &t),
                         n == WEIR_TRACEPARENT_LEN ? 0 : -1);
        assert_int_equal(weir_uuid_parse((weir_str_t){exact, n}, uuid), -1);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_byte_has_two_digits),
        cmocka_unit_test(a_uuid_is_time_then_randomness),
        cmocka_unit_test(uuids_differ_and_can_be_read),
        cmocka_unit_test(capitals_are_read_as_small_letters),
        cmocka_unit_test(what_is_no_uuid_is_refused),
        cmocka_unit_test(a_traceparent_is_read_and_written),
        cmocka_unit_test(unknown_flags_and_later_versions_are_read),
        cmocka_unit_test(a_malformed_traceparent_is_ignored),
        cmocka_unit_test(a_child_keeps_the_trace),
        cmocka_unit_test(nothing_past_the_end_is_read),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
