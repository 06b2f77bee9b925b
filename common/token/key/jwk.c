/* A public key, read from a JSON Web Key; see jwk.h. */

#include "common/token/key/jwk.h"

#include "common/token/base64url.h"
#include "common/token/json.h"
#include "common/token/key/algorithm.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <stdlib.h>

/* Bytes of the largest value: the modulus. */
#define VALUE_MAX (WEIR_JWK_RSA_MAX / 8)

#define EXPONENT_MIN 65537
#define COORDINATE_MAX 66

typedef struct {
    uint8_t data[VALUE_MAX];
    size_t len;
} value_t;

static weir_jwk_result_t wrong(const char **why, const char *text)
{
    *why = text;
    return WEIR_JWK_WRONG;
}

static weir_jwk_result_t other(const char **why, const char *text)
{
    *why = text;
    return WEIR_JWK_OTHER;
}

/* A member in base64url of at least one byte; false if there is none. */
static int read_value(const json_t *jwk, const char *name, value_t *value)
{
    weir_str_t text;

    return weir_token_json_text(jwk, name, &text) && text.len > 0 &&
           WEIR_BASE64URL_BYTES(text.len) <= VALUE_MAX &&
           weir_base64url_decode(text, value->data, &value->len) && value->len > 0;
}

bool weir_jwk_is_secret(const json_t *jwk)
{
    static const char *const names[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (json_object_get(jwk, names[i]) != NULL)
            return true;
    }

    return false;
}

/*
 * The key of these parameters; NULL if OpenSSL refuses them. A point of EC is on its curve then,
 * and so of the right order, because the curves here have a prime number of points.
 */
static EVP_PKEY *make(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *pkey = NULL;

    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
        EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(ctx);

    return pkey;
}

static EVP_PKEY *make_rsa(const value_t *n, const value_t *e)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n->data, (int)n->len, NULL);
    BIGNUM *exponent = BN_bin2bn(e->data, (int)e->len, NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *pkey = NULL;

    if (builder != NULL && modulus != NULL && exponent != NULL &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        params = OSSL_PARAM_BLD_to_param(builder);
    if (params != NULL)
        pkey = make("RSA", params);

    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(builder);
    BN_free(modulus);
    BN_free(exponent);

    return pkey;
}

/* RFC 7518 section 6.3.1 */
static weir_jwk_result_t read_rsa(const json_t *jwk, weir_jwk_t *key, const char **why)
{
    value_t n, e;
    uint64_t exponent = 0;

    if (!read_value(jwk, "n", &n) || !read_value(jwk, "e", &e))
        return wrong(why, "\"n\" or \"e\" is missing, no base64url, or too long");
    if (n.data[0] == 0 || e.data[0] == 0)
        return wrong(why, "\"n\" or \"e\" begins with a zero byte");
    if (n.len < WEIR_JWK_RSA_MIN / 8 || (n.len == WEIR_JWK_RSA_MIN / 8 && n.data[0] < 0x80))
        return wrong(why, "its modulus has fewer than 2048 bits");
    if (e.len > sizeof(exponent))
        return wrong(why, "its exponent has more than 64 bits");

    for (size_t i = 0; i < e.len; i++)
        exponent = exponent << 8 | e.data[i];
    if (exponent < EXPONENT_MIN || exponent % 2 == 0)
        return wrong(why, "its exponent is even or below 65537");

    key->pkey = make_rsa(&n, &e);

    return key->pkey != NULL ? WEIR_JWK_USABLE : wrong(why, "it is no valid RSA key");
}

/* RFC 7518 section 6.2.1 */
static weir_jwk_result_t read_ec(const json_t *jwk, weir_jwk_t *key, const char **why)
{
    const weir_token_algorithm_t *curve = NULL;
    uint8_t point[1 + 2 * COORDINATE_MAX];
    OSSL_PARAM params[3];
    value_t x, y;
    weir_str_t crv;

    if (!weir_token_json_text(jwk, "crv", &crv) || crv.data == NULL)
        return wrong(why, "\"crv\" is missing or no text");

    for (size_t i = 0; i < WEIR_TOKEN_ALGORITHMS; i++) {
        if (weir_token_algorithms[i].curve != NULL &&
            weir_str_eq(crv, weir_str(weir_token_algorithms[i].curve)))
            curve = &weir_token_algorithms[i];
    }
    if (curve == NULL)
        return other(why, "its curve is another than P-256, P-384 and P-521");

    if (!read_value(jwk, "x", &x) || !read_value(jwk, "y", &y) || x.len != curve->coordinate ||
        y.len != curve->coordinate)
        return wrong(why, "\"x\" or \"y\" is missing, no base64url, or of another length than"
                          " those of its curve");

    point[0] = POINT_CONVERSION_UNCOMPRESSED;
    memcpy(point + 1, x.data, x.len);
    memcpy(point + 1 + x.len, y.data, y.len);

    /* OpenSSL reads the name only */
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                 (char *)(uintptr_t)curve->curve, 0);
    params[1] =
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + x.len + y.len);
    params[2] = OSSL_PARAM_construct_end();

    key->algorithms = curve->bit;
    key->pkey = make("EC", params);

    return key->pkey != NULL ? WEIR_JWK_USABLE : wrong(why, "its point is not on its curve");
}

