/*
 * weir_server_timing: tells the client what the time until the response's header
 * went into, in the field Server-Timing (https://www.w3.org/TR/server-timing/).
 * The upstream's own lines of that field remain.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "record/ngx_http_weir_record.h"


typedef struct {
    ngx_uint_t  used;                      /* bool: on somewhere */
} ngx_http_weir_server_timing_main_conf_t;


typedef struct {
    ngx_flag_t  enable;
} ngx_http_weir_server_timing_conf_t;


static ngx_int_t ngx_http_weir_server_timing_filter(ngx_http_request_t *r);
static u_char *ngx_http_weir_server_timing_print(u_char *p, ngx_str_t *name,
    uint64_t ns);
static char *ngx_http_weir_server_timing_set(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static void *ngx_http_weir_server_timing_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_weir_server_timing_create_conf(ngx_conf_t *cf);
static char *ngx_http_weir_server_timing_merge_conf(ngx_conf_t *cf,
    void *parent, void *child);
static ngx_int_t ngx_http_weir_server_timing_init(ngx_conf_t *cf);


static ngx_command_t  ngx_http_weir_server_timing_commands[] = {

    { ngx_string("weir_server_timing"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_http_weir_server_timing_set,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_server_timing_conf_t, enable),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_server_timing_module_ctx = {
    NULL,                                  /* preconfiguration */
    ngx_http_weir_server_timing_init,      /* postconfiguration */

    ngx_http_weir_server_timing_create_main_conf, /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_weir_server_timing_create_conf, /* create location configuration */
    ngx_http_weir_server_timing_merge_conf /* merge location configuration */
};


ngx_module_t  ngx_http_weir_server_timing_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_server_timing_module_ctx, /* module context */
    ngx_http_weir_server_timing_commands,  /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    NULL,                                  /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    NULL,                                  /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;


/* Runs after the filter with which the phase of the response begins. */

static ngx_int_t
ngx_http_weir_server_timing_filter(ngx_http_request_t *r)
{
    u_char                              *p;
    uint64_t                             total, spent;
    ngx_str_t                            value;
    ngx_uint_t                           i;
    ngx_http_weir_record_t              *record;
    ngx_http_weir_server_timing_conf_t  *conf;

    static ngx_str_t  name = ngx_string("Server-Timing");
    static ngx_str_t  sum = ngx_string("total");

    conf = ngx_http_get_module_loc_conf(r, ngx_http_weir_server_timing_module);

    if (!conf->enable || r != r->main) {
        return ngx_http_next_header_filter(r);
    }

    record = ngx_http_weir_record(r);

    if (record == NULL) {
        return ngx_http_next_header_filter(r);
    }

    value.data = ngx_pnalloc(r->pool, (NGX_HTTP_WEIR_PHASES + 1)
                                      * (sizeof("upstream;dur=.000, ")
                                         + NGX_INT64_LEN));
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    p = value.data;
    total = 0;

    for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
        spent = ngx_http_weir_clock_ns(record->spent[i]);
        total += spent;

        if (spent) {
            p = ngx_http_weir_server_timing_print(p,
                                                ngx_http_weir_record_phase(i),
                                                spent);
            *p++ = ',';
            *p++ = ' ';
        }
    }

    p = ngx_http_weir_server_timing_print(p, &sum, total);
    value.len = p - value.data;

    if (ngx_http_weir_add_header(r, &name, &value) == NULL) {
        return NGX_ERROR;
    }

    return ngx_http_next_header_filter(r);
}


/* Durations are milliseconds. */

static u_char *
ngx_http_weir_server_timing_print(u_char *p, ngx_str_t *name, uint64_t ns)
{
    return ngx_sprintf(p, "%V;dur=%uL.%03uL", name, ns / 1000000,
                       ns / 1000 % 1000);
}


static char *
ngx_http_weir_server_timing_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_weir_server_timing_conf_t  *tcf = conf;

    char                                     *rv;
    ngx_http_weir_server_timing_main_conf_t  *tmcf;

    rv = ngx_conf_set_flag_slot(cf, cmd, conf);

    if (rv == NGX_CONF_OK && tcf->enable) {
        tmcf = ngx_http_conf_get_module_main_conf(cf,
                                           ngx_http_weir_server_timing_module);
        tmcf->used = 1;

        ngx_http_weir_record_require_phases(cf);
    }

    return rv;
}


static void *
ngx_http_weir_server_timing_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool,
                       sizeof(ngx_http_weir_server_timing_main_conf_t));
}


static void *
ngx_http_weir_server_timing_create_conf(ngx_conf_t *cf)
{
    ngx_http_weir_server_timing_conf_t  *conf;

    conf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_server_timing_conf_t));
    if (conf == NULL) {
        return NULL;
    }

    conf->enable = NGX_CONF_UNSET;

    return conf;
}


static char *
ngx_http_weir_server_timing_merge_conf(ngx_conf_t *cf, void *parent,
    void *child)
{
    ngx_http_weir_server_timing_conf_t  *prev = parent;
    ngx_http_weir_server_timing_conf_t  *conf = child;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_weir_server_timing_init(ngx_conf_t *cf)
{
    ngx_http_weir_server_timing_main_conf_t  *tmcf;

    tmcf = ngx_http_conf_get_module_main_conf(cf,
                                           ngx_http_weir_server_timing_module);

    if (tmcf->used) {
        ngx_http_next_header_filter = ngx_http_top_header_filter;
        ngx_http_top_header_filter = ngx_http_weir_server_timing_filter;
    }

    return NGX_OK;
}
