/*
 * Processes tell each other that a zone has news for them.
 *
 * Each process has an eventfd, by its place in nginx's table of processes, which
 * is also its seat in the zones.  The master makes them before it starts
 * processes, and keeps them: so the processes of an old configuration and those
 * of a new one wake each other.  A new binary makes its own, as it does with
 * shared memory.  If there are more processes than eventfds (many old ones are
 * still there, or descriptors are short), the others look for news by a timer
 * while requests wait; so do those that old processes cannot wake.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include <sys/eventfd.h>

#include "limit/ngx_http_weir_limit_wake.h"


/* eventfds for so many generations of workers, and at most so many */
#define NGX_HTTP_WEIR_LIMIT_WAKE_GENERATIONS  4
#define NGX_HTTP_WEIR_LIMIT_WAKE_MAX          256


static void ngx_http_weir_limit_wake_close(void);
static void ngx_http_weir_limit_wake_read(ngx_event_t *ev);
static void ngx_http_weir_limit_wake_posted(ngx_event_t *ev);


/* Of the master, and inherited. */
static int         ngx_http_weir_limit_wake_fds[NGX_HTTP_WEIR_LIMIT_WAKE_MAX];
static ngx_uint_t  ngx_http_weir_limit_wake_n;
static ngx_uint_t  ngx_http_weir_limit_wake_known;  /* to older processes, too */

/* Of this process. */
static ngx_event_t        ngx_http_weir_limit_wake_event;
static ngx_connection_t  *ngx_http_weir_limit_wake_connection;
static void             (*ngx_http_weir_limit_wake_news)(void);


void
ngx_http_weir_limit_wake_prepare(ngx_cycle_t *cycle)
{
    int               fd;
    ngx_uint_t        n;
    ngx_core_conf_t  *ccf;

    ccf = (ngx_core_conf_t *) ngx_get_conf(cycle->conf_ctx, ngx_core_module);

    n = ngx_max(ccf->worker_processes, 1)
        * NGX_HTTP_WEIR_LIMIT_WAKE_GENERATIONS + 4;
    n = ngx_min(n, NGX_HTTP_WEIR_LIMIT_WAKE_MAX);

    ngx_http_weir_limit_wake_known = ngx_http_weir_limit_wake_n;

    while (ngx_http_weir_limit_wake_n < n) {
        fd = eventfd(0, EFD_NONBLOCK|EFD_CLOEXEC);

        if (fd == -1) {
            ngx_log_error(NGX_LOG_ERR, cycle->log, ngx_errno,
                          "eventfd() failed for \"weir_limit\": processes"
                          " without one look for free slots every %d ms",
                          NGX_HTTP_WEIR_LIMIT_WAKE_LOOK);
            ngx_http_weir_limit_wake_close();
            break;
        }

        ngx_http_weir_limit_wake_fds[ngx_http_weir_limit_wake_n++] = fd;
    }

    if (ngx_http_weir_limit_wake_known == 0) {
        ngx_http_weir_limit_wake_known = ngx_http_weir_limit_wake_n;
    }
}


/* The master needs descriptors to start its workers: closes the new ones. */

static void
ngx_http_weir_limit_wake_close(void)
{
    while (ngx_http_weir_limit_wake_n > ngx_http_weir_limit_wake_known) {
        (void) close(
             ngx_http_weir_limit_wake_fds[--ngx_http_weir_limit_wake_n]);
    }
}


ngx_int_t
ngx_http_weir_limit_wake_begin(ngx_cycle_t *cycle, void (*news)(void))
{
    ngx_connection_t  *c;

    ngx_http_weir_limit_wake_news = news;

    ngx_http_weir_limit_wake_event.handler = ngx_http_weir_limit_wake_posted;
    ngx_http_weir_limit_wake_event.log = cycle->log;

    if ((ngx_uint_t) ngx_process_slot >= ngx_http_weir_limit_wake_n) {
        return NGX_OK;
    }

    c = ngx_get_connection(ngx_http_weir_limit_wake_fds[ngx_process_slot],
                           cycle->log);
    if (c == NULL) {
        return NGX_ERROR;
    }

    c->log = cycle->log;
    c->read->log = cycle->log;
    c->write->log = cycle->log;
    c->read->handler = ngx_http_weir_limit_wake_read;

    /* it is open until the process ends, as nginx's own channel is */
    c->read->channel = 1;
    c->write->channel = 1;

    if (ngx_handle_read_event(c->read, 0) != NGX_OK) {
        ngx_free_connection(c);
        return NGX_ERROR;
    }

    ngx_http_weir_limit_wake_connection = c;

    return NGX_OK;
}


/* The eventfd belongs to the seat, and is not closed. */

void
ngx_http_weir_limit_wake_end(void)
{
    ngx_connection_t  *c;

    c = ngx_http_weir_limit_wake_connection;

    if (c == NULL) {
        return;
    }

    ngx_http_weir_limit_wake_connection = NULL;

    if (c->read->active) {
        (void) ngx_del_event(c->read, NGX_READ_EVENT, 0);
    }

    ngx_free_connection(c);
    c->fd = (ngx_socket_t) -1;
}


ngx_uint_t
ngx_http_weir_limit_wake_is_deaf(void)
{
    return (ngx_uint_t) ngx_process_slot >= ngx_http_weir_limit_wake_known;
}


void
ngx_http_weir_limit_wake(weir_slots_wakes_t *wakes)
{
    uint64_t    one;
    ngx_uint_t  i, n, seat;

    one = 1;
    n = wakes->all ? ngx_http_weir_limit_wake_n : wakes->n;

    for (i = 0; i < n; i++) {
        seat = wakes->all ? i : wakes->seats[i];

        if (seat == ngx_http_weir_limit_wake_seat()) {
            ngx_post_event(&ngx_http_weir_limit_wake_event, &ngx_posted_events);
            continue;
        }

        /*
         * It fails only if the process has not read 2^64 - 2 of them; a process
         * without one looks itself.
         */

        if (seat < ngx_http_weir_limit_wake_n
            && write(ngx_http_weir_limit_wake_fds[seat], &one, sizeof(one))
               == -1)
        {
            ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                          "write() to an eventfd of \"weir_limit\" failed");
        }
    }
}


static void
ngx_http_weir_limit_wake_read(ngx_event_t *ev)
{
    uint64_t           n;
    ngx_connection_t  *c;

    c = ev->data;

    if (read(c->fd, &n, sizeof(n)) == -1 && ngx_errno != NGX_EAGAIN) {
        ngx_log_error(NGX_LOG_ALERT, ev->log, ngx_errno,
                      "read() of an eventfd of \"weir_limit\" failed");
    }

    ev->ready = 0;

    if (ngx_handle_read_event(ev, 0) != NGX_OK) {
        ngx_log_error(NGX_LOG_ALERT, ev->log, 0,
                      "an eventfd of \"weir_limit\" cannot be watched");
    }

    ngx_http_weir_limit_wake_news();
}


static void
ngx_http_weir_limit_wake_posted(ngx_event_t *ev)
{
    ngx_http_weir_limit_wake_news();
}
