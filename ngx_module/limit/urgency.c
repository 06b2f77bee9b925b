#include "limit/urgency.h"

#include <stdbool.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_urgency(char c)
{
    return c >= '0' && c <= '0' + WEIR_URGENCY_MAX;
}

/* The position behind the member that begins at i, which may have strings with commas. */
static size_t member_end(weir_str_t value, size_t i)
{
    bool quoted = false;

    for (; i < value.len; i++) {
        if (quoted && value.data[i] == '\\')
            i++;
        else if (value.data[i] == '"')
            quoted = !quoted;
        else if (!quoted && value.data[i] == ',')
            break;
    }

    return i < value.len ? i : value.len;
}

/* True if the member is "u=" and one digit, perhaps with parameters. */
static bool member_is_urgency(weir_str_t value, size_t i, size_t end)
{
    if (end - i < 3 || value.data[i] != 'u' || value.data[i + 1] != '=' ||
        !is_urgency(value.data[i + 2]))
        return false;

    i += 3;
    while (i < end && is_space(value.data[i]))
        i++;

    return i == end || value.data[i] == ';';
}

uint8_t weir_urgency(weir_str_t value)
{
    uint8_t urgency = WEIR_URGENCY_DEFAULT;

    if (value.len == 1 && is_urgency(value.data[0]))
        return (uint8_t)(value.data[0] - '0');

    for (size_t end, i = 0; i < value.len; i = end + 1) {
        while (i < value.len && is_space(value.data[i]))
            i++;

        end = member_end(value, i);

        /* RFC 8941 section 4.2.2: the last one of a name counts */
        if (member_is_urgency(value, i, end))
            urgency = (uint8_t)(value.data[i + 2] - '0');
    }

    return urgency;
}
