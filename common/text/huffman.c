#include "common/text/huffman.h"

#include "common/text/hex.h"

#include <assert.h>
#include <string.h>

/* By the digit's value, and of "-". */
static const uint8_t codes[] = {0x00, 0x01, 0x02, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e,
                                0x1f, 0x03, 0x23, 0x04, 0x24, 0x05, 0x25, 0x16};
#define DASH 16

static const char short_digits[] = "012ace";    /* of 5 bits, */
static const char long_digits[] = "3456789bdf"; /* and of 6 */

static int is_short(char digit)
{
    return strchr(short_digits, digit) != NULL;
}

size_t weir_huffman(uint8_t *out, const char *text, size_t len)
{
    uint32_t bits = 0; /* the last n are not written yet */
    size_t n = 0, written = 0;

    for (size_t i = 0; i < len; i++) {
        int value = text[i] == '-' ? DASH : weir_unhex(text[i], 0);
        unsigned width = text[i] != '-' && value >= 0 && is_short(text[i]) ? 5 : 6;

        if (value < 0)
            return 0;
        bits = bits << width | codes[value];
        n += width;
        if (n >= 8) {
            n -= 8;
            out[written++] = (uint8_t)(bits >> n);
        }
    }
    if (n > 0)
        out[written++] = (uint8_t)(bits << (8 - n) | (0xff >> n));
    assert(written <= WEIR_HUFFMAN_MAX(len));

    return written;
}

void weir_huffman_alike(char *digits, const char *like, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *of = is_short(like[i]) ? short_digits : long_digits;
        int value = weir_unhex(digits[i], 0);

        assert(value >= 0);
        digits[i] = of[(size_t)value % strlen(of)];
    }
}
