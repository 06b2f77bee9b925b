/*
 * Proofs of clients (RFC 9449) in nginx: what weir_jwt_dpop says, the request
 * that a proof must be for, and the shared memory of those that were used.
 */

#ifndef _NGX_HTTP_WEIR_JWT_DPOP_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_DPOP_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/token/dpop/dpop.h"
#include "common/token/dpop/dpop_nonce.h"
#include "common/token/dpop/dpop_seen.h"


#define NGX_HTTP_WEIR_JWT_DPOP_SIZE    (4 * 1024 * 1024)
#define NGX_HTTP_WEIR_JWT_DPOP_MIN     (64 * 1024)

/* seconds */
#define NGX_HTTP_WEIR_JWT_DPOP_WINDOW  60


/* weir_jwt_dpop */
typedef struct {
    time_t                window;     /* s by which iat may differ from now */
    time_t                nonce;      /* s for which a nonce is good; 0: none */
    unsigned              algorithms; /* as bits */
    ngx_str_t             names;      /* of them, with spaces between */
    ngx_array_t          *origins;    /* of weir_str_t; NULL: those of the
                                         server's names */
} ngx_http_weir_jwt_dpop_conf_t;


/* In shared memory. */
typedef struct {
    uint64_t              layout;
    uint8_t               secret[WEIR_DPOP_NONCE_SECRET];    /* of nonces */
    ngx_slab_pool_t      *shpool;     /* its mutex is that of seen */
    weir_dpop_seen_t     *seen;
} ngx_http_weir_jwt_dpop_memory_t;


/*
 * conf: the setter of weir_jwt_dpop, whose field in conf, at cmd->offset, is a
 * pointer to what it says; what it is if it says nothing.
 */
char *ngx_http_weir_jwt_dpop_conf_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
ngx_http_weir_jwt_dpop_conf_t *ngx_http_weir_jwt_dpop_conf_default(
    ngx_conf_t *cf);

/*
 * conf: the names by which clients may call the server, of ngx_str_t: exact
 * ones, and those that begin with "*." or ".".  NULL: no memory.
 */
ngx_array_t *ngx_http_weir_jwt_dpop_conf_names(ngx_conf_t *cf,
    ngx_http_core_srv_conf_t *cscf);

/*
 * conf: adds the zone, when the configuration has been read; *memory is set when
 * it was made.
 */
ngx_int_t ngx_http_weir_jwt_dpop_add_memory(ngx_conf_t *cf, size_t size,
    ngx_http_weir_jwt_dpop_memory_t **memory, void *tag);

/*
 * What a proof of r must be for, beside a token of that text; from the pool of
 * r.  names are those of its server.  The method and the path are those that the
 * client has sent, whatever nginx has made of them.  NGX_OK, or NGX_ERROR
 * without memory.
 */
ngx_int_t ngx_http_weir_jwt_dpop_request(ngx_http_request_t *r,
    ngx_http_weir_jwt_dpop_conf_t *conf, ngx_array_t *names,
    weir_str_t token, weir_dpop_request_t *request);

/* True if that proof was used before. */
ngx_uint_t ngx_http_weir_jwt_dpop_is_used(
    ngx_http_weir_jwt_dpop_memory_t *memory, const weir_dpop_t *proof);

/*
 * Remembers a proof that was verified until that time: WEIR_TOKEN_OK;
 * WEIR_TOKEN_PROOF_REPLAYED if it was used before; WEIR_TOKEN_PROOF_NO_ROOM.
 */
weir_token_reason_t ngx_http_weir_jwt_dpop_use(
    ngx_http_weir_jwt_dpop_memory_t *memory, const weir_dpop_t *proof,
    int64_t until);

/*
 * Adds a new nonce to the response, unless it has one.  NGX_OK, or NGX_ERROR
 * without memory.
 */
ngx_int_t ngx_http_weir_jwt_dpop_add_nonce(ngx_http_request_t *r,
    ngx_http_weir_jwt_dpop_memory_t *memory);


#endif /* _NGX_HTTP_WEIR_JWT_DPOP_H_INCLUDED_ */
