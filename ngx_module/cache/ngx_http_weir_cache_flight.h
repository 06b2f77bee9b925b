/*
 * Single flight: of the requests that miss one key at the same time, one goes
 * to the upstream; the others wait for what it stores.
 *
 * A flight is a record in the zone's shared memory: the key's digest, a token,
 * and how long it is believed.  Whoever finds one that has expired, because its
 * holder hangs, or whose holder's process is gone, takes it over under a new
 * token; the old holder's word counts no more.
 *
 * A flight that ended without a stored response stays as a record that nobody
 * waits for the key.  It stays for a second when that was chance (an error, a
 * client's own request headers), and for weir_cache_uncacheable when the
 * upstream's response itself can't be stored: then the key is known to be
 * uncacheable, until a response for it is stored after all.
 *
 * When the table has no room for a flight the request goes to the upstream
 * without one.  Flights come before what is only remembered, of which the
 * record that would end first gives way.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_


#include "cache/ngx_http_weir_cache_zone.h"


/* How long nobody waits after a response that by chance wasn't stored, ms. */
#define NGX_HTTP_WEIR_CACHE_FLIGHT_PASS  1000


/*
 * Asks for the flight of the key, to be believed for timeout ms.  Returns
 * NGX_OK with *token: the caller fetches, and must end the flight; NGX_BUSY:
 * somebody else does, since *since (ngx_http_weir_cache_ms()); NGX_ABORT: the
 * key is known to be uncacheable; NGX_DECLINED: go without for another reason.
 */
ngx_int_t ngx_http_weir_cache_flight_begin(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, ngx_msec_t timeout, uint64_t *token, uint64_t *since);

/*
 * Ends a flight.  pass: those who wait shall go to the upstream at once, and
 * those who come within so many ms too; more than
 * NGX_HTTP_WEIR_CACHE_FLIGHT_PASS: the key is uncacheable.
 */
void ngx_http_weir_cache_flight_end(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t token, ngx_msec_t pass);

/*
 * For requests without a flight: the key is uncacheable for so many ms, or is
 * not with 0; a flight of somebody else goes on.
 */
void ngx_http_weir_cache_flight_note(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, ngx_msec_t uncacheable);

/* Whether the key is known to be uncacheable. */
ngx_uint_t ngx_http_weir_cache_flight_uncacheable(
    ngx_http_weir_cache_zone_t *zone, u_char *digest);


/* For the zone: memory of n flights, and how to forget them all. */
size_t ngx_http_weir_cache_flight_size(ngx_uint_t n);
void ngx_http_weir_cache_flight_reset(void *flights, ngx_uint_t n);


#endif /* _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_ */
