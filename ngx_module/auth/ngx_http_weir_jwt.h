/* What other modules of the edge may know of a request's token. */

#ifndef _NGX_HTTP_WEIR_JWT_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/audit/ngx_http_weir_jwt_audit.h"
#include "auth/keys/ngx_http_weir_jwt_keys.h"


/* What metrics say of an issuer. */
typedef struct {
    ngx_str_t                        name;
    ngx_http_weir_jwt_keys_counts_t  keys;
} ngx_http_weir_jwt_counts_t;


/*
 * True if the response must not be shared with other requests: if a token of
 * the request was verified, in this location or before an internal redirect, or
 * if this location needs one.  A request without a token in a location where it
 * is optional has nothing of its own.
 */
ngx_uint_t ngx_http_weir_jwt_is_private(ngx_http_request_t *r);

/* The number of issuers in the configuration. */
ngx_uint_t ngx_http_weir_jwt_issuers(ngx_http_request_t *r);

/* The counts of issuer i; false if no location uses it. */
ngx_uint_t ngx_http_weir_jwt_issuer_counts(ngx_http_request_t *r, ngx_uint_t i,
    ngx_http_weir_jwt_counts_t *counts);

/*
 * What became of refusals for the audit log, by ngx_http_weir_jwt_audit_result_e;
 * NULL without weir_jwt_audit.
 */
ngx_atomic_t *ngx_http_weir_jwt_audited(ngx_http_request_t *r);

/* The result for a request; it belongs to the request's pool. */
typedef struct ngx_http_weir_jwt_ctx_s  ngx_http_weir_jwt_ctx_t;

/* With whom a request shares a response; from the request's pool. */
typedef struct {
    ngx_str_t                 partition;      /* begins the key in the cache; len
                                                 0: the request has no token */
    ngx_uint_t                authorization;  /* bool: the token is the
                                                 Authorization header */
    ngx_http_weir_jwt_ctx_t  *token;          /* NULL: none */
} ngx_http_weir_jwt_share_t;

/*
 * weir_cache_authorized: the share of a request for which the function above is
 * true.  Requests with different partitions never share a response.
 *
 * NGX_DECLINED: the response must not be shared at all; NGX_ERROR: no memory.
 * Both leave *share as it is.
 */
ngx_int_t ngx_http_weir_jwt_share(ngx_http_request_t *r,
    ngx_http_weir_jwt_share_t *share);

/*
 * True for a share whose token is still good, and for that of a request without
 * a token.  The request may be in another location than that of the share.
 */
ngx_uint_t ngx_http_weir_jwt_share_holds(
    const ngx_http_weir_jwt_share_t *share);

/*
 * Answers a request whose token is not good any longer: the value for the phase
 * handler.  The request may have been freed when it returns.
 */
ngx_int_t ngx_http_weir_jwt_share_refuse(ngx_http_request_t *r);


#endif /* _NGX_HTTP_WEIR_JWT_H_INCLUDED_ */
