/*
 * weir_cache_authorized: with whom a request with a verified token may share the
 * responses that are stored.
 *
 * The requests that share have the same partition, a text that begins their keys
 * in the cache:
 *
 *     line feed, "@", the requirement, and for a subject or claims: the issuer
 *     and each claim, in parts of "letter, length, colon, text"
 *
 * No other key begins so (a line feed and a digit begins one after an internal
 * redirect), and the lengths keep different parts apart.  The requirement is a
 * digest of all that the location wants of a token, and of the names of the
 * claims: a response that was stored under one requirement is never found under
 * another, and the value of one claim is never taken for that of another.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "auth/ngx_http_weir_jwt_private.h"
#include "common/hash/blake2b.h"


/* Bytes of all claims of a partition at most; with more, nothing is shared. */
#define NGX_HTTP_WEIR_JWT_SHARE_MAX  1024


static char *ngx_http_weir_jwt_share_add_claim(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *value);
static void ngx_http_weir_jwt_share_digest(ngx_http_weir_jwt_loc_conf_t *jlcf);
static void ngx_http_weir_jwt_share_add_issuer(weir_blake2b_t *digest,
    ngx_http_weir_jwt_issuer_t *issuer);
static void ngx_http_weir_jwt_share_add_rule(weir_blake2b_t *digest,
    ngx_http_weir_jwt_rule_t *rule);
static void ngx_http_weir_jwt_share_add_texts(weir_blake2b_t *digest,
    ngx_array_t *texts);
static void ngx_http_weir_jwt_share_add_text(weir_blake2b_t *digest,
    const char *text, size_t len);
static ngx_int_t ngx_http_weir_jwt_share_read_claims(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, ngx_str_t *text);
static u_char *ngx_http_weir_jwt_share_put_claim(u_char *p, u_char *last,
    json_t *claim);
static u_char *ngx_http_weir_jwt_share_put(u_char *p, u_char *last,
    u_char letter, const char *text, size_t len);
static ngx_uint_t ngx_http_weir_jwt_share_is_rounded(json_t *claim);
static ngx_uint_t ngx_http_weir_jwt_share_is_other(
    ngx_http_weir_jwt_ctx_t *ctx, ngx_http_weir_jwt_ctx_t *earlier);


