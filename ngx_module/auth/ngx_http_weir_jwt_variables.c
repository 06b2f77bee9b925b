/*
 * $weir_jwt_subject and $weir_jwt_claim_NAME: claims of the verified token of
 * the request, in a location with weir_jwt.  A token that was refused has none,
 * nor has one whose signature must wait for its turn: before the access phase
 * nothing can wait.
 *
 * Names of variables have no capital letters.  So NAME is the claim of that
 * name, or, if there is none, the only one whose name is the same without
 * regard to case.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"


static ngx_int_t ngx_http_weir_jwt_variables_claim(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_jwt_variables_subject(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_jwt_variables_set(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, const json_t *claim);


/* Not cacheable: an internal redirect may lead to another weir_jwt. */

static ngx_http_variable_t  ngx_http_weir_jwt_vars[] = {

    { ngx_string("weir_jwt_subject"), NULL,
      ngx_http_weir_jwt_variables_subject, 0, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_jwt_claim_"), NULL,
      ngx_http_weir_jwt_variables_claim, 0,
      NGX_HTTP_VAR_NOCACHEABLE|NGX_HTTP_VAR_PREFIX, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_weir_jwt_variables_add(ngx_conf_t *cf)
{
    return ngx_http_weir_add_variables(cf, ngx_http_weir_jwt_vars);
}


static ngx_int_t
ngx_http_weir_jwt_variables_subject(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    json_t  *claims;

    if (ngx_http_weir_jwt_variables_claims(r, &claims) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_weir_jwt_variables_set(r, v,
                                           json_object_get(claims, "sub"));
}


static ngx_int_t
ngx_http_weir_jwt_variables_claim(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    json_t      *claims;
    ngx_str_t   *name = (ngx_str_t *) data;
    weir_str_t   claim;

    if (ngx_http_weir_jwt_variables_claims(r, &claims) != NGX_OK) {
        return NGX_ERROR;
    }

    claim.data = (char *) name->data + sizeof("weir_jwt_claim_") - 1;
    claim.len = name->len - (sizeof("weir_jwt_claim_") - 1);

    return ngx_http_weir_jwt_variables_set(r, v,
                             ngx_http_weir_jwt_variables_find(claims, claim));
}


ngx_int_t
ngx_http_weir_jwt_variables_claims(ngx_http_request_t *r, json_t **claims)
{
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    r = r->main;
    *claims = NULL;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);

    if (jlcf->issuers == NULL) {
        return NGX_OK;
    }

    ctx = ngx_http_weir_jwt_request(r);
    if (ctx == NULL) {
        return NGX_ERROR;
    }

    if (ctx->result == NGX_HTTP_WEIR_JWT_VERIFIED) {
        *claims = ctx->claims;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_variables_set(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, const json_t *claim)
{
    char    *text;
    size_t   len;

    if (!weir_claim_text(claim, &text, &len)) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->data = ngx_pnalloc(r->pool, len);

    if (v->data) {
        ngx_memcpy(v->data, text, len);
    }

    free(text);

    if (v->data == NULL) {
        return NGX_ERROR;
    }

    v->len = len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


json_t *
ngx_http_weir_jwt_variables_find(json_t *claims, weir_str_t name)
{
    json_t      *claim, *found;
    weir_str_t   other;
    const char  *key;
    ngx_uint_t   n;

    found = NULL;
    n = 0;

    json_object_foreach(claims, key, claim) {
        other = weir_str(key);

        if (weir_str_eq(other, name)) {
            return claim;
        }

        if (weir_str_caseeq(other, name)) {
            found = claim;
            n++;
        }
    }

    return n == 1 ? found : NULL;
}
