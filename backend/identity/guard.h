/*
 * Lets the server of the API answer only requests that have an identity of the edge in the field
 * Weir-Identity. Others get a 401, or a 503 while there are no keys.
 */
#ifndef WEIR_GUARD_H
#define WEIR_GUARD_H

#include "http/http.h"

#define WEIR_GUARD_FIELD "Weir-Identity"

typedef struct weir_guard weir_guard_t;

/*
 * jwks is a file or a URL: identity/keys.h; the others are those of weir_verifier_new(). Returns
 * NULL with a message if it cannot be used. The result is freed after http.
 */
weir_guard_t *weir_guard_new(struct event_base *base, weir_http_t *http, const char *jwks,
                             const char *issuer, const char *audience, const char *callers,
                             char *error, size_t size) __attribute__((warn_unused_result));
void weir_guard_free(weir_guard_t *guard);

#endif