char *
ngx_http_weir_jwt_share_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_jwt_loc_conf_t  *jlcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (jlcf->share != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2) {

        if (ngx_strcmp(value[1].data, "off") == 0) {
            jlcf->share = NGX_HTTP_WEIR_JWT_SHARE_OFF;
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(value[1].data, "shared") == 0) {
            jlcf->share = NGX_HTTP_WEIR_JWT_SHARE_ALL;
            return NGX_CONF_OK;
        }

        if (ngx_strcmp(value[1].data, "subject") == 0) {
            ngx_str_set(&value[1], "partition=$weir_jwt_subject");
        }
    }

    jlcf->share = NGX_HTTP_WEIR_JWT_SHARE_CLAIMS;
    jlcf->share_claims = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));

    if (jlcf->share_claims == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {
        rv = ngx_http_weir_jwt_share_add_claim(cf, jlcf, &value[i]);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


/*
 * partition=$weir_jwt_subject, partition=$weir_jwt_claim_NAME: other variables
 * may be what a client has sent, which proves nothing.
 */

static char *
ngx_http_weir_jwt_share_add_claim(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *value)
{
    u_char      *p, *last;
    ngx_str_t   *claim;

    static char  claims[] = "partition=$weir_jwt_claim_";

    claim = ngx_array_push(jlcf->share_claims);
    if (claim == NULL) {
        return NGX_CONF_ERROR;
    }

    if (ngx_strcmp(value->data, "partition=$weir_jwt_subject") == 0) {
        ngx_str_set(claim, "sub");
        return NGX_CONF_OK;
    }

    if (value->len > sizeof(claims) - 1
        && ngx_strncmp(value->data, claims, sizeof(claims) - 1) == 0)
    {
        claim->data = value->data + sizeof(claims) - 1;
        claim->len = value->len - (sizeof(claims) - 1);

        p = claim->data;
        last = value->data + value->len;

        while (p < last
               && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z')
                   || (*p >= '0' && *p <= '9') || *p == '_'))
        {
            p++;
        }

        if (p == last) {
            return NGX_CONF_OK;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"weir_cache_authorized\"; it"
                       " takes off, shared, subject, or one or more of"
                       " partition=$weir_jwt_claim_NAME and"
                       " partition=$weir_jwt_subject", value);

    return NGX_CONF_ERROR;
}


void
ngx_http_weir_jwt_share_merge(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *prev, ngx_http_weir_jwt_loc_conf_t *conf)
{
    ngx_uint_t                 own;
    ngx_http_core_loc_conf_t  *clcf;

    own = (conf->share != NGX_CONF_UNSET_UINT
           && conf->share != NGX_HTTP_WEIR_JWT_SHARE_OFF);

    if (conf->share == NGX_CONF_UNSET_UINT) {
        conf->share = prev->share;
        conf->share_claims = prev->share_claims;
    }

    ngx_conf_init_uint_value(conf->share, NGX_HTTP_WEIR_JWT_SHARE_OFF);

    if (conf->issuers) {
        ngx_http_weir_jwt_share_digest(conf);
        return;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (own && clcf->name.len && !clcf->noname && clcf->locations == NULL) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"weir_cache_authorized\" has no effect in location"
                      " \"%V\", where \"weir_jwt\" is not on, in %V",
                      &clcf->name, &conf->place);
    }
}


/*
 * What the location wants of a token, the issuers' keys and the place of the
 * token aside, and what callers have in common who share.
 */

static void
ngx_http_weir_jwt_share_digest(ngx_http_weir_jwt_loc_conf_t *jlcf)
{
    ngx_uint_t                    i;
    weir_blake2b_t                digest;
    ngx_http_weir_jwt_rule_t     *rules;
    ngx_http_weir_jwt_issuer_t  **issuers;
    u_char                        hash[NGX_HTTP_WEIR_JWT_REQUIREMENT / 2];

    weir_blake2b_begin(&digest, sizeof(hash), WEIR_STR(""),
                       WEIR_STR("weir jwt require"));

    issuers = jlcf->issuers->elts;

    for (i = 0; i < jlcf->issuers->nelts; i++) {
        ngx_http_weir_jwt_share_add_issuer(&digest, issuers[i]);
    }

    ngx_http_weir_jwt_share_add_text(&digest, NULL, 0);

    if (jlcf->share == NGX_HTTP_WEIR_JWT_SHARE_CLAIMS) {
        ngx_http_weir_jwt_share_add_texts(&digest, jlcf->share_claims);
    }

    ngx_http_weir_jwt_share_add_text(&digest, NULL, 0);
    ngx_http_weir_jwt_share_add_text(&digest, (char *) &jlcf->bound,
                                     sizeof(jlcf->bound));

    rules = jlcf->rules ? jlcf->rules->elts : NULL;

    for (i = 0; rules && i < jlcf->rules->nelts; i++) {
        ngx_http_weir_jwt_share_add_rule(&digest, &rules[i]);
    }

    weir_blake2b_end(&digest, hash);

    (void) ngx_hex_dump(jlcf->requirement, hash, sizeof(hash));
}


static void
ngx_http_weir_jwt_share_add_issuer(weir_blake2b_t *digest,
    ngx_http_weir_jwt_issuer_t *issuer)
{
    ngx_uint_t            i;
    weir_token_issuer_t  *token;

    token = &issuer->token;

    ngx_http_weir_jwt_share_add_text(digest, (char *) issuer->name.data,
                                     issuer->name.len);
    ngx_http_weir_jwt_share_add_text(digest, token->issuer.data,
                                     token->issuer.len);
    ngx_http_weir_jwt_share_add_text(digest, token->type.data,
                                     token->type.len);
    ngx_http_weir_jwt_share_add_text(digest, (char *) &token->algorithms,
                                     sizeof(token->algorithms));
    ngx_http_weir_jwt_share_add_text(digest, (char *) &token->leeway,
                                     sizeof(token->leeway));
    ngx_http_weir_jwt_share_add_text(digest, (char *) &token->max_age,
                                     sizeof(token->max_age));

    for (i = 0; i < token->n_audiences; i++) {
        ngx_http_weir_jwt_share_add_text(digest, token->audiences[i].data,
                                         token->audiences[i].len);
    }

    ngx_http_weir_jwt_share_add_text(digest, NULL, 0);
}


static void
ngx_http_weir_jwt_share_add_rule(weir_blake2b_t *digest,
    ngx_http_weir_jwt_rule_t *rule)
{
    ngx_http_weir_jwt_share_add_text(digest, (char *) rule->scope.data,
                                     rule->scope.len);
    ngx_http_weir_jwt_share_add_text(digest, rule->claim,
                                     rule->claim ? ngx_strlen(rule->claim)
                                                 : 0);

    if (rule->values) {
        ngx_http_weir_jwt_share_add_texts(digest, rule->values);
    }

    ngx_http_weir_jwt_share_add_text(digest, NULL, 0);
}


static void
ngx_http_weir_jwt_share_add_texts(weir_blake2b_t *digest, ngx_array_t *texts)
{
    ngx_str_t   *text;
    ngx_uint_t   i;

    text = texts->elts;

    for (i = 0; i < texts->nelts; i++) {
        ngx_http_weir_jwt_share_add_text(digest, (char *) text[i].data,
                                         text[i].len);
    }
}


/* The length keeps what follows apart; it is not 0 for the end of a list. */

static void
ngx_http_weir_jwt_share_add_text(weir_blake2b_t *digest, const char *text,
    size_t len)
{
    uint64_t  n;

    n = text ? len + 1 : 0;

    weir_blake2b_add(digest, (weir_str_t) { (char *) &n, sizeof(n) });
    weir_blake2b_add(digest, (weir_str_t) { text, len });
}


ngx_int_t
ngx_http_weir_jwt_share(ngx_http_request_t *r,
    ngx_http_weir_jwt_share_t *share)
{
    ngx_int_t                      rc;
    ngx_str_t                      text;
    ngx_pool_cleanup_t            *cln;
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);

    if (jlcf->issuers == NULL || jlcf->share == NGX_HTTP_WEIR_JWT_SHARE_OFF) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_weir_jwt_request(r);

    if (ctx == NULL) {
        return NGX_ERROR;
    }

    /*
     * "satisfy any": another module may have admitted the request; and the
     * access phase may have taken longer than the token is good
     */

    if (ctx->result != NGX_HTTP_WEIR_JWT_VERIFIED
        || !ngx_http_weir_jwt_judge_holds(ctx)
        || !ngx_http_weir_jwt_rules_permit(ctx))
    {
        return NGX_DECLINED;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler == ngx_http_weir_jwt_request_cleanup
            && ngx_http_weir_jwt_share_is_other(ctx, cln->data))
        {
            return NGX_DECLINED;
        }
    }

    rc = ngx_http_weir_jwt_share_read_claims(r, ctx, &text);

    if (rc == NGX_OK) {
        share->partition = text;
        share->authorization =
                           (jlcf->source == NGX_HTTP_WEIR_JWT_AUTHORIZATION);
        share->token = ctx;
    }

    return rc;
}


