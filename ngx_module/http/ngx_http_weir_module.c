/*
 * The module that the others share: weir_problem_pages, weir_route, and what
 * they make known of a location.  The shared object takes its name from this module.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/version.h"
#include "http/ngx_http_weir.h"
#include "http/forward/ngx_http_weir_ctx.h"
#include "http/ngx_http_weir_pass.h"
#include "http/route/ngx_http_weir_route.h"
#include "object/ngx_http_weir_object.h"


static ngx_int_t ngx_http_weir_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_weir_init(ngx_conf_t *cf);
static void *ngx_http_weir_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);


static ngx_command_t  ngx_http_weir_commands[] = {

    { ngx_string("weir_problem_pages"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_loc_conf_t, problem_pages),
      NULL },

    { ngx_string("weir_route"),
      NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_HTTP_LIF_CONF|NGX_CONF_TAKE1,
      ngx_http_weir_route_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_module_ctx = {
    ngx_http_weir_watch_passes,            /* preconfiguration */
    ngx_http_weir_init,                    /* postconfiguration */

    ngx_http_weir_create_main_conf,        /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_create_loc_conf,         /* create location configuration */
    ngx_http_weir_merge_loc_conf           /* merge location configuration */
};


ngx_module_t  ngx_http_weir_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_module_ctx,             /* module context */
    ngx_http_weir_commands,                /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_weir_init_module,             /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_weir_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_main_conf_t));
}


static void *
ngx_http_weir_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_loc_conf_t  *wlcf;

    wlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_loc_conf_t));
    if (wlcf == NULL) {
        return NULL;
    }

    wlcf->problem_pages = NGX_CONF_UNSET;

    if (ngx_http_weir_route_default(cf, &wlcf->route) != NGX_OK) {
        return NULL;
    }

    return wlcf;
}


static char *
ngx_http_weir_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_weir_loc_conf_t  *prev = parent;
    ngx_http_weir_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t  *clcf;

    ngx_conf_merge_value(conf->problem_pages, prev->problem_pages, 0);

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    /* `if` and limit_except inherit what answers in the enclosing location */

    if (conf->pass.len == 0 && clcf->noname) {
        conf->pass = prev->pass;
    }

    if (clcf->handler == NULL && clcf->noname) {
        conf->status = prev->status;
    }

    if (!conf->named && (prev->named || clcf->noname)) {
        conf->route = prev->route;
        conf->named = prev->named;
    }

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_init(ngx_conf_t *cf)
{
    ngx_http_weir_leave_passes(NULL);
    ngx_http_weir_problem_pages_init();

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_init_module(ngx_cycle_t *cycle)
{
    if (!ngx_test_config) {
        ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0, "Weir " WEIR_VERSION);
        ngx_http_weir_check_build(cycle->log);
    }

    return ngx_http_weir_forward_init_module(cycle);
}


ngx_int_t
ngx_http_weir_place(ngx_conf_t *cf, ngx_str_t *place)
{
    place->data = ngx_pnalloc(cf->pool, cf->conf_file->file.name.len + 1
                                        + NGX_INT_T_LEN);
    if (place->data == NULL) {
        return NGX_ERROR;
    }

    place->len = ngx_sprintf(place->data, "%V:%ui", &cf->conf_file->file.name,
                             cf->conf_file->line)
                 - place->data;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_add_handler(ngx_conf_t *cf, ngx_uint_t phase,
    ngx_http_handler_pt handler)
{
    ngx_http_handler_pt        *h;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}


/* nginx's own functions act on what a handler returns. */

static ngx_int_t
ngx_http_weir_decline(ngx_http_request_t *r, ngx_http_phase_handler_t *ph)
{
    r->phase_handler++;

    return ph->handler(r);
}


void
ngx_http_weir_declines(ngx_cycle_t *cycle, ngx_http_handler_pt handler)
{
    ngx_http_phase_handler_t   *ph;
    ngx_http_core_main_conf_t  *cmcf;

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);

    for (ph = cmcf->phase_engine.handlers; ph->checker; ph++) {
        if (ph->handler == handler) {
            ph->checker = ngx_http_weir_decline;
        }
    }
}
