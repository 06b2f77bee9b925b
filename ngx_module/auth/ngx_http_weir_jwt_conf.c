/* The arguments of weir_jwt and weir_jwt_require, and what follows from both. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_private.h"
#include "common/text/token.h"


static char *ngx_http_weir_jwt_conf_add_issuer(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *name);
static char *ngx_http_weir_jwt_conf_set_source(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *value,
    ngx_http_weir_jwt_source_e source);
static char *ngx_http_weir_jwt_conf_set_bound(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *value);
static char *ngx_http_weir_jwt_conf_read_rule(ngx_conf_t *cf,
    ngx_str_t *value, ngx_http_weir_jwt_rule_t *rule);
static ngx_int_t ngx_http_weir_jwt_conf_read_values(ngx_conf_t *cf,
    ngx_http_weir_jwt_rule_t *rule, u_char *p, u_char *last);
static char *ngx_http_weir_jwt_conf_merge_dpop(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *prev, ngx_http_weir_jwt_loc_conf_t *conf);
static ngx_int_t ngx_http_weir_jwt_conf_challenges(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf);
static ngx_int_t ngx_http_weir_jwt_conf_challenge(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_http_weir_jwt_scheme_e scheme,
    char *more, ngx_str_t *challenge);
static char *ngx_http_weir_jwt_conf_scope(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf);


/* Parameters of challenges behind the realm. */
static struct {
    size_t   offset;
    char    *more;
}  ngx_http_weir_jwt_conf_errors[] = {
    { offsetof(ngx_http_weir_jwt_challenges_t, realm), "" },
    { offsetof(ngx_http_weir_jwt_challenges_t, invalid_request),
      ", error=\"invalid_request\"" },
    { offsetof(ngx_http_weir_jwt_challenges_t, invalid_token),
      ", error=\"invalid_token\"" },
    { offsetof(ngx_http_weir_jwt_challenges_t, expired_token),
      ", error=\"invalid_token\","
      " error_description=\"The token has expired\"" },
    { offsetof(ngx_http_weir_jwt_challenges_t, invalid_proof),
      ", error=\"invalid_dpop_proof\"" },
    { offsetof(ngx_http_weir_jwt_challenges_t, use_nonce),
      ", error=\"use_dpop_nonce\"" },
    { 0, NULL }
};


char *
ngx_http_weir_jwt_conf_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_jwt_loc_conf_t  *jlcf = conf;

    char        *rv;
    ngx_str_t   *value;
    ngx_uint_t   i;

    if (jlcf->issuers != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        jlcf->issuers = NULL;
        jlcf->off = 1;
        return NGX_CONF_OK;
    }

    jlcf->issuers = ngx_array_create(cf->pool, 1,
                                     sizeof(ngx_http_weir_jwt_issuer_t *));
    if (jlcf->issuers == NULL) {
        return NGX_CONF_ERROR;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        if (ngx_strcmp(value[i].data, "optional") == 0) {
            rv = jlcf->optional ? "has \"optional\" twice" : NGX_CONF_OK;
            jlcf->optional = 1;

        } else if (ngx_strncmp(value[i].data, "cookie=", 7) == 0) {
            rv = ngx_http_weir_jwt_conf_set_source(cf, jlcf, &value[i],
                                                   NGX_HTTP_WEIR_JWT_COOKIE);

        } else if (ngx_strncmp(value[i].data, "header=", 7) == 0) {
            rv = ngx_http_weir_jwt_conf_set_source(cf, jlcf, &value[i],
                                                   NGX_HTTP_WEIR_JWT_HEADER);

        } else if (ngx_strncmp(value[i].data, "bound=", 6) == 0) {
            rv = ngx_http_weir_jwt_conf_set_bound(cf, jlcf, &value[i]);

        } else {
            rv = ngx_http_weir_jwt_conf_add_issuer(cf, jlcf, &value[i]);
        }

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    if (jlcf->bound >= NGX_HTTP_WEIR_JWT_BOUND_DPOP
        && jlcf->source != NGX_HTTP_WEIR_JWT_AUTHORIZATION)
    {
        return "has \"bound=dpop\" beside \"cookie=\" or \"header=\": tokens"
               " with proofs are in Authorization";
    }

    return jlcf->issuers->nelts ? NGX_CONF_OK : "names no issuer";
}


