/*
 * The token of a request: where it is found, and whether it is believed.
 *
 * The result is computed once for each location in which the request is, at the
 * latest in the access phase; a variable may need it earlier.  An internal
 * redirect clears the contexts of modules, but not the cleanups of the pool: so
 * a token that was verified before a redirect is still known, which matters to
 * the cache.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "auth/ngx_http_weir_jwt_private.h"
#include "common/text/token.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_jwt_request_find(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t *text);
static ngx_int_t ngx_http_weir_jwt_request_count_cookies(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_int_t ngx_http_weir_jwt_request_find_cookie(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t *text);
static ngx_int_t ngx_http_weir_jwt_request_find_header(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t *text);
static ngx_uint_t ngx_http_weir_jwt_request_skip_scheme(weir_str_t *text);
static weir_token_reason_t ngx_http_weir_jwt_request_judge(
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t text);
static weir_token_reason_t ngx_http_weir_jwt_request_verify(
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t text);


/* of this process; NULL: no token is remembered */
static weir_remembered_t  *ngx_http_weir_jwt_remembered;


ngx_http_weir_jwt_ctx_t *
ngx_http_weir_jwt_request(ngx_http_request_t *r)
{
    weir_str_t                     text;
    ngx_pool_cleanup_t            *cln;
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);
    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_jwt_module);

    if (ctx && ctx->conf == jlcf) {
        return ctx;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_jwt_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_jwt_ctx_t));
    ctx->request = r;
    ctx->conf = jlcf;

    cln->handler = ngx_http_weir_jwt_request_cleanup;

    switch (ngx_http_weir_jwt_request_find(r, ctx, &text)) {

    case NGX_OK:
        ctx->reason = ngx_http_weir_jwt_request_judge(ctx, text);
        ctx->result = ctx->reason == WEIR_TOKEN_OK
                      ? NGX_HTTP_WEIR_JWT_VERIFIED : NGX_HTTP_WEIR_JWT_REFUSED;
        break;

    case NGX_DECLINED:
        ctx->result = NGX_HTTP_WEIR_JWT_ABSENT;
        break;

    case NGX_ABORT:
        ctx->result = NGX_HTTP_WEIR_JWT_SEVERAL;
        break;

    default: /* NGX_ERROR */
        return NULL;
    }

    if (ctx->reason == WEIR_TOKEN_NO_MEMORY) {
        return NULL;
    }

    ngx_http_set_ctx(r, ctx, ngx_http_weir_jwt_module);

    return ctx;
}


/*
 * The text of the token: NGX_OK; NGX_DECLINED: there is none; NGX_ABORT: there
 * are several; NGX_ERROR: no memory.
 */

static ngx_int_t
ngx_http_weir_jwt_request_find(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t *text)
{
    return ctx->conf->source == NGX_HTTP_WEIR_JWT_COOKIE
           ? ngx_http_weir_jwt_request_find_cookie(r, ctx, text)
           : ngx_http_weir_jwt_request_find_header(r, ctx, text);
}


/*
 * NGX_ABORT: there are several cookies of that name, of which the upstream
 * could read another one.  Names are compared as nginx does, without regard to
 * case; so are the ends of cookies, ";" and ",".
 */

static ngx_int_t
ngx_http_weir_jwt_request_count_cookies(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx)
{
    const char   *p, *last;
    ngx_str_t     name;
    weir_str_t   *line;
    ngx_uint_t    i, n;
    ngx_array_t  *lines;

    static ngx_str_t  cookie = ngx_string("Cookie");

    name.data = ctx->conf->name.data + sizeof("cookie_") - 1;
    name.len = ctx->conf->name.len - (sizeof("cookie_") - 1);

    lines = ngx_http_weir_header_lines(r, &r->headers_in.headers, &cookie);
    if (lines == NULL) {
        return NGX_ERROR;
    }

    line = lines->elts;
    n = 0;

    for (i = 0; i < lines->nelts; i++) {
        p = line[i].data;
        last = p + line[i].len;

        while (p < last) {

            while (p < last && (*p == ' ' || *p == '\t')) {
                p++;
            }

            if ((size_t) (last - p) > name.len
                && ngx_strncasecmp((u_char *) p, name.data, name.len) == 0
                && (p[name.len] == '=' || p[name.len] == ' '
                    || p[name.len] == '\t'))
            {
                n++;
            }

            while (p < last && *p != ';' && *p != ',') {
                p++;
            }

            p++;
        }
    }

    return n > 1 ? NGX_ABORT : NGX_OK;
}


