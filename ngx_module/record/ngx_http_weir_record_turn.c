/*
 * The end of a turn of the event loop.  nginx has no handler for it, so the
 * function with which a turn begins, which waits for events, is called by another
 * one: before it waits, all events of the turn before were handled.
 *
 * Invariant: that other function is in place only while its configuration's pool
 * exists, as the module may be unloaded with it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_clock.h"
#include "record/ngx_http_weir_record.h"
#include "record/ngx_http_weir_record_private.h"


static ngx_int_t ngx_http_weir_record_turn(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags);
static void ngx_http_weir_record_turn_end(void);
static void ngx_http_weir_record_turn_cleanup(void *data);


/* That of the event module. */
static ngx_int_t (*ngx_http_weir_record_process_events)(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags);


ngx_int_t
ngx_http_weir_record_turn_begin(ngx_cycle_t *cycle)
{
    ngx_pool_cleanup_t  *cln;

    cln = ngx_pool_cleanup_add(cycle->pool, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_record_turn_cleanup;

    ngx_http_weir_record_process_events = ngx_event_actions.process_events;
    ngx_event_actions.process_events = ngx_http_weir_record_turn;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_record_turn(ngx_cycle_t *cycle, ngx_msec_t timer,
    ngx_uint_t flags)
{
    if (ngx_http_weir_record_fresh.request
        || ngx_http_weir_usage_process.running)
    {
        ngx_http_weir_record_turn_end();
    }

    return ngx_http_weir_record_process_events(cycle, timer, flags);
}


/* Whoever is still there waits, and no request runs. */

static void
ngx_http_weir_record_turn_end(void)
{
    if (ngx_http_weir_record_fresh.request) {
        ngx_http_weir_record_keep();
    }

    if (ngx_http_weir_usage_process.running) {
        ngx_http_weir_usage_stop(ngx_http_weir_ticks());
    }
}


static void
ngx_http_weir_record_turn_cleanup(void *data)
{
    if (ngx_event_actions.process_events == ngx_http_weir_record_turn) {
        ngx_event_actions.process_events = ngx_http_weir_record_process_events;
    }
}
