/*
 * The route of a request: the name under which metrics and spans count it
 * (http.route of OpenTelemetry's conventions).  Names come from the
 * configuration only, so clients cannot change their number.
 */

#ifndef _NGX_HTTP_WEIR_ROUTE_H_INCLUDED_
#define _NGX_HTTP_WEIR_ROUTE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


#define NGX_HTTP_WEIR_ROUTE_MAX  255           /* bytes of a name */


/*
 * The name of the request's route: that of weir_route, or the location's own
 * name as it is configured ("/products/", "~ ^/x", "@name").  It is "_other"
 * for requests that end before a location is found.  The name has at most
 * NGX_HTTP_WEIR_ROUTE_MAX bytes and lives as long as the configuration.
 */
ngx_str_t *ngx_http_weir_route(ngx_http_request_t *r);

/* The handler of the directive: "weir_route name". */
char *ngx_http_weir_route_set(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);

/*
 * The name of the location whose block begins at this place of the
 * configuration, in its pool: the words after "location".  An empty name for
 * other blocks.  NGX_OK or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_route_default(ngx_conf_t *cf, ngx_str_t *name);


#endif /* _NGX_HTTP_WEIR_ROUTE_H_INCLUDED_ */
