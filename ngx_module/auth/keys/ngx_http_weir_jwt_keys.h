/*
 * The public keys of an issuer, which change while nginx runs: a JWK Set at a
 * URL, or in a file.
 *
 * The document is in shared memory.  One worker of the machine fetches it for
 * all; each worker parses it when its generation has changed, so that no
 * request waits for a fetch while there is a good set.  A document that is not
 * good never replaces a good one.
 */

#ifndef _NGX_HTTP_WEIR_JWT_KEYS_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_KEYS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_wait.h"
#include "common/token/token.h"


typedef struct ngx_http_weir_jwt_keys_s  ngx_http_weir_jwt_keys_t;


/* What happened to requests beside the reasons of tokens. */
typedef enum {
    NGX_HTTP_WEIR_JWT_COUNT_ABSENT = WEIR_TOKEN_REASONS,
    NGX_HTTP_WEIR_JWT_COUNT_SEVERAL,
    NGX_HTTP_WEIR_JWT_COUNT_FORBIDDEN, /* weir_jwt_require */
    NGX_HTTP_WEIR_JWT_COUNTS
} ngx_http_weir_jwt_count_e;


/* The result of a fetch. */
typedef enum {
    NGX_HTTP_WEIR_JWT_FETCH_CHANGED = 0,    /* another set, which is used */
    NGX_HTTP_WEIR_JWT_FETCH_UNCHANGED,
    NGX_HTTP_WEIR_JWT_FETCH_FAILED,         /* no answer; no file */
    NGX_HTTP_WEIR_JWT_FETCH_REFUSED,        /* another status than 200, or no
                                               set that can be used */
    NGX_HTTP_WEIR_JWT_FETCHES
} ngx_http_weir_jwt_fetch_e;


/* What metrics say of an issuer. */
typedef struct {
    uint64_t     tokens[NGX_HTTP_WEIR_JWT_COUNTS];
    uint64_t     fetches[NGX_HTTP_WEIR_JWT_FETCHES];
    ngx_uint_t   keys;                     /* of the set; 0: there is none */
    uint64_t     age;                      /* ms since the issuer gave the set
                                              last; 0 without a set */
    ngx_uint_t   failing;                  /* bool: the last fetch */
} ngx_http_weir_jwt_keys_counts_t;


/* The wait of a request for another set; zeroed memory of its pool. */
typedef struct {
    ngx_http_weir_jwt_wait_t   wait;
    uint64_t                   asked;      /* fetches begun until then */
    ngx_msec_t                 since;
    unsigned                   began:1;
    unsigned                   fetched:1;  /* the result after a fetch is the
                                              last */
} ngx_http_weir_jwt_keys_wait_t;


/*
 * conf: the arguments of jwks in the block of an issuer, while the configuration
 * is read.  token, digest and name are those of the issuer, and live as long as
 * the configuration; token->keys and digest are the current set from
 * ngx_http_weir_jwt_keys_use() on.  NULL: an error was logged.
 */
ngx_http_weir_jwt_keys_t *ngx_http_weir_jwt_keys_conf(ngx_conf_t *cf,
    ngx_str_t *name, weir_token_issuer_t *token, u_char *digest);

/*
 * conf: at the end of the block, when its algorithms are known: reads a file,
 * adds the shared memory.  NGX_OK, or NGX_ERROR after an error was logged.
 */
ngx_int_t ngx_http_weir_jwt_keys_finish(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);

/* conf: with the configuration complete: the addresses of a URL's name. */
ngx_int_t ngx_http_weir_jwt_keys_complete(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);


/* fetch: begins to keep the set up to date in this worker. */
void ngx_http_weir_jwt_keys_start(ngx_http_weir_jwt_keys_t *keys);

/* fetch: ends that; also the cleanup of the configuration. */
void ngx_http_weir_jwt_keys_stop(void *keys);

/*
 * wait: makes token->keys and digest those of the newest set.  NGX_OK, or
 * NGX_DECLINED if there is none that may be used.  *generation becomes that of
 * the set, 0 without one.
 */
ngx_int_t ngx_http_weir_jwt_keys_use(ngx_http_weir_jwt_keys_t *keys,
    uint64_t *generation);

/*
 * wait: the set of that generation has no key for the token of r
 * (WEIR_TOKEN_UNKNOWN_KEY), or there is no set (WEIR_TOKEN_NO_KEYS).  In the
 * access phase: NGX_AGAIN if the request was parked; NGX_OK if the token is to
 * be verified again, as the set has changed; NGX_DECLINED if the result is
 * final.
 */
ngx_int_t ngx_http_weir_jwt_keys_wait(ngx_http_request_t *r,
    ngx_http_weir_jwt_keys_t *keys, ngx_http_weir_jwt_keys_wait_t *wait,
    weir_token_reason_t reason, uint64_t generation);

/* wait: seconds until a set may be there, for Retry-After; at least 1. */
time_t ngx_http_weir_jwt_keys_retry(ngx_http_weir_jwt_keys_t *keys);


/* zone: counts a request by its reason, or an ngx_http_weir_jwt_count_e. */
void ngx_http_weir_jwt_keys_count(ngx_http_weir_jwt_keys_t *keys,
    ngx_uint_t count);

/* zone: all counts, for metrics; a constant name of each of them. */
void ngx_http_weir_jwt_keys_counts(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_keys_counts_t *counts);
const char *ngx_http_weir_jwt_keys_count_name(ngx_uint_t count);
const char *ngx_http_weir_jwt_keys_fetch_name(ngx_uint_t fetch);


#endif /* _NGX_HTTP_WEIR_JWT_KEYS_H_INCLUDED_ */
