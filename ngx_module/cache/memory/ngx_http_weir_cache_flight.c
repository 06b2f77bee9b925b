/* Single flight in shared memory; see ngx_http_weir_cache_flight.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/memory/ngx_http_weir_cache_flight.h"
#include "cache/memory/ngx_http_weir_cache_zone_private.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


/* Places in which a flight may be; its digest selects them. */
#define NGX_HTTP_WEIR_CACHE_FLIGHT_WAYS  8


static ngx_http_weir_cache_flight_t *ngx_http_weir_cache_flight_find(
    ngx_http_weir_cache_zone_t *zone, u_char *digest, uint64_t now,
    ngx_http_weir_cache_flight_t **free);


ngx_int_t
ngx_http_weir_cache_flight_begin(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, u_char *known, ngx_msec_t timeout, uint64_t *token,
    weir_context_t *context)
{
    uint64_t                       now;
    ngx_int_t                      rc;
    ngx_http_weir_cache_flight_t  *flight, *free;

    now = ngx_http_weir_ms();

    ngx_http_weir_cache_zone_lock(zone);

    if (ngx_http_weir_cache_flight_find(zone, known, now, &free)) {
        ngx_http_weir_cache_zone_unlock(zone);
        return NGX_ABORT;
    }

    flight = ngx_http_weir_cache_flight_find(zone, digest, now, &free);

    if (flight && flight->pid == 0) {
        rc = NGX_DECLINED;

    } else if (flight && !ngx_http_weir_cache_zone_dead(flight->pid)) {
        *context = flight->context;
        rc = NGX_BUSY;

    } else {
        if (flight == NULL) {
            flight = free;
        }

        rc = NGX_DECLINED;

        if (flight) {
            ngx_memcpy(flight->digest, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
            flight->token = ++zone->sh->token;
            flight->until = now + timeout;
            flight->pid = ngx_pid;
            flight->context = *context;

            *token = flight->token;
            rc = NGX_OK;
        }
    }

    ngx_http_weir_cache_zone_unlock(zone);

    return rc;
}


void
ngx_http_weir_cache_flight_hand_over(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t token, weir_context_t *context)
{
    ngx_http_weir_cache_flight_t  *flight, *free;

    ngx_http_weir_cache_zone_lock(zone);

    flight = ngx_http_weir_cache_flight_find(zone, digest, ngx_http_weir_ms(),
                                             &free);

    if (flight && flight->token == token) {
        flight->context = *context;
    }

    ngx_http_weir_cache_zone_unlock(zone);
}


void
ngx_http_weir_cache_flight_end(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t token, ngx_msec_t pass)
{
    uint64_t                       now;
    ngx_http_weir_cache_flight_t  *flight, *free;

    ngx_http_weir_assert(token != 0);

    now = ngx_http_weir_ms();

    ngx_http_weir_cache_zone_lock(zone);

    flight = ngx_http_weir_cache_flight_find(zone, digest, now, &free);

    if (flight && flight->token == token) {
        flight->pid = 0;
        flight->until = pass ? now + pass : 0;
    }

    ngx_http_weir_cache_zone_unlock(zone);
}


void
ngx_http_weir_cache_flight_note(ngx_http_weir_cache_zone_t *zone,
    u_char *known, ngx_msec_t uncacheable)
{
    uint64_t                       now;
    ngx_http_weir_cache_flight_t  *record, *free;

    now = ngx_http_weir_ms();

    ngx_http_weir_cache_zone_lock(zone);

    record = ngx_http_weir_cache_flight_find(zone, known, now, &free);

    if (record == NULL && uncacheable && free) {
        record = free;
        ngx_memcpy(record->digest, known, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
        record->token = 0;
        record->pid = 0;
    }

    if (record) {
        record->until = uncacheable ? now + uncacheable : 0;
    }

    ngx_http_weir_cache_zone_unlock(zone);
}


ngx_uint_t
ngx_http_weir_cache_flight_uncacheable(ngx_http_weir_cache_zone_t *zone,
    u_char *known)
{
    ngx_http_weir_cache_flight_t  *record, *free;

    ngx_http_weir_cache_zone_lock(zone);

    record = ngx_http_weir_cache_flight_find(zone, known,
                                             ngx_http_weir_ms(), &free);

    ngx_http_weir_cache_zone_unlock(zone);

    return record != NULL;
}


/* Returns the valid flight of the digest, and a place for a new one. */

static ngx_http_weir_cache_flight_t *
ngx_http_weir_cache_flight_find(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t now, ngx_http_weir_cache_flight_t **free)
{
    uint32_t                       n;
    ngx_uint_t                     i, nflights;
    ngx_http_weir_cache_flight_t  *flight;

    *free = NULL;

    flight = zone->sh->flights;
    nflights = zone->sh->nflights;

    ngx_http_weir_assert(zone->sh->changing);
    ngx_http_weir_assert(nflights >= NGX_HTTP_WEIR_CACHE_FLIGHT_WAYS);

    ngx_memcpy(&n, digest + 4, sizeof(uint32_t));
    flight += n % (nflights / NGX_HTTP_WEIR_CACHE_FLIGHT_WAYS)
              * NGX_HTTP_WEIR_CACHE_FLIGHT_WAYS;

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_FLIGHT_WAYS; i++, flight++) {

        if (flight->until <= now) {
            *free = flight;
            continue;
        }

        if (ngx_memcmp(flight->digest, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
            == 0)
        {
            return flight;
        }

        if (flight->pid == 0
            && (*free == NULL || (*free)->until > flight->until))
        {
            /* a flight replaces a record without a fetch */
            *free = flight;
        }
    }

    return NULL;
}
