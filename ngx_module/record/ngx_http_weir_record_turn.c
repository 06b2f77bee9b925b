/*
 * The end of a turn of the event loop, and what is done between turns.  nginx has
 * no handler for it, so the function with which a turn begins, which waits for
 * events, is called by another one: before it waits, all events of the turn before
 * were handled.
 *
 * What runs about once a second, as long as a worker lives, is no timer of nginx:
 * each request searches and changes the tree of timers several times, and would
 * do so in a higher one.
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


/* ms; the event methods of nginx take the time to wait as an int. */
#define NGX_HTTP_WEIR_RECORD_FOREVER  0x7fffffff


static ngx_int_t ngx_http_weir_record_turn(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags);
static ngx_int_t ngx_http_weir_record_turn_end(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags);
static ngx_msec_t ngx_http_weir_record_turn_work(void);
static void ngx_http_weir_record_turn_cleanup(void *data);


/* That of the event module. */
static ngx_int_t (*ngx_http_weir_record_process_events)(ngx_cycle_t *cycle,
    ngx_msec_t timer, ngx_uint_t flags);

static ngx_http_weir_record_task_t  *ngx_http_weir_record_tasks;

/* ngx_current_msec when the next task is due. */
static ngx_msec_t  ngx_http_weir_record_due;


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
    ngx_msec_t  left;

    left = ngx_http_weir_record_due - ngx_current_msec;

    if (ngx_http_weir_record_fresh.request || ngx_http_weir_usage_process.running
        || (ngx_msec_int_t) left <= 0)
    {
        return ngx_http_weir_record_turn_end(cycle, timer, flags);
    }

    return ngx_http_weir_record_process_events(cycle, ngx_min(timer, left),
                                               flags);
}


/* A request that has not ended waits for an event, and no request runs. */

static weir_apart ngx_int_t
ngx_http_weir_record_turn_end(ngx_cycle_t *cycle, ngx_msec_t timer,
    ngx_uint_t flags)
{
    ngx_msec_t  left;

    if (ngx_http_weir_record_fresh.request) {
        ngx_http_weir_record_keep();
        ngx_http_weir_usage_process.running = NULL;

    } else if (ngx_http_weir_usage_process.running) {
        ngx_http_weir_usage_stop(ngx_http_weir_ticks());
    }

    left = ngx_http_weir_record_due - ngx_current_msec;

    if ((ngx_msec_int_t) left <= 0) {
        left = ngx_http_weir_record_turn_work();
    }

    return ngx_http_weir_record_process_events(cycle, ngx_min(timer, left),
                                               flags);
}


/* Does what is due; returns the time until more is. */

static weir_apart ngx_msec_t
ngx_http_weir_record_turn_work(void)
{
    ngx_msec_t                    now, next;
    ngx_http_weir_record_task_t  *task;

    now = ngx_current_msec;
    next = NGX_HTTP_WEIR_RECORD_FOREVER;

    for (task = ngx_http_weir_record_tasks; task; task = task->next) {

        if ((ngx_msec_int_t) (task->due - now) <= 0) {
            task->due = now + task->handler(task);
        }

        next = ngx_min(next, task->due - now);
    }

    ngx_http_weir_record_due = now + next;

    return next;
}


ngx_int_t
ngx_http_weir_record_repeat(ngx_http_weir_record_task_t *task, ngx_msec_t ms)
{
    ngx_http_weir_record_task_t  *other;

    if (ngx_event_actions.process_events != ngx_http_weir_record_turn) {
        return NGX_DECLINED;
    }

    task->due = ngx_current_msec + ms;

    for (other = ngx_http_weir_record_tasks; other; other = other->next) {
        if (other == task) {
            break;
        }
    }

    if (other == NULL) {
        task->next = ngx_http_weir_record_tasks;
        ngx_http_weir_record_tasks = task;
    }

    ngx_http_weir_record_due = ngx_current_msec;

    return NGX_OK;
}


void
ngx_http_weir_record_cease(ngx_http_weir_record_task_t *task)
{
    ngx_http_weir_record_task_t  **p;

    for (p = &ngx_http_weir_record_tasks; *p; p = &(*p)->next) {
        if (*p == task) {
            *p = task->next;
            return;
        }
    }
}


static void
ngx_http_weir_record_turn_cleanup(void *data)
{
    if (ngx_event_actions.process_events == ngx_http_weir_record_turn) {
        ngx_event_actions.process_events = ngx_http_weir_record_process_events;
    }
}
