#include "ctl/keys/authority.h"

#include "log/alloc.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SERIAL_BYTES 16 /* RFC 5280 section 4.1.2.2: at most 20, and unpredictable */
#define EARLIER_S 60    /* clocks of peers may be behind */
#define DAY_S 86400

/* --- PEM ------------------------------------------------------------------------------------- */

static int no_passphrase(char *out, int size, int writing, void *arg)
{
    (void)out;
    (void)size;
    (void)writing;
    (void)arg;

    return -1;
}

/* The text that was written to a memory BIO, which is freed; NULL if writing failed. */
static char *text_of(BIO *bio, int written)
{
    char *data, *text = NULL;
    long len;

    if (bio != NULL && written == 1) {
        len = BIO_get_mem_data(bio, &data);
        text = weir_alloc_bytes(data, (size_t)len);
    }
    BIO_free(bio);

    return text;
}

static char *key_text(const EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());

    return text_of(
        bio, bio != NULL ? PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) : 0);
}

static char *certificate_text(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return text_of(bio, bio != NULL ? PEM_write_bio_X509(bio, certificate) : 0);
}

static X509 *read_certificate(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    X509 *certificate = bio != NULL ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);
    ERR_clear_error();

    return certificate;
}

static EVP_PKEY *read_key(const char *text)
{
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);

    return key;
}

/* --- building -------------------------------------------------------------------------------- */

static bool set_serial(X509 *certificate, char id[WEIR_AUTHORITY_ID])
{
    unsigned char bytes[SERIAL_BYTES];
    BIGNUM *number;
    bool ok;

    if (RAND_bytes(bytes, sizeof(bytes)) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always as long */
    for (int i = 0; i < SERIAL_BYTES; i++)
        snprintf(id + 2 * (size_t)i, 3, "%02x", bytes[i]);
    number = BN_bin2bn(bytes, sizeof(bytes), NULL);
    ok = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);

    return ok;
}

static bool set_name(X509_NAME *name, const char *common)
{
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common, -1,
                                      -1, 0) == 1;
}

static bool set_times(X509 *certificate, int days, int64_t at_most, int64_t *expires)
{
    time_t now = time(NULL), begin = now - EARLIER_S;

    *expires = now + (int64_t)days * DAY_S;
    if (at_most != 0 && *expires > at_most)
        *expires = at_most;

    return ASN1_TIME_set(X509_getm_notBefore(certificate), begin) != NULL &&
           ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)*expires) != NULL;
}

static bool add(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;
    bool ok;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ok = extension != NULL && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);

    return ok;
}

static bool complain(bool ok, const char *what, char *error, size_t size)
{
    const char *reason = ERR_reason_error_string(ERR_peek_error());

    if (!ok)
        snprintf(error, size, "%s cannot be made: %s", what,
                 reason != NULL ? reason : "OpenSSL has failed");
    ERR_clear_error();

    return ok;
}

/* Signs the certificate and writes both as text. */
static bool finish(weir_authority_pair_t *made, X509 *certificate, EVP_PKEY *key, EVP_PKEY *by)
{
    if (X509_sign(certificate, by, EVP_sha256()) == 0)
        return false;
    made->key = key_text(key);
    made->certificate = certificate_text(certificate);

    return made->key != NULL && made->certificate != NULL;
}

