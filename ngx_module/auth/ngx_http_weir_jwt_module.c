/*
 * weir_jwt: who calls is proved by a JSON Web Token (RFC 7519), which the edge
 * verifies without asking anybody.
 *
 * The access phase decides, so that "satisfy any", auth_basic and auth_request
 * work beside it, and so that nothing is answered before, in particular not
 * from the cache.  As other modules of that phase, it does not look at
 * subrequests.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "auth/ngx_http_weir_jwt_private.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_jwt_access_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_jwt_deny(ngx_http_request_t *r,
    ngx_http_weir_jwt_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_jwt_count(ngx_http_weir_jwt_ctx_t *ctx);
static void ngx_http_weir_jwt_tell(ngx_http_weir_jwt_ctx_t *ctx,
    ngx_uint_t count);
static ngx_int_t ngx_http_weir_jwt_granted_handler(ngx_http_request_t *r);
static char *ngx_http_weir_jwt_set_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_jwt_set_size(ngx_conf_t *cf, size_t *size,
    size_t min);
static char *ngx_http_weir_jwt_set_dpop_zone(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_weir_jwt_set_audit(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_weir_jwt_set_revocation(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static void *ngx_http_weir_jwt_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_jwt_create_loc_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_jwt_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_jwt_init_revocation(ngx_conf_t *cf,
    ngx_http_weir_jwt_main_conf_t *jmcf);
static void ngx_http_weir_jwt_cleanup(void *data);
static ngx_int_t ngx_http_weir_jwt_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_jwt_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_weir_jwt_commands[] = {

    { ngx_string("weir_jwt_issuer"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_weir_jwt_issuer_block,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_jwt_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_jwt_set_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_jwt_revocation"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_weir_jwt_set_revocation,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_jwt"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_jwt_conf_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_jwt_require"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_jwt_conf_require,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_jwt_audit"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_jwt_set_audit,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_jwt_dpop"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_jwt_dpop_conf_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_jwt_loc_conf_t, dpop),
      NULL },

    { ngx_string("weir_jwt_dpop_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_jwt_set_dpop_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_cache_authorized"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_jwt_share_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_jwt_module_ctx = {
    ngx_http_weir_jwt_variables_add,       /* preconfiguration */
    ngx_http_weir_jwt_init,                /* postconfiguration */

    ngx_http_weir_jwt_create_main_conf,    /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_jwt_create_loc_conf,     /* create location configuration */
    ngx_http_weir_jwt_conf_merge           /* merge location configuration */
};


ngx_module_t  ngx_http_weir_jwt_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_jwt_module_ctx,         /* module context */
    ngx_http_weir_jwt_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_jwt_init_process,        /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_jwt_exit_process,        /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_uint_t
ngx_http_weir_jwt_issuers(ngx_http_request_t *r)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_jwt_module);

    return jmcf->issuers.nelts;
}


ngx_uint_t
ngx_http_weir_jwt_issuer_counts(ngx_http_request_t *r, ngx_uint_t i,
    ngx_http_weir_jwt_counts_t *counts)
{
    ngx_http_weir_jwt_issuer_t    **issuers;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_jwt_module);
    issuers = jmcf->issuers.elts;

    if (!issuers[i]->used) {
        return 0;
    }

    counts->name = issuers[i]->name;
    ngx_http_weir_jwt_keys_counts(issuers[i]->source, &counts->keys);

    return 1;
}


