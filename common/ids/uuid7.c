#include "common/ids/uuid7.h"

#include "common/text/hex.h"
#include "common/ids/random.h"

#include <time.h>

static int is_dash(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

void weir_uuid7_from(uint64_t unix_ms, const uint8_t random[10], char out[WEIR_UUID_LEN + 1])
{
    uint8_t bytes[16];

    for (int i = 0; i < 6; i++)
        bytes[i] = (uint8_t)(unix_ms >> (40 - 8 * i));

    memcpy(bytes + 6, random, 10);
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x70); /* version 7 */
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80); /* the variant of RFC 9562 */

    weir_hex(out, bytes, 4);
    weir_hex(out + 9, bytes + 4, 2);
    weir_hex(out + 14, bytes + 6, 2);
    weir_hex(out + 19, bytes + 8, 2);
    weir_hex(out + 24, bytes + 10, 6);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[WEIR_UUID_LEN] = '\0';
}

void weir_uuid7(char out[WEIR_UUID_LEN + 1])
{
    struct timespec now;
    uint8_t random[10];

    clock_gettime(CLOCK_REALTIME, &now);
    weir_random(random, sizeof(random));
    weir_uuid7_from((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000, random, out);
}

int weir_uuid_parse(weir_str_t s, char out[WEIR_UUID_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    if (s.len != WEIR_UUID_LEN)
        return -1;

    for (size_t i = 0; i < WEIR_UUID_LEN; i++) {
        int value = weir_unhex(s.data[i], 1);

        if (is_dash(i) ? s.data[i] != '-' : value < 0)
            return -1;
        out[i] = is_dash(i) ? '-' : digits[value];
    }

    out[WEIR_UUID_LEN] = '\0';

    return 0;
}
