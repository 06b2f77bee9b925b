/* Signatures of tokens; see signature.h. */

#include "common/token/signature.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

/* Bytes of an ECDSA signature in DER: three heads, two integers of P-521 with a zero byte each. */
#define DER_MAX (2 * (66 + 1) + 3 * 3)

/*
 * RFC 7518 section 3.4: r and s, each as long as a coordinate, become the DER that OpenSSL reads.
 * Returns its length, or 0.
 */
static size_t to_der(const weir_token_algorithm_t *algorithm, weir_str_t signature,
                     uint8_t der[DER_MAX])
{
    const uint8_t *data = (const uint8_t *)signature.data;
    int half = (int)algorithm->coordinate;
    ECDSA_SIG *sig;
    BIGNUM *r, *s;
    int len = 0;

    if (signature.len != 2 * algorithm->coordinate)
        return 0;

    sig = ECDSA_SIG_new();
    r = BN_bin2bn(data, half, NULL);
    s = BN_bin2bn(data + half, half, NULL);

    if (sig == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
    } else if (i2d_ECDSA_SIG(sig, NULL) <= DER_MAX) {
        len = i2d_ECDSA_SIG(sig, &der);
    }
    ECDSA_SIG_free(sig);

    return len > 0 ? (size_t)len : 0;
}

/* RFC 7518 section 3.5: MGF1 with the same hash, and a salt as long as the hash. */
static bool set_padding(EVP_PKEY_CTX *ctx, const weir_token_algorithm_t *algorithm)
{
    if (!algorithm->pss)
        return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) == 1;

    return EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1 &&
           EVP_PKEY_CTX_set_rsa_mgf1_md_name(ctx, algorithm->digest, NULL) == 1 &&
           EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
}

static bool verify(EVP_PKEY *pkey, const weir_token_algorithm_t *algorithm, weir_str_t text,
                   const uint8_t *signature, size_t len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    EVP_PKEY_CTX *ctx; /* owned by md */
    bool good = false;

    if (md != NULL &&
        EVP_DigestVerifyInit_ex(md, &ctx, algorithm->digest, NULL, NULL, pkey, NULL) == 1 &&
        (algorithm->kind != WEIR_KEY_RSA || set_padding(ctx, algorithm)))
        good = EVP_DigestVerify(md, signature, len, (const uint8_t *)text.data, text.len) == 1;
    EVP_MD_CTX_free(md);

    return good;
}

bool weir_signature_is_good(EVP_PKEY *pkey, const weir_token_algorithm_t *algorithm,
                            weir_str_t text, weir_str_t signature)
{
    const uint8_t *data = (const uint8_t *)signature.data;
    size_t len = signature.len;
    uint8_t der[DER_MAX];
    bool good;

    if (algorithm->kind == WEIR_KEY_EC) {
        len = to_der(algorithm, signature, der);
        data = der;
    } else if (len != (size_t)EVP_PKEY_get_size(pkey)) {
        /* RFC 8017 sections 8.1.2 and 8.2.2, RFC 8032 section 5.1.7: the length is fixed */
        len = 0;
    }

    good = len > 0 && verify(pkey, algorithm, text, data, len);
    ERR_clear_error();

    return good;
}
