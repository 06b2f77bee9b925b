// needs: common/text/huffman.c
#include "common/text/huffman.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Codes of RFC 7541 appendix B, as they stand there. */
static const struct {
    char character;
    const char *bits;
} table[] = {{'0', "00000"},  {'1', "00001"},  {'2', "00010"},  {'3', "011001"}, {'4', "011010"},
             {'5', "011011"}, {'6', "011100"}, {'7', "011101"}, {'8', "011110"}, {'9', "011111"},
             {'a', "00011"},  {'b', "100011"}, {'c', "00100"},  {'d', "100100"}, {'e', "00101"},
             {'f', "100101"}, {'-', "010110"}};
#define CHARACTERS (sizeof(table) / sizeof(table[0]))

static const char *bits_of(char c)
{
    for (size_t i = 0; i < CHARACTERS; i++)
        if (table[i].character == c)
            return table[i].bits;
    return "";
}

/* The same, one bit at a time. */
static size_t slowly(uint8_t *out, const char *text)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        for (const char *bit = bits_of(*text); *bit != '\0'; bit++, n++) {
            if (n % 8 == 0)
                out[n / 8] = 0xff;
            if (*bit == '0')
                out[n / 8] &= (uint8_t) ~(0x80 >> n % 8);
        }

    return (n + 7) / 8;
}

static void texts_have_the_code_of_the_rfc(void **state)
{
    static const char *const texts[] = {"",
                                        "0",
                                        "-",
                                        "f",
                                        "0123456789abcdef",
                                        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                        "ffffffffffffffff",
                                        "0000000000000000",
                                        "----------------"};
    uint8_t out[64], want[64];

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        size_t n = weir_huffman(out, texts[i], strlen(texts[i]));

        assert_int_equal(n, slowly(want, texts[i]));
        assert_memory_equal(out, want, n);
        assert_in_range(n, 0, WEIR_HUFFMAN_MAX(strlen(texts[i])));
    }
}

static void other_characters_have_none(void **state)
{
    uint8_t out[64];

    (void)state;
    assert_int_equal(weir_huffman(out, "00g", 3), 0);
    assert_int_equal(weir_huffman(out, "A", 1), 0);
    assert_int_equal(weir_huffman(out, "\0", 1), 0);
    assert_int_equal(weir_huffman(out, "0\xff", 2), 0);
}

static void alike_digits_have_codes_as_long_at_each_place(void **state)
{
    static const char all[] = "0123456789abcdef";

    (void)state;
    for (size_t i = 0; i < 16; i++)
        for (size_t k = 0; k < 16; k++) {
            char digit = all[i];

            weir_huffman_alike(&digit, &all[k], 1);
            assert_int_equal(strlen(bits_of(digit)), strlen(bits_of(all[k])));
        }
}

/* Every digit of that length can be chosen. */
static void alike_digits_are_all_that_can_be(void **state)
{
    static const char all[] = "0123456789abcdef";
    int seen[128] = {0}, n = 0;

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        char digits[2] = {all[i], all[i]};

        weir_huffman_alike(digits, "0f", 2);
        n += !seen[(int)digits[0]] + !seen[(int)digits[1]];
        seen[(int)digits[0]] = seen[(int)digits[1]] = 1;
    }
    assert_int_equal(n, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_have_the_code_of_the_rfc),
        cmocka_unit_test(other_characters_have_none),
        cmocka_unit_test(alike_digits_have_codes_as_long_at_each_place),
        cmocka_unit_test(alike_digits_are_all_that_can_be),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
