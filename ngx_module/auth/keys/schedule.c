#include "auth/keys/schedule.h"

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t weir_keys_refresh_after(int64_t freshness, uint64_t refresh, uint64_t random)
{
    uint64_t lifetime = refresh;

    if (freshness >= 0) {
        lifetime = min((uint64_t)freshness, WEIR_KEYS_LIFETIME_MAX / 1000) * 1000;
        lifetime = max(lifetime, min(refresh, WEIR_KEYS_LIFETIME_MIN));
    }

    return lifetime - lifetime / 4 + random % (lifetime / 5 + 1);
}

uint64_t weir_keys_retry_after(uint64_t failures, int64_t retry_after, uint64_t random)
{
    uint64_t delay = WEIR_KEYS_RETRY_MAX;

    if (failures >= 1 && failures <= 5)
        delay = min((uint64_t)WEIR_KEYS_RETRY_MIN << (failures - 1), WEIR_KEYS_RETRY_MAX);
    delay = delay / 2 + random % (delay / 2 + 1);

    if (retry_after > 0)
        delay = max(delay, min((uint64_t)retry_after, WEIR_KEYS_RETRY_AFTER_MAX) * 1000);

    return delay;
}
