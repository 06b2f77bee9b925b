/* Keys that sign heads; see key.h. */
#include "common/audit/key.h"

#include "common/merkle/sha256.h"
#include "common/text/hex.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ALLOWED "a key of Ed25519 or P-256 in PEM"

/* --- files ----------------------------------------------------------------------------------- */

/* The file's bytes in out, with a NUL. */
static bool read_file(const char *path, bool is_secret, char *out, char *error, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    ssize_t n = -1;

    if (fd < 0 || fstat(fd, &st) != 0) {
        snprintf(error, size, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        snprintf(error, size, "%s is not a file", path);
    } else if (is_secret && (st.st_mode & S_IRWXO) != 0) {
        snprintf(error, size, "%s has the mode %03o: others can use the key; chmod 600 %s", path,
                 (unsigned)st.st_mode & 0777, path);
    } else {
        n = read(fd, out, WEIR_AUDIT_KEY_FILE_MAX + 1);
        if (n < 0)
            snprintf(error, size, "%s: %s", path, strerror(errno));
        else if (n > WEIR_AUDIT_KEY_FILE_MAX)
            snprintf(error, size, "%s is longer than %d bytes", path, WEIR_AUDIT_KEY_FILE_MAX);
    }
    if (fd >= 0)
        close(fd);
    if (n < 0 || n > WEIR_AUDIT_KEY_FILE_MAX)
        return false;
    out[n] = '\0';

    return true;
}

static int no_password(char *out, int size, int is_writing, void *arg)
{
    (void)out;
    (void)size;
    (void)is_writing;
    (void)arg;
    return -1; /* otherwise OpenSSL asks at the terminal */
}

static bool is_allowed(EVP_PKEY *pkey)
{
    char group[32] = "";
    size_t len;

    if (EVP_PKEY_is_a(pkey, "ED25519"))
        return true;

    return EVP_PKEY_is_a(pkey, "EC") &&
           EVP_PKEY_get_group_name(pkey, group, sizeof(group), &len) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

static bool set_id(weir_audit_key_t *key)
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);
    weir_hash_t hash;

    if (len <= 0)
        return false;
    weir_sha256(&(weir_hash_part_t){der, (size_t)len}, 1, &hash);
    OPENSSL_free(der);
    weir_hex(key->id, hash.bytes, WEIR_AUDIT_KEY_ID / 2);
    key->id[WEIR_AUDIT_KEY_ID] = '\0';

    return true;
}

static EVP_PKEY *parse(const char *text, size_t len, bool is_private)
{
    BIO *bio = BIO_new_mem_buf(text, (int)len);
    EVP_PKEY *pkey = NULL;

    if (bio != NULL)
        pkey = is_private ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL)
                          : PEM_read_bio_PUBKEY(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();

    return pkey;
}

static bool read_key(weir_audit_key_t *key, const char *path, bool is_public, char *error,
                     size_t size)
{
    char *text = malloc(WEIR_AUDIT_KEY_FILE_MAX + 2);
    bool good;

    *key = (weir_audit_key_t){.pkey = NULL};
    if (text == NULL) {
        snprintf(error, size, "%s: out of memory", path);
        return false;
    }
    if (!read_file(path, !is_public, text, error, size)) {
        free(text);
        return false;
    }
    if (is_public)
        key->pkey = parse(text, strlen(text), false);
    if (key->pkey == NULL) {
        key->pkey = parse(text, strlen(text), true);
        key->is_private = key->pkey != NULL;
    }
    OPENSSL_cleanse(text, WEIR_AUDIT_KEY_FILE_MAX + 2);
    free(text);

    good = key->pkey != NULL && is_allowed(key->pkey) && set_id(key);
    if (!good) {
        snprintf(error, size, "%s is not " ALLOWED ", without a password", path);
        weir_audit_key_release(key);
    }

    return good;
}

bool weir_audit_key_read(weir_audit_key_t *key, const char *path, char *error, size_t size)
{
    return read_key(key, path, false, error, size);
}

bool weir_audit_key_read_public(weir_audit_key_t *key, const char *path, char *error, size_t size)
{
    return read_key(key, path, true, error, size);
}

void weir_audit_key_release(weir_audit_key_t *key)
{
    EVP_PKEY_free(key->pkey);
    *key = (weir_audit_key_t){.pkey = NULL};
}

char *weir_audit_key_public(const weir_audit_key_t *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL, *data;
    long len;

    if (bio != NULL && PEM_write_bio_PUBKEY(bio, key->pkey) == 1) {
        len = BIO_get_mem_data(bio, &data);
        text = strndup(data, (size_t)len);
    }
    BIO_free(bio);

    return text;
}

/* --- signatures ------------------------------------------------------------------------------ */

/* Ed25519 has a hash of its own. */
static const char *digest_of(const weir_audit_key_t *key)
{
    return EVP_PKEY_is_a(key->pkey, "ED25519") ? NULL : "SHA256";
}

bool weir_audit_sign(const weir_audit_key_t *key, const char *text,
                     char out[WEIR_AUDIT_SIGNATURE_MAX + 1])
{
    uint8_t signature[WEIR_AUDIT_SIGNATURE_MAX / 2];
    size_t len = sizeof(signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good;

    assert(key->is_private);
    good = ctx != NULL &&
           EVP_DigestSignInit_ex(ctx, NULL, digest_of(key), NULL, NULL, key->pkey, NULL) == 1 &&
           EVP_DigestSign(ctx, signature, &len, (const uint8_t *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (!good)
        return false;
    weir_hex(out, signature, len);
    out[2 * len] = '\0';

    return true;
}

bool weir_audit_is_signed(const weir_audit_key_t *key, const char *text, const char *signature)
{
    uint8_t bytes[WEIR_AUDIT_SIGNATURE_MAX / 2];
    size_t digits = strlen(signature);
    EVP_MD_CTX *ctx;
    bool good;

    if (digits == 0 || digits > WEIR_AUDIT_SIGNATURE_MAX || digits % 2 != 0)
        return false;
    for (size_t i = 0; i < digits / 2; i++) {
        int high = weir_unhex(signature[2 * i], 0), low = weir_unhex(signature[2 * i + 1], 0);

        if (high < 0 || low < 0)
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    ctx = EVP_MD_CTX_new();
    good = ctx != NULL &&
           EVP_DigestVerifyInit_ex(ctx, NULL, digest_of(key), NULL, NULL, key->pkey, NULL) == 1 &&
           EVP_DigestVerify(ctx, bytes, digits / 2, (const uint8_t *)text, strlen(text)) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();

    return good;
}
