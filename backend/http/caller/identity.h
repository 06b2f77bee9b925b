/*
 * Who calls, as a token of the edge has proved it: the caller, and the program that asks on the
 * caller's behalf. backend/identity/ makes it of the token; a request keeps it
 * (weir_http_identity() in http.h), and operations are authorised by it (backend/api/authorize.h).
 */
#ifndef WEIR_IDENTITY_H
#define WEIR_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>

#define WEIR_IDENTITY_ANONYMOUS "anonymous"

/* Texts belong to the identity, end with NUL, and are valid UTF-8. */
typedef struct {
    const char *subject; /* the caller, as its issuer names it; or WEIR_IDENTITY_ANONYMOUS */
    const char *issuer;  /* of the caller's own token; empty if it has none */
    const char *actor;   /* that asks on its behalf: the edge */
    const char *scopes;  /* of the caller, with blanks between them */
    bool anonymous;      /* the caller has shown no token */
} weir_identity_t;

/* An identity with one owner; all texts are copied. An empty subject is anonymous. */
weir_identity_t *weir_identity_new(const char *subject, const char *issuer, const char *actor,
                                   const char *scopes);

/* One more owner; returns its argument. */
weir_identity_t *weir_identity_keep(weir_identity_t *identity);

/* The owner does not need it any more; the last one frees it. NULL is allowed. */
void weir_identity_drop(weir_identity_t *identity);

/* True if the scope is one of the identity's. */
bool weir_identity_has(const weir_identity_t *identity, const char *scope);

#endif
