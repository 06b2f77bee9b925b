/*
 * Private to auth/keys/.
 *
 *     conf      the line jwks of an issuer
 *     wait      the set for a request; requests that wait for another one
 *     fetch     when a document is fetched, and its result
 *     log       the issuer's state in words
 *     file      a document in a file
 *     take      the set of this process
 *     zone      the document, the claim and counts in shared memory
 *     schedule  plain core
 *
 * Each file calls those below it only.
 */

#ifndef _NGX_HTTP_WEIR_JWT_KEYS_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_KEYS_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/keys/ngx_http_weir_jwt_keys.h"
#include "client/ngx_http_weir_client.h"

#include <stdatomic.h>


#define NGX_HTTP_WEIR_JWT_KEYS_DIGEST     32      /* bytes */

/* Least interval between the starts of two fetches, ms. */
#define NGX_HTTP_WEIR_JWT_KEYS_INTERVAL   1000

/* How often a worker looks at shared memory: at rest, and for requests; ms. */
#define NGX_HTTP_WEIR_JWT_KEYS_TICK       1000
#define NGX_HTTP_WEIR_JWT_KEYS_POLL       20

/* Requests that wait for one issuer in a worker, and for how long; ms. */
#define NGX_HTTP_WEIR_JWT_KEYS_WAITS      256
#define NGX_HTTP_WEIR_JWT_KEYS_WAIT       2000

/* A claim beyond the timeout of the fetch, for its checks; ms. */
#define NGX_HTTP_WEIR_JWT_KEYS_CHECKS     20000


/* A file as it was read last. */
typedef struct {
    int64_t                         mtime;         /* ns */
    int64_t                         size;
    uint64_t                        id;            /* inode */
} ngx_http_weir_jwt_keys_stat_t;


/* The issuer as it was seen last. */
typedef enum {
    NGX_HTTP_WEIR_JWT_KEYS_UNKNOWN = 0,
    NGX_HTTP_WEIR_JWT_KEYS_GOOD,
    NGX_HTTP_WEIR_JWT_KEYS_FAILING                 /* a line was logged */
} ngx_http_weir_jwt_keys_state_e;


/* A document in shared memory. */
typedef struct {
    u_char                          digest[NGX_HTTP_WEIR_JWT_KEYS_DIGEST];
    uint64_t                        len;
    uint64_t                        keys;          /* of the set */
    u_char                          text[WEIR_JWKS_MAX];
} ngx_http_weir_jwt_keys_document_t;


/* Times are of ngx_http_weir_ms(). */
typedef struct {
    uint64_t                        layout;        /* first member */

    /* read with each token, and seldom written */
    _Atomic uint64_t                generation;    /* of the set; 0: none */
    _Atomic uint64_t                confirmed;     /* the issuer gave the set */
    uint64_t                        unused[5];     /* of their cache line */

    /* the claim; see zone */
    _Atomic uint64_t                fetcher;       /* pid; 0: none */
    _Atomic uint64_t                claimed;       /* until then at most */
    _Atomic uint64_t                started;       /* the last fetch */
    _Atomic uint64_t                begun;         /* fetches */
    _Atomic uint64_t                ended;         /* number of the last one
                                                      that has ended */
    _Atomic uint64_t                due;           /* the next fetch */
    _Atomic uint64_t                failures;      /* in a row */
    _Atomic uint64_t                state;         /* keys_state_e */

    _Atomic uint64_t                fetches[NGX_HTTP_WEIR_JWT_FETCHES];

    _Atomic uint64_t                tokens[NGX_HTTP_WEIR_JWT_COUNTS];

    /* under the mutex of the zone */
    ngx_http_weir_jwt_keys_stat_t   stat;          /* of a file */

    /* that of a generation is number generation % 2 */
    ngx_http_weir_jwt_keys_document_t  documents[2];
} ngx_http_weir_jwt_keys_sh_t;


struct ngx_http_weir_jwt_keys_s {
    /* configuration */

    ngx_str_t                       name;          /* of the issuer */
    ngx_str_t                       source;        /* URL, or path */
    weir_token_issuer_t            *token;         /* of the issuer */
    u_char                         *digest;        /* of the issuer */
    ngx_uint_t                      remote;        /* bool: a URL */
    ngx_http_weir_client_server_t   server;        /* with remote */
    ngx_str_t                       head;          /* of the request */
    ngx_msec_t                      refresh;
    ngx_msec_t                      keep;          /* with remote */
    ngx_shm_zone_t                 *zone;
    ngx_str_t                       text;          /* of the file, while the
                                                      configuration is read */
    ngx_http_weir_jwt_keys_stat_t   stat;          /* of the file */

    /* this process */

    ngx_http_weir_jwt_keys_sh_t    *sh;
    uint64_t                        generation;    /* of token->keys; 0: none */
    uint64_t                        untaken;       /* the one for which an error
                                                      was logged */
    unsigned                        started:1;
    unsigned                        stopped:1;     /* for good */

    /* see fetch */

    ngx_event_t                     tick;
    ngx_http_weir_client_t          client;
    uint64_t                        number;        /* of the own fetch; 0: none
                                                      is under way */
    uint64_t                        seen_ended;
    uint64_t                        seen_generation;