static ngx_int_t
ngx_http_weir_jwt_access_handler(ngx_http_request_t *r)
{
    ngx_int_t                      rc;
    ngx_http_weir_jwt_ctx_t       *ctx;
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    jlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_jwt_module);

    if (jlcf->issuers == NULL) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_weir_jwt_request_ctx(r);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    /*
     * a variable may have needed the token before "limit_req" or another module
     * of this phase has waited, and the token may have waited for its turn
     */

    if (ctx->result == NGX_HTTP_WEIR_JWT_VERIFIED) {
        ngx_http_weir_jwt_judge_recheck(ctx);

    } else if (ngx_http_weir_jwt_judge(ctx) != NGX_OK
               || ctx->result != NGX_HTTP_WEIR_JWT_VERIFIED)
    {
        rc = ngx_http_weir_jwt_request_wait(r, ctx);

        if (rc != NGX_OK) {
            return rc == NGX_AGAIN ? NGX_AGAIN : NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    if (ctx->result == NGX_HTTP_WEIR_JWT_VERIFIED
        && ngx_http_weir_jwt_rules_permit(ctx))
    {
        ngx_http_weir_jwt_keys_count(ctx->issuer->source, WEIR_TOKEN_OK);

        return ctx->proof == NULL
               || ngx_http_weir_jwt_bound_renew(ctx) == NGX_OK
               ? NGX_OK : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_weir_jwt_deny(r, ctx);
}


/* Refused, unless it needs no token and has none. */

static ngx_int_t
ngx_http_weir_jwt_deny(ngx_http_request_t *r, ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_uint_t  count;

    count = ngx_http_weir_jwt_count(ctx);

    if (ctx->result == NGX_HTTP_WEIR_JWT_ABSENT && ctx->conf->optional
        && ctx->conf->rules == NULL)
    {
        /* neither granted nor refused, which matters for "satisfy any" */
        return NGX_DECLINED;
    }

    if (ctx->main->audit) {
        ngx_http_weir_jwt_tell(ctx, count);
    }

    return ngx_http_weir_jwt_refuse(r, ctx);
}


/* A request without an issuer of its own counts for the location's first. */

static ngx_uint_t
ngx_http_weir_jwt_count(ngx_http_weir_jwt_ctx_t *ctx)
{
    ngx_uint_t                    count;
    ngx_http_weir_jwt_issuer_t  **issuers;

    switch (ctx->result) {

    case NGX_HTTP_WEIR_JWT_ABSENT:
        count = NGX_HTTP_WEIR_JWT_COUNT_ABSENT;
        break;

    case NGX_HTTP_WEIR_JWT_SEVERAL:
        count = NGX_HTTP_WEIR_JWT_COUNT_SEVERAL;
        break;

    case NGX_HTTP_WEIR_JWT_REFUSED:
        count = ctx->reason;
        break;

    default: /* NGX_HTTP_WEIR_JWT_VERIFIED */
        count = NGX_HTTP_WEIR_JWT_COUNT_FORBIDDEN;
        break;
    }

    issuers = ctx->conf->issuers->elts;

    ngx_http_weir_jwt_keys_count(ctx->issuer ? ctx->issuer->source
                                             : issuers[0]->source, count);

    return count;
}


/*
 * For the audit log: 401 and 403.  With "satisfy any" another module may admit
 * the request.
 */

static void
ngx_http_weir_jwt_tell(ngx_http_weir_jwt_ctx_t *ctx, ngx_uint_t count)
{
    ngx_http_core_loc_conf_t  *clcf;

    switch (count) {

    case WEIR_TOKEN_NO_KEYS:
    case WEIR_TOKEN_NO_TURN:
    case WEIR_TOKEN_STALE:
    case WEIR_TOKEN_PROOF_NO_ROOM:
    case WEIR_TOKEN_PROOF_NONCE:
    case NGX_HTTP_WEIR_JWT_COUNT_SEVERAL:
        return;

    default:
        break;
    }

    clcf = ngx_http_get_module_loc_conf(ctx->request, ngx_http_core_module);

    if (clcf->satisfy != NGX_HTTP_SATISFY_ANY) {
        ngx_http_weir_jwt_audit(ctx->request, ctx->main->audit,
                                ctx->main->memory->audit,
                                ngx_http_weir_jwt_keys_count_name(count),
                                ctx->result == NGX_HTTP_WEIR_JWT_VERIFIED
                                ? ctx->claims : NULL);
    }
}


ngx_atomic_t *
ngx_http_weir_jwt_audited(ngx_http_request_t *r)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_jwt_module);

    return jmcf->used && jmcf->audit ? jmcf->memory->audit : NULL;
}


/*
 * The request was refused here, and "satisfy any" let another module admit it:
 * its response has no challenge.
 */

static ngx_int_t
ngx_http_weir_jwt_granted_handler(ngx_http_request_t *r)
{
    ngx_http_weir_jwt_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_jwt_module);

    if (ctx && ctx->challenge) {
        ctx->challenge->hash = 0;
        ctx->challenge = NULL;
    }

    return NGX_DECLINED;
}


static char *
ngx_http_weir_jwt_set_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf = conf;

    return ngx_http_weir_jwt_set_size(cf, &jmcf->size,
                                      NGX_HTTP_WEIR_JWT_MEMORY_MIN);
}


static char *
ngx_http_weir_jwt_set_dpop_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf = conf;

    return ngx_http_weir_jwt_set_size(cf, &jmcf->proofs,
                                      NGX_HTTP_WEIR_JWT_DPOP_MIN);
}


static char *
ngx_http_weir_jwt_set_size(ngx_conf_t *cf, size_t *size, size_t min)
{
    ssize_t     parsed;
    ngx_str_t  *value;

    if (*size) {
        return "is duplicate";
    }

    value = cf->args->elts;
    parsed = ngx_parse_size(&value[1]);

    if (parsed == NGX_ERROR || (size_t) parsed < min) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" in \"%V\"; it is at least"
                           " %uzk", &value[1], &value[0], min / 1024);
        return NGX_CONF_ERROR;
    }

    *size = parsed;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_jwt_set_audit(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf = conf;

    ngx_str_t  *value, name;

    if (jmcf->audit) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strncmp(value[1].data, "redis=", 6) != 0 || value[1].len == 6) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid value \"%V\" in \"weir_jwt_audit\"; it takes"
                           " redis=NAME, of a weir_redis", &value[1]);
        return NGX_CONF_ERROR;
    }

    name.data = value[1].data + 6;
    name.len = value[1].len - 6;

    jmcf->audit = ngx_http_weir_redis_get(cf, &name);

    return jmcf->audit ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_weir_jwt_set_revocation(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf = conf;

    return ngx_http_weir_jwt_revocation_set(cf, &jmcf->revocation);
}


