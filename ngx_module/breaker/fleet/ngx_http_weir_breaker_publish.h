/* Changes of state in the stream weir:breaker, for other edges and operators. */

#ifndef _NGX_HTTP_WEIR_BREAKER_PUBLISH_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_PUBLISH_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"


#define NGX_HTTP_WEIR_BREAKER_STREAM  "weir:breaker"


/*
 * Tells a change of state, at most 50 in a second of each process, as
 * clients may make keys.  Waits for nothing.
 */
void ngx_http_weir_breaker_publish(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_change_t *change, ngx_log_t *log);


#endif /* _NGX_HTTP_WEIR_BREAKER_PUBLISH_H_INCLUDED_ */
