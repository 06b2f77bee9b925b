/* Signing of tokens; see sign.h. */

#include "common/token/sign.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>

/* Bytes of an ECDSA signature of P-256 in DER: three heads, two integers with a zero byte each. */
#define DER_MAX (2 * (32 + 1) + 3 * 2)
#define COORDINATE 32
#define COORDINATE_CHARS WEIR_BASE64URL_CHARS(COORDINATE)

/* A password cannot be asked for; without this function OpenSSL would ask the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf;
    (void)size;
    (void)rwflag;
    *(bool *)arg = true;

    return -1;
}

static const char *read_pem(weir_signer_t *signer, weir_str_t pem)
{
    bool encrypted = false;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);

    if (bio == NULL)
        return "no memory";

    signer->pkey = PEM_read_bio_PrivateKey(bio, NULL, no_password, &encrypted);
    signer->is_private = signer->pkey != NULL;
    if (signer->pkey == NULL && !encrypted && BIO_reset(bio) == 1)
        signer->pkey = PEM_read_bio_PUBKEY(bio, NULL, no_password, &encrypted);
    BIO_free(bio);

    if (encrypted)
        return "it is encrypted with a password";

    return signer->pkey != NULL ? NULL : "it is no key in PEM";
}

/* The values of the public key in base64url; y is empty for Ed25519. */
static bool read_values(const weir_signer_t *signer, char x[COORDINATE_CHARS + 1],
                        char y[COORDINATE_CHARS + 1])
{
    uint8_t bytes[COORDINATE];
    size_t len = sizeof(bytes);
    BIGNUM *numbers[2] = {NULL, NULL};
    bool good;

    y[0] = '\0';

    if (signer->algorithm->kind == WEIR_KEY_OKP) {
        if (EVP_PKEY_get_raw_public_key(signer->pkey, bytes, &len) != 1 || len != COORDINATE)
            return false;
        *weir_base64url_encode(x, bytes, len) = '\0';
        return true;
    }

    good = EVP_PKEY_get_bn_param(signer->pkey, OSSL_PKEY_PARAM_EC_PUB_X, &numbers[0]) == 1 &&
           EVP_PKEY_get_bn_param(signer->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &numbers[1]) == 1;

    for (int i = 0; good && i < 2; i++) {
        good = BN_bn2binpad(numbers[i], bytes, COORDINATE) == COORDINATE;
        *weir_base64url_encode(i == 0 ? x : y, bytes, COORDINATE) = '\0';
    }
    BN_free(numbers[0]);
    BN_free(numbers[1]);

    return good;
}

/* RFC 7638 section 3: the required members, in lexicographic order, without white space. */
static bool describe(weir_signer_t *signer)
{
    char x[COORDINATE_CHARS + 1], y[COORDINATE_CHARS + 1], members[256];
    bool is_ec = signer->algorithm->kind == WEIR_KEY_EC;
    uint8_t digest[EVP_MAX_MD_SIZE];
    size_t len = 0;

    if (!read_values(signer, x, y))
        return false;

    snprintf(members, sizeof(members), "\"crv\":\"%s\",\"kty\":\"%s\",\"x\":\"%s\"%s%s%s",
             is_ec ? "P-256" : "Ed25519", is_ec ? "EC" : "OKP", x, is_ec ? ",\"y\":\"" : "", y,
             is_ec ? "\"" : "");
    snprintf(signer->jwk, sizeof(signer->jwk), "{%s}", members);

    if (EVP_Q_digest(NULL, "SHA256", NULL, signer->jwk, strlen(signer->jwk), digest, &len) != 1)
        return false;
    *weir_base64url_encode(signer->kid, digest, len) = '\0';

    snprintf(signer->jwk, sizeof(signer->jwk), "{%s,\"kid\":\"%s\",\"alg\":\"%s\",\"use\":\"sig\"}",
             members, signer->kid, signer->algorithm->name);

    return true;
}

