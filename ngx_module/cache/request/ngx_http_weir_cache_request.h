/*
 * Directives (module, conf, check, secret), and requests in the precontent
 * phase (request, body).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_REQUEST_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_REQUEST_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/*
 * module: the zones of a configuration, an array of ngx_http_weir_cache_zone_t
 * pointers.
 */
ngx_array_t *ngx_http_weir_cache_zones(ngx_http_request_t *r);

/* module: the value of $weir_cache_status; len 0: none. */
ngx_str_t *ngx_http_weir_cache_status_name(ngx_http_weir_cache_status_e status);

/* conf: for the module's context and its table of directives. */
void *ngx_http_weir_cache_conf_create_main(ngx_conf_t *cf);
void *ngx_http_weir_cache_conf_create_loc(ngx_conf_t *cf);
char *ngx_http_weir_cache_conf_merge_loc(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_weir_cache_conf_zone_set(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_conf_zone_set_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_conf_set_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_conf_set_heuristic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_conf_set_control_headers(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_weir_cache_conf_set_uncacheable(ngx_conf_t *cf,
    ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_conf_set_request_control(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_weir_cache_conf_set_staleness(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * secret: reads the file's secrets into zone->mac.  NGX_CONF_OK, or
 * NGX_CONF_ERROR after an error was logged.
 */
char *ngx_http_weir_cache_secret_read(ngx_conf_t *cf,
    ngx_http_weir_cache_zone_t *zone, ngx_str_t *file);

/* request: handler of the precontent phase. */
ngx_int_t ngx_http_weir_cache_request_handler(ngx_http_request_t *r);

/*
 * body: the verdict on the body of a GET or HEAD.  NOTHING: it has no body, as
 * far as the cache is concerned; otherwise READ_BODY (call again after the body
 * was read), FORWARD, or REFUSE_BODY.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_body_check(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * body: reads the body, and then runs the phases again.  Returns the value for
 * the phase handler.
 */
ngx_int_t ngx_http_weir_cache_body_read(ngx_http_weir_cache_ctx_t *ctx);

/* body: answers 400; returns the value for the phase handler. */
ngx_int_t ngx_http_weir_cache_body_refuse(ngx_http_weir_cache_ctx_t *ctx);

/*
 * check: a directive of the cache in the block itself, before it is merged, or
 * NULL; weir_cache itself does not count.
 */
char *ngx_http_weir_cache_check_own_directive(
    ngx_http_weir_cache_loc_conf_t *conf);

/*
 * check: checks a location that was merged; own is the result of
 * ngx_http_weir_cache_own_..(), and has_zone is true if the block itself has
 * weir_cache.  NGX_CONF_OK, also after a warning, or NGX_CONF_ERROR after an
 * error was logged.
 */
char *ngx_http_weir_cache_check(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf, char *own, ngx_uint_t has_zone,
    ngx_uint_t has_stale);

/* check: checks all locations together. */
void ngx_http_weir_cache_check_all(ngx_conf_t *cf);


#endif /* _NGX_HTTP_WEIR_CACHE_REQUEST_H_INCLUDED_ */