/*
 * True if the request was in another location before an internal redirect, for
 * the sake of another token.
 */

static ngx_uint_t
ngx_http_weir_jwt_share_is_other(ngx_http_weir_jwt_ctx_t *ctx,
    ngx_http_weir_jwt_ctx_t *earlier)
{
    return earlier != ctx && earlier->request == ctx->request
           && earlier->result == NGX_HTTP_WEIR_JWT_VERIFIED
           && !json_equal(earlier->claims, ctx->claims);
}


/* NGX_DECLINED: a claim is missing, or they are too long. */

static ngx_int_t
ngx_http_weir_jwt_share_read_claims(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx, ngx_str_t *text)
{
    u_char      *p, *last;
    size_t       size;
    ngx_str_t   *claims;
    ngx_uint_t   i;
    weir_str_t   name;

    size = sizeof("\n@ ") - 1 + NGX_HTTP_WEIR_JWT_REQUIREMENT;

    if (ctx->conf->share == NGX_HTTP_WEIR_JWT_SHARE_CLAIMS) {
        size += NGX_HTTP_WEIR_JWT_SHARE_MAX;
    }

    text->data = ngx_pnalloc(r->pool, size);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    p = text->data;
    last = p + size - 1;

    *p++ = '\n';
    *p++ = '@';
    p = ngx_cpymem(p, ctx->conf->requirement, NGX_HTTP_WEIR_JWT_REQUIREMENT);

    if (ctx->conf->share == NGX_HTTP_WEIR_JWT_SHARE_CLAIMS) {

        p = ngx_http_weir_jwt_share_put(p, last, 'i',
                                        ctx->issuer->token.issuer.data,
                                        ctx->issuer->token.issuer.len);

        claims = ctx->conf->share_claims->elts;

        for (i = 0; p && i < ctx->conf->share_claims->nelts; i++) {
            name.data = (char *) claims[i].data;
            name.len = claims[i].len;

            p = ngx_http_weir_jwt_share_put_claim(p, last,
                       ngx_http_weir_jwt_variables_find(ctx->claims,
                                                        name));
        }

        if (p == NULL) {
            return NGX_DECLINED;
        }
    }

    *p++ = ' ';
    text->len = p - text->data;

    return NGX_OK;
}


