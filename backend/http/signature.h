/*
 * Signatures of webhooks as Standard Webhooks has them (standardwebhooks.com, specification 1.0.0):
 *
 *   webhook-id         the message, the same on each attempt
 *   webhook-timestamp  seconds since 1970: when this attempt was made
 *   webhook-signature  "v1," and the base64 of HMAC-SHA256 over "ID.TIMESTAMP.BODY", with a key
 * that both sides know; several with blanks between them while a key is changed
 *
 * A key is written as whsec_ and base64.
 */
#ifndef WEIR_SIGNATURE_H
#define WEIR_SIGNATURE_H

#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_SIGNATURE_TOLERANCE_S 300 /* that a timestamp may lie away from now, either way */
#define WEIR_SIGNATURE_ID_MAX 256
#define WEIR_SIGNATURE_LEN 47 /* "v1," and 44 characters */
#define WEIR_SECRET_MIN 24    /* bytes of a key, as the specification has it */
#define WEIR_SECRET_MAX 64

typedef struct {
    unsigned char bytes[WEIR_SECRET_MAX];
    size_t len; /* 0: none, which fits no signature */
} weir_secret_t;

/* Reads a key.  False when it is no whsec_ and base64 of WEIR_SECRET_MIN to WEIR_SECRET_MAX bytes.
 */
bool weir_secret_parse(const char *text, weir_secret_t *secret) __attribute__((warn_unused_result));

/* Writes the signature, with a NUL. */
void weir_signature_make(const weir_secret_t *secret, const char *id, const char *timestamp,
                         weir_str_t body, char out[WEIR_SIGNATURE_LEN + 1]);

/*
 * Checks a message against any of the keys; the header values may be NULL.  Returns NULL when it is
 * signed and its timestamp fits now (seconds since 1970), else what is wrong, to be told to the
 * sender: it names no secret.  How long it takes does not depend on how much of a signature fits.
 */
const char *weir_signature_check(const weir_secret_t *secrets, size_t count, const char *id,
                                 const char *timestamp, const char *signatures, weir_str_t body,
                                 int64_t now);

#endif