static ngx_int_t
ngx_http_weir_jwt_request_find_cookie(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t *text)
{
    ngx_int_t                   rc;
    ngx_uint_t                  key;
    ngx_http_variable_value_t  *v;

    rc = ngx_http_weir_jwt_request_count_cookies(r, ctx);
    if (rc != NGX_OK) {
        return rc;
    }

    key = ngx_hash_key(ctx->conf->name.data, ctx->conf->name.len);
    v = ngx_http_get_variable(r, &ctx->conf->name, key);

    if (v == NULL) {
        return NGX_ERROR;
    }

    if (v->not_found || v->len == 0) {
        return NGX_DECLINED;
    }

    text->data = (char *) v->data;
    text->len = v->len;

    return NGX_OK;
}


/* RFC 6750 section 2.1; the scheme may be absent in a header of another name. */

static ngx_int_t
ngx_http_weir_jwt_request_find_header(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, weir_str_t *text)
{
    ngx_str_t    *name;
    weir_str_t   *line;
    ngx_uint_t    bearer;
    ngx_array_t  *lines;

    static ngx_str_t  authorization = ngx_string("Authorization");

    name = ctx->conf->source == NGX_HTTP_WEIR_JWT_HEADER ? &ctx->conf->name
                                                         : &authorization;

    lines = ngx_http_weir_header_lines(r, &r->headers_in.headers, name);
    if (lines == NULL) {
        return NGX_ERROR;
    }

    if (lines->nelts == 0) {
        return NGX_DECLINED;
    }

    if (lines->nelts > 1) {
        return NGX_ABORT;
    }

    line = lines->elts;
    *text = line[0];

    bearer = ngx_http_weir_jwt_request_skip_scheme(text);

    if (ctx->conf->source == NGX_HTTP_WEIR_JWT_AUTHORIZATION) {
        return bearer ? NGX_OK : NGX_DECLINED;
    }

    return text->len || bearer ? NGX_OK : NGX_DECLINED;
}


/*
 * "Bearer", without regard to case, and the spaces behind it (RFC 9110 section
 * 11.4); false if it is absent, or only begins the name of another scheme.
 * Whatever else follows is a token that is refused: the upstream may read one.
 */

static ngx_uint_t
ngx_http_weir_jwt_request_skip_scheme(weir_str_t *text)
{
    size_t  len;

    static char  scheme[] = "Bearer";

    len = sizeof(scheme) - 1;

    if (text->len < len
        || ngx_strncasecmp((u_char *) text->data, (u_char *) scheme, len) != 0
        || (text->len > len && weir_is_tchar(text->data[len])))
    {
        return 0;
    }

    while (len < text->len && text->data[len] == ' ') {
        len++;
    }

    text->data += len;
    text->len -= len;

    return 1;
}


static weir_token_reason_t
ngx_http_weir_jwt_request_judge(ngx_http_weir_jwt_ctx_t *ctx, weir_str_t text)
{
    ngx_uint_t                    i;
    weir_str_t                    iss;
    weir_token_reason_t           reason;
    ngx_http_weir_jwt_issuer_t  **issuers;

    reason = weir_token_parse(text, &ctx->token);
    if (reason != WEIR_TOKEN_OK) {
        return reason;
    }

    iss = weir_token_issuer_of(&ctx->token);
    issuers = ctx->conf->issuers->elts;

    /* the check names what is wrong if no issuer has that name */

    ctx->issuer = issuers[0];

    for (i = 1; i < ctx->conf->issuers->nelts; i++) {
        if (iss.data && weir_str_eq(issuers[i]->token.issuer, iss)) {
            ctx->issuer = issuers[i];
        }
    }

    reason = weir_token_check(&ctx->token, &ctx->issuer->token, ngx_time(),
                              &ctx->expires);

    return reason == WEIR_TOKEN_OK
           ? ngx_http_weir_jwt_request_verify(ctx, text) : reason;
}


