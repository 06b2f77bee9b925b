/*
 * Directives (module, conf, check, secret), and a request's way through the
 * precontent phase (request, body).
 */

#ifndef _NGX_HTTP_WEIR_CACHE_REQUEST_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_REQUEST_H_INCLUDED_


#include "cache/ngx_http_weir_cache.h"


/* module: the zones of a configuration, ngx_http_weir_cache_zone_t pointers */
ngx_array_t *ngx_http_weir_cache_zones(ngx_http_request_t *r);

/* conf: for the module's context and its table of directives */
void *ngx_http_weir_cache_create_main_conf(ngx_conf_t *cf);
void *ngx_http_weir_cache_create_loc_conf(ngx_conf_t *cf);
char *ngx_http_weir_cache_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
char *ngx_http_weir_cache_set_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_cache(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_valid(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_heuristic(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_control_headers(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_weir_cache_set_uncacheable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_weir_cache_set_request_control(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
char *ngx_http_weir_cache_set_staleness(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * secret: reads the file's secrets into zone->mac.  NGX_CONF_OK, or
 * NGX_CONF_ERROR after an error was logged.
 */
char *ngx_http_weir_cache_read_secret(ngx_conf_t *cf,
    ngx_http_weir_cache_zone_t *zone, ngx_str_t *file);

/* request: the precontent phase */
ngx_int_t ngx_http_weir_cache_handler(ngx_http_request_t *r);

/*
 * body: of a GET or HEAD.  NOTHING: it has no body, as far as the cache is
 * concerned; else READ_BODY (call it again when the body was read), FORWARD, or
 * REFUSE_BODY.
 */
ngx_http_weir_cache_verdict_e ngx_http_weir_cache_check_body(
    ngx_http_weir_cache_ctx_t *ctx);

/*
 * body: reads it, and then runs the phases again.  Returns what a phase handler
 * returns.
 */
ngx_int_t ngx_http_weir_cache_read_body(ngx_http_weir_cache_ctx_t *ctx);

/* body: answers 400; returns what a phase handler returns */
ngx_int_t ngx_http_weir_cache_refuse_body(ngx_http_weir_cache_ctx_t *ctx);

/*
 * check: the directive of the cache that the block itself has, before it is
 * merged, or NULL; weir_cache is not meant
 */
char *ngx_http_weir_cache_own_directive(ngx_http_weir_cache_loc_conf_t *conf);

/*
 * check: of a location that was merged; own is of ngx_http_weir_cache_own_..(),
 * and has_zone tells of weir_cache in the block itself.  NGX_CONF_OK, also after
 * a warning, or NGX_CONF_ERROR after an error was logged.
 */
char *ngx_http_weir_cache_check(ngx_conf_t *cf,
    ngx_http_weir_cache_loc_conf_t *conf, char *own, ngx_uint_t has_zone,
    ngx_uint_t has_stale);

/* check: of all locations together */
void ngx_http_weir_cache_check_all(ngx_conf_t *cf);


#endif /* _NGX_HTTP_WEIR_CACHE_REQUEST_H_INCLUDED_ */
