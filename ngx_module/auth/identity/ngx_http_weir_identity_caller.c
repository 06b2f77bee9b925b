/*
 * Who calls: the subject, the issuer and the scopes of the token that weir_jwt
 * has verified.  A subrequest has those of the main request.
 *
 * A token that was verified in another location, before an internal redirect,
 * does not count: what this location does not ask for, it does not pass on.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"
#include "auth/ngx_http_weir_jwt_private.h"


static ngx_int_t ngx_http_weir_identity_caller_scope(ngx_http_request_t *r,
    json_t *claims, weir_str_t *scope);


ngx_int_t
ngx_http_weir_identity_caller(ngx_http_request_t *r,
    ngx_http_weir_identity_caller_t *caller)
{
    json_t  *claims, *sub, *iss;

    ngx_memzero(caller, sizeof(ngx_http_weir_identity_caller_t));

    if (ngx_http_weir_jwt_variables_claims(r, &claims) != NGX_OK) {
        return NGX_ERROR;
    }

    sub = json_object_get(claims, "sub");
    iss = json_object_get(claims, "iss");

    if (!json_is_string(sub) || json_string_length(sub) == 0
        || !json_is_string(iss))
    {
        return NGX_OK;
    }

    caller->subject.data = json_string_value(sub);
    caller->subject.len = json_string_length(sub);
    caller->issuer.data = json_string_value(iss);
    caller->issuer.len = json_string_length(iss);

    return ngx_http_weir_identity_caller_scope(r, claims, &caller->scope);
}


/* scope or scp, a text or an array, as weir_claims_have_scope() reads them */

static ngx_int_t
ngx_http_weir_identity_caller_scope(ngx_http_request_t *r, json_t *claims,
    weir_str_t *scope)
{
    u_char  *p;
    size_t   i, n, len;
    json_t  *claim, *one;

    claim = json_object_get(claims, "scope");

    if (claim == NULL) {
        claim = json_object_get(claims, "scp");
    }

    if (json_is_string(claim)) {
        scope->data = json_string_value(claim);
        scope->len = json_string_length(claim);
        return NGX_OK;
    }

    len = 0;
    n = json_array_size(claim);

    for (i = 0; i < n; i++) {
        len += json_string_length(json_array_get(claim, i)) + 1;
    }

    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    scope->data = (char *) p;

    for (i = 0; i < n; i++) {
        one = json_array_get(claim, i);

        /* one with a space would become two */

        if (json_string_length(one) == 0
            || ngx_strlchr((u_char *) json_string_value(one),
                           (u_char *) json_string_value(one)
                           + json_string_length(one), ' '))
        {
            continue;
        }

        if (p != (u_char *) scope->data) {
            *p++ = ' ';
        }

        p = ngx_cpymem(p, json_string_value(one), json_string_length(one));
    }

    scope->len = p - (u_char *) scope->data;

    return NGX_OK;
}
