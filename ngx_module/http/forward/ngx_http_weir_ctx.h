/*
 * Private to http/: the context of a request in a location, and the main
 * configuration.
 */

#ifndef _NGX_HTTP_WEIR_CTX_H_INCLUDED_
#define _NGX_HTTP_WEIR_CTX_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/forward/ngx_http_weir_forward.h"


/* A variable $http_NAME, and the header that it is the value of. */
typedef struct {
    ngx_uint_t                index;
    ngx_str_t                 header;
} ngx_http_weir_http_variable_t;


typedef struct {
    ngx_array_t               http_variables; /* of ..._http_variable_t */
} ngx_http_weir_main_conf_t;


typedef struct {
    /* problem_pages: the header waits for the body */
    ngx_uint_t                kept;

    /* forward: the changes, and the handlers that it replaces */
    ngx_http_weir_forward_t  *forward;
    ngx_http_handler_pt       content_handler;
    ngx_int_t               (*create_request)(ngx_http_request_t *r);
    ngx_int_t               (*reinit_request)(ngx_http_request_t *r);
    ngx_int_t               (*process_header)(ngx_http_request_t *r);
} ngx_http_weir_ctx_t;


/* The context, which is created if there is none; NULL: no memory. */
static ngx_inline ngx_http_weir_ctx_t *
ngx_http_weir_ctx(ngx_http_request_t *r)
{
    ngx_http_weir_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_module);

    if (ctx == NULL) {
        ctx = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_ctx_t));

        if (ctx) {
            ngx_http_set_ctx(r, ctx, ngx_http_weir_module);
        }
    }

    return ctx;
}


#endif /* _NGX_HTTP_WEIR_CTX_H_INCLUDED_ */
