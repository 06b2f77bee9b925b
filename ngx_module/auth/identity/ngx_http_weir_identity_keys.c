/*
 * weir_identity_keys: the public keys of all weir_identity of the configuration,
 * as a JWK Set (RFC 7517).  It changes with the configuration only.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_identity_keys_handler(ngx_http_request_t *r);


ngx_int_t
ngx_http_weir_identity_keys_make(ngx_conf_t *cf,
    ngx_http_weir_identity_main_conf_t *imcf)
{
    size_t                          size;
    ngx_uint_t                      i, j, n;
    const weir_signer_t           **signers;
    ngx_http_weir_identity_key_t  **keys;

    keys = imcf->keys.elts;

    signers = ngx_palloc(cf->temp_pool,
                         imcf->keys.nelts * sizeof(weir_signer_t *));
    if (signers == NULL) {
        return NGX_ERROR;
    }

    n = 0;

    /* two files may have one key */

    for (i = 0; i < imcf->keys.nelts; i++) {

        for (j = 0; j < n; j++) {
            if (ngx_strcmp(signers[j]->kid, keys[i]->signer.kid) == 0) {
                break;
            }
        }

        if (j == n) {
            signers[n++] = &keys[i]->signer;
        }
    }

    size = sizeof("{\"keys\":[]}") + n * WEIR_SIGN_JWK_MAX;

    imcf->document.data = ngx_pnalloc(cf->pool, size);
    if (imcf->document.data == NULL) {
        return NGX_ERROR;
    }

    imcf->document.len = weir_signer_jwks(signers, n,
                                          (char *) imcf->document.data, size);

    return NGX_OK;
}


char *
ngx_http_weir_identity_keys_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_identity_main_conf_t  *imcf = conf;

    ngx_http_core_loc_conf_t  *clcf;
    ngx_http_weir_loc_conf_t  *wlcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler == ngx_http_weir_identity_keys_handler) {
        return "is duplicate";
    }

    clcf->handler = ngx_http_weir_identity_keys_handler;

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->status = 1;

    imcf->published = 1;

    return ngx_http_weir_place(cf, &imcf->published_at) == NGX_OK
           ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_weir_identity_keys_handler(ngx_http_request_t *r)
{
    ngx_int_t                            rc;
    ngx_str_t                            age;
    ngx_buf_t                           *b;
    ngx_chain_t                         *out;
    ngx_http_weir_identity_main_conf_t  *imcf;

    static ngx_str_t  cache_control = ngx_string("Cache-Control");

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    imcf = ngx_http_get_module_main_conf(r, ngx_http_weir_identity_module);

    age.data = ngx_pnalloc(r->pool, sizeof("public, max-age=") + NGX_INT_T_LEN);
    b = ngx_calloc_buf(r->pool);
    out = ngx_alloc_chain_link(r->pool);

    if (age.data == NULL || b == NULL || out == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    age.len = ngx_sprintf(age.data, "public, max-age=%d",
                          NGX_HTTP_WEIR_IDENTITY_KEYS_AGE)
              - age.data;

    if (ngx_http_weir_add_header(r, &cache_control, &age) == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->pos = imcf->document.data;
    b->last = imcf->document.data + imcf->document.len;
    b->memory = 1;
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out->buf = b;
    out->next = NULL;

    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = imcf->document.len;
    ngx_str_set(&r->headers_out.content_type, "application/jwk-set+json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_weir_send_response(r, out);
}
