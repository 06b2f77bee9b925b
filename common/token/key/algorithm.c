/* The algorithms of signatures; see algorithm.h. */

#include "common/token/key/algorithm.h"

const weir_token_algorithm_t weir_token_algorithms[WEIR_TOKEN_ALGORITHMS] = {
    {"RS256", WEIR_KEY_RSA, NULL, "SHA256", 0, false, 1U << 0},
    {"RS384", WEIR_KEY_RSA, NULL, "SHA384", 0, false, 1U << 1},
    {"RS512", WEIR_KEY_RSA, NULL, "SHA512", 0, false, 1U << 2},
    {"PS256", WEIR_KEY_RSA, NULL, "SHA256", 0, true, 1U << 3},
    {"PS384", WEIR_KEY_RSA, NULL, "SHA384", 0, true, 1U << 4},
    {"PS512", WEIR_KEY_RSA, NULL, "SHA512", 0, true, 1U << 5},
    {"ES256", WEIR_KEY_EC, "P-256", "SHA256", 32, false, 1U << 6},
    {"ES384", WEIR_KEY_EC, "P-384", "SHA384", 48, false, 1U << 7},
    {"ES512", WEIR_KEY_EC, "P-521", "SHA512", 66, false, 1U << 8},
    {"EdDSA", WEIR_KEY_OKP, NULL, NULL, 0, false, 1U << 9},
};

const weir_token_algorithm_t *weir_token_algorithm(weir_str_t name)
{
    for (size_t i = 0; i < WEIR_TOKEN_ALGORITHMS; i++) {
        if (weir_str_eq(name, weir_str(weir_token_algorithms[i].name)))
            return &weir_token_algorithms[i];
    }

    return NULL;
}
