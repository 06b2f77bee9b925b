/*
 * What all of Weir's nginx modules need: problem documents and response headers.
 * The shared object takes its name from this module.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/version.h"
#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_pass.h"
#include "object/ngx_http_weir_object.h"


static ngx_int_t ngx_http_weir_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_weir_init(ngx_conf_t *cf);
static void *ngx_http_weir_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_weir_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_uint_t ngx_http_weir_has_error_page(ngx_http_request_t *r,
    ngx_uint_t status);


static ngx_command_t  ngx_http_weir_commands[] = {

    { ngx_string("weir_problem_pages"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_weir_loc_conf_t, problem_pages),
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_module_ctx = {
    ngx_http_weir_watch_passes,            /* preconfiguration */
    ngx_http_weir_init,                    /* postconfiguration */

    NULL,                                  /* create main configuration */
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
ngx_http_weir_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_weir_loc_conf_t  *wlcf;

    wlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_loc_conf_t));
    if (wlcf == NULL) {
        return NULL;
    }

    wlcf->problem_pages = NGX_CONF_UNSET;

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

    if (conf->pass.len == 0 && clcf->noname) {
        /* `if` and limit_except have the *_pass around them */
        conf->pass = prev->pass;
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

    return NGX_OK;
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
ngx_http_weir_send_problem(ngx_http_request_t *r, weir_problem_t *problem)
{
    ngx_chain_t  *body;

    if (ngx_http_weir_has_error_page(r, problem->status)) {
        return problem->status;
    }

    body = ngx_http_weir_problem_body(r, problem);
    if (body == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_discard_request_body(r) != NGX_OK) {
        r->keepalive = 0;
    }

    r->headers_out.status = problem->status;
    r->headers_out.status_line.len = 0;

    ngx_http_finalize_request(r, ngx_http_weir_send_response(r, body));

    return NGX_DONE;
}


ngx_int_t
ngx_http_weir_send_response(ngx_http_request_t *r, ngx_chain_t *body)
{
    ngx_int_t   rc;
    ngx_uint_t  finalized;

    finalized = r->filter_finalize;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only
        || r->filter_finalize != finalized)
    {
        return rc;
    }

    return ngx_http_output_filter(r, body);
}


/* Whether nginx would answer the status with an error_page of the location. */

static ngx_uint_t
ngx_http_weir_has_error_page(ngx_http_request_t *r, ngx_uint_t status)
{
    ngx_uint_t                 i;
    ngx_http_err_page_t       *pages;
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->error_page || clcf->error_pages == NULL || r->uri_changes == 0) {
        return 0;
    }

    pages = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (pages[i].status == (ngx_int_t) status) {
            return 1;
        }
    }

    return 0;
}


ngx_chain_t *
ngx_http_weir_problem_body(ngx_http_request_t *r, weir_problem_t *problem)
{
    size_t        len;
    ngx_buf_t    *b;
    ngx_chain_t  *out;

    len = weir_problem_json(NULL, 0, problem);

    b = ngx_create_temp_buf(r->pool, len);
    out = ngx_alloc_chain_link(r->pool);

    if (b == NULL || out == NULL) {
        return NULL;
    }

    b->last += weir_problem_json((char *) b->pos, len, problem);
    b->last_buf = (r == r->main);
    b->last_in_chain = 1;

    out->buf = b;
    out->next = NULL;

    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    ngx_http_clear_etag(r);

    r->headers_out.content_length_n = len;
    ngx_str_set(&r->headers_out.content_type, WEIR_PROBLEM_MEDIA_TYPE);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;
    ngx_str_null(&r->headers_out.charset);

    return out;
}
