/* What other modules of the edge may know of a request's token. */

#ifndef _NGX_HTTP_WEIR_JWT_H_INCLUDED_
#define _NGX_HTTP_WEIR_JWT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

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


#endif /* _NGX_HTTP_WEIR_JWT_H_INCLUDED_ */
