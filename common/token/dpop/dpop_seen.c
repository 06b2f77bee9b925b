/* Proofs that were used; see dpop_seen.h. */

#include "common/token/dpop/dpop_seen.h"

#include "common/hash/blake2b.h"
#include "common/ids/random.h"

#include <assert.h>

/* Of a proof, under the table's secret. */
typedef struct {
    uint64_t set;
    uint64_t digest;
    uint32_t key;
} place_t;

uint64_t weir_dpop_seen_sets(size_t size)
{
    return size < sizeof(weir_dpop_seen_t)
               ? 0
               : (size - sizeof(weir_dpop_seen_t)) / sizeof(weir_dpop_seen_set_t);
}

size_t weir_dpop_seen_size(uint64_t sets)
{
    return sizeof(weir_dpop_seen_t) + sets * sizeof(weir_dpop_seen_set_t);
}

void weir_dpop_seen_init(weir_dpop_seen_t *seen, uint64_t sets)
{
    assert(sets > 0);

    memset(seen, 0, weir_dpop_seen_size(sets));
    weir_random(seen->secret, sizeof(seen->secret));
    seen->n = sets;
}

static place_t place_of(const weir_dpop_seen_t *seen, const uint8_t key[WEIR_THUMBPRINT],
                        weir_str_t jti)
{
    weir_str_t secret = {(const char *)seen->secret, sizeof(seen->secret)};
    weir_str_t thumbprint = {(const char *)key, WEIR_THUMBPRINT};
    uint64_t words[2];
    weir_blake2b_t b;
    place_t place;

    weir_blake2b((uint8_t *)words, sizeof(words), secret, WEIR_STR("weir dpop key"), thumbprint);
    place.key = (uint32_t)words[0];

    /* a thumbprint has a fixed length, so no two pairs make the same text */
    weir_blake2b_begin(&b, sizeof(words), secret, WEIR_STR("weir dpop jti"));
    weir_blake2b_add(&b, thumbprint);
    weir_blake2b_add(&b, jti);
    weir_blake2b_end(&b, (uint8_t *)words);

    place.set = words[0] % seen->n;
    place.digest = words[1];

    return place;
}

bool weir_dpop_seen_has(const weir_dpop_seen_t *seen, const uint8_t key[WEIR_THUMBPRINT],
                        weir_str_t jti, int64_t now)
{
    place_t place = place_of(seen, key, jti);
    const weir_dpop_seen_set_t *set = &seen->sets[place.set];

    for (unsigned i = 0; i < WEIR_DPOP_SEEN_PLACES; i++) {
        if (set->digests[i] == place.digest && set->until[i] > now)
            return true;
    }

    return false;
}

weir_dpop_seen_result_t weir_dpop_seen_add(weir_dpop_seen_t *seen,
                                           const uint8_t key[WEIR_THUMBPRINT], weir_str_t jti,
                                           int64_t now, int64_t until)
{
    place_t place = place_of(seen, key, jti);
    weir_dpop_seen_set_t *set = &seen->sets[place.set];
    unsigned room = WEIR_DPOP_SEEN_PLACES, own = 0;

    assert(until > now);

    for (unsigned i = 0; i < WEIR_DPOP_SEEN_PLACES; i++) {
        if (set->until[i] <= now) {
            room = i;
            continue;
        }
        if (set->digests[i] == place.digest)
            return WEIR_DPOP_USED;
        own += set->keys[i] == place.key;
    }
    if (room == WEIR_DPOP_SEEN_PLACES || own >= WEIR_DPOP_SEEN_SHARE)
        return WEIR_DPOP_NO_ROOM;

    set->digests[room] = place.digest;
    set->keys[room] = place.key;
    set->until[room] = until > UINT32_MAX ? UINT32_MAX : (uint32_t)until;

    return WEIR_DPOP_NEW;
}
