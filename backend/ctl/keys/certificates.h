/*
 * The certificates of a stack: DIR/NAME has tls.crt, tls.key and ca.crt, which belong together.
 */
#ifndef WEIR_CTL_KEYS_CERTIFICATES_H
#define WEIR_CTL_KEYS_CERTIFICATES_H

#include "ctl/keys/authority.h"
#include "ctl/keys/ring.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const char *name;
    weir_authority_use_t use;
} weir_keys_certificate_t;

extern const weir_keys_certificate_t weir_keys_certificates[];
extern const size_t weir_keys_n_certificates;

/* That of the name; NULL: there is none. */
const weir_keys_certificate_t *weir_keys_certificate(const char *name);

typedef struct {
    bool is_there;
    char id[WEIR_AUTHORITY_ID];
    int64_t begins, expires; /* s since 1970 */
    bool is_current;         /* the ring's current authority has signed it */
    bool trusts_all;         /* its ca.crt has all authorities of the ring, and no other */
} weir_keys_certificate_state_t;

/* False with a message. */
bool weir_keys_certificate_look(const weir_keys_certificate_t *of, const weir_keys_ring_t *ca,
                                weir_keys_certificate_state_t *state, char *error, size_t size);
/* Replaces its folder, with a new pair for that many days. False with a message. */
bool weir_keys_certificate_issue(const weir_keys_certificate_t *of, const weir_keys_ring_t *ca,
                                 int days, char *error, size_t size);
/* The same with the pair that is there. */
bool weir_keys_certificate_trust(const weir_keys_certificate_t *of, const weir_keys_ring_t *ca,
                                 char *error, size_t size);

#endif
