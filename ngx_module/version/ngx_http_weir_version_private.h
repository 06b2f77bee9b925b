/*
 * Shared by the files of version negotiation.
 *
 *     module   directives, phases, variables
 *     api      a weir_api with the data that requests need
 *     block    the weir_api block while it is read
 *     request  the negotiated version, computed once per request
 *     answer   refusals, and header fields about the version
 *
 * Functions for other modules are in ngx_http_weir_version.h.
 */

#ifndef _NGX_HTTP_WEIR_VERSION_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_VERSION_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "version/ngx_http_weir_version_api.h"


typedef struct {
    ngx_array_t                  apis;    /* of ngx_http_weir_version_api_t * */
} ngx_http_weir_version_main_conf_t;


typedef struct {
    ngx_http_weir_version_api_t  *api;    /* NULL: off */
} ngx_http_weir_version_loc_conf_t;


typedef struct {
    ngx_http_weir_version_api_t  *api;    /* of the result */
    weir_negotiate_result_t       result;
    weir_negotiated_t             what;
} ngx_http_weir_version_ctx_t;


extern ngx_module_t  ngx_http_weir_version_module;

extern ngx_str_t  ngx_http_weir_version_json;      /* "application/json" */
extern ngx_str_t  ngx_http_weir_version_accept;    /* "Accept" */


/*
 * request: negotiates and keeps the result in the request's context; ctx is the
 * result for another api, or NULL.  Returns NULL: no memory.
 */
ngx_http_weir_version_ctx_t *ngx_http_weir_version_ask(ngx_http_request_t *r,
    ngx_http_weir_version_api_t *api, ngx_http_weir_version_ctx_t *ctx);

/* answer: refuses the request; returns the value for the phase handler. */
ngx_int_t ngx_http_weir_version_refuse(ngx_http_request_t *r,
    ngx_http_weir_version_ctx_t *ctx);

/*
 * answer: true if the request was refused before and is now redirected to an
 * error_page.
 */
ngx_uint_t ngx_http_weir_version_was_refused(ngx_http_request_t *r);

/* answer: installs the filter that labels the response. */
void ngx_http_weir_version_init_filter(void);


/* The type that labels an application/json response; result must be OK. */
static ngx_inline ngx_str_t *
ngx_http_weir_version_type(ngx_http_weir_version_ctx_t *ctx)
{
    switch (ctx->what.form) {
    case WEIR_NEGOTIATED_JSON:
        return &ngx_http_weir_version_json;
    case WEIR_NEGOTIATED_UNVERSIONED:
        return &ctx->api->unversioned;
    default:
        return &ctx->api->items[ctx->what.version].media_type;
    }
}


/*
 * The request's result, however often it is asked for.  NGX_OK, NGX_DECLINED
 * (the location has no weir_version), or NGX_ERROR (no memory).
 */
static ngx_inline ngx_int_t
ngx_http_weir_version_negotiate(ngx_http_request_t *r,
    ngx_http_weir_version_ctx_t **ctx)
{
    ngx_http_weir_version_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_version_module);
    if (wlcf->api == NULL) {
        return NGX_DECLINED;
    }

    *ctx = ngx_http_get_module_ctx(r, ngx_http_weir_version_module);

    if (*ctx && (*ctx)->api == wlcf->api) {
        return NGX_OK;
    }

    *ctx = ngx_http_weir_version_ask(r, wlcf->api, *ctx);

    return *ctx ? NGX_OK : NGX_ERROR;
}


#endif /* _NGX_HTTP_WEIR_VERSION_PRIVATE_H_INCLUDED_ */
