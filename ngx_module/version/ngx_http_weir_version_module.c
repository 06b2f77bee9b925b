/*
 * weir_api, weir_version: header-based version negotiation.
 *
 * A phase handler refuses requests that cannot be served; a header filter (see
 * ngx_http_weir_version_answer.c) labels the response.  Both use the result
 * that ngx_http_weir_version_request.c keeps.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "record/ngx_http_weir_record.h"
#include "version/ngx_http_weir_version_private.h"


static ngx_int_t ngx_http_weir_version_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_version_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_weir_version_add_variables(ngx_conf_t *cf);
static void *ngx_http_weir_version_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_version_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_version_merge_loc_conf(ngx_conf_t *cf,
    void *parent, void *child);
static char *ngx_http_weir_version_api_directive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_weir_version_directive(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static ngx_http_weir_version_api_t *ngx_http_weir_version_find_api(
    ngx_http_weir_version_main_conf_t *wmcf, ngx_str_t *name);
static ngx_int_t ngx_http_weir_version_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_weir_version_commands[] = {

    { ngx_string("weir_api"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_BLOCK|NGX_CONF_TAKE1,
      ngx_http_weir_version_api_directive,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_version"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_version_directive,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_version_module_ctx = {
    ngx_http_weir_version_add_variables,       /* preconfiguration */
    ngx_http_weir_version_init,                /* postconfiguration */

    ngx_http_weir_version_create_main_conf,    /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    ngx_http_weir_version_create_loc_conf,     /* create location configuration */
    ngx_http_weir_version_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_weir_version_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_version_module_ctx,         /* module context */
    ngx_http_weir_version_commands,            /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    NULL,                                      /* init module */
    NULL,                                      /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    NULL,                                      /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


typedef enum {
    NGX_HTTP_WEIR_VERSION_NAME = 0,
    NGX_HTTP_WEIR_VERSION_MEDIA_TYPE,
    NGX_HTTP_WEIR_VERSION_STATUS
} ngx_http_weir_version_variable_e;


/* Not cacheable: an internal redirect may lead to another weir_version. */

static ngx_http_variable_t  ngx_http_weir_version_vars[] = {

    { ngx_string("weir_version"), NULL, ngx_http_weir_version_variable,
      NGX_HTTP_WEIR_VERSION_NAME, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_media_type"), NULL, ngx_http_weir_version_variable,
      NGX_HTTP_WEIR_VERSION_MEDIA_TYPE, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_version_status"), NULL, ngx_http_weir_version_variable,
      NGX_HTTP_WEIR_VERSION_STATUS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/*
 * Runs in the preaccess phase: before work is spent on the request, after
 * rewrite has selected the location.  A request that was refused, and is now
 * redirected to an error_page, is not refused again.  Files and Weir's own
 * responses are never refused.
 */

static ngx_int_t
ngx_http_weir_version_handler(ngx_http_request_t *r)
{
    ngx_int_t                     rc;
    ngx_http_weir_version_ctx_t  *ctx;

    if (r != r->main || r->content_handler == NULL
        || ngx_http_weir_answers_itself(r)
        || ngx_http_weir_version_was_refused(r))
    {
        return NGX_DECLINED;
    }

    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_VERSION);
    rc = ngx_http_weir_version_negotiate(r, &ctx);
    ngx_http_weir_record_enter(r, NGX_HTTP_WEIR_PHASE_NGINX);

    if (rc != NGX_OK) {
        return rc == NGX_DECLINED ? NGX_DECLINED
                                  : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->result == WEIR_NEGOTIATE_OK
        && !ngx_http_weir_version_is_gone(
                                   &ctx->api->items[ctx->what.version]))
    {
        return NGX_DECLINED;
    }

    return ngx_http_weir_version_refuse(r, ctx);
}


static ngx_int_t
ngx_http_weir_version_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    ngx_int_t                      rc;
    ngx_str_t                      value;
    ngx_http_weir_version_ctx_t   *ctx;
    ngx_http_weir_version_item_t  *item;

    rc = ngx_http_weir_version_negotiate(r, &ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED || ctx->result != WEIR_NEGOTIATE_OK) {
        v->not_found = 1;
        return NGX_OK;
    }

    item = &ctx->api->items[ctx->what.version];

    switch (data) {

    case NGX_HTTP_WEIR_VERSION_NAME:
        value = item->name;
        break;

    case NGX_HTTP_WEIR_VERSION_MEDIA_TYPE:
        value = *ngx_http_weir_version_type(ctx);
        break;

    default: /* NGX_HTTP_WEIR_VERSION_STATUS */
        if (!item->deprecated) {
            ngx_str_set(&value, "current");

        } else if (item->sunset && item->sunset <= ngx_time()) {
            ngx_str_set(&value, "sunset");

        } else {
            ngx_str_set(&value, "deprecated");
        }
    }

    v->data = value.data;
    v->len = value.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_version_add_variables(ngx_conf_t *cf)
{
    return ngx_http_weir_add_variables(cf, ngx_http_weir_version_vars);
}


static void *
ngx_http_weir_version_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_version_main_conf_t  *wmcf;

    wmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_version_main_conf_t));
    if (wmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&wmcf->apis, cf->pool, 4,
                       sizeof(ngx_http_weir_version_api_t *))
        != NGX_OK)
    {
        return NULL;
    }

    return wmcf;
}


