/*
 * Those who listen to the events of weir_dashboard.
 *
 * While a worker has listeners, a timer begins a document every second, which
 * all of them get.  A listener that is still being sent an earlier one goes
 * without it; who has gone without too many is dropped.  So at most that many
 * documents are in memory, whatever clients do.
 *
 * The timer is one that a worker which is to end waits for: within a second it
 * ends all listeners.
 *
 * Invariant: a listener's buffer is passed on again only after all its bytes
 * were taken, and a document is freed only after that, or with the request.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "dashboard/ngx_http_weir_dashboard.h"
#include "record/ngx_http_weir_record.h"


/* Of a worker. */
#define NGX_HTTP_WEIR_DASHBOARD_LISTENERS  32

/* Documents in a row that a listener may miss. */
#define NGX_HTTP_WEIR_DASHBOARD_MISSES     8

/* ms between documents, and parts of one */
#define NGX_HTTP_WEIR_DASHBOARD_INTERVAL   1000
#define NGX_HTTP_WEIR_DASHBOARD_SOON       1

/* A longer document comes less often: bytes in an interval. */
#define NGX_HTTP_WEIR_DASHBOARD_RATE       (256 * 1024)


typedef struct {
    ngx_queue_t                          queue;
    ngx_http_request_t                  *request;
    ngx_http_weir_dashboard_document_t  *document;  /* being sent, or NULL */
    ngx_chain_t                         *next;      /* block to pass on */
    ngx_buf_t                            buf;       /* the block before */
    ngx_buf_t                            hello;
    ngx_chain_t                          first;     /* hello */
    ngx_uint_t                           missed;
    ngx_uint_t                           turn;      /* that it was visited in */
} ngx_http_weir_dashboard_listener_t;


static void ngx_http_weir_dashboard_begin(void);
static void ngx_http_weir_dashboard_remove(void *data);
static void ngx_http_weir_dashboard_write_handler(ngx_http_request_t *r);
static void ngx_http_weir_dashboard_timer(ngx_event_t *ev);
static ngx_msec_t ngx_http_weir_dashboard_render(void);
static void ngx_http_weir_dashboard_publish(
    ngx_http_weir_dashboard_document_t *document);
static ngx_http_weir_dashboard_listener_t *ngx_http_weir_dashboard_visit(void);
static void ngx_http_weir_dashboard_give(
    ngx_http_weir_dashboard_listener_t *listener);
static ngx_int_t ngx_http_weir_dashboard_write(
    ngx_http_weir_dashboard_listener_t *listener);
static ngx_uint_t ngx_http_weir_dashboard_is_sending(
    ngx_http_weir_dashboard_listener_t *listener);
static void ngx_http_weir_dashboard_end(
    ngx_http_weir_dashboard_listener_t *listener);
static void ngx_http_weir_dashboard_finalize(ngx_http_request_t *r,
    ngx_int_t rc);


/* Of this worker. */
static struct {
    ngx_queue_t                          listeners;
    ngx_uint_t                           n;
    ngx_uint_t                           turn;
    ngx_uint_t                           drafting;  /* bool: one has begun */
    ngx_uint_t                           pause;     /* intervals to pass by */
    ngx_http_weir_dashboard_document_t  *latest;    /* NULL: none yet */
    ngx_event_t                          timer;     /* set while there are
                                                       listeners */
    ngx_connection_t                     dummy;
} ngx_http_weir_dashboard;


ngx_uint_t
ngx_http_weir_dashboard_is_full(void)
{
    return ngx_http_weir_dashboard.n == NGX_HTTP_WEIR_DASHBOARD_LISTENERS;
}


