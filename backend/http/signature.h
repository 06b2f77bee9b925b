/*
 * Signatures of webhooks by the specification Standard Webhooks 1.0.0 (standardwebhooks.com):
 *
 *   webhook-id         the message, the same on each attempt
 *   webhook-timestamp  the time of this attempt in seconds since 1970
 *   webhook-signature  "v1," and the base64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY", with a shared
 *                      key; several signatures with blanks between them while a key is changed
 *
 * A key is written as whsec_ and base64.
 */
#ifndef WEIR_SIGNATURE_H
#define WEIR_SIGNATURE_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_SIGNATURE_TOLERANCE_S 300 /* the largest difference of a timestamp from now */
#define WEIR_SIGNATURE_ID_MAX 256
#define WEIR_SIGNATURE_LEN 47 /* "v1," and 44 characters */
#define WEIR_SECRET_MIN 24    /* bytes of a key, by the specification */
#define WEIR_SECRET_MAX 64

typedef struct {
    unsigned char bytes[WEIR_SECRET_MAX];
    size_t len; /* 0: no key; matches no signature */
} weir_secret_t;

/*
 * Parses a key. Returns false unless the text is whsec_ and base64 of WEIR_SECRET_MIN to
 * WEIR_SECRET_MAX bytes.
 */
bool weir_secret_parse(const char *text, weir_secret_t *secret) __attribute__((warn_unused_result));

/* Writes the signature, with a NUL. */
void weir_signature_make(const weir_secret_t *secret, const char *id, const char *timestamp,
                         weir_str_t body, char out[WEIR_SIGNATURE_LEN + 1]);

/*
 * Checks a message with each of the keys; the header values may be NULL. Returns NULL when a
 * signature is right and the timestamp is near now (seconds since 1970). Otherwise returns the
 * reason for the sender, which contains no secret. The time of the check does not depend on how
 * many bytes of a signature match.
 */
const char *weir_signature_check(const weir_secret_t *secrets, size_t count, const char *id,
                                 const char *timestamp, const char *signatures, weir_str_t body,
                                 int64_t now);

#endif
