/*
 * A request with a slot, or waiting for one.
 *
 * A request that waits is parked in its phase.  The process that frees a slot
 * writes the result into shared memory, and wakes the process of the request,
 * which resumes it.  A timer ends the wait.  A client that leaves ends the
 * request, and so the ticket, by a cleanup.
 *
 * Whatever happens, the ticket ends with the request's pool.  A process that is
 * killed leaves its tickets to the next one (see zone).
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_park.h"
#include "limit/ngx_http_weir_limit_wake.h"
#include "limit/ngx_http_weir_limit_zone.h"


static void ngx_http_weir_limit_hold_cleanup(void *data);
static void ngx_http_weir_limit_hold_set_timer(
    ngx_http_weir_limit_hold_t *hold);
static void ngx_http_weir_limit_hold_timer(ngx_event_t *ev);
static void ngx_http_weir_limit_hold_settle(ngx_http_weir_limit_hold_t *hold,
    weir_slots_state_t state);


static ngx_http_weir_blocks_t  ngx_http_weir_limit_hold_blocks = {
    sizeof(ngx_http_weir_limit_hold_t), ngx_http_weir_limit_hold_cleanup, NULL,
    0
};


ngx_http_weir_limit_hold_t *
ngx_http_weir_limit_hold_new(ngx_http_request_t *r)
{
    ngx_http_weir_limit_hold_t  *hold;

    hold = ngx_http_weir_block_take(&ngx_http_weir_limit_hold_blocks, r->pool);
    if (hold == NULL) {
        return NULL;
    }

    ngx_memzero(&hold->block + 1,
                sizeof(ngx_http_weir_limit_hold_t)
                - sizeof(ngx_http_weir_block_t));
    hold->request = r;

    ngx_http_set_ctx(r, hold, ngx_http_weir_limit_module);

    return hold;
}


static void
ngx_http_weir_limit_hold_cleanup(void *data)
{
    ngx_http_weir_limit_hold_leave(data);
    ngx_http_weir_block_give(&ngx_http_weir_limit_hold_blocks, data);
}


ngx_http_weir_limit_hold_t *
ngx_http_weir_limit_hold_find(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t          *cln;
    ngx_http_weir_limit_hold_t  *hold;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler != ngx_http_weir_limit_hold_cleanup) {
            continue;
        }

        hold = cln->data;

        if (hold->request == r) {
            return hold;
        }
    }

    return NULL;
}


void
ngx_http_weir_limit_hold_leave(ngx_http_weir_limit_hold_t *hold)
{
    if (hold->timer && hold->timer->timer_set) {
        ngx_del_timer(hold->timer);
    }

    if (hold->ticketed) {
        hold->ticketed = 0;
        ngx_http_weir_limit_zone_leave(hold->limit->zone, hold->ticket,
                                       hold->us);
    }
}


ngx_int_t
ngx_http_weir_limit_hold_wait(ngx_http_weir_limit_hold_t *hold)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = hold->request;

    hold->timer = ngx_pcalloc(r->pool, sizeof(ngx_event_t));

    rc = hold->timer ? ngx_http_weir_park(r) : NGX_HTTP_INTERNAL_SERVER_ERROR;

    if (rc != NGX_AGAIN) {
        ngx_http_weir_limit_hold_leave(hold);
        return rc;
    }

    hold->status = NGX_HTTP_WEIR_LIMIT_QUEUED;
    hold->handler = r->phase_handler;
    hold->until = ngx_current_msec + hold->limit->settings.wait;

    hold->timer->handler = ngx_http_weir_limit_hold_timer;
    hold->timer->data = hold;
    hold->timer->log = r->connection->log;

    ngx_http_weir_limit_hold_set_timer(hold);

    return NGX_AGAIN;
}


static void
ngx_http_weir_limit_hold_set_timer(ngx_http_weir_limit_hold_t *hold)
{
    ngx_msec_int_t  left;

    left = (ngx_msec_int_t) (hold->until - ngx_current_msec);
    left = ngx_max(left, 1);

    if (ngx_http_weir_limit_wake_is_deaf()) {
        left = ngx_min(left, NGX_HTTP_WEIR_LIMIT_WAKE_LOOK);
    }

    ngx_add_timer(hold->timer, (ngx_msec_t) left);
}


static void
ngx_http_weir_limit_hold_timer(ngx_event_t *ev)
{
    ngx_http_weir_limit_hold_t *hold = ev->data;

    ngx_shm_zone_t  *zone;

    if ((ngx_msec_int_t) (hold->until - ngx_current_msec) > 0) {
        zone = hold->limit->zone;
        ngx_http_weir_limit_hold_set_timer(hold);

        /* the last access: the request may end */
        ngx_http_weir_limit_hold_news(zone);
        return;
    }

    ngx_http_weir_limit_hold_settle(hold,
                       ngx_http_weir_limit_zone_expire(hold->limit->zone,
                                                       hold->ticket));
}


void
ngx_http_weir_limit_hold_news(ngx_shm_zone_t *zone)
{
    weir_slots_state_t           state;
    ngx_http_weir_limit_hold_t  *hold;

    for ( ;; ) {
        state = ngx_http_weir_limit_zone_news(zone, &hold);

        if (hold == NULL) {
            return;
        }

        ngx_http_weir_limit_hold_settle(hold, state);
    }
}


/*
 * The wait has ended: resumes the request, unless it is about to end for another
 * reason.  It may be freed afterwards.
 */

static void
ngx_http_weir_limit_hold_settle(ngx_http_weir_limit_hold_t *hold,
    weir_slots_state_t state)
{
    ngx_http_request_t  *r;

    r = hold->request;

    ngx_http_weir_assert(hold->status == NGX_HTTP_WEIR_LIMIT_QUEUED);

    if (hold->timer->timer_set) {
        ngx_del_timer(hold->timer);
    }

    switch (state) {

    case WEIR_SLOTS_HELD:
        hold->status = NGX_HTTP_WEIR_LIMIT_WAITED;
        break;

    case WEIR_SLOTS_SHED:
        hold->status = NGX_HTTP_WEIR_LIMIT_SHED;
        hold->ticketed = 0;
        break;

    default:
        hold->status = NGX_HTTP_WEIR_LIMIT_EXPIRED;
        hold->ticketed = 0;
        break;
    }

    if (!hold->ticketed) {
        hold->retry_after = ngx_http_weir_limit_zone_retry(hold->limit->zone,
                                                           &hold->key,
                                                           hold->hash);
    }

    if (r->phase_handler != hold->handler
        || r->write_event_handler != ngx_http_request_empty_handler)
    {
        return;
    }

    hold->ready = 1;

    ngx_http_weir_resume(r);
}
