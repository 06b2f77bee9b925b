#include "db/array.h"

#include "log/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(weir_array_t *a, char c)
{
    if (a->len + 2 > a->cap) {
        a->cap = a->cap > 0 ? a->cap * 2 : 256;
        a->text = weir_alloc_resize(a->text, a->cap, 1);
    }
    a->text[a->len++] = c;
    a->text[a->len] = '\0';
}

void weir_array_add(weir_array_t *a, const char *element)
{
    put(a, a->len == 0 ? '{' : ',');
    if (element == NULL) {
        for (const char *p = "NULL"; *p != '\0'; p++)
            put(a, *p);
        return;
    }
    put(a, '"');
    for (; *element != '\0'; element++) {
        if (*element == '"' || *element == '\\')
            put(a, '\\');
        put(a, *element);
    }
    put(a, '"');
}

void weir_array_add_int(weir_array_t *a, int64_t element)
{
    char text[24];

    snprintf(text, sizeof(text), "%" PRId64, element);
    weir_array_add(a, text);
}

char *weir_array_close(weir_array_t *a)
{
    if (a->len == 0)
        put(a, '{');
    put(a, '}');
    return a->text;
}
