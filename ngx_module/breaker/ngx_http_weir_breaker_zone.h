/*
 * Breakers in shared memory, one per key, seen by all workers and kept across
 * reloads.  Every call takes the zone's slab mutex for a short while; nginx's
 * master frees that mutex when a worker dies with it.
 *
 * Requests hold no pointer into the zone: they come back with their key and
 * the generation of their admission.  Generations are counted in the zone, so
 * a breaker that was evicted and made anew takes no result of its forerunner.
 *
 * When the memory is full, the breaker that was asked longest ago gives way.
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/breaker.h"


#define NGX_HTTP_WEIR_BREAKER_KEY_MAX  255     /* bytes; the rest is cut off */


/* Configuration time: "weir_breaker_zone name size". */
char *ngx_http_weir_breaker_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Asks for a call.  Returns NGX_OK (a result is owed), NGX_BUSY (refused,
 * *retry_after in ms), or NGX_DECLINED when no memory could be had: the call
 * may be made and is not counted.
 */
ngx_int_t ngx_http_weir_breaker_zone_admit(ngx_shm_zone_t *zone,
    ngx_str_t *key, weir_breaker_settings_t *settings, uint64_t *generation,
    ngx_msec_t *retry_after, ngx_log_t *log);

void ngx_http_weir_breaker_zone_report(ngx_shm_zone_t *zone, ngx_str_t *key,
    weir_breaker_settings_t *settings, uint64_t generation,
    weir_breaker_outcome_t outcome, ngx_log_t *log);

/* The state as of now; a key that is not there is closed. */
weir_breaker_state_t ngx_http_weir_breaker_zone_state(ngx_shm_zone_t *zone,
    ngx_str_t *key, weir_breaker_settings_t *settings);


#endif /* _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_ */
