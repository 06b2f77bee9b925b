/* The text of a request's key, as invalidations name it. */

#ifndef _NGX_HTTP_WEIR_CACHE_KEY_TEXT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_KEY_TEXT_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * The key text of the request, as invalidations name it, from its pool; NGX_OK
 * or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_cache_key_text(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf, ngx_str_t *text);

/* For the table of directives, and for a location that is merged. */
char *ngx_http_weir_cache_key_text_set_key(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_key_text_set_bypass(ngx_conf_t *cf,
    ngx_command_t *cmd,
    void *conf);
ngx_int_t ngx_http_weir_cache_key_text_read_upstream(ngx_conf_t *cf,
    ngx_str_t *name);


#endif /* _NGX_HTTP_WEIR_CACHE_KEY_TEXT_H_INCLUDED_ */