/* The signature, which is expensive: the last of the checks, and remembered. */

static weir_token_reason_t
ngx_http_weir_jwt_request_verify(ngx_http_weir_jwt_ctx_t *ctx, weir_str_t text)
{
    uint8_t               digest[WEIR_REMEMBERED_DIGEST];
    weir_str_t            keys;
    weir_remembered_t    *remembered;
    weir_token_reason_t   reason;

    remembered = ngx_http_weir_jwt_remembered;

    if (remembered == NULL) {
        return weir_token_verify(&ctx->token, &ctx->issuer->token);
    }

    keys.data = (char *) ctx->issuer->keys;
    keys.len = sizeof(ctx->issuer->keys);

    weir_remembered_digest(remembered, keys, text, digest);

    if (weir_remembered_has(remembered, digest)) {
        return WEIR_TOKEN_OK;
    }

    reason = weir_token_verify(&ctx->token, &ctx->issuer->token);

    if (reason == WEIR_TOKEN_OK) {
        weir_remembered_add(remembered, digest);
    }

    return reason;
}


void
ngx_http_weir_jwt_request_expire(ngx_http_weir_jwt_ctx_t *ctx)
{
    if (ctx->result == NGX_HTTP_WEIR_JWT_VERIFIED && ngx_time() >= ctx->expires)
    {
        ctx->result = NGX_HTTP_WEIR_JWT_REFUSED;
        ctx->reason = WEIR_TOKEN_EXPIRED;
    }
}


ngx_uint_t
ngx_http_weir_jwt_request_may(ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_str_t                 *values;
    ngx_uint_t                 i, j, has;
    weir_str_t                 text;
    ngx_http_weir_jwt_rule_t  *rule;

    if (ctx->conf->rules == NULL) {
        return 1;
    }

    rule = ctx->conf->rules->elts;

    for (i = 0; i < ctx->conf->rules->nelts; i++) {

        if (rule[i].scope.len) {
            text.data = (char *) rule[i].scope.data;
            text.len = rule[i].scope.len;
            has = weir_claims_have_scope(ctx->token.claims, text);

        } else if (rule[i].values == NULL) {
            has = json_object_get(ctx->token.claims, rule[i].claim) != NULL
                  && !json_is_null(json_object_get(ctx->token.claims,
                                                   rule[i].claim));

        } else {
            values = rule[i].values->elts;
            has = 0;

            for (j = 0; j < rule[i].values->nelts && !has; j++) {
                text.data = (char *) values[j].data;
                text.len = values[j].len;
                has = weir_claim_has(ctx->token.claims, rule[i].claim, text);
            }
        }

        if (!has) {
            return 0;
        }
    }

    return 1;
}


ngx_uint_t
ngx_http_weir_jwt_is_private(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t            *cln;
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_jwt_request_cleanup) {
            continue;
        }

        ctx = cln->data;

        if (ctx->request == r && ctx->result == NGX_HTTP_WEIR_JWT_VERIFIED) {
            return 1;
        }
    }

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);

    if (jlcf->issuers == NULL) {
        return 0;
    }

    ctx = ngx_http_weir_jwt_request(r);

    return ctx == NULL || !jlcf->optional || jlcf->rules
           || ctx->result != NGX_HTTP_WEIR_JWT_ABSENT;
}


void
ngx_http_weir_jwt_request_cleanup(void *data)
{
    ngx_http_weir_jwt_ctx_t  *ctx = data;

    weir_token_release(&ctx->token);
}


void
ngx_http_weir_jwt_request_init_process(ngx_log_t *log)
{
    ngx_http_weir_jwt_remembered = ngx_alloc(sizeof(weir_remembered_t), log);

    if (ngx_http_weir_jwt_remembered) {
        weir_remembered_init(ngx_http_weir_jwt_remembered);
    }
}


void
ngx_http_weir_jwt_request_exit_process(void)
{
    if (ngx_http_weir_jwt_remembered) {
        ngx_free(ngx_http_weir_jwt_remembered);
        ngx_http_weir_jwt_remembered = NULL;
    }
}
