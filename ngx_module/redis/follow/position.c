/* IDs of stream entries; see position.h. */

#include "redis/follow/position.h"

#include <string.h>

bool weir_position_number(weir_str_t s, uint64_t *n)
{
    *n = 0;

    if (s.len == 0)
        return false;

    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(unsigned char)s.data[i] - '0';

        if (digit > 9 || *n > (UINT64_MAX - digit) / 10)
            return false;

        *n = *n * 10 + digit;
    }

    return true;
}

bool weir_position_parse(weir_str_t s, weir_position_t *position)
{
    const char *dash = s.len != 0 ? memchr(s.data, '-', s.len) : NULL;
    size_t len = dash ? (size_t)(dash - s.data) : s.len;

    position->seq = 0;

    if (!weir_position_number((weir_str_t){s.data, len}, &position->ms))
        return false;

    return !dash || weir_position_number((weir_str_t){dash + 1, s.len - len - 1}, &position->seq);
}