static void *
ngx_http_weir_jwt_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_jwt_main_conf_t));
    if (jmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&jmcf->issuers, cf->pool, 4,
                       sizeof(ngx_http_weir_jwt_issuer_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return jmcf;
}


static void *
ngx_http_weir_jwt_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_jwt_loc_conf_t  *jlcf;

    jlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_jwt_loc_conf_t));
    if (jlcf == NULL) {
        return NULL;
    }

    if (ngx_http_weir_place(cf, &jlcf->place) != NGX_OK) {
        return NULL;
    }

    jlcf->issuers = NGX_CONF_UNSET_PTR;
    jlcf->rules = NGX_CONF_UNSET_PTR;
    jlcf->share = NGX_CONF_UNSET_UINT;

    return jlcf;
}


static ngx_int_t
ngx_http_weir_jwt_init(ngx_conf_t *cf)
{
    ngx_uint_t                      i;
    ngx_pool_cleanup_t             *cln;
    ngx_http_weir_jwt_issuer_t    **issuers;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_jwt_module);

    issuers = jmcf->issuers.elts;

    for (i = 0; i < jmcf->issuers.nelts; i++) {
        if (ngx_http_weir_jwt_keys_complete(cf, issuers[i]->source) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (!jmcf->used) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_jwt_cleanup;
    cln->data = jmcf;

    if (ngx_http_weir_jwt_memory_add(cf, jmcf->size
                                         ? jmcf->size
                                         : NGX_HTTP_WEIR_JWT_MEMORY_SIZE,
                                     &jmcf->memory, &ngx_http_weir_jwt_module)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (jmcf->proved
        && ngx_http_weir_jwt_dpop_add_memory(cf, jmcf->proofs
                                                 ? jmcf->proofs
                                                 : NGX_HTTP_WEIR_JWT_DPOP_SIZE,
                                             &jmcf->dpop,
                                             &ngx_http_weir_jwt_module)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (jmcf->revocation
        && ngx_http_weir_jwt_init_revocation(cf, jmcf) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (ngx_http_weir_add_handler(cf, NGX_HTTP_ACCESS_PHASE,
                                  ngx_http_weir_jwt_access_handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (!jmcf->any) {
        return NGX_OK;
    }

    return ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                     ngx_http_weir_jwt_granted_handler);
}


static ngx_int_t
ngx_http_weir_jwt_init_revocation(ngx_conf_t *cf,
    ngx_http_weir_jwt_main_conf_t *jmcf)
{
    ngx_uint_t                        i;
    ngx_http_weir_jwt_issuer_t      **issuers;
    ngx_http_weir_jwt_revocation_t   *revocation;

    issuers = jmcf->issuers.elts;
    revocation = jmcf->revocation;

    revocation->nissuers = jmcf->issuers.nelts;
    revocation->issuers = ngx_palloc(cf->pool, revocation->nissuers
                                               * sizeof(weir_str_t));
    if (revocation->issuers == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < revocation->nissuers; i++) {
        revocation->issuers[i] = issuers[i]->token.issuer;
    }

    return ngx_http_weir_jwt_revocation_add_zone(cf, revocation,
                                                 &ngx_http_weir_jwt_module);
}


static void
ngx_http_weir_jwt_cleanup(void *data)
{
    ngx_http_weir_jwt_main_conf_t  *jmcf = data;

    ngx_http_weir_jwt_audit_end(jmcf->audit);

    if (jmcf->known) {
        ngx_http_weir_jwt_known_destroy(jmcf->known);
        jmcf->known = NULL;
    }
}


static ngx_int_t
ngx_http_weir_jwt_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                      i;
    ngx_http_weir_jwt_issuer_t    **issuers;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_weir_jwt_module);

    if (jmcf == NULL || !jmcf->used) {
        return NGX_OK;
    }

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        /* nginx' cache manager and loader have no requests */
        return NGX_OK;
    }

    issuers = jmcf->issuers.elts;

    for (i = 0; i < jmcf->issuers.nelts; i++) {
        if (issuers[i]->used) {
            ngx_http_weir_jwt_keys_start(issuers[i]->source);
        }
    }

    if (jmcf->revocation
        && ngx_http_weir_jwt_revocation_follow(jmcf->revocation) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_weir_jwt_turn_init_process(cycle->log);
}


static void
ngx_http_weir_jwt_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                      i;
    ngx_http_weir_jwt_issuer_t    **issuers;
    ngx_http_weir_jwt_main_conf_t  *jmcf;

    jmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_weir_jwt_module);

    if (jmcf) {
        issuers = jmcf->issuers.elts;

        for (i = 0; i < jmcf->issuers.nelts; i++) {
            ngx_http_weir_jwt_keys_stop(issuers[i]->source);
        }

        if (jmcf->revocation) {
            ngx_http_weir_jwt_revocation_leave(jmcf->revocation);
        }
    }

    ngx_http_weir_jwt_turn_exit_process();
}
