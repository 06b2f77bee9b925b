/*
 * Of the edges that share a Redis, one at a time probes an upstream.
 *
 * The key weir:breaker:probe:ZONE:KEY has the word of the edge that knows most,
 * and ends by itself:
 *
 *     EDGE        that edge probes, for `open`; N probes are those of the fleet
 *     ill:N       a probe has failed, and the breaker has opened N times more
 *                 since the upstream was well; for the open time of that edge
 *     well:MS     the probes have succeeded; the key lives for MS
 *
 * An edge whose breaker's time is over asks before it probes.  If nobody knows
 * anything the lease is its own.  While another edge probes, or its probe has
 * failed, the breaker stays open, and asks again a second later.  If the probes
 * of another edge have succeeded, it ramps from that time on, or closes.
 *
 * The request that asks waits for the reply, but not for longer than a command's
 * timeout.  Without a reply each edge probes for itself.
 *
 * Redis is not trusted: what it says has an effect only on a breaker whose time
 * is over, and the effect is one of these.
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_LEASE_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_LEASE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"


/*
 * Asks for the breaker of that key; ticket is that of NGX_AGAIN.  Returns
 * NGX_AGAIN: the request is parked, and its phase handler will be called again;
 * NGX_DECLINED: Redis cannot be asked, the lease counts as ours; or a status.
 */
ngx_int_t ngx_http_weir_breaker_lease_ask(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_http_weir_breaker_key_t *key,
    ngx_http_weir_breaker_ticket_t *ticket);

/*
 * In the phase handler: NGX_DECLINED, the request has not asked; NGX_AGAIN, it
 * waits still; NGX_OK with what it has heard, once.
 */
ngx_int_t ngx_http_weir_breaker_lease_read(ngx_http_request_t *r,
    ngx_http_weir_breaker_ticket_t *ticket,
    ngx_http_weir_breaker_verdict_t *verdict);

/* Tells the other edges what this one has found out.  Waits for nothing. */
void ngx_http_weir_breaker_lease_tell(ngx_http_weir_breaker_t *breaker,
    ngx_http_weir_breaker_change_t *change, ngx_log_t *log);


#endif /* _NGX_HTTP_WEIR_BREAKER_LEASE_H_INCLUDED_ */
