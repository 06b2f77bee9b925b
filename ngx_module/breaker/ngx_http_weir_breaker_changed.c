/* What follows from a change of a breaker's state: the log, spans, other edges. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "breaker/fleet/ngx_http_weir_breaker_lease.h"
#include "breaker/fleet/ngx_http_weir_breaker_publish.h"
#include "record/ngx_http_weir_record.h"


void
ngx_http_weir_breaker_changed(ngx_http_request_t *r,
    ngx_http_weir_breaker_t *breaker, ngx_http_weir_breaker_change_t *change)
{
    /* in the order of weir_breaker_state_t */
    static char  *events[] = {
        "weir.breaker.closed", "weir.breaker.opened",
        "weir.breaker.half_open", "weir.breaker.ramping"
    };

    if (change->was == change->is) {
        return;
    }

    ngx_http_weir_breaker_log(change, breaker->zone, r->connection->log);
    ngx_http_weir_breaker_lease_tell(breaker, change, r->connection->log);
    ngx_http_weir_breaker_publish(breaker->zone, change, r->connection->log);

    /* after the log phase its spans have ended */

    if (!r->logged) {
        ngx_http_weir_record_event(r, events[change->is]);
    }
}
