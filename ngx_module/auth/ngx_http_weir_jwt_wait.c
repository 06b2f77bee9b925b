/*
 * Requests that wait in the access phase; see ngx_http_weir_jwt_wait.h.
 *
 * Invariants: a wait is in list->waiting if its state is WAITING, in list->ready
 * if it is READY, and in neither otherwise; list->n is the number of both.  All
 * waits of a list have the same timeout, so the order of list->waiting is that
 * of their ends, and one timer suffices.
 *
 * nginx may run the phases of a request that was aborted once more, for
 * post_action.  Its wait is still in the list then, so a request is only
 * resumed in the handler that parked it.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt_wait.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_park.h"
#include "record/ngx_http_weir_record.h"


static ngx_int_t ngx_http_weir_jwt_wait_attach(ngx_http_request_t *r,
    ngx_http_weir_jwt_wait_t *wait);
static void ngx_http_weir_jwt_wait_cleanup(void *data);
static void ngx_http_weir_jwt_wait_leave(ngx_http_weir_jwt_wait_t *wait);
static void ngx_http_weir_jwt_wait_ready(ngx_http_weir_jwt_wait_t *wait,
    ngx_uint_t expired);
static void ngx_http_weir_jwt_wait_set_timer(
    ngx_http_weir_jwt_wait_list_t *list);
static void ngx_http_weir_jwt_wait_timer_handler(ngx_event_t *ev);
static void ngx_http_weir_jwt_wait_wake_handler(ngx_event_t *ev);
static void ngx_http_weir_jwt_wait_resume(ngx_http_weir_jwt_wait_t *wait);


void
ngx_http_weir_jwt_wait_init(ngx_http_weir_jwt_wait_list_t *list,
    ngx_uint_t max, ngx_msec_t timeout)
{
    ngx_memzero(list, sizeof(ngx_http_weir_jwt_wait_list_t));

    ngx_queue_init(&list->waiting);
    ngx_queue_init(&list->ready);

    list->max = max;
    list->timeout = timeout;

    list->timer.handler = ngx_http_weir_jwt_wait_timer_handler;
    list->timer.data = list;

    list->wake.handler = ngx_http_weir_jwt_wait_wake_handler;
    list->wake.data = list;
}


ngx_int_t
ngx_http_weir_jwt_wait(ngx_http_request_t *r, ngx_http_weir_jwt_wait_t *wait,
    ngx_http_weir_jwt_wait_list_t *list)
{
    /* that of a request that was aborted and runs again, for post_action */
    ngx_http_weir_jwt_wait_leave(wait);

    wait->list = NULL;
    wait->state = NGX_HTTP_WEIR_JWT_WAIT_NONE;

    if (list->n >= list->max) {
        return NGX_BUSY;
    }

    if (ngx_http_weir_jwt_wait_attach(r, wait) != NGX_OK
        || ngx_http_weir_park(r) != NGX_AGAIN)
    {
        return NGX_ERROR;
    }

    wait->list = list;
    wait->state = NGX_HTTP_WEIR_JWT_WAIT_WAITING;
    wait->handler = r->phase_handler;
    wait->since = ngx_current_msec;

    ngx_queue_insert_tail(&list->waiting, &wait->queue);
    list->n++;

    ngx_http_weir_jwt_wait_set_timer(list);

    return NGX_AGAIN;
}


/* The cleanup of the request comes before that of its pool. */

static ngx_int_t
ngx_http_weir_jwt_wait_attach(ngx_http_request_t *r,
    ngx_http_weir_jwt_wait_t *wait)
{
    ngx_http_cleanup_t  *cln;

    if (wait->request) {
        ngx_http_weir_assert(wait->request == r);
        return NGX_OK;
    }

    cln = ngx_http_cleanup_add(r, 0);
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_jwt_wait_cleanup;
    cln->data = wait;
    wait->request = r;

    return NGX_OK;
}


static void
ngx_http_weir_jwt_wait_cleanup(void *data)
{
    ngx_http_weir_jwt_wait_t  *wait = data;

    ngx_http_weir_jwt_wait_leave(wait);

    wait->request = NULL;
}


static void
ngx_http_weir_jwt_wait_leave(ngx_http_weir_jwt_wait_t *wait)
{
    if (wait->state != NGX_HTTP_WEIR_JWT_WAIT_WAITING
        && wait->state != NGX_HTTP_WEIR_JWT_WAIT_READY)
    {
        return;
    }

    ngx_http_weir_assert(wait->list->n > 0);

    ngx_queue_remove(&wait->queue);
    wait->list->n--;
    wait->state = NGX_HTTP_WEIR_JWT_WAIT_NONE;

    ngx_http_weir_jwt_wait_set_timer(wait->list);
}


