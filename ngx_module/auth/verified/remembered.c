/* Tokens that were verified before; see remembered.h. */

#include "auth/verified/remembered.h"

#include "common/hash/blake2b.h"
#include "common/ids/random.h"

#include <assert.h>
#include <string.h>

size_t weir_remembered_size(size_t sets)
{
    return sizeof(weir_remembered_t) + sets * sizeof(weir_remembered_set_t);
}

void weir_remembered_init(weir_remembered_t *remembered, size_t sets)
{
    assert(sets > 0 && (sets & (sets - 1)) == 0);

    memset(remembered, 0, weir_remembered_size(sets));
    weir_random(remembered->secret, sizeof(remembered->secret));
    remembered->n = sets;
}

void weir_remembered_digest(const weir_remembered_t *remembered, weir_str_t keys, weir_str_t token,
                            uint8_t digest[WEIR_REMEMBERED_DIGEST])
{
    weir_str_t secret = {(const char *)remembered->secret, sizeof(remembered->secret)};
    weir_blake2b_t b;

    /* the digest of keys has a fixed length, so no two pairs make the same text */
    weir_blake2b_begin(&b, WEIR_REMEMBERED_DIGEST, secret, WEIR_STR("weir token"));
    weir_blake2b_add(&b, keys);
    weir_blake2b_add(&b, token);
    weir_blake2b_end(&b, digest);
}

static bool is_same(const uint64_t *at, const uint64_t words[WEIR_REMEMBERED_WORDS])
{
    uint64_t different = 0;

    for (size_t i = 0; i < WEIR_REMEMBERED_WORDS; i++)
        different |= __atomic_load_n(&at[i], __ATOMIC_RELAXED) ^ words[i];

    return different == 0;
}

bool weir_remembered_has(const weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST])
{
    uint64_t words[WEIR_REMEMBERED_WORDS];
    const weir_remembered_set_t *set;

    memcpy(words, digest, sizeof(words));
    set = &remembered->sets[words[0] & (remembered->n - 1)];

    for (size_t i = 0; i < WEIR_REMEMBERED_WAYS; i++) {
        if (is_same(set->digests[i], words))
            return true;
    }

    return false;
}

void weir_remembered_add(weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST])
{
    uint64_t words[WEIR_REMEMBERED_WORDS], *at;
    weir_remembered_set_t *set;

    if (weir_remembered_has(remembered, digest))
        return;

    memcpy(words, digest, sizeof(words));
    set = &remembered->sets[words[0] & (remembered->n - 1)];
    at = set->digests[__atomic_fetch_add(&set->next, 1, __ATOMIC_RELAXED) % WEIR_REMEMBERED_WAYS];

    for (size_t i = 0; i < WEIR_REMEMBERED_WORDS; i++)
        __atomic_store_n(&at[i], words[i], __ATOMIC_RELAXED);
}
