#include "ctl/text.h"

#include "common/text/utf8.h"

#include <locale.h>
#include <stdint.h>
#include <string.h>
#include <wchar.h>

/* The character at the text, of a sequence of n bytes. */
static uint32_t character(const char *text, size_t n)
{
    static const unsigned char masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)text[0] & masks[n];

    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)text[i] & 0x3f);

    return c;
}

static bool is_safe(uint32_t c)
{
    return c >= 0x20 && !(c >= 0x7f && c <= 0x9f) && c != 0xad && c != 0x61c &&
           !(c >= 0x200b && c <= 0x200f) && !(c >= 0x2028 && c <= 0x202e) &&
           !(c >= 0x2060 && c <= 0x206f) && c != 0xfeff && !(c >= 0xfff9 && c <= 0xfffb) &&
           !(c >= 0xe0000 && c <= 0xe0fff);
}

void weir_ctl_make_safe(char *text, bool ascii)
{
    size_t left = strlen(text);
    char *out = text;

    while (left > 0) {
        size_t n = weir_utf8_sequence(text, left), taken = n > 0 ? n : 1;

        if (n > 0 && is_safe(character(text, n)) && (n == 1 || !ascii)) {
            memmove(out, text, n);
            out += n;
        } else {
            *out++ = '?';
        }
        text += taken;
        left -= taken;
    }
    *out = '\0';
}

/* The columns of the character at the text, and its length in bytes. */
static int columns_of(const char *text, size_t *n)
{
    static bool is_set;
    int columns;

    *n = weir_utf8_sequence(text, strlen(text));
    if (*n <= 1) {
        *n = 1;
        return 1;
    }
    if (!is_set) {
        /* wcwidth() knows the characters of the locale only. */
        setlocale(LC_CTYPE, "C.UTF-8");
        is_set = true;
    }
    columns = wcwidth((wchar_t)character(text, *n));

    return columns >= 0 ? columns : 1;
}

size_t weir_ctl_fit(const char *text, int columns)
{
    size_t len = 0, n;

    while (text[len] != '\0') {
        columns -= columns_of(text + len, &n);
        if (columns < 0)
            break;
        len += n;
    }

    return len;
}

int weir_ctl_width(const char *text)
{
    int columns = 0;
    size_t n;

    for (; *text != '\0'; text += n)
        columns += columns_of(text, &n);

    return columns;
}
