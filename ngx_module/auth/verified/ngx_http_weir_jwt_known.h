/*
 * Tokens that this worker has parsed and knows to be verified, with their
 * claims: a request with one of them costs a comparison of its text.
 *
 * A token is known as long as its issuer has the keys that it was verified with.
 * Times and revocations are for the caller to compare.  The table belongs to a
 * configuration, because the checks of a token depend on its issuer's lines, and
 * to a worker.  It has at most NGX_HTTP_WEIR_JWT_KNOWN_MAX tokens whose text has
 * at most NGX_HTTP_WEIR_JWT_KNOWN_BYTES together; the one that was not used for
 * longest is forgotten first.
 */

#ifndef _NGX_HTTP_WEIR_JWT_KNOWN_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_KNOWN_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/token/token.h"


#define NGX_HTTP_WEIR_JWT_KNOWN_MAX      4096
#define NGX_HTTP_WEIR_JWT_KNOWN_BYTES    (4 * 1024 * 1024)
#define NGX_HTTP_WEIR_JWT_KNOWN_BUCKETS  4096  /* a power of two */


typedef struct ngx_http_weir_jwt_known_s  ngx_http_weir_jwt_known_t;

struct ngx_http_weir_jwt_known_s {
    ngx_http_weir_jwt_known_t  *chain;     /* of the same bucket */
    ngx_queue_t                 queue;     /* the last that was used first */
    uint64_t                    hash;
    weir_str_t                  text;      /* behind this structure */
    weir_token_t                token;     /* owned; its signed_text is in text */
    void                       *issuer;    /* the caller's */
    uint64_t                    generation; /* of the issuer's keys */
    int64_t                     expires;   /* s since the epoch; accepted before */
    int64_t                     since;     /* the same; it was accepted then */
    uint64_t                    revision;  /* of revocations it was compared with */
    void                       *conf;      /* may it pass there?  NULL: none was
                                              asked for */
    ngx_uint_t                  may;       /* bool: the answer */
    ngx_uint_t                  refs;      /* the table's is one */
};


typedef struct {
    u_char                      seed[8];
    ngx_uint_t                  n;
    size_t                      bytes;
    ngx_queue_t                 queue;
    ngx_http_weir_jwt_known_t  *buckets[NGX_HTTP_WEIR_JWT_KNOWN_BUCKETS];
} ngx_http_weir_jwt_known_table_t;


/* NULL: no memory. */
ngx_http_weir_jwt_known_table_t *ngx_http_weir_jwt_known_create(
    ngx_log_t *log);
void ngx_http_weir_jwt_known_destroy(ngx_http_weir_jwt_known_table_t *table);

/*
 * The token of that text and of one of the issuers, or NULL.  It belongs to the
 * table; the caller may keep it with a reference of its own.
 */
ngx_http_weir_jwt_known_t *ngx_http_weir_jwt_known_find(
    ngx_http_weir_jwt_known_table_t *table, weir_str_t text, void **issuers,
    ngx_uint_t n);

/*
 * Adds a token of that text, which the table does not have and which was
 * verified, and takes its contents.  NULL: no memory; the token is still the
 * caller's.
 */
ngx_http_weir_jwt_known_t *ngx_http_weir_jwt_known_add(
    ngx_http_weir_jwt_known_table_t *table, weir_str_t text,
    weir_token_t *token, ngx_log_t *log);

/* Forgets it; those with a reference keep it. */
void ngx_http_weir_jwt_known_forget(ngx_http_weir_jwt_known_table_t *table,
    ngx_http_weir_jwt_known_t *known);

static ngx_inline void ngx_http_weir_jwt_known_keep(
    ngx_http_weir_jwt_known_t *known);
void ngx_http_weir_jwt_known_release(ngx_http_weir_jwt_known_t *known);


static ngx_inline void
ngx_http_weir_jwt_known_keep(ngx_http_weir_jwt_known_t *known)
{
    known->refs++;
}


#endif /* _NGX_HTTP_WEIR_JWT_KNOWN_H_INCLUDED_ */
