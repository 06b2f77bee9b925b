/*
 * The algorithms of signatures: RFC 7518 section 3.1 and RFC 8037 section 3.1, without "none" and
 * without those that need a shared secret (HS256 ...).
 */
#ifndef WEIR_TOKEN_ALGORITHM_H
#define WEIR_TOKEN_ALGORITHM_H

#include "common/text/str.h"

#include <stdbool.h>

typedef enum { WEIR_KEY_RSA, WEIR_KEY_EC, WEIR_KEY_OKP } weir_key_kind_t;

typedef struct {
    const char *name; /* value of alg */
    weir_key_kind_t kind;
    const char *curve;  /* of WEIR_KEY_EC: value of crv, and OpenSSL's name of the group */
    const char *digest; /* OpenSSL's name; NULL for WEIR_KEY_OKP */
    size_t coordinate;  /* of WEIR_KEY_EC: bytes of a coordinate, and of r and of s */
    bool pss;           /* of WEIR_KEY_RSA: RSASSA-PSS */
    unsigned bit;       /* of this algorithm in a set of algorithms */
} weir_token_algorithm_t;

#define WEIR_TOKEN_ALGORITHMS 10
#define WEIR_TOKEN_ALL_ALGORITHMS ((1U << WEIR_TOKEN_ALGORITHMS) - 1)

/* All of them, constants. */
extern const weir_token_algorithm_t weir_token_algorithms[WEIR_TOKEN_ALGORITHMS];

/* The one of that name, or NULL; names are compared with regard to case. */
const weir_token_algorithm_t *weir_token_algorithm(weir_str_t name);

#endif