void
ngx_http_weir_jwt_wait_wake(ngx_http_weir_jwt_wait_list_t *list)
{
    ngx_queue_t  *q;

    while (!ngx_queue_empty(&list->waiting)) {
        q = ngx_queue_head(&list->waiting);
        ngx_http_weir_jwt_wait_ready(ngx_queue_data(q,
                                         ngx_http_weir_jwt_wait_t, queue), 0);
    }

    ngx_http_weir_jwt_wait_set_timer(list);
}


void
ngx_http_weir_jwt_wait_wake_one(ngx_http_weir_jwt_wait_t *wait)
{
    if (wait->state != NGX_HTTP_WEIR_JWT_WAIT_WAITING) {
        return;
    }

    ngx_http_weir_jwt_wait_ready(wait, 0);
    ngx_http_weir_jwt_wait_set_timer(wait->list);
}


static void
ngx_http_weir_jwt_wait_ready(ngx_http_weir_jwt_wait_t *wait,
    ngx_uint_t expired)
{
    ngx_http_weir_jwt_wait_list_t  *list;

    list = wait->list;

    ngx_queue_remove(&wait->queue);
    ngx_queue_insert_tail(&list->ready, &wait->queue);

    wait->state = NGX_HTTP_WEIR_JWT_WAIT_READY;
    wait->expired = expired;

    if (!list->wake.posted) {
        list->wake.log = ngx_cycle->log;
        ngx_post_event(&list->wake, &ngx_posted_events);
    }
}


static void
ngx_http_weir_jwt_wait_set_timer(ngx_http_weir_jwt_wait_list_t *list)
{
    ngx_queue_t               *q;
    ngx_msec_int_t             left;
    ngx_http_weir_jwt_wait_t  *oldest;

    if (ngx_queue_empty(&list->waiting)) {

        if (list->timer.timer_set) {
            ngx_del_timer(&list->timer);
        }

        return;
    }

    if (list->timer.timer_set) {
        /* the oldest may have gone: the timer is set again when it ends */
        return;
    }

    q = ngx_queue_head(&list->waiting);
    oldest = ngx_queue_data(q, ngx_http_weir_jwt_wait_t, queue);

    left = (ngx_msec_int_t) (oldest->since + list->timeout - ngx_current_msec);

    list->timer.log = ngx_cycle->log;
    ngx_add_timer(&list->timer, (ngx_msec_t) ngx_max(left, 1));
}


static void
ngx_http_weir_jwt_wait_timer_handler(ngx_event_t *ev)
{
    ngx_queue_t                    *q;
    ngx_http_weir_jwt_wait_t       *wait;
    ngx_http_weir_jwt_wait_list_t  *list = ev->data;

    while (!ngx_queue_empty(&list->waiting)) {
        q = ngx_queue_head(&list->waiting);
        wait = ngx_queue_data(q, ngx_http_weir_jwt_wait_t, queue);

        if (ngx_current_msec - wait->since < list->timeout) {
            break;
        }

        ngx_http_weir_jwt_wait_ready(wait, 1);
    }

    ngx_http_weir_jwt_wait_set_timer(list);
}


/*
 * Resuming a request may end others, whose waits leave the list, and may add
 * waits to list->waiting, but none to list->ready, except by another wake.
 */

static void
ngx_http_weir_jwt_wait_wake_handler(ngx_event_t *ev)
{
    ngx_queue_t                    *q;
    ngx_http_weir_jwt_wait_t       *wait;
    ngx_http_weir_jwt_wait_list_t  *list = ev->data;

    while (!ngx_queue_empty(&list->ready)) {
        q = ngx_queue_head(&list->ready);
        wait = ngx_queue_data(q, ngx_http_weir_jwt_wait_t, queue);

        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is a ring */
        ngx_queue_remove(q);
        list->n--;

        wait->state = wait->expired ? NGX_HTTP_WEIR_JWT_WAIT_EXPIRED
                                    : NGX_HTTP_WEIR_JWT_WAIT_WOKEN;

        ngx_http_weir_jwt_wait_resume(wait);
    }
}


static void
ngx_http_weir_jwt_wait_resume(ngx_http_weir_jwt_wait_t *wait)
{
    ngx_http_request_t      *r;
    ngx_http_weir_record_t  *record;

    r = wait->request;

    if (r->phase_handler != wait->handler
        || r->write_event_handler != ngx_http_request_empty_handler)
    {
        return;
    }

    record = ngx_http_weir_record(r);

    if (record) {
        /* it is charged for what it computes from now on */
        ngx_http_weir_usage_run(&record->ran, ngx_http_weir_ticks());
    }

    ngx_http_weir_resume(r);
}
