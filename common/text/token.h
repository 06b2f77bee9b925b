/* Characters of HTTP tokens and of the blanks between them (RFC 9110 section 5.6.2 and 5.6.3). */
#ifndef WEIR_TOKEN_H
#define WEIR_TOKEN_H

#include <stdbool.h>

/* True if the character may be part of a token; independent of the locale. */
static inline bool weir_is_tchar(char c)
{
    static const bool tchar[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true,
        ['#'] = true,         ['$'] = true,         ['%'] = true,         ['&'] = true,
        ['\''] = true,        ['*'] = true,         ['+'] = true,         ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true,
        ['|'] = true,         ['~'] = true,
    };

    return tchar[(unsigned char)c];
}

/* True if the character may be part of optional whitespace. */
static inline bool weir_is_ows(char c)
{
    return c == ' ' || c == '\t';
}

#endif
