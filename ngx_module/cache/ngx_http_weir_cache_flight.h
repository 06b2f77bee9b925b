/*
 * Single flight: of the requests that miss one key at the same time, one goes
 * to the upstream; the others wait for what it stores.
 *
 * A flight is a record in the zone's shared memory: the key's digest, a token,
 * and how long it is believed.  Whoever finds one that has expired, because its
 * holder hangs, or whose holder's process is gone, takes it over under a new
 * token; the old holder's word counts no more.  A flight that ended with a
 * response that can't be stored stays for a short while, so that the next
 * requests don't queue for nothing.
 *
 * When the table has no room for a flight the request goes to the upstream
 * without one.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_


#include "cache/ngx_http_weir_cache_zone.h"


/* How long an uncacheable answer is remembered, ms. */
#define NGX_HTTP_WEIR_CACHE_FLIGHT_PASS  1000


/*
 * Asks for the flight of the key, to be believed for timeout ms.  Returns
 * NGX_OK with *token: the caller fetches, and must end the flight; NGX_BUSY:
 * somebody else does; NGX_DECLINED: go without.
 */
ngx_int_t ngx_http_weir_cache_flight_begin(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, ngx_msec_t timeout, uint64_t *token);

/*
 * Ends a flight.  uncacheable: those who wait shall go to the upstream at once,
 * and those who come within NGX_HTTP_WEIR_CACHE_FLIGHT_PASS too.
 */
void ngx_http_weir_cache_flight_end(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t token, ngx_uint_t uncacheable);


/* For the zone: memory of n flights, and how to forget them all. */
size_t ngx_http_weir_cache_flight_size(ngx_uint_t n);
void ngx_http_weir_cache_flight_reset(void *flights, ngx_uint_t n);


#endif /* _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_ */
