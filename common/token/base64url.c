/* base64url, read strictly; see base64url.h. */

#include "common/token/base64url.h"

/* The value of a character, or -1. */
static int value_of(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '-')
        return 62;

    return c == '_' ? 63 : -1;
}

bool weir_base64url_decode(weir_str_t text, uint8_t *out, size_t *len)
{
    uint32_t bits = 0;
    unsigned count = 0; /* bits that are not written yet */

    *len = 0;

    if (text.len % 4 == 1)
        return false;

    for (size_t i = 0; i < text.len; i++) {
        int value = value_of(text.data[i]);

        if (value == -1)
            return false;

        bits = bits << 6 | (uint32_t)value;
        count += 6;

        if (count >= 8) {
            count -= 8;
            out[(*len)++] = (uint8_t)(bits >> count);
        }
    }

    return (bits & ((1U << count) - 1)) == 0;
}

char *weir_base64url_encode(char *out, const void *bytes, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const uint8_t *p = bytes;
    uint32_t bits;

    for (; n >= 3; n -= 3, p += 3) {
        bits = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        *out++ = digits[bits >> 6 & 63];
        *out++ = digits[bits & 63];
    }

    if (n > 0) {
        bits = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0);
        *out++ = digits[bits >> 18];
        *out++ = digits[bits >> 12 & 63];
        if (n > 1)
            *out++ = digits[bits >> 6 & 63];
    }

    return out;
}
