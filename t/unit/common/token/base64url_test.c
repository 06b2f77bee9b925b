// needs: common/token/base64url.c
#include "common/token/base64url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void is_decoded(const char *text, const char *bytes, size_t n)
{
    uint8_t out[64];
    char again[64];
    size_t len;

    assert_true(weir_base64url_decode(weir_str(text), out, &len));
    assert_int_equal(len, n);
    assert_int_equal(weir_base64url_encode(again, out, len) - again, strlen(text));
    assert_int_equal(WEIR_BASE64URL_CHARS(n), strlen(text));
    assert_memory_equal(again, text, strlen(text));
    assert_int_equal(len, WEIR_BASE64URL_BYTES(strlen(text)));
    assert_memory_equal(out, bytes, n);
}

/* RFC 4648 section 10, without padding; RFC 7515 appendix C */
static void texts_become_bytes(void **state)
{
    (void)state;
    is_decoded("", "", 0);
    is_decoded("Zg", "f", 1);
    is_decoded("Zm8", "fo", 2);
    is_decoded("Zm9v", "foo", 3);
    is_decoded("Zm9vYg", "foob", 4);
    is_decoded("Zm9vYmE", "fooba", 5);
    is_decoded("Zm9vYmFy", "foobar", 6);
    is_decoded("A-z_4ME", "\x03\xec\xff\xe0\xc1", 5);
}

static void each_byte_has_one_text(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned found[256] = {0};
    uint8_t out[2];
    size_t len;

    (void)state;
    for (int a = 0; a < 256; a++) {
        for (int b = 0; b < 256; b++) {
            char text[2] = {(char)a, (char)b};

            if (weir_base64url_decode((weir_str_t){text, 2}, out, &len)) {
                assert_non_null(memchr(alphabet, a, 64));
                assert_non_null(memchr(alphabet, b, 64));
                assert_int_equal(len, 1);
                found[out[0]]++;
            }
        }
    }
    for (int i = 0; i < 256; i++)
        assert_int_equal(found[i], 1);
}

static void lax_texts_are_refused(void **state)
{
    static const char *const bad[] = {
        "Z",     "Zm9vY", "Zg==", "Zm8=", "Zg=",   "Zh",     "Zm9",    "Zm9v\n",
        " Zm9v", "Zm 9v", "Zm+v", "Zm/v", "Zm9v.", "Zm9vYh", "Zm9vYmF"};
    uint8_t out[64];
    size_t len;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (weir_base64url_decode(weir_str(bad[i]), out, &len))
            fail_msg("\"%s\" was decoded", bad[i]);
    }
    assert_false(weir_base64url_decode((weir_str_t){"Zm\0v", 4}, out, &len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_become_bytes),
        cmocka_unit_test(each_byte_has_one_text),
        cmocka_unit_test(lax_texts_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
