/* weir_trace: directives, phases and variables; see ngx_http_weir_trace.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/text/hex.h"
#include "common/trace/ids.h"
#include "export/ngx_http_weir_export.h"
#include "http/ngx_http_weir.h"
#include "record/ngx_http_weir_record.h"
#include "trace/ngx_http_weir_trace.h"


static ngx_int_t ngx_http_weir_trace_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static void *ngx_http_weir_trace_create_main_conf(ngx_conf_t *cf);
static char *ngx_http_weir_trace_merge(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_weir_trace_add_variables(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_trace_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_trace_init_process(ngx_cycle_t *cycle);
static ngx_http_variable_t *ngx_http_weir_trace_find_variable(
    ngx_cycle_t *cycle, ngx_str_t *name);
static void ngx_http_weir_trace_exit_process(ngx_cycle_t *cycle);


/* What spans show. */
static ngx_str_t  ngx_http_weir_trace_version = ngx_string("weir_version");
static ngx_str_t  ngx_http_weir_trace_cache_status =
    ngx_string("weir_cache_status");


static ngx_command_t  ngx_http_weir_trace_commands[] = {

    { ngx_string("weir_trace"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1234,
      ngx_http_weir_trace_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_trace_context"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE123,
      ngx_http_weir_trace_set_context,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("weir_trace_publish"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_trace_set_publish,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_trace_module_ctx = {
    ngx_http_weir_trace_add_variables,     /* preconfiguration */
    ngx_http_weir_trace_init,              /* postconfiguration */

    ngx_http_weir_trace_create_main_conf,  /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_trace_create_loc_conf,   /* create location configuration */
    ngx_http_weir_trace_merge              /* merge location configuration */
};


ngx_module_t  ngx_http_weir_trace_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_trace_module_ctx,       /* module context */
    ngx_http_weir_trace_commands,          /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_weir_trace_init_process,      /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_weir_trace_exit_process,      /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


typedef enum {
    NGX_HTTP_WEIR_TRACE_VAR_TRACE_ID = 0,
    NGX_HTTP_WEIR_TRACE_VAR_SPAN_ID,
    NGX_HTTP_WEIR_TRACE_VAR_PARENT_ID,
    NGX_HTTP_WEIR_TRACE_VAR_SAMPLED
} ngx_http_weir_trace_var_e;


static ngx_http_variable_t  ngx_http_weir_trace_variables[] = {

    { ngx_string("weir_trace_id"), NULL, ngx_http_weir_trace_variable,
      NGX_HTTP_WEIR_TRACE_VAR_TRACE_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_span_id"), NULL, ngx_http_weir_trace_variable,
      NGX_HTTP_WEIR_TRACE_VAR_SPAN_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_parent_id"), NULL, ngx_http_weir_trace_variable,
      NGX_HTTP_WEIR_TRACE_VAR_PARENT_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("weir_trace_sampled"), NULL, ngx_http_weir_trace_variable,
      NGX_HTTP_WEIR_TRACE_VAR_SAMPLED, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


/* Using a variable begins the trace. */

static ngx_int_t
ngx_http_weir_trace_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    size_t                      n;
    uint8_t                    *id;
    ngx_http_weir_trace_ctx_t  *ctx;

    static uint8_t  none[WEIR_SPAN_ID_LEN];

    ctx = ngx_http_weir_trace_get(r);

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;

    n = WEIR_SPAN_ID_LEN;

    switch (data) {

    case NGX_HTTP_WEIR_TRACE_VAR_TRACE_ID:
        id = ctx->context.trace_id;
        n = WEIR_TRACE_ID_LEN;
        break;

    case NGX_HTTP_WEIR_TRACE_VAR_SPAN_ID:
        id = ctx->context.span_id;
        break;

    case NGX_HTTP_WEIR_TRACE_VAR_PARENT_ID:
        id = ctx->parent_id;

        if (ngx_memcmp(id, none, sizeof(none)) == 0) {
            v->not_found = 1;
            return NGX_OK;
        }

        break;

    default: /* NGX_HTTP_WEIR_TRACE_VAR_SAMPLED */
        v->data = (u_char *) (ctx->sampled ? "1" : "0");
        v->len = 1;
        return NGX_OK;
    }

    v->data = ngx_pnalloc(r->pool, 2 * n);
    if (v->data == NULL) {
        return NGX_ERROR;
    }

    weir_hex((char *) v->data, id, n);
    v->len = 2 * n;

    return NGX_OK;
}


static void *
ngx_http_weir_trace_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_weir_trace_main_conf_t  *tmcf;

    tmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_trace_main_conf_t));

    if (tmcf == NULL
        || ngx_array_init(&tmcf->direct, cf->pool, 4,
                          sizeof(ngx_http_weir_trace_direct_t))
           != NGX_OK)
    {
        return NULL;
    }

    return tmcf;
}


static char *
ngx_http_weir_trace_merge(ngx_conf_t *cf, void *parent, void *child)
{
    char  *rv;

    rv = ngx_http_weir_trace_merge_loc_conf(cf, parent, child);

    if (rv == NGX_CONF_OK
        && ngx_http_weir_trace_direct_merge(cf, child) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    return rv;
}


static ngx_int_t
ngx_http_weir_trace_add_variables(ngx_conf_t *cf)
{
    return ngx_http_weir_add_variables(cf, ngx_http_weir_trace_variables);
}


/* Installs nothing if no location has weir_trace. */

static ngx_int_t
ngx_http_weir_trace_init(ngx_conf_t *cf)
{
    ngx_http_weir_trace_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_trace_module);

    if (!tmcf->used) {
        return NGX_OK;
    }

    ngx_http_weir_record_identity = ngx_http_weir_trace_identity;

    if (ngx_http_get_variable_index(cf, &ngx_http_weir_trace_version)
        == NGX_ERROR
        || ngx_http_get_variable_index(cf, &ngx_http_weir_trace_cache_status)
           == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    if (ngx_http_weir_add_handler(cf, NGX_HTTP_PRECONTENT_PHASE,
                                        ngx_http_weir_trace_content_handler)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    return ngx_http_weir_add_handler(cf, NGX_HTTP_LOG_PHASE,
                                           ngx_http_weir_trace_log_handler);
}


/* Workers are forked from one process. */

static ngx_int_t
ngx_http_weir_trace_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_trace_main_conf_t  *tmcf;

    weir_trace_ids_seed();

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_trace_module);

    if (tmcf && tmcf->used) {
        ngx_http_weir_declines(cycle, ngx_http_weir_trace_content_handler);

        tmcf->exporter = ngx_http_weir_export_cycle_exporter(cycle);
        tmcf->version = ngx_http_weir_trace_find_variable(cycle,
                                          &ngx_http_weir_trace_version);
        tmcf->cache_status = ngx_http_weir_trace_find_variable(cycle,
                                          &ngx_http_weir_trace_cache_status);
    }

    return NGX_OK;
}


/* One that has an index. */

static ngx_http_variable_t *
ngx_http_weir_trace_find_variable(ngx_cycle_t *cycle, ngx_str_t *name)
{
    ngx_http_variable_t        *v;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);

    for (v = cmcf->variables.elts;
         v->name.len != name->len
         || ngx_strncmp(v->name.data, name->data, name->len) != 0;
         v++)
    {
        /* void */
    }

    return v;
}


/* Before the exporter ends, which is behind this module. */

static void
ngx_http_weir_trace_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_trace_main_conf_t  *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_trace_module);

    if (tmcf) {
        ngx_http_weir_trace_publish_exit(tmcf);
    }
}