static char *
ngx_http_weir_jwt_conf_add_issuer(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *name)
{
    ngx_uint_t                      i;
    ngx_http_weir_jwt_issuer_t     *issuer, **issuers;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_jwt_module);

    issuer = ngx_http_weir_jwt_issuer_find(jmcf, name);

    if (issuer == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "unknown issuer \"%V\" in \"weir_jwt\": no"
                           " \"weir_jwt_issuer\" of that name comes before it",
                           name);
        return NGX_CONF_ERROR;
    }

    issuers = jlcf->issuers->elts;

    for (i = 0; i < jlcf->issuers->nelts; i++) {
        if (weir_str_eq(issuers[i]->token.issuer, issuer->token.issuer)) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"%V\" and \"%V\" in \"weir_jwt\" have the same"
                               " issuer", &issuers[i]->name, name);
            return NGX_CONF_ERROR;
        }
    }

    issuers = ngx_array_push(jlcf->issuers);
    if (issuers == NULL) {
        return NGX_CONF_ERROR;
    }

    *issuers = issuer;
    issuer->used = 1;
    jmcf->used = 1;

    return NGX_CONF_OK;
}


/* cookie=NAME, whose value is that of a variable of nginx; header=NAME */

static char *
ngx_http_weir_jwt_conf_set_source(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *value,
    ngx_http_weir_jwt_source_e source)
{
    size_t      prefix;
    ngx_str_t   name;
    ngx_uint_t  i;

    prefix = sizeof("cookie=") - 1;

    if (jlcf->source != NGX_HTTP_WEIR_JWT_AUTHORIZATION) {
        return "has more than one of \"cookie=\" and \"header=\"";
    }

    name.data = value->data + prefix;
    name.len = value->len - prefix;

    /* "$" is meant for a variable, which would be taken for a name */

    for (i = 0;
         i < name.len && name.data[i] != '$'
         && weir_is_tchar((char) name.data[i]);
         i++)
    {
        /* void */
    }

    if (name.len == 0 || i < name.len) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_jwt\"; it must be"
                           " that of a cookie or header, without variables",
                           value);
        return NGX_CONF_ERROR;
    }

    jlcf->source = source;
    jlcf->name = name;

    if (source == NGX_HTTP_WEIR_JWT_HEADER) {
        ngx_strlow(name.data, name.data, name.len);
        return NGX_CONF_OK;
    }

    jlcf->name.len = sizeof("cookie_") - 1 + name.len;
    jlcf->name.data = ngx_pnalloc(cf->pool, jlcf->name.len);
    if (jlcf->name.data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(ngx_cpymem(jlcf->name.data, "cookie_", sizeof("cookie_") - 1),
               name.data, name.len);

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_jwt_conf_set_bound(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_str_t *value)
{
    u_char                         *name;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_jwt_module);
    name = value->data + sizeof("bound=") - 1;

    if (ngx_strcmp(name, "certificate") == 0) {
        jlcf->bound = NGX_HTTP_WEIR_JWT_BOUND_CERTIFICATE;

    } else if (ngx_strcmp(name, "dpop") == 0) {
        jlcf->bound = NGX_HTTP_WEIR_JWT_BOUND_DPOP;
        jmcf->proved = 1;

    } else if (ngx_strcmp(name, "dpop_or_none") == 0) {
        jlcf->bound = NGX_HTTP_WEIR_JWT_BOUND_DPOP_OR_NONE;
        jmcf->proved = 1;

    } else if (ngx_strcmp(name, "refuse") == 0) {
        jlcf->bound = NGX_HTTP_WEIR_JWT_BOUND_REFUSE;

    } else if (ngx_strcmp(name, "ignore") != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_jwt\"; there are"
                           " bound=certificate, bound=dpop, bound=dpop_or_none,"
                           " bound=refuse, bound=ignore", value);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_weir_jwt_conf_require(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_jwt_loc_conf_t  *jlcf = conf;

    char                      *rv;
    ngx_str_t                 *value;
    ngx_uint_t                 i;
    ngx_http_weir_jwt_rule_t  *rule;

    if (jlcf->rules == NGX_CONF_UNSET_PTR) {
        jlcf->rules = NULL;
    }

    value = cf->args->elts;

    if (cf->args->nelts == 2 && ngx_strcmp(value[1].data, "off") == 0) {
        return jlcf->rules ? "has \"off\" beside other values" : NGX_CONF_OK;
    }

    if (jlcf->rules == NULL) {
        jlcf->rules = ngx_array_create(cf->pool, 2,
                                       sizeof(ngx_http_weir_jwt_rule_t));
        if (jlcf->rules == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    for (i = 1; i < cf->args->nelts; i++) {

        rule = ngx_array_push(jlcf->rules);
        if (rule == NULL) {
            return NGX_CONF_ERROR;
        }

        rv = ngx_http_weir_jwt_conf_read_rule(cf, &value[i], rule);

        if (rv != NGX_CONF_OK) {
            return rv;
        }
    }

    return NGX_CONF_OK;
}


/* scope=SCOPE, claim=NAME, claim=NAME=VALUE|VALUE */

static char *
ngx_http_weir_jwt_conf_read_rule(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_weir_jwt_rule_t *rule)
{
    u_char  *p, *last, *equals;

    ngx_memzero(rule, sizeof(ngx_http_weir_jwt_rule_t));

    p = value->data + 6;
    last = value->data + value->len;

    if (ngx_strncmp(value->data, "scope=", 6) == 0) {
        rule->scope.data = p;
        rule->scope.len = last - p;

        /* RFC 6749 section 3.3; "|" is meant for one of several */

        while (p < last && *p > 0x20 && *p < 0x7f && *p != '"' && *p != '\\'
               && *p != '|')
        {
            p++;
        }

        if (rule->scope.len && p == last) {
            return NGX_CONF_OK;
        }

    } else if (ngx_strncmp(value->data, "claim=", 6) == 0) {
        equals = ngx_strlchr(p, last, '=');

        if (p < last && p != equals
            && (equals ? equals : last) - p <= WEIR_CLAIM_NAME_MAX)
        {
            rule->claim = (char *) p;

            if (equals == NULL) {
                return NGX_CONF_OK;
            }

            *equals = '\0';

            return ngx_http_weir_jwt_conf_read_values(cf, rule, equals + 1,
                                                      last)
                   == NGX_OK ? NGX_CONF_OK : NGX_CONF_ERROR;
        }
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"weir_jwt_require\"; it takes"
                       " scope=ONE, claim=NAME, claim=NAME=VALUE|...", value);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_weir_jwt_conf_read_values(ngx_conf_t *cf,
    ngx_http_weir_jwt_rule_t *rule, u_char *p, u_char *last)
{
    u_char     *end;
    ngx_str_t  *value;

    rule->values = ngx_array_create(cf->pool, 1, sizeof(ngx_str_t));
    if (rule->values == NULL) {
        return NGX_ERROR;
    }

    for ( ;; ) {
        end = ngx_strlchr(p, last, '|');

        value = ngx_array_push(rule->values);
        if (value == NULL) {
            return NGX_ERROR;
        }

        value->data = p;
        value->len = (end ? end : last) - p;

        if (end == NULL) {
            return NGX_OK;
        }

        p = end + 1;
    }
}


char *
ngx_http_weir_jwt_conf_merge(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_jwt_loc_conf_t  *prev = parent;
    ngx_http_weir_jwt_loc_conf_t  *conf = child;

    ngx_uint_t                      own;
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    own = (conf->rules != NGX_CONF_UNSET_PTR);

    if (conf->issuers == NGX_CONF_UNSET_PTR) {
        conf->issuers = prev->issuers;
        conf->off = prev->off;
        conf->optional = prev->optional;
        conf->source = prev->source;
        conf->name = prev->name;
        conf->bound = prev->bound;
    }

    ngx_conf_init_ptr_value(conf->issuers, NULL);
    ngx_conf_merge_ptr_value(conf->rules, prev->rules, NULL);
    ngx_http_weir_jwt_share_merge(cf, prev, conf);

    if (ngx_http_weir_jwt_conf_merge_dpop(cf, prev, conf) != NGX_CONF_OK) {
        return NGX_CONF_ERROR;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (conf->issuers) {
        jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_jwt_module);
        jmcf->any |= (clcf->satisfy == NGX_HTTP_SATISFY_ANY);

        return ngx_http_weir_jwt_conf_challenges(cf, conf) == NGX_OK
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    /* without a token nothing would be required */

    if (conf->rules == NULL || (conf->off && !own)) {
        return NGX_CONF_OK;
    }

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"weir_jwt_require\" has no \"weir_jwt\" in location \"%V\","
                  " which may say \"weir_jwt off\" where nothing is required, in"
                  " %V", &clcf->name, &conf->place);

    return NGX_CONF_ERROR;
}


/* weir_jwt_dpop, which is inherited as a whole. */

static char *
ngx_http_weir_jwt_conf_merge_dpop(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *prev, ngx_http_weir_jwt_loc_conf_t *conf)
{
    ngx_http_core_loc_conf_t       *clcf;
    ngx_http_core_srv_conf_t       *cscf;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    if (conf->dpop == NULL) {
        conf->dpop = prev->dpop;
    }

    if (conf->issuers == NULL || conf->bound < NGX_HTTP_WEIR_JWT_BOUND_DPOP) {
        return NGX_CONF_OK;
    }

    if (conf->dpop == NULL) {
        conf->dpop = ngx_http_weir_jwt_dpop_conf_default(cf);

        if (conf->dpop == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_jwt_module);
    jmcf->window = ngx_max(jmcf->window, conf->dpop->window);

    cscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module);

    conf->names = ngx_http_weir_jwt_dpop_conf_names(cf, cscf);

    if (conf->names == NULL) {
        return NGX_CONF_ERROR;
    }

    if (conf->dpop->origins || conf->names->nelts) {
        return NGX_CONF_OK;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"weir_jwt\" with \"bound=dpop\" in location \"%V\" does not"
                  " know the URLs that proofs are for: the server needs a"
                  " \"server_name\", or \"weir_jwt_dpop\" an \"origin=\", in"
                  " %V", &clcf->name, &conf->place);

    return NGX_CONF_ERROR;
}


/*
 * The values of WWW-Authenticate: RFC 6750 section 3, RFC 9449 sections 7.1 and
 * 9.  A request without a token learns each scheme that is accepted.
 */

static ngx_int_t
ngx_http_weir_jwt_conf_challenges(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf)
{
    char        *scope;
    ngx_str_t   *value;
    ngx_uint_t   i, j;

    scope = ngx_http_weir_jwt_conf_scope(cf, jlcf);
    if (scope == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < 3; i++) {

        if (i > 0 && jlcf->bound < NGX_HTTP_WEIR_JWT_BOUND_DPOP) {
            jlcf->challenges[i] = jlcf->challenges[0];
            continue;
        }

        for (j = 0; ngx_http_weir_jwt_conf_errors[j].more; j++) {
            value = (ngx_str_t *) ((u_char *) &jlcf->challenges[i]
                                   + ngx_http_weir_jwt_conf_errors[j].offset);

            if (ngx_http_weir_jwt_conf_challenge(cf, jlcf, i,
                                         ngx_http_weir_jwt_conf_errors[j].more,
                                         value)
                != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        if (ngx_http_weir_jwt_conf_challenge(cf, jlcf, i, scope,
                                     &jlcf->challenges[i].insufficient_scope)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* The parameters of insufficient_scope; NULL: no memory. */

static char *
ngx_http_weir_jwt_conf_scope(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf)
{
    char                      *more;
    u_char                    *p;
    size_t                     len;
    ngx_uint_t                 i, n;
    ngx_http_weir_jwt_rule_t  *rules;

    rules = jlcf->rules ? jlcf->rules->elts : NULL;
    n = jlcf->rules ? jlcf->rules->nelts : 0;

    len = sizeof(", error=\"insufficient_scope\", scope=\"\"");

    for (i = 0; i < n; i++) {
        len += rules[i].scope.len + 1;
    }

    more = ngx_pnalloc(cf->temp_pool, len);
    if (more == NULL) {
        return NULL;
    }

    p = ngx_sprintf((u_char *) more, ", error=\"insufficient_scope\"");
    len = 0;

    for (i = 0; i < n; i++) {
        if (rules[i].scope.len) {
            p = ngx_sprintf(p, "%s%V", len++ ? " " : ", scope=\"",
                            &rules[i].scope);
        }
    }

    ngx_memcpy(p, "\"", sizeof("\""));

    if (len == 0) {
        *p = '\0';
    }

    return more;
}


/*
 * Where all tokens need a proof, the scheme is DPoP; where none does, Bearer.
 * Elsewhere it is that of the token, or both without one.
 */

static ngx_int_t
ngx_http_weir_jwt_conf_challenge(ngx_conf_t *cf,
    ngx_http_weir_jwt_loc_conf_t *jlcf, ngx_http_weir_jwt_scheme_e scheme,
    char *more, ngx_str_t *challenge)
{
    u_char                       *p;
    ngx_str_t                    *name;
    ngx_uint_t                    bearer, dpop;
    ngx_http_weir_jwt_issuer_t  **issuers;

    issuers = jlcf->issuers->elts;
    name = &issuers[0]->name;

    bearer = (jlcf->bound != NGX_HTTP_WEIR_JWT_BOUND_DPOP);
    dpop = (jlcf->bound >= NGX_HTTP_WEIR_JWT_BOUND_DPOP);

    if (bearer && dpop && scheme != NGX_HTTP_WEIR_JWT_NO_SCHEME) {
        bearer = (scheme == NGX_HTTP_WEIR_JWT_BEARER);
        dpop = !bearer;
    }

    p = ngx_pnalloc(cf->pool,
                    sizeof("Bearer realm=\"\", DPoP realm=\"\", algs=\"\"")
                    + 2 * (name->len + ngx_strlen(more))
                    + (dpop ? jlcf->dpop->names.len : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    challenge->data = p;

    if (bearer) {
        p = ngx_sprintf(p, "Bearer realm=\"%V\"%s%s", name, more,
                        dpop ? ", " : "");
    }

    if (dpop) {
        p = ngx_sprintf(p, "DPoP realm=\"%V\"%s, algs=\"%V\"", name, more,
                        &jlcf->dpop->names);
    }

    challenge->len = p - challenge->data;

    return NGX_OK;
}
