/*
 * The edge's public keys: a JWK Set in a file, or at a URL (weir_identity_keys).
 *
 *   a file   is read at the start, and again within a second after it has changed
 *   a URL    is asked at the start, every WEIR_IDENTITY_KEYS_REFRESH_S, and at most once a second
 *            for a key that is not known, by libcurl, which does not block
 *
 * The last good keys are kept while the file is wrong, or the URL does not answer.
 */
#ifndef WEIR_IDENTITY_KEYS_H
#define WEIR_IDENTITY_KEYS_H

#include "identity/verify.h"

#include <event2/event.h>

#define WEIR_IDENTITY_KEYS_REFRESH_S 60
#define WEIR_IDENTITY_KEYS_TIMEOUT_MS 5000 /* of a request to the URL */

typedef struct weir_identity_keys weir_identity_keys_t;

/*
 * Keeps the verifier's keys up to date. Returns NULL with a message if the file cannot be used; a
 * URL may answer later. The verifier must outlive the result.
 */
weir_identity_keys_t *weir_identity_keys_new(struct event_base *base, const char *source,
                                             weir_verifier_t *verifier, char *error, size_t size)
    __attribute__((warn_unused_result));
void weir_identity_keys_free(weir_identity_keys_t *keys);

/* A token has a key that is not known: a URL is asked again, if it was not asked in this second. */
void weir_identity_keys_missed(weir_identity_keys_t *keys);

/* Checks the source without asking a URL. Returns false with the reason. */
bool weir_identity_keys_check(const char *source, char *why, size_t size);

#endif
