/*
 * Proofs that a client has the key of its token: RFC 9449 section 4. A proof is a JWS with its own
 * public key, made for one request.
 *
 * weir_dpop_parse() and weir_dpop_check() need no cryptography but SHA-256, weir_dpop_verify()
 * verifies the signature. A proof is good if all say so, and if it was not used before
 * (dpop_seen.h). The order is for the caller's sake: what costs little comes first.
 */
#ifndef WEIR_DPOP_H
#define WEIR_DPOP_H

#include "common/text/str.h"
#include "common/token/key/thumbprint.h"
#include "common/token/reason.h"
#include "common/token/token.h"

#include <jansson.h>
#include <stdint.h>

#define WEIR_DPOP_MAX 8192    /* characters of a proof */
#define WEIR_DPOP_JTI_MAX 256 /* bytes of jti */

typedef struct {
    weir_token_t token; /* owned; the rest is in it */
    weir_str_t method;  /* htm */
    weir_str_t url;     /* htu, written in one way (dpop_url.h); owned */
    weir_str_t jti;
    weir_str_t ath;   /* data NULL: none */
    weir_str_t nonce; /* data NULL: none */
    int64_t issued;   /* iat, rounded down */
    uint8_t key[WEIR_THUMBPRINT];
} weir_dpop_t;

/* What a proof must be for; all of it belongs to the caller. */
typedef struct {
    unsigned algorithms;       /* that are accepted, as bits (algorithm.h) */
    int64_t window;            /* seconds by which iat may differ from now */
    weir_str_t method;         /* of the request */
    const weir_str_t *origins; /* any of them, written in one way, without the path */
    size_t n_origins;
    weir_str_t path;  /* of the request, with or without a query */
    weir_str_t token; /* the text of the token */
} weir_dpop_request_t;

/*
 * Reads the proof, which the caller releases with weir_dpop_release(), whatever the result; its
 * text must live until then. Unless the result is WEIR_TOKEN_OK, it is empty.
 */
weir_token_reason_t weir_dpop_parse(weir_str_t text, weir_dpop_t *dpop);

void weir_dpop_release(weir_dpop_t *dpop);

/*
 * Compares a parsed proof with a request, with a token's claims (cnf), and with the time, in
 * seconds since the epoch. The nonce is for the caller.
 */
weir_token_reason_t weir_dpop_check(const weir_dpop_t *dpop, const weir_dpop_request_t *request,
                                    const json_t *claims, int64_t now);

/* The key and the signature of a parsed proof. */
weir_token_reason_t weir_dpop_verify(const weir_dpop_t *dpop);

#endif
