/*
 * Keys that sign heads of the audit log: Ed25519 (RFC 8032), or ECDSA with P-256 and SHA-256. The
 * private key is a file in PEM that openssl writes; others need the public one only.
 */
#ifndef WEIR_AUDIT_KEY_H
#define WEIR_AUDIT_KEY_H

#include "common/text/str.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

#define WEIR_AUDIT_KEY_ID 16          /* digits of a key's id */
#define WEIR_AUDIT_SIGNATURE_MAX 160  /* digits of a signature */
#define WEIR_AUDIT_KEY_FILE_MAX 16384 /* bytes */

typedef struct {
    EVP_PKEY *pkey;
    bool is_private;
    char id[WEIR_AUDIT_KEY_ID + 1]; /* first digits of the SHA-256 of the public key's DER (SPKI) */
} weir_audit_key_t;

/*
 * Reads a private key. It is refused if users other than owner and group may read the file. Returns
 * false with a message that names the file. Blocking: not for the event loop.
 */
bool weir_audit_key_read(weir_audit_key_t *key, const char *path, char *error, size_t size)
    __attribute__((warn_unused_result));
/* Reads a public key, or the public part of a private one. */
bool weir_audit_key_read_public(weir_audit_key_t *key, const char *path, char *error, size_t size)
    __attribute__((warn_unused_result));
/* For a key of {0}, too. */
void weir_audit_key_release(weir_audit_key_t *key);

/* The public key in PEM, for free(); NULL without memory. */
char *weir_audit_key_public(const weir_audit_key_t *key);

/* Signs the text: writes hexadecimal digits with a NUL. False: OpenSSL has failed. */
bool weir_audit_sign(const weir_audit_key_t *key, const char *text,
                     char out[WEIR_AUDIT_SIGNATURE_MAX + 1]) __attribute__((warn_unused_result));
bool weir_audit_is_signed(const weir_audit_key_t *key, const char *text, const char *signature)
    __attribute__((warn_unused_result));

#endif
