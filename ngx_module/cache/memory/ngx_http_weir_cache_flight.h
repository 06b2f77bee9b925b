/*
 * Single flight: of the requests that miss one key at the same time, one goes
 * to the upstream; the others wait for the response that it stores.
 *
 * A flight is a record in the zone's shared memory: the digest of the key, a
 * token, and an expiry time.  A request that finds a flight expired (its holder
 * hangs), or the holder's process dead, takes the flight over under a new
 * token.  The old token is invalid then.
 *
 * A flight that ended by chance without a stored response (an error, a client's
 * own request headers) remains for one second as a record that lets requests
 * for the key pass without waiting.  If the response itself cannot be stored,
 * this is recorded for weir_cache_uncacheable, or until a response for the key
 * is stored.  Such a record is separate from the flight and has a name of its
 * own ("known").  A key has several of them; see ngx_http_weir_cache_turn.c.
 *
 * If the table has no room for a flight, the request goes to the upstream
 * without one.  A flight replaces a record without a fetch; of those, the one
 * that expires first.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_


#include "cache/memory/ngx_http_weir_cache_zone.h"
#include "common/trace/context.h"


/*
 * Time during which requests pass without waiting, after a response was by
 * chance not stored, ms.
 */
#define NGX_HTTP_WEIR_CACHE_FLIGHT_PASS  1000


/*
 * Begins or joins the flight of the key, which expires after timeout ms.  known
 * is the name of the request's record of uncacheable responses; it differs from
 * digest in the first byte only.  context is that of the request's span, or all
 * zero.  Returns NGX_OK with *token: the caller fetches, and must end the
 * flight; NGX_BUSY: another request fetches, and context is that of its span;
 * NGX_ABORT: responses to such requests are known to be uncacheable;
 * NGX_DECLINED: the request goes to the upstream without a flight for another
 * reason.
 */
ngx_int_t ngx_http_weir_cache_flight_begin(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, u_char *known, ngx_msec_t timeout, uint64_t *token,
    weir_context_t *context);

/* The flight was handed over to a request with that context. */
void ngx_http_weir_cache_flight_hand_over(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t token, weir_context_t *context);

/*
 * Ends a flight.  With pass, waiting requests go to the upstream at once, and
 * so do requests that arrive within pass ms.
 */
void ngx_http_weir_cache_flight_end(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t token, ngx_msec_t pass);

/*
 * Records that responses to such requests are uncacheable for the given time in
 * ms; 0 removes the record.
 */
void ngx_http_weir_cache_flight_note(ngx_http_weir_cache_zone_t *zone,
    u_char *known, ngx_msec_t uncacheable);

/* True if responses to such requests are known to be uncacheable. */
ngx_uint_t ngx_http_weir_cache_flight_uncacheable(
    ngx_http_weir_cache_zone_t *zone, u_char *known);



#endif /* _NGX_HTTP_WEIR_CACHE_FLIGHT_H_INCLUDED_ */
