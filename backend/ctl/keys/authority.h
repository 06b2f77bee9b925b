/*
 * A private certificate authority and the certificates below it: X.509 (RFC 5280) with keys on
 * P-256, made by OpenSSL. For development and for closed stacks: the authority's key is a file.
 */
#ifndef WEIR_CTL_KEYS_AUTHORITY_H
#define WEIR_CTL_KEYS_AUTHORITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_AUTHORITY_ID 33 /* a serial number in hexadecimal digits, with its NUL */

/* What a certificate is for: its extended key usage, and whether it names this machine. */
typedef enum {
    WEIR_AUTHORITY_CLIENT,
    WEIR_AUTHORITY_SERVER,
    WEIR_AUTHORITY_BOTH
} weir_authority_use_t;

/* Texts of PEM, which the caller releases with weir_authority_pair_free(). */
typedef struct {
    char *key; /* PKCS #8 */
    char *certificate;
    char id[WEIR_AUTHORITY_ID];
    int64_t expires; /* s since 1970 */
} weir_authority_pair_t;

/* A new authority, valid for that many days. False: OpenSSL has failed; a message is in error. */
bool weir_authority_make(weir_authority_pair_t *made, int days, char *error, size_t size);

/*
 * A certificate for NAME by the authority: the common name NAME, the SPIFFE ID
 * spiffe://weir.internal/NAME, the DNS name NAME.weir.internal; a server's has also localhost and
 * 127.0.0.1. It does not outlive the authority.
 */
bool weir_authority_issue(weir_authority_pair_t *made, const weir_authority_pair_t *by,
                          const char *name, weir_authority_use_t use, int days, char *error,
                          size_t size);

/* Reads id and end of a certificate in PEM. False: it is none. */
bool weir_authority_read(const char *certificate, char id[WEIR_AUTHORITY_ID], int64_t *begins,
                         int64_t *expires);
/* True if that authority has signed the certificate; both are PEM. */
bool weir_authority_has_signed(const char *authority, const char *certificate);

void weir_authority_pair_free(weir_authority_pair_t *pair);

#endif