static void *
ngx_http_weir_version_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_version_loc_conf_t  *wlcf;

    wlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_version_loc_conf_t));
    if (wlcf == NULL) {
        return NULL;
    }

    wlcf->api = NGX_CONF_UNSET_PTR;

    return wlcf;
}


static char *
ngx_http_weir_version_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_version_loc_conf_t  *prev = parent;
    ngx_http_weir_version_loc_conf_t  *conf = child;

    ngx_http_weir_loc_conf_t  *wlcf;

    ngx_conf_merge_ptr_value(conf->api, prev->api, NULL);

    wlcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_weir_module);
    wlcf->versions = conf->api != NULL;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_version_api_directive(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_version_main_conf_t  *wmcf = conf;

    ngx_str_t                     *value;
    ngx_http_weir_version_api_t   *api, **apis;

    value = cf->args->elts;

    if (value[1].len == 0 || ngx_strcmp(value[1].data, "off") == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid name \"%V\" in \"weir_api\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_weir_version_find_api(wmcf, &value[1])) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "duplicate \"weir_api\" \"%V\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    api = ngx_http_weir_version_parse_api(cf, &value[1]);
    if (api == NULL) {
        return NGX_CONF_ERROR;
    }

    apis = ngx_array_push(&wmcf->apis);
    if (apis == NULL) {
        return NGX_CONF_ERROR;
    }

    *apis = api;

    return NGX_CONF_OK;
}


static char *
ngx_http_weir_version_directive(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_version_loc_conf_t  *wlcf = conf;

    ngx_str_t                          *value;
    ngx_http_weir_version_main_conf_t  *wmcf;

    if (wlcf->api != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "off") == 0) {
        wlcf->api = NULL;
        return NGX_CONF_OK;
    }

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_version_module);

    wlcf->api = ngx_http_weir_version_find_api(wmcf, &value[1]);
    if (wlcf->api) {
        return NGX_CONF_OK;
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "unknown API \"%V\" in \"weir_version\": no"
                       " \"weir_api\" of that name comes before it", &value[1]);

    return NGX_CONF_ERROR;
}


static ngx_http_weir_version_api_t *
ngx_http_weir_version_find_api(ngx_http_weir_version_main_conf_t *wmcf,
    ngx_str_t *name)
{
    ngx_uint_t                     i;
    ngx_http_weir_version_api_t  **apis;

    apis = wmcf->apis.elts;

    for (i = 0; i < wmcf->apis.nelts; i++) {
        if (apis[i]->name.len == name->len
            && ngx_strncmp(apis[i]->name.data, name->data, name->len) == 0)
        {
            return apis[i];
        }
    }

    return NULL;
}


static ngx_int_t
ngx_http_weir_version_init(ngx_conf_t *cf)
{
    ngx_http_weir_version_main_conf_t  *wmcf;

    wmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_version_module);

    if (wmcf->apis.nelts == 0) {
        return NGX_OK;
    }

    if (ngx_http_weir_add_handler(cf, NGX_HTTP_PREACCESS_PHASE,
                                  ngx_http_weir_version_handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_weir_version_init_filter();

    return NGX_OK;
}