/* RFC 8037 section 2 */
static weir_jwk_result_t read_okp(const json_t *jwk, weir_jwk_t *key, const char **why)
{
    static const struct {
        const char *crv;
        size_t len;
    } curves[] = {{"Ed25519", 32}, {"Ed448", 57}};
    weir_str_t crv;
    value_t x;

    if (!weir_token_json_text(jwk, "crv", &crv) || crv.data == NULL)
        return wrong(why, "\"crv\" is missing or no text");

    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (!weir_str_eq(crv, weir_str(curves[i].crv)))
            continue;
        if (!read_value(jwk, "x", &x) || x.len != curves[i].len)
            return wrong(why, "\"x\" is missing, no base64url, or of another length than that of"
                              " its curve");

        key->pkey = EVP_PKEY_new_raw_public_key_ex(NULL, curves[i].crv, NULL, x.data, x.len);
        return key->pkey != NULL ? WEIR_JWK_USABLE : wrong(why, "OpenSSL refuses it");
    }

    return other(why, "its curve is another than Ed25519 and Ed448");
}

/* RFC 7517 section 4.3; true if the key may verify, or does not say what it may do. */
static int may_verify(const json_t *ops)
{
    const json_t *op;
    size_t i;

    if (ops == NULL)
        return 1;

    json_array_foreach(ops, i, op)
    {
        if (json_is_string(op) && weir_str_eq(weir_token_json_str(op), WEIR_STR("verify")))
            return 1;
    }

    return 0;
}

/* The algorithms of keys of this type. */
static unsigned algorithms_of(weir_key_kind_t kind)
{
    unsigned bits = 0;

    for (size_t i = 0; i < WEIR_TOKEN_ALGORITHMS; i++) {
        if (weir_token_algorithms[i].kind == kind)
            bits |= weir_token_algorithms[i].bit;
    }

    return bits;
}

/* RFC 7517 sections 4.2 to 4.5: what the key is for, and its name. */
static weir_jwk_result_t read_use(const json_t *jwk, weir_jwk_t *key, unsigned *alg,
                                  const char **why)
{
    const weir_token_algorithm_t *algorithm;
    weir_str_t use, name;

    if (!weir_token_json_text(jwk, "use", &use) || !weir_token_json_text(jwk, "alg", &name) ||
        !weir_token_json_text(jwk, "kid", &key->kid))
        return wrong(why, "\"use\", \"alg\" or \"kid\" is no text");
    if (key->kid.len > WEIR_JWK_KID_MAX)
        return wrong(why, "its \"kid\" has more than 256 bytes");
    key->has_kid = key->kid.data != NULL;

    if ((use.data != NULL && !weir_str_eq(use, WEIR_STR("sig"))) ||
        !may_verify(json_object_get(jwk, "key_ops")))
        return other(why, "it is not for signatures");

    *alg = WEIR_TOKEN_ALL_ALGORITHMS;
    if (name.data != NULL) {
        algorithm = weir_token_algorithm(name);
        if (algorithm == NULL)
            return other(why, "its \"alg\" is none of those that are supported");
        *alg = algorithm->bit;
    }

    return WEIR_JWK_USABLE;
}

