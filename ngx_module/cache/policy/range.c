/* Byte ranges, RFC 9110 section 14. */

#include "cache/policy/range.h"

#define DIGITS_MAX 18 /* digits of a position; no overflow */

/* Reads a number at p; returns NULL if there is none. */
static const char *number(const char *p, const char *end, int64_t *n)
{
    const char *start = p;

    for (*n = 0; p < end && *p >= '0' && *p <= '9'; p++) {
        if (p - start == DIGITS_MAX)
            return NULL;
        *n = *n * 10 + (*p - '0');
    }

    return p == start ? NULL : p;
}

static bool is_unit(weir_str_t value, char separator)
{
    return value.len > 6 && weir_str_caseeq((weir_str_t){value.data, 5}, WEIR_STR("bytes")) &&
           value.data[5] == separator;
}

bool weir_content_range_parse(weir_str_t value, weir_range_t *range)
{
    const char *p, *end;

    if (!is_unit(value, ' '))
        return false;

    p = value.data + 6;
    end = value.data + value.len;

    p = number(p, end, &range->first);
    if (p == NULL || p == end || *p++ != '-')
        return false;

    p = number(p, end, &range->last);
    if (p == NULL || p == end || *p++ != '/')
        return false;

    p = number(p, end, &range->total);

    return p == end && range->first <= range->last && range->last < range->total;
}

bool weir_range_parse(weir_str_t value, int64_t total, weir_range_t *range)
{
    const char *p, *end;

    if (!is_unit(value, '=') || total <= 0)
        return false;

    p = value.data + 6;
    end = value.data + value.len;
    range->total = total;

    if (*p == '-') {
        /* suffix range: the last n bytes */
        p = number(p + 1, end, &range->last);
        if (p != end || range->last == 0)
            return false;

        range->first = range->last < total ? total - range->last : 0;
        range->last = total - 1;
        return true;
    }

    p = number(p, end, &range->first);
    if (p == NULL || p == end || *p++ != '-' || range->first >= total)
        return false;

    range->last = total - 1;

    if (p < end) {
        int64_t last;

        p = number(p, end, &last);
        if (p != end || last < range->first)
            return false;

        if (last < range->last)
            range->last = last;
    }

    return true;
}
