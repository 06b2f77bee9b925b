// needs: common/token/key/jwks.c common/token/key/jwk.c common/token/key/algorithm.c
// needs: common/token/base64url.c common/token/json.c
// uses: jansson libcrypto
/* JWK Sets of any bytes: a key that is read is public, strong enough, and found again. */
#include "common/token/key/jwks.h"
#include "budget.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const budget_t budget = {60000, 400, 1000000, 1500};

static void check_key(const weir_jwks_t *set, const weir_jwk_t *key)
{
    const weir_jwk_t *found;

    assert(key->pkey != NULL && key->algorithms != 0);
    assert(EVP_PKEY_get_id(key->pkey) != EVP_PKEY_RSA || EVP_PKEY_get_bits(key->pkey) >= 2048);
    assert(key->kid.len <= WEIR_JWK_KID_MAX);

    for (size_t i = 0; i < WEIR_TOKEN_ALGORITHMS; i++) {
        if ((key->algorithms & weir_token_algorithms[i].bit) == 0 || !key->has_kid)
            continue;
        assert(weir_jwks_find(set, &weir_token_algorithms[i], key->kid, &found) == WEIR_TOKEN_OK);
        assert(found == key);
    }
}

static void run(const uint8_t *data, size_t size)
{
    char why[WEIR_JWKS_WHY_MAX] = "";
    char *exact = malloc(size ? size : 1);
    weir_jwks_t set;

    assert(exact != NULL);
    if (size)
        memcpy(exact, data, size);

    if (weir_jwks_parse((weir_str_t){exact, size}, &set, why)) {
        assert(set.n > 0);
        for (size_t i = 0; i < set.n; i++)
            check_key(&set, &set.keys[i]);
        weir_jwks_release(&set);
    } else {
        assert(set.keys == NULL && why[0] != '\0');
    }
    free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    budget_check(run, data, size, &budget);
    return 0;
}
