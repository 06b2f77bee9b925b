// needs: common/trace/partial.c
#include "common/trace/partial.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static weir_partial_t partial;

/* The body is at the end of its allocation, so that a sanitizer sees one byte too far. */
static bool read_body(bool (*reader)(weir_str_t, weir_partial_t *), const char *text, size_t len)
{
    char *exact = malloc(len ? len : 1);
    bool ok;

    memcpy(exact, text, len);
    memset(&partial, 0x55, sizeof(partial));
    ok = reader((weir_str_t){exact, len}, &partial);
    free(exact);

    return ok;
}

#define PROTOBUF(literal) read_body(weir_partial_protobuf, literal, sizeof(literal) - 1)
#define JSON(literal) read_body(weir_partial_json, literal, sizeof(literal) - 1)

static void protobuf_is_read(void **state)
{
    (void)state;
    assert_true(PROTOBUF(""));
    assert_int_equal(partial.rejected, 0);
    assert_true(PROTOBUF("\x0a\x00"));
    assert_int_equal(partial.rejected, 0);
    assert_true(PROTOBUF("\x0a\x07\x08\x85\x02\x12\x02hi"));
    assert_int_equal(partial.rejected, 261);
    assert_string_equal(partial.message, "hi");
    assert_true(PROTOBUF("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_int_equal(partial.rejected, -1);
    /* unknown fields of all wire types, before and behind */
    assert_true(PROTOBUF("\x10\x01\x19"
                         "12345678\x25"
                         "1234\x2a\x01x\x0a\x04\x18\x07\x08\x03\x10\x01"));
    assert_int_equal(partial.rejected, 3);
    /* the last one counts */
    assert_true(PROTOBUF("\x0a\x02\x08\x01\x0a\x02\x08\x02"));
    assert_int_equal(partial.rejected, 2);
    /* what a collector says is made printable */
    assert_true(PROTOBUF("\x0a\x06\x12\x04"
                         "a\n\x00\xff"));
    assert_string_equal(partial.message, "a   ");
}

static void malformed_protobuf_says_nothing(void **state)
{
    (void)state;
    assert_false(PROTOBUF("\x0a"));
    assert_false(PROTOBUF("\x0a\x05\x08\x01"));
    assert_false(PROTOBUF("\x0a\x02\x08\x80"));
    assert_false(PROTOBUF("\x0a\x02\x08\x01\x0a\x01\x08"));
    assert_int_equal(partial.rejected, 0);
    assert_false(PROTOBUF("\x0b"));
    assert_false(PROTOBUF("\x00\x01"));
    assert_false(PROTOBUF("\x19\x31\x32"));
    assert_false(PROTOBUF("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
    assert_false(PROTOBUF("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
}

static void json_is_read(void **state)
{
    (void)state;
    assert_true(JSON(""));
    assert_true(JSON("{}"));
    assert_true(JSON(" { \"partialSuccess\" : { } } "));
    assert_int_equal(partial.rejected, 0);
    assert_true(
        JSON("{\"partialSuccess\":{\"rejectedSpans\":\"5\",\"errorMessage\":\"no \\\"x\\\"\"}}"));
    assert_int_equal(partial.rejected, 5);
    assert_string_equal(partial.message, "no \\\"x\\\"");
    assert_true(JSON("{\"a\":[1,{\"partialSuccess\":{\"rejectedSpans\":9}}],\"partial_success\":"
                     "{\"x\":{\"rejectedSpans\":8},\"rejected_spans\":7,\"y\":null}}"));
    assert_int_equal(partial.rejected, 7);
    assert_true(JSON("{\"rejectedSpans\":5}"));
    assert_int_equal(partial.rejected, 0);
    assert_true(JSON("{\"partialSuccess\":null}"));
    assert_int_equal(partial.rejected, 0);
    assert_true(JSON("{\"partialSuccess\":{\"rejectedSpans\":\"many\"}}"));
    assert_int_equal(partial.rejected, 0);
}

static void malformed_json_says_nothing(void **state)
{
    char deep[200];

    (void)state;
    assert_false(JSON("{"));
    assert_false(JSON("[]"));
    assert_false(JSON("5"));
    assert_false(JSON("{}x"));
    assert_false(JSON("{\"partialSuccess\":{\"rejectedSpans\":5}"));
    assert_int_equal(partial.rejected, 0);
    assert_false(JSON("{\"a\""));
    assert_false(JSON("{\"a\":"));
    assert_false(JSON("{\"a\":1,}"));
    assert_false(JSON("{\"a\":[1}"));
    assert_false(JSON("{\"a\\"));
    assert_false(JSON("{\"a\n\":1}"));

    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    assert_false(read_body(weir_partial_json, deep, sizeof(deep)));
}

static void texts_are_cut(void **state)
{
    char buf[5];

    (void)state;
    weir_partial_text(WEIR_STR("abcdefgh"), buf, sizeof(buf));
    assert_string_equal(buf, "abcd");
    weir_partial_text(WEIR_STR(""), buf, sizeof(buf));
    assert_string_equal(buf, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(protobuf_is_read), cmocka_unit_test(malformed_protobuf_says_nothing),
        cmocka_unit_test(json_is_read),     cmocka_unit_test(malformed_json_says_nothing),
        cmocka_unit_test(texts_are_cut),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
