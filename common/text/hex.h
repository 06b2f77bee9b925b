/* Hexadecimal text in lower case, as in UUIDs and trace contexts. */
#ifndef WEIR_HEX_H
#define WEIR_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Writes 2*n digits without a NUL. */
static inline void weir_hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";

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

#endif
