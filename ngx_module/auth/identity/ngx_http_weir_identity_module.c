/*
 * weir_identity: the edge signs who calls, and sends the token to the upstream,
 * which then needs to believe nobody but the edge's key.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/identity/ngx_http_weir_identity_private.h"
#include "http/ngx_http_weir.h"


static void *ngx_http_weir_identity_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_identity_create_loc_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_identity_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_identity_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_identity_exit_process(ngx_cycle_t *cycle);


static ngx_command_t  ngx_http_weir_identity_commands[] = {

    { ngx_string("weir_identity"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_weir_identity_conf_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_identity_keys"),
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,
      ngx_http_weir_identity_keys_set,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_identity_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_weir_identity_init,           /* postconfiguration */

    ngx_http_weir_identity_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_identity_create_loc_conf, /* create location configuration */
    ngx_http_weir_identity_conf_merge      /* merge location configuration */
};


ngx_module_t  ngx_http_weir_identity_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_identity_module_ctx,    /* module context */
    ngx_http_weir_identity_commands,       /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_identity_init_process,   /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_identity_exit_process,   /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_weir_identity_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_identity_main_conf_t  *imcf;

    imcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_identity_main_conf_t));
    if (imcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&imcf->keys, cf->pool, 4,
                       sizeof(ngx_http_weir_identity_key_t *))
        != NGX_OK
        || ngx_array_init(&imcf->names, cf->pool, 2, sizeof(ngx_str_t))
           != NGX_OK)
    {
        return NULL;
    }

    imcf->trace_id = NGX_ERROR;

    return imcf;
}


static void *
ngx_http_weir_identity_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_identity_loc_conf_t  *ilcf;

    ilcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_identity_loc_conf_t));
    if (ilcf == NULL) {
        return NULL;
    }

    ilcf->on = NGX_CONF_UNSET;

    return ilcf;
}


static ngx_int_t
ngx_http_weir_identity_init(ngx_conf_t *cf)
{
    ngx_http_weir_identity_main_conf_t  *imcf;

    imcf = ngx_http_conf_get_module_main_conf(cf,
                                              ngx_http_weir_identity_module);

    if (imcf->published && imcf->keys.nelts == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"weir_identity_keys\" has no keys to show, since there"
                      " is no \"weir_identity\", in %V", &imcf->published_at);
        return NGX_ERROR;
    }

    if (!imcf->used) {
        return NGX_OK;
    }

    if (ngx_http_weir_identity_keys_make(cf, imcf) != NGX_OK) {
        return NGX_ERROR;
    }

    return ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                     ngx_http_weir_identity_send_handler);
}


static ngx_int_t
ngx_http_weir_identity_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_identity_main_conf_t  *imcf;

    imcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_identity_module);

    if (imcf && imcf->used) {
        ngx_http_weir_identity_token_begin(cycle, imcf);
    }

    return NGX_OK;
}


static void
ngx_http_weir_identity_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_identity_main_conf_t  *imcf;

    imcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_identity_module);

    if (imcf) {
        ngx_http_weir_identity_token_end(imcf);
    }
}
