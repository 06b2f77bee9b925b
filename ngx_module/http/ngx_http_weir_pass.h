/*
 * The *_pass modules of nginx: which of them answers for a location.  For use
 * while the configuration is read only.
 */

#ifndef _NGX_HTTP_WEIR_PASS_H_INCLUDED_
#define _NGX_HTTP_WEIR_PASS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


typedef struct {
    char         *module;
    char         *directive;
    char         *set_header;              /* NULL: the protocol has no header
                                              fields */
    ngx_str_t     url;                     /* with a variable; empty: not tried */

    /* while the configuration is read */
    ngx_command_t  *command;
    char         *(*set)(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
} ngx_http_weir_pass_t;


/*
 * Keeps the argument of each *_pass of the configuration in
 * ngx_http_weir_loc_conf_t, from the start of http {} to its end, or to the end
 * of a configuration that is refused; NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_watch_passes(ngx_conf_t *cf);
void ngx_http_weir_leave_passes(void *data);


/* The module of that name, or NULL if nginx was built without it. */
ngx_module_t *ngx_http_weir_find_module(ngx_conf_t *cf, char *name);


/* The *_pass with this content handler, or NULL; handler must not be NULL. */
ngx_http_weir_pass_t *ngx_http_weir_find_pass(ngx_conf_t *cf,
    ngx_http_handler_pt handler);


/*
 * The upstreams that the *_pass directives of the location name without
 * variables, one with each call; *pass is NULL before the first.  An `if` has
 * those of the enclosing location, too.  name is the host, with the port if there
 * is one, and may be allocated from the configuration's pool.  The *_pass
 * modules must have been merged.  NGX_OK, NGX_DECLINED (there are no more), or
 * NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_pass_upstream(ngx_conf_t *cf,
    ngx_http_weir_pass_t **pass, ngx_str_t *name);


/*
 * True if the location that is being merged sends the upstream the request
 * field with this value, whatever the client sent: proxy_set_header,
 * grpc_set_header.  Names are compared without regard to case.  Must be called
 * after the *_pass module was merged, as modules loaded at run time are.
 */
ngx_uint_t ngx_http_weir_pass_sets(ngx_conf_t *cf, ngx_str_t *field,
    char *value);


/*
 * The configuration with which proxy_pass asks an upstream for the location that
 * is being merged, if its requests are texts of HTTP/1, to an upstream that is
 * named without variables, without nginx's own cache, and without request fields
 * of these names (proxy_set_header); else NULL.  Must be called as
 * ngx_http_weir_pass_sets().
 */
ngx_http_upstream_conf_t *ngx_http_weir_pass_plain(ngx_conf_t *cf,
    ngx_str_t *fields, ngx_uint_t n);


#endif /* _NGX_HTTP_WEIR_PASS_H_INCLUDED_ */
