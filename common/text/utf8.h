/* UTF-8 (RFC 3629): text of peers and of configurations may be anything, documents may not. */
#ifndef WEIR_UTF8_H
#define WEIR_UTF8_H

#include <stddef.h>

/* What stands for each byte that is not part of a well-formed sequence: U+FFFD. */
#define WEIR_UTF8_REPLACEMENT "\xef\xbf\xbd"

/*
 * The length in bytes of the well-formed sequence (section 4) at the start of the text, which has
 * at least one byte; 0 if there is none.
 */
static inline size_t weir_utf8_sequence(const char *text, size_t len)
{
    const unsigned char *p = (const unsigned char *)text;
    unsigned char low = 0x80, high = 0xbf;
    size_t n;

    if (p[0] < 0x80)
        return 1;

    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        n = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        n = 3;
        if (p[0] == 0xe0)
            low = 0xa0;
        if (p[0] == 0xed)
            high = 0x9f;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        n = 4;
        if (p[0] == 0xf0)
            low = 0x90;
        if (p[0] == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }

    if (len < n || p[1] < low || p[1] > high)
        return 0;

    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }

    return n;
}

#endif