static weir_jwk_result_t read_key(const json_t *jwk, weir_str_t kty, weir_jwk_t *key,
                                  const char **why)
{
    if (weir_str_eq(kty, WEIR_STR("RSA"))) {
        key->algorithms = algorithms_of(WEIR_KEY_RSA);
        return read_rsa(jwk, key, why);
    }
    if (weir_str_eq(kty, WEIR_STR("EC")))
        return read_ec(jwk, key, why);
    if (weir_str_eq(kty, WEIR_STR("OKP"))) {
        key->algorithms = algorithms_of(WEIR_KEY_OKP);
        return read_okp(jwk, key, why);
    }

    return other(why, "its \"kty\" is another than RSA, EC and OKP");
}

/* The text of kid is copied, because the JSON does not live as long as the key. */
static weir_jwk_result_t keep_kid(weir_jwk_t *key)
{
    char *copy = malloc(key->kid.len + 1);

    if (copy == NULL)
        return WEIR_JWK_NO_MEMORY;

    if (key->kid.len > 0)
        memcpy(copy, key->kid.data, key->kid.len);
    key->kid.data = copy;

    return WEIR_JWK_USABLE;
}

weir_jwk_result_t weir_jwk_read(const json_t *jwk, weir_jwk_t *key, const char **why)
{
    weir_jwk_t read = {0};
    weir_jwk_result_t result;
    weir_str_t kty;
    unsigned alg;

    *key = read;
    *why = "";

    if (!json_is_object(jwk))
        return wrong(why, "it is no object");
    if (!weir_token_json_text(jwk, "kty", &kty) || kty.data == NULL)
        return wrong(why, "\"kty\" is missing or no text");
    if (weir_str_eq(kty, WEIR_STR("oct")) || weir_jwk_is_secret(jwk))
        return wrong(why, "it has a secret part: only public keys belong here");

    result = read_use(jwk, &read, &alg, why);
    if (result == WEIR_JWK_USABLE)
        result = read_key(jwk, kty, &read, why);
    ERR_clear_error();

    if (result == WEIR_JWK_USABLE && (read.algorithms & alg) == 0)
        result = wrong(why, "its \"alg\" does not fit its \"kty\" or its \"crv\"");
    if (result == WEIR_JWK_USABLE)
        result = keep_kid(&read);
    if (result != WEIR_JWK_USABLE) {
        EVP_PKEY_free(read.pkey);
        return result;
    }

    read.algorithms &= alg;
    *key = read;

    return WEIR_JWK_USABLE;
}

/*
 * 2^(n-1) is 1 modulo n for each odd prime n, and for next to no composite number (Fermat). This
 * costs half of EVP_PKEY_public_check().
 */
static bool is_prime(const BIGNUM *n)
{
    BN_CTX *ctx = BN_CTX_new();
    BIGNUM *exponent = BN_dup(n), *result = BN_new();
    bool prime = true; /* without memory, the key is not believed */

    if (ctx != NULL && exponent != NULL && result != NULL && BN_sub_word(exponent, 1) == 1 &&
        BN_mod_exp_mont_word(result, 2, exponent, n, ctx, NULL) == 1)
        prime = BN_is_one(result);

    BN_free(result);
    BN_free(exponent);
    BN_CTX_free(ctx);

    return prime;
}

bool weir_jwk_check(const weir_jwk_t *key, const char **why)
{
    BIGNUM *n = NULL;
    bool good;

    *why = "";
    if (!EVP_PKEY_is_a(key->pkey, "RSA"))
        return true;

    good = EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 && BN_is_odd(n) &&
           !is_prime(n);
    BN_free(n);
    ERR_clear_error();
    if (!good)
        *why = "it is no valid RSA key";

    return good;
}

void weir_jwk_release(weir_jwk_t *key)
{
    EVP_PKEY_free(key->pkey);
    free((void *)(uintptr_t)key->kid.data);
    *key = (weir_jwk_t){0};
}
