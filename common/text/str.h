/*
 * A length-counted string that does not own its bytes, used by the edge and the backend.  It need
 * not be NUL-terminated.
 */
#ifndef WEIR_STR_H
#define WEIR_STR_H

#include <stddef.h>
#include <string.h>

typedef struct {
    const char *data; /* may be NULL if len is 0 */
    size_t len;       /* bytes */
} weir_str_t;

#define WEIR_STR(literal) ((weir_str_t){(literal), sizeof(literal) - 1})

/* The string of a NUL-terminated text, whose bytes it shares. */
static inline weir_str_t weir_str(const char *s)
{
    return (weir_str_t){s, strlen(s)};
}

static inline int weir_str_eq(weir_str_t a, weir_str_t b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/*
 * ASCII case-insensitive comparison, for HTTP field names and tokens (RFC 9110 section 5.1);
 * independent of the locale.
 */
static inline int weir_str_caseeq(weir_str_t a, weir_str_t b)
{
    if (a.len != b.len)
        return 0;

    for (size_t i = 0; i < a.len; i++) {
        unsigned char x = (unsigned char)a.data[i], y = (unsigned char)b.data[i];

        if (x >= 'A' && x <= 'Z')
            x |= 0x20;
        if (y >= 'A' && y <= 'Z')
            y |= 0x20;
        if (x != y)
            return 0;
    }

    return 1;
}

/*
 * Replaces all bytes except printable ASCII by spaces: a peer's text may contain anything, and is
 * written to logs, PostgreSQL and terminals.
 */
static inline void weir_str_make_printable(char *s)
{
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20 || (unsigned char)*s > 0x7e)
            *s = ' ';
    }
}

#endif