    /* a document that was fetched, while its keys are checked */
    weir_jwks_t                     candidate;
    size_t                          checked;       /* keys of it */
    weir_str_t                      document;      /* in the client's answer, or
                                                      in buf */
    u_char                         *buf;           /* of a file; malloc'ed */
    u_char                          candidate_digest[
                                               NGX_HTTP_WEIR_JWT_KEYS_DIGEST];
    ngx_event_t                     check;

    /* see wait */

    ngx_http_weir_jwt_wait_list_t   waits;
    uint64_t                        wanted;        /* a fetch of a greater
                                                      number, if not 0 */
};


/*
 * fetch: a request needs a fetch that begins from now on, at the earliest
 * allowed time.
 */
void ngx_http_weir_jwt_keys_want(ngx_http_weir_jwt_keys_t *keys);


/* log: the state after a fetch; logs changes.  detail may be NULL. */
void ngx_http_weir_jwt_keys_log(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_fetch_e result, const char *fault, const char *detail,
    ngx_err_t err);


/*
 * file: reads the file of the keys into buf, which has room for WEIR_JWKS_MAX
 * + 1 bytes.  NGX_OK; NGX_DECLINED if it is the file of *seen, whose content was
 * not read; or NGX_ERROR with a constant *fault and *err.  *seen becomes that of
 * the file.
 */
ngx_int_t ngx_http_weir_jwt_keys_file(ngx_http_weir_jwt_keys_t *keys,
    u_char *buf, size_t *len, ngx_http_weir_jwt_keys_stat_t *seen,
    const char **fault, ngx_err_t *err);


/* take: the digest of a document. */
void ngx_http_weir_jwt_keys_digest(weir_str_t document,
    u_char digest[NGX_HTTP_WEIR_JWT_KEYS_DIGEST]);

/*
 * take: false if no key of the set is for an algorithm of the issuer; why then
 * has the reason.
 */
ngx_uint_t ngx_http_weir_jwt_keys_fit(ngx_http_weir_jwt_keys_t *keys,
    const weir_jwks_t *set, char why[WEIR_JWKS_WHY_MAX]);

/* take: the set becomes that of this process, which releases the last one. */
void ngx_http_weir_jwt_keys_adopt(ngx_http_weir_jwt_keys_t *keys,
    weir_jwks_t *set, const u_char *digest, uint64_t generation);

/* take: the set in shared memory, if it is another one. */
void ngx_http_weir_jwt_keys_take(ngx_http_weir_jwt_keys_t *keys);


/* zone: adds the shared memory to the configuration; NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_jwt_keys_zone_add(ngx_conf_t *cf,
    ngx_http_weir_jwt_keys_t *keys);

/* zone: stores a document of n keys; returns its generation. */
uint64_t ngx_http_weir_jwt_keys_zone_put(ngx_http_weir_jwt_keys_t *keys,
    weir_str_t document, const u_char *digest, ngx_uint_t n);

/*
 * zone: copies the document into buf, which has room for WEIR_JWKS_MAX bytes;
 * returns its generation, 0 without one.
 */
uint64_t ngx_http_weir_jwt_keys_zone_get(ngx_http_weir_jwt_keys_t *keys,
    u_char *buf, size_t *len, u_char *digest);

/* zone: true if there is a document, which has that digest. */
ngx_uint_t ngx_http_weir_jwt_keys_zone_has(ngx_http_weir_jwt_keys_t *keys,
    const u_char *digest);

/* zone: the file as it was read last. */
void ngx_http_weir_jwt_keys_zone_stat(ngx_http_weir_jwt_keys_t *keys,
    ngx_http_weir_jwt_keys_stat_t *stat, ngx_uint_t set);

/*
 * zone: true if this process may fetch now: keys->number is that of the fetch
 * then.
 */
ngx_uint_t ngx_http_weir_jwt_keys_zone_claim(ngx_http_weir_jwt_keys_t *keys);

/* zone: true if the claim is still this process'. */
ngx_uint_t ngx_http_weir_jwt_keys_zone_owns(ngx_http_weir_jwt_keys_t *keys);

/*
 * zone: the fetch of this process has ended, with a result or (abandoned)
 * without one.
 */
void ngx_http_weir_jwt_keys_zone_release(ngx_http_weir_jwt_keys_t *keys,
    ngx_uint_t abandoned);


static ngx_inline uint64_t
ngx_http_weir_jwt_keys_get(_Atomic uint64_t *n)
{
    return atomic_load_explicit(n, memory_order_acquire);
}


static ngx_inline void
ngx_http_weir_jwt_keys_set(_Atomic uint64_t *n, uint64_t value)
{
    atomic_store_explicit(n, value, memory_order_release);
}


static ngx_inline void
ngx_http_weir_jwt_keys_add(_Atomic uint64_t *n)
{
    (void) atomic_fetch_add_explicit(n, 1, memory_order_relaxed);
}


#endif /* _NGX_HTTP_WEIR_JWT_KEYS_PRIVATE_H_INCLUDED_ */
