/* Tokens whose signature was verified before; see remembered.h. */

#include "auth/remembered.h"

#include "common/hash/blake2b.h"
#include "common/ids/random.h"
#include "common/text/bytes.h"

void weir_remembered_init(weir_remembered_t *remembered)
{
    memset(remembered, 0, sizeof(weir_remembered_t));
    weir_random(remembered->secret, sizeof(remembered->secret));
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

static size_t set_of(const uint8_t *digest)
{
    return weir_get32(digest) % WEIR_REMEMBERED_SETS;
}

bool weir_remembered_has(const weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST])
{
    const uint8_t(*set)[WEIR_REMEMBERED_DIGEST] = remembered->digests[set_of(digest)];

    for (size_t i = 0; i < WEIR_REMEMBERED_WAYS; i++) {
        if (memcmp(set[i], digest, WEIR_REMEMBERED_DIGEST) == 0)
            return true;
    }

    return false;
}

void weir_remembered_add(weir_remembered_t *remembered,
                         const uint8_t digest[WEIR_REMEMBERED_DIGEST])
{
    uint8_t(*set)[WEIR_REMEMBERED_DIGEST] = remembered->digests[set_of(digest)];

    /* the oldest is the last */
    memmove(set[1], set[0], (WEIR_REMEMBERED_WAYS - 1) * WEIR_REMEMBERED_DIGEST);
    memcpy(set[0], digest, WEIR_REMEMBERED_DIGEST);
}
