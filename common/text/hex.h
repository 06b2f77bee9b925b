/* Hexadecimal text in lower case, as in UUIDs and trace contexts. */
#ifndef WEIR_HEX_H
#define WEIR_HEX_H

#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Writes 2*n digits without a NUL. */
static inline void weir_hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

#ifdef __SSE2__
    /* eight bytes at a time: their halves side by side, and digits made of these */
    for (; n >= 8; n -= 8, bytes += 8, out += 16) {
        __m128i x = _mm_loadl_epi64((const __m128i *)bytes), low = _mm_set1_epi8(15), letters;

        x = _mm_unpacklo_epi8(_mm_and_si128(_mm_srli_epi16(x, 4), low), _mm_and_si128(x, low));
        letters = _mm_and_si128(_mm_cmpgt_epi8(x, _mm_set1_epi8(9)), _mm_set1_epi8('a' - '0' - 10));
        x = _mm_add_epi8(x, _mm_add_epi8(letters, _mm_set1_epi8('0')));
        _mm_storeu_si128((__m128i *)out, x);
    }
#endif

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

/* The value of the digit, or -1; capital letters are digits only if capitals is set. */
static inline int weir_unhex(char c, int capitals)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (capitals && c >= 'A' && c <= 'F')
        return c - 'A' + 10;

    return -1;
}

/*
 * Copies the digits of an id to out, in lower case and with a NUL. Returns 0 if there is another
 * character, or only zeros, which is no id; what is in out is undefined then.
 */
static inline int weir_hex_id(char *out, const char *digits, size_t n)
{
    int any = 0;

    for (size_t i = 0; i < n; i++) {
        int digit = weir_unhex(digits[i], 1);

        if (digit < 0)
            return 0;
        any |= digit;
        out[i] = "0123456789abcdef"[digit];
    }
    out[n] = '\0';

    return any != 0;
}

#endif