/* A text and other values never look the same; NULL: no claim, or no room. */

static u_char *
ngx_http_weir_jwt_share_put_claim(u_char *p, u_char *last, json_t *claim)
{
    char  *text;

    if (json_is_string(claim) && json_string_length(claim)) {
        return ngx_http_weir_jwt_share_put(p, last, 's',
                                           json_string_value(claim),
                                           json_string_length(claim));
    }

    if (claim == NULL || json_is_null(claim) || json_is_string(claim)
        || ngx_http_weir_jwt_share_is_rounded(claim))
    {
        return NULL;
    }

    text = json_dumps(claim, JSON_COMPACT|JSON_SORT_KEYS|JSON_ENCODE_ANY);

    if (text == NULL) {
        return NULL;
    }

    p = ngx_http_weir_jwt_share_put(p, last, 'j', text, ngx_strlen(text));

    free(text);

    return p;
}


static u_char *
ngx_http_weir_jwt_share_put(u_char *p, u_char *last, u_char letter,
    const char *text, size_t len)
{
    if (p == NULL
        || len + 2 + NGX_SIZE_T_LEN > (size_t) (last - p))
    {
        return NULL;
    }

    p = ngx_sprintf(p, "%c%uz:", letter, len);

    return ngx_cpymem(p, text, len);
}


/*
 * True if there is a number with a fraction or an exponent: jansson has rounded
 * it, so different ones may have become the same.  The reader of the token has
 * bounded the depth.
 */

static ngx_uint_t
ngx_http_weir_jwt_share_is_rounded(json_t *claim)
{
    size_t       i;
    json_t      *value;
    const char  *name;

    json_array_foreach(claim, i, value) {
        if (ngx_http_weir_jwt_share_is_rounded(value)) {
            return 1;
        }
    }

    json_object_foreach(claim, name, value) {
        if (ngx_http_weir_jwt_share_is_rounded(value)) {
            return 1;
        }
    }

    return json_is_real(claim);
}


ngx_uint_t
ngx_http_weir_jwt_share_holds(const ngx_http_weir_jwt_share_t *share)
{
    return share->token == NULL || ngx_http_weir_jwt_judge_holds(share->token);
}


ngx_int_t
ngx_http_weir_jwt_share_refuse(ngx_http_request_t *r)
{
    ngx_http_weir_jwt_ctx_t  *ctx;

    ctx = ngx_http_weir_jwt_request(r);

    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_weir_jwt_judge_recheck(ctx);

    return ngx_http_weir_jwt_refuse(r, ctx);
}