bool weir_authority_make(weir_authority_pair_t *made, int days, char *error, size_t size)
{
    X509 *certificate = X509_new();
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char name[64];
    bool ok;

    *made = (weir_authority_pair_t){0};
    ok = certificate != NULL && key != NULL && X509_set_version(certificate, X509_VERSION_3) == 1 &&
         set_serial(certificate, made->id) && set_times(certificate, days, 0, &made->expires);
    /* Two authorities never have one name: a chain has one way only. */
    snprintf(name, sizeof(name), "Weir private authority %.8s", made->id);
    ok = ok && set_name(X509_get_subject_name(certificate), name) &&
         X509_set_issuer_name(certificate, X509_get_subject_name(certificate)) == 1 &&
         X509_set_pubkey(certificate, key) == 1 &&
         add(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
         add(certificate, certificate, NID_key_usage, "critical,keyCertSign,cRLSign") &&
         add(certificate, certificate, NID_subject_key_identifier, "hash") &&
         finish(made, certificate, key, key);
    X509_free(certificate);
    EVP_PKEY_free(key);
    if (!ok)
        weir_authority_pair_free(made);

    return complain(ok, "an authority", error, size);
}

static bool add_leaf(X509 *leaf, X509 *issuer, const char *name, weir_authority_use_t use)
{
    static const char *const usages[] = {[WEIR_AUTHORITY_CLIENT] = "clientAuth",
                                         [WEIR_AUTHORITY_SERVER] = "serverAuth",
                                         [WEIR_AUTHORITY_BOTH] = "clientAuth,serverAuth"};
    char *names =
        weir_alloc_format("URI:spiffe://weir.internal/%s,DNS:%s.weir.internal%s", name, name,
                          use == WEIR_AUTHORITY_CLIENT ? "" : ",DNS:localhost,IP:127.0.0.1");
    bool ok = add(leaf, issuer, NID_basic_constraints, "critical,CA:FALSE") &&
              add(leaf, issuer, NID_key_usage, "critical,digitalSignature") &&
              add(leaf, issuer, NID_ext_key_usage, usages[use]) &&
              add(leaf, issuer, NID_subject_key_identifier, "hash") &&
              add(leaf, issuer, NID_authority_key_identifier, "keyid:always") &&
              add(leaf, issuer, NID_subject_alt_name, names);

    free(names);

    return ok;
}

bool weir_authority_issue(weir_authority_pair_t *made, const weir_authority_pair_t *by,
                          const char *name, weir_authority_use_t use, int days, char *error,
                          size_t size)
{
    X509 *leaf = X509_new(), *issuer = read_certificate(by->certificate);
    EVP_PKEY *key = EVP_EC_gen("P-256"), *issuer_key = read_key(by->key);
    bool ok;

    *made = (weir_authority_pair_t){0};
    ok = leaf != NULL && issuer != NULL && key != NULL && issuer_key != NULL &&
         X509_check_private_key(issuer, issuer_key) == 1 &&
         X509_set_version(leaf, X509_VERSION_3) == 1 && set_serial(leaf, made->id) &&
         set_times(leaf, days, by->expires, &made->expires) &&
         set_name(X509_get_subject_name(leaf), name) &&
         X509_set_issuer_name(leaf, X509_get_subject_name(issuer)) == 1 &&
         X509_set_pubkey(leaf, key) == 1 && add_leaf(leaf, issuer, name, use) &&
         finish(made, leaf, key, issuer_key);
    X509_free(leaf);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer_key);
    if (!ok)
        weir_authority_pair_free(made);

    return complain(ok, "a certificate", error, size);
}

/* --- reading --------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_TIME *at)
{
    struct tm tm;

    return ASN1_TIME_to_tm(at, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

bool weir_authority_read(const char *certificate, char id[WEIR_AUTHORITY_ID], int64_t *begins,
                         int64_t *expires)
{
    X509 *read = read_certificate(certificate);
    unsigned char bytes[SERIAL_BYTES] = {0};
    BIGNUM *number;

    if (read == NULL)
        return false;
    number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(read), NULL);
    if (number == NULL || BN_bn2binpad(number, bytes, sizeof(bytes)) < 0)
        memset(bytes, 0, sizeof(bytes));
    BN_free(number);
    for (int i = 0; i < SERIAL_BYTES; i++)
        snprintf(id + 2 * (size_t)i, 3, "%02x", bytes[i]);
    *begins = seconds_of(X509_get0_notBefore(read));
    *expires = seconds_of(X509_get0_notAfter(read));
    X509_free(read);
    ERR_clear_error();

    return true;
}

bool weir_authority_has_signed(const char *authority, const char *certificate)
{
    X509 *by = read_certificate(authority), *read = read_certificate(certificate);
    bool ok = by != NULL && read != NULL && X509_verify(read, X509_get0_pubkey(by)) == 1;

    X509_free(by);
    X509_free(read);
    ERR_clear_error();

    return ok;
}

void weir_authority_pair_free(weir_authority_pair_t *pair)
{
    if (pair->key != NULL)
        OPENSSL_cleanse(pair->key, strlen(pair->key));
    free(pair->key);
    free(pair->certificate);
    pair->key = pair->certificate = NULL;
}
