/* Tokens that are bound to a key of their holder (cnf, RFC 7800). */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"


static ngx_uint_t ngx_http_weir_jwt_bound_to_certificate(
    ngx_http_request_t *r, const json_t *claims);


ngx_uint_t
ngx_http_weir_jwt_bound(ngx_http_request_t *r, ngx_http_weir_jwt_bound_e bound,
    const json_t *claims)
{
    switch (bound) {

    case NGX_HTTP_WEIR_JWT_BOUND_CERTIFICATE:
        return ngx_http_weir_jwt_bound_to_certificate(r, claims);

    case NGX_HTTP_WEIR_JWT_BOUND_REFUSE:
        return !weir_claims_are_bound(claims);

    default: /* NGX_HTTP_WEIR_JWT_BOUND_IGNORE */
        return 1;
    }
}


/*
 * RFC 8705 section 3: the handshake has proved that the client has the key of
 * its certificate.  Whether the certificate was verified does not matter here.
 */

static ngx_uint_t
ngx_http_weir_jwt_bound_to_certificate(ngx_http_request_t *r,
    const json_t *claims)
{
#if (NGX_HTTP_SSL)
    u_char        digest[EVP_MAX_MD_SIZE];
    X509         *cert;
    ngx_uint_t    same;
    unsigned int  len;

    if (r->connection->ssl == NULL) {
        return 0;
    }

    cert = SSL_get_peer_certificate(r->connection->ssl->connection);
    if (cert == NULL) {
        return 0;
    }

    same = X509_digest(cert, EVP_sha256(), digest, &len)
           && len == WEIR_CLAIMS_DIGEST
           && weir_claims_are_bound_to(claims, digest);

    X509_free(cert);

    return same;
#else
    return 0;
#endif
}