const char *weir_signer_read(weir_signer_t *signer, weir_str_t pem)
{
    char group[32] = "";
    const char *why;
    size_t len;

    *signer = (weir_signer_t){0};

    if (pem.len > WEIR_SIGN_KEY_MAX)
        return "it has more than 16384 bytes";

    why = read_pem(signer, pem);
    if (why == NULL) {
        if (EVP_PKEY_is_a(signer->pkey, "ED25519"))
            signer->algorithm = weir_token_algorithm(WEIR_STR("EdDSA"));
        else if (EVP_PKEY_is_a(signer->pkey, "EC") &&
                 EVP_PKEY_get_group_name(signer->pkey, group, sizeof(group), &len) == 1 &&
                 strcmp(group, "prime256v1") == 0)
            signer->algorithm = weir_token_algorithm(WEIR_STR("ES256"));

        if (signer->algorithm == NULL)
            why = "its type is another than EC on P-256 (ES256) and Ed25519 (EdDSA)";
        else if (!describe(signer))
            why = "OpenSSL cannot read its public part";
    }
    if (why != NULL)
        weir_signer_release(signer);
    ERR_clear_error();

    return why;
}

void weir_signer_release(weir_signer_t *signer)
{
    EVP_PKEY_free(signer->pkey);
    *signer = (weir_signer_t){0};
}

/* RFC 7518 section 3.4: r and s, each with 32 bytes, of the DER that OpenSSL writes. */
static bool from_der(const uint8_t *der, size_t len, uint8_t signature[WEIR_SIGN_SIGNATURE])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool good =
        sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, COORDINATE) == COORDINATE &&
        BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + COORDINATE, COORDINATE) == COORDINATE;

    ECDSA_SIG_free(sig);

    return good;
}

bool weir_signer_sign(const weir_signer_t *signer, weir_str_t text,
                      uint8_t signature[WEIR_SIGN_SIGNATURE])
{
    bool is_ec = signer->algorithm->kind == WEIR_KEY_EC, good;
    uint8_t der[DER_MAX];
    size_t len = is_ec ? sizeof(der) : WEIR_SIGN_SIGNATURE;
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    good = md != NULL &&
           EVP_DigestSignInit_ex(md, NULL, signer->algorithm->digest, NULL, NULL, signer->pkey,
                                 NULL) == 1 &&
           EVP_DigestSign(md, is_ec ? der : signature, &len, (const uint8_t *)text.data,
                          text.len) == 1;
    EVP_MD_CTX_free(md);
    ERR_clear_error();

    return good && (is_ec ? from_der(der, len, signature) : len == WEIR_SIGN_SIGNATURE);
}

size_t weir_signer_token(const weir_signer_t *signer, const char *type, weir_str_t claims,
                         char *out)
{
    char header[64 + WEIR_SIGN_KID + WEIR_SIGN_TYPE_MAX];
    uint8_t signature[WEIR_SIGN_SIGNATURE];
    char *p;
    int len = snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"%s\",\"kid\":\"%s\"}",
                       signer->algorithm->name, type, signer->kid);

    if (!signer->is_private || len < 0 || (size_t)len >= sizeof(header))
        return 0;

    p = weir_base64url_encode(out, header, (size_t)len);
    *p++ = '.';
    p = weir_base64url_encode(p, claims.data, claims.len);

    if (!weir_signer_sign(signer, (weir_str_t){out, (size_t)(p - out)}, signature))
        return 0;

    *p++ = '.';

    return (size_t)(weir_base64url_encode(p, signature, sizeof(signature)) - out);
}

size_t weir_signer_jwks(const weir_signer_t *const *signers, size_t n, char *out, size_t size)
{
    size_t len = (size_t)snprintf(out, size, "{\"keys\":[");

    for (size_t i = 0; i < n && len < size; i++)
        len += (size_t)snprintf(out + len, size - len, "%s%s", i > 0 ? "," : "", signers[i]->jwk);
    if (len < size)
        len += (size_t)snprintf(out + len, size - len, "]}");

    return len;
}
