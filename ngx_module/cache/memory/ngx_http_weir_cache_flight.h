/*
 * Single flight: of the requests that miss one key at the same time, one goes
 * to the upstream; the others wait for what it stores.
 *
 * A flight is a record in the zone's shared memory: the key's digest, a token,
 * and how long it is believed.  Whoever finds one that has expired, because its
 * holder hangs, or whose holder's process is gone, takes it over under a new
 * token; the old holder's word counts no more.
 *
 * A flight that ended by chance without a stored response (an error, a client's
 * own request headers) stays for a second as a record that nobody waits for the
 * key.  When the upstream's response itself can't be stored that is remembered
 * for weir_cache_uncacheable, until a response for the key is stored after all.
 * Such a record stands beside the flight, under a name of its own ("known"), of
 * which a key has several; see ngx_http_weir_cache_turn.c.
 *
 * When the table has no room for a flight the request goes to the upstream
 * without one.  Flights come before what is only remembered, of which the
 * record that would end first gives way.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_


#include "cache/memory/ngx_http_weir_cache_zone.h"


/* How long nobody waits after a response that by chance wasn't stored, ms. */
#define NGX_HTTP_WEIR_CACHE_FLIGHT_PASS  1000


/*
 * Asks for the flight of the key, to be believed for timeout ms; known is what
 * the request's own record of uncacheable responses would be named, and like
 * digest but for its first byte.  Returns NGX_OK with *token: the caller fetches,
 * and must end the flight; NGX_BUSY: somebody else does; NGX_ABORT: responses to
 * such requests are known to be uncacheable; NGX_DECLINED: go without for another
 * reason.
 */
ngx_int_t ngx_http_weir_cache_flight_begin(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, u_char *known, ngx_msec_t timeout, uint64_t *token);

/*
 * Ends a flight.  pass: those who wait shall go to the upstream at once, and
 * those who come within so many ms too.
 */
void ngx_http_weir_cache_flight_end(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t token, ngx_msec_t pass);

/* Responses to such requests are uncacheable for so many ms, or are not with 0. */
void ngx_http_weir_cache_flight_note(ngx_http_weir_cache_zone_t *zone,
    u_char *known, ngx_msec_t uncacheable);

/* Whether responses to such requests are known to be uncacheable. */
ngx_uint_t ngx_http_weir_cache_flight_uncacheable(
    ngx_http_weir_cache_zone_t *zone, u_char *known);


/* For the zone: memory of n flights, and how to forget them all. */
size_t ngx_http_weir_cache_flight_size(ngx_uint_t n);
void ngx_http_weir_cache_flight_reset(void *flights, ngx_uint_t n);


#endif /* _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_ */
