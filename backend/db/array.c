#include "db/array.h"

#include "log/alloc.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FIRST 256 /* bytes */

static void make_room(weir_array_t *a, size_t more)
{
    assert(a->len <= a->cap);
    if (a->len + more <= a->cap)
        return;

    while (a->len + more > a->cap)
        a->cap = a->cap > 0 ? a->cap * 2 : FIRST;
    a->text = weir_alloc_resize(a->text, a->cap, 1);
}

void weir_array_add(weir_array_t *a, const char *element)
{
    char *p;

    assert(a->len <= a->cap);
    /* twice the text, quotes and separator */
    make_room(a, (element != NULL ? 2 * strlen(element) : 4) + 3);
    p = a->text + a->len;
    *p++ = a->len == 0 ? '{' : ',';

    if (element == NULL) {
        memcpy(p, "NULL", 4);
        p += 4;
    } else {
        *p++ = '"';
        while (*element != '\0') {
            size_t plain = strcspn(element, "\"\\");

            memcpy(p, element, plain);
            p += plain;
            element += plain;
            if (*element != '\0') {
                *p++ = '\\';
                *p++ = *element++;
            }
        }
        *p++ = '"';
    }

    a->len = (size_t)(p - a->text);
    assert(a->len <= a->cap); /* equal if each byte of the element has a backslash */
}

void weir_array_add_int(weir_array_t *a, int64_t element)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, element);
    weir_array_add(a, text);
}

const char *weir_array_text(weir_array_t *a)
{
    assert(a->len <= a->cap);
    make_room(a, 3);
    if (a->len == 0)
        a->text[a->len++] = '{';
    memcpy(a->text + a->len, "}", 2);

    return a->text;
}

char *weir_array_close(weir_array_t *a)
{
    char *text;

    weir_array_text(a);
    text = a->text;
    *a = (weir_array_t){0};

    return text;
}