ngx_int_t
ngx_http_weir_dashboard_listen(ngx_http_request_t *r, ngx_str_t *hello)
{
    ngx_pool_cleanup_t                  *cln;
    ngx_http_weir_record_t              *record;
    ngx_http_weir_dashboard_listener_t  *listener;

    cln = ngx_pool_cleanup_add(r->pool,
                               sizeof(ngx_http_weir_dashboard_listener_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_dashboard_remove;

    listener = cln->data;
    ngx_memzero(listener, sizeof(ngx_http_weir_dashboard_listener_t));

    listener->request = r;
    listener->hello.pos = hello->data;
    listener->hello.last = hello->data + hello->len;
    listener->first.buf = &listener->hello;
    listener->next = &listener->first;

    ngx_http_weir_dashboard_begin();
    listener->turn = ngx_http_weir_dashboard.turn;

    ngx_queue_insert_tail(&ngx_http_weir_dashboard.listeners, &listener->queue);
    ngx_http_weir_dashboard.n++;

    if (ngx_http_weir_dashboard.latest) {
        listener->document = ngx_http_weir_dashboard.latest;
        listener->document->users++;
        listener->first.next = listener->document->blocks;
    }

    record = ngx_http_weir_record(r);

    if (record) {
        record->endless = 1;
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_weir_dashboard_write_handler;

    return ngx_http_weir_dashboard_write(listener) == NGX_OK ? NGX_DONE
                                                             : NGX_ERROR;
}


/* Sets the timer; a document is begun at once. */

static void
ngx_http_weir_dashboard_begin(void)
{
    ngx_event_t  *ev;

    ev = &ngx_http_weir_dashboard.timer;

    if (ev->timer_set) {
        return;
    }

    if (ev->handler == NULL) {
        ngx_queue_init(&ngx_http_weir_dashboard.listeners);
        ngx_http_weir_dashboard.dummy.fd = (ngx_socket_t) -1;

        ev->handler = ngx_http_weir_dashboard_timer;
        ev->data = &ngx_http_weir_dashboard.dummy;
    }

    ev->log = ngx_cycle->log;
    ngx_http_weir_dashboard.pause = 0;

    ngx_add_timer(ev, NGX_HTTP_WEIR_DASHBOARD_SOON);
}


/* The request ends. */

static void
ngx_http_weir_dashboard_remove(void *data)
{
    ngx_http_weir_dashboard_listener_t *listener = data;

    ngx_queue_remove(&listener->queue);

    if (listener->document) {
        ngx_http_weir_dashboard_document_free(listener->document);
    }

    if (--ngx_http_weir_dashboard.n) {
        return;
    }

    if (ngx_http_weir_dashboard.timer.timer_set) {
        ngx_del_timer(&ngx_http_weir_dashboard.timer);
    }

    ngx_http_weir_dashboard_document_drop();
    ngx_http_weir_dashboard.drafting = 0;

    if (ngx_http_weir_dashboard.latest) {
        ngx_http_weir_dashboard_document_free(ngx_http_weir_dashboard.latest);
        ngx_http_weir_dashboard.latest = NULL;
    }
}


static void
ngx_http_weir_dashboard_write_handler(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t  *cln;

    for (cln = r->pool->cleanup;
         cln->handler != ngx_http_weir_dashboard_remove;
         cln = cln->next)
    {
        /* void */
    }

    if (ngx_http_weir_dashboard_write(cln->data) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}


static void
ngx_http_weir_dashboard_timer(ngx_event_t *ev)
{
    ngx_msec_t                           delay;
    ngx_http_weir_dashboard_listener_t  *listener;

    if (ngx_exiting) {
        ngx_http_weir_dashboard.turn++;

        while ((listener = ngx_http_weir_dashboard_visit()) != NULL) {
            ngx_http_weir_dashboard_end(listener);
        }

        return;
    }

    delay = ngx_http_weir_dashboard_render();

    if (ngx_http_weir_dashboard.n && !ev->timer_set) {
        ngx_add_timer(ev, delay);
    }
}


/* Returns the time after which it is to be called again, ms. */

static ngx_msec_t
ngx_http_weir_dashboard_render(void)
{
    ngx_int_t                            rc;
    ngx_queue_t                         *q;
    ngx_http_weir_dashboard_listener_t  *listener;
    ngx_http_weir_dashboard_document_t  *document;

    if (ngx_http_weir_dashboard.pause) {
        ngx_http_weir_dashboard.pause--;
        return NGX_HTTP_WEIR_DASHBOARD_INTERVAL;
    }

    rc = NGX_OK;

    if (!ngx_http_weir_dashboard.drafting) {
        q = ngx_queue_head(&ngx_http_weir_dashboard.listeners);
        listener = ngx_queue_data(q, ngx_http_weir_dashboard_listener_t, queue);

        rc = ngx_http_weir_dashboard_document_begin(listener->request);
        ngx_http_weir_dashboard.drafting = (rc == NGX_OK);
    }

    if (rc == NGX_OK) {
        rc = ngx_http_weir_dashboard_document_next(&document);
    }

    if (rc == NGX_AGAIN) {
        return NGX_HTTP_WEIR_DASHBOARD_SOON;
    }

    ngx_http_weir_dashboard.drafting = 0;

    if (rc == NGX_OK) {
        ngx_http_weir_dashboard_publish(document);
    }

    return NGX_HTTP_WEIR_DASHBOARD_INTERVAL;
}


static void
ngx_http_weir_dashboard_publish(ngx_http_weir_dashboard_document_t *document)
{
    ngx_http_weir_dashboard_listener_t  *listener;

    if (ngx_http_weir_dashboard.latest) {
        ngx_http_weir_dashboard_document_free(ngx_http_weir_dashboard.latest);
    }

    ngx_http_weir_dashboard.latest = document;
    ngx_http_weir_dashboard.pause = document->size
                                    / NGX_HTTP_WEIR_DASHBOARD_RATE;
    ngx_http_weir_dashboard.turn++;

    while ((listener = ngx_http_weir_dashboard_visit()) != NULL) {
        ngx_http_weir_dashboard_give(listener);
    }
}


/*
 * A listener that was not visited in this turn, or NULL.  Looks from the begin
 * of the list each time, because the end of one request may end others: those of
 * its HTTP/2 connection.
 */

static ngx_http_weir_dashboard_listener_t *
ngx_http_weir_dashboard_visit(void)
{
    ngx_queue_t                         *q, *listeners;
    ngx_http_weir_dashboard_listener_t  *listener;

    listeners = &ngx_http_weir_dashboard.listeners;

    for (q = ngx_queue_head(listeners);
         q != ngx_queue_sentinel(listeners);
         q = ngx_queue_next(q))
    {
        listener = ngx_queue_data(q, ngx_http_weir_dashboard_listener_t, queue);

        if (listener->turn != ngx_http_weir_dashboard.turn) {
            listener->turn = ngx_http_weir_dashboard.turn;
            return listener;
        }
    }

    return NULL;
}


/* The latest document. */

static void
ngx_http_weir_dashboard_give(ngx_http_weir_dashboard_listener_t *listener)
{
    ngx_http_request_t  *r;

    r = listener->request;

    if (ngx_http_weir_dashboard_is_sending(listener)) {

        if (++listener->missed > NGX_HTTP_WEIR_DASHBOARD_MISSES) {
            ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                          "a listener of weir_dashboard reads too slowly and"
                          " is dropped");
            ngx_http_weir_dashboard_finalize(r, NGX_ERROR);
        }

        return;
    }

    listener->missed = 0;
    listener->document = ngx_http_weir_dashboard.latest;
    listener->document->users++;
    listener->next = listener->document->blocks;

    if (ngx_http_weir_dashboard_write(listener) != NGX_OK) {
        ngx_http_weir_dashboard_finalize(r, NGX_ERROR);
    }
}


/* Passes on what the client takes; NGX_OK or NGX_ERROR. */

static ngx_int_t
ngx_http_weir_dashboard_write(ngx_http_weir_dashboard_listener_t *listener)
{
    ngx_int_t                  rc;
    ngx_buf_t                 *b;
    ngx_chain_t                out;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = listener->request;
    b = &listener->buf;
    rc = NGX_OK;

    if (b->pos < b->last || r->buffered || r->connection->buffered) {
        rc = ngx_http_output_filter(r, NULL);
    }

    while (rc != NGX_ERROR && b->pos == b->last && listener->next) {
        b->pos = listener->next->buf->pos;
        b->last = listener->next->buf->last;
        b->start = b->pos;
        b->end = b->last;
        b->memory = 1;
        b->flush = 1;

        listener->next = listener->next->next;

        out.buf = b;
        out.next = NULL;

        rc = ngx_http_output_filter(r, &out);
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (listener->document && b->pos == b->last) {
        ngx_http_weir_dashboard_document_free(listener->document);
        listener->document = NULL;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    return ngx_handle_write_event(r->connection->write, clcf->send_lowat);
}


static ngx_uint_t
ngx_http_weir_dashboard_is_sending(
    ngx_http_weir_dashboard_listener_t *listener)
{
    return listener->buf.pos < listener->buf.last || listener->next;
}


/* The worker ends: whoever reads is sent the end, and can connect again. */

static void
ngx_http_weir_dashboard_end(ngx_http_weir_dashboard_listener_t *listener)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = listener->request;
    rc = NGX_ERROR;

    if (!ngx_http_weir_dashboard_is_sending(listener)) {
        rc = ngx_http_send_special(r, NGX_HTTP_LAST);
    }

    if (rc == NGX_ERROR || r->buffered || r->connection->buffered) {
        /* nobody waits for a client */
        ngx_http_weir_dashboard_finalize(r, NGX_ERROR);
        return;
    }

    ngx_http_weir_dashboard_finalize(r, NGX_OK);
}


/* Outside of an event of the connection. */

static void
ngx_http_weir_dashboard_finalize(ngx_http_request_t *r, ngx_int_t rc)
{
    ngx_connection_t  *c;

    c = r->connection;

    ngx_http_finalize_request(r, rc);
    ngx_http_run_posted_requests(c);
}
