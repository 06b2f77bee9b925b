/* The issuers of tokens in weir_status; nothing if no location needs one. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "metrics/ngx_http_weir_status.h"


/* Bytes of an issuer, with its name: of the counts, and of all else. */
#define NGX_HTTP_WEIR_STATUS_COUNT   64
#define NGX_HTTP_WEIR_STATUS_ISSUER  256


static u_char *ngx_http_weir_status_tokens_issuer(u_char *p, u_char *last,
    ngx_http_weir_jwt_counts_t *counts);


size_t
ngx_http_weir_status_tokens_size(ngx_http_request_t *r)
{
    size_t                      size;
    ngx_uint_t                  i;
    ngx_http_weir_jwt_counts_t  counts;

    size = sizeof(",\n\"issuers\":{}");

    for (i = 0; i < ngx_http_weir_jwt_issuers(r); i++) {
        if (ngx_http_weir_jwt_issuer_counts(r, i, &counts)) {
            size += counts.name.len + NGX_HTTP_WEIR_STATUS_ISSUER
                    + NGX_HTTP_WEIR_STATUS_COUNT
                      * (NGX_HTTP_WEIR_JWT_COUNTS + NGX_HTTP_WEIR_JWT_FETCHES);
        }
    }

    return size;
}


u_char *
ngx_http_weir_status_tokens(ngx_http_request_t *r, u_char *p, u_char *last)
{
    ngx_uint_t                  i, n;
    ngx_http_weir_jwt_counts_t  counts;

    n = 0;

    for (i = 0; i < ngx_http_weir_jwt_issuers(r); i++) {
        if (ngx_http_weir_jwt_issuer_counts(r, i, &counts)) {
            p = ngx_slprintf(p, last, "%s\n", n++ ? "," : ",\n\"issuers\":{");
            p = ngx_http_weir_status_tokens_issuer(p, last, &counts);
        }
    }

    return n ? ngx_slprintf(p, last, "}") : p;
}


/* A name has no character that JSON escapes. */

static u_char *
ngx_http_weir_status_tokens_issuer(u_char *p, u_char *last,
    ngx_http_weir_jwt_counts_t *counts)
{
    ngx_uint_t                        i;
    ngx_http_weir_jwt_keys_counts_t  *n;

    n = &counts->keys;

    p = ngx_slprintf(p, last, "\"%V\":{\"keys\":%ui,\"age_ms\":%uL,"
                     "\"failing\":%s,\"fetches\":{",
                     &counts->name, n->keys, n->age,
                     n->failing ? "true" : "false");

    for (i = 0; i < NGX_HTTP_WEIR_JWT_FETCHES; i++) {
        p = ngx_slprintf(p, last, "%s\"%s\":%uL", i ? "," : "",
                         ngx_http_weir_jwt_keys_fetch_name(i), n->fetches[i]);
    }

    p = ngx_slprintf(p, last, "},\"tokens\":{");

    for (i = 0; i < NGX_HTTP_WEIR_JWT_COUNTS; i++) {
        p = ngx_slprintf(p, last, "%s\"%s\":%uL", i ? "," : "",
                         ngx_http_weir_jwt_keys_count_name(i), n->tokens[i]);
    }

    return ngx_slprintf(p, last, "}}");
}
