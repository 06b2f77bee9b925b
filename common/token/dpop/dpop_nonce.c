/* Nonces of a server; see dpop_nonce.h. */

#include "common/token/dpop/dpop_nonce.h"

#include "common/hash/blake2b.h"
#include "common/token/base64url.h"

#include <openssl/crypto.h>

#define TIME 8
#define MAC 16
#define BYTES (TIME + MAC)

static void put_mac(const uint8_t secret[WEIR_DPOP_NONCE_SECRET], const uint8_t time[TIME],
                    uint8_t mac[MAC])
{
    weir_blake2b(mac, MAC, (weir_str_t){(const char *)secret, WEIR_DPOP_NONCE_SECRET},
                 WEIR_STR("weir dpop nonce"), (weir_str_t){(const char *)time, TIME});
}

void weir_dpop_nonce_make(const uint8_t secret[WEIR_DPOP_NONCE_SECRET], int64_t now,
                          char nonce[WEIR_DPOP_NONCE])
{
    uint8_t bytes[BYTES];

    for (int i = 0; i < TIME; i++)
        bytes[i] = (uint8_t)((uint64_t)now >> (8 * (TIME - 1 - i)));
    put_mac(secret, bytes, bytes + TIME);

    (void)weir_base64url_encode(nonce, bytes, BYTES);
}

int64_t weir_dpop_nonce_age(const uint8_t secret[WEIR_DPOP_NONCE_SECRET], weir_str_t nonce,
                            int64_t now)
{
    uint8_t bytes[BYTES], mac[MAC];
    uint64_t time = 0;
    size_t len;

    if (nonce.len != WEIR_DPOP_NONCE || !weir_base64url_decode(nonce, bytes, &len) || len != BYTES)
        return -1;

    put_mac(secret, bytes, mac);
    if (CRYPTO_memcmp(mac, bytes + TIME, MAC) != 0)
        return -1;

    for (int i = 0; i < TIME; i++)
        time = time << 8 | bytes[i];

    return (int64_t)time <= now ? now - (int64_t)time : -1;
}
