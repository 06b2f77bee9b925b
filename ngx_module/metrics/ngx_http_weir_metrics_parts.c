/* Sending a document in parts; see ngx_http_weir_metrics_parts.h. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/ngx_http_weir_metrics_parts.h"


typedef struct {
    ngx_http_request_t             *request;
    ngx_http_weir_metrics_part_pt   next;
    void                           *data;
    ngx_buf_t                      *buf;   /* the part that is being sent */
} ngx_http_weir_metrics_parts_t;


static ngx_int_t ngx_http_weir_metrics_parts_begin(ngx_http_request_t *r,
    ngx_buf_t *b, ngx_http_weir_metrics_part_pt next, void *data);
static void ngx_http_weir_metrics_parts_cleanup(void *data);
static ngx_http_weir_metrics_parts_t *ngx_http_weir_metrics_parts_find(
    ngx_http_request_t *r);
static void ngx_http_weir_metrics_parts_handler(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_metrics_parts_next(ngx_http_request_t *r,
    ngx_http_weir_metrics_parts_t *parts);
static void ngx_http_weir_metrics_parts_wait(ngx_http_request_t *r,
    ngx_uint_t taken);


/*
 * The first part is written with the head: a short document has a length, and is
 * sent at once.
 */

ngx_int_t
ngx_http_weir_metrics_parts_send(ngx_http_request_t *r, ngx_buf_t *head,
    ngx_http_weir_metrics_part_pt next, void *data)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out[2];

    out[0].buf = head;
    out[0].next = NULL;

    b = head;
    rc = NGX_OK;

    if (next) {
        b = ngx_create_temp_buf(r->pool, NGX_HTTP_WEIR_METRICS_PART);
        if (b == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        rc = next(data, b);

        out[0].next = &out[1];
        out[1].buf = b;
        out[1].next = NULL;
    }

    if (rc == NGX_OK) {
        b->last_buf = (r == r->main);
        b->last_in_chain = 1;

        r->headers_out.content_length_n = head->last - head->pos
                                          + (b != head ? b->last - b->pos : 0);

        return ngx_http_weir_send_response(r, out);
    }

    if (ngx_http_weir_metrics_parts_begin(r, b, next, data) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ngx_http_clear_content_length(r);
    ngx_http_clear_accept_ranges(r);

    b->flush = 1;

    rc = ngx_http_weir_send_response(r, out);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    r->main->count++;
    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_weir_metrics_parts_handler;

    ngx_http_weir_metrics_parts_wait(r, b->pos == b->last);

    return NGX_DONE;
}


/* Keeps what the handler needs; NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_metrics_parts_begin(ngx_http_request_t *r, ngx_buf_t *b,
    ngx_http_weir_metrics_part_pt next, void *data)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_weir_metrics_parts_t  *parts;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_metrics_parts_t));
    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_metrics_parts_cleanup;

    parts = cln->data;
    parts->request = r;
    parts->next = next;
    parts->data = data;
    parts->buf = b;

    return NGX_OK;
}


/*
 * The function pointer identifies the data in the request's pool, which
 * subrequests share.
 */

static void
ngx_http_weir_metrics_parts_cleanup(void *data)
{
}


static ngx_http_weir_metrics_parts_t *
ngx_http_weir_metrics_parts_find(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t             *cln;
    ngx_http_weir_metrics_parts_t  *parts;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_metrics_parts_cleanup) {
            continue;
        }

        parts = cln->data;

        if (parts->request == r) {
            return parts;
        }
    }

    return NULL;
}


static void
ngx_http_weir_metrics_parts_handler(ngx_http_request_t *r)
{
    ngx_int_t                       rc;
    ngx_event_t                    *wev;
    ngx_http_weir_metrics_parts_t  *parts;

    wev = r->connection->write;
    parts = ngx_http_weir_metrics_parts_find(r);

    ngx_http_weir_assert(parts);

    if (wev->timedout) {
        ngx_log_error(NGX_LOG_INFO, r->connection->log, NGX_ETIMEDOUT,
                      "client timed out");
        r->connection->timedout = 1;

        ngx_http_finalize_request(r, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }

    if (wev->timer_set && !wev->delayed) {
        ngx_del_timer(wev);
    }

    if (parts->buf->pos < parts->buf->last) {
        rc = ngx_http_output_filter(r, NULL);

    } else {
        rc = ngx_http_weir_metrics_parts_next(r, parts);

        if (rc == NGX_DONE) {
            return;
        }
    }

    if (rc == NGX_ERROR) {
        ngx_http_finalize_request(r, rc);
        return;
    }

    ngx_http_weir_metrics_parts_wait(r, parts->buf->pos == parts->buf->last);
}


/* NGX_DONE: it was the last part, and the request was finalized. */

static ngx_int_t
ngx_http_weir_metrics_parts_next(ngx_http_request_t *r,
    ngx_http_weir_metrics_parts_t *parts)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_uint_t    done;
    ngx_chain_t   out;

    b = parts->buf;
    b->pos = b->start;
    b->last = b->start;
    b->flush = 1;

    done = parts->next(parts->data, b) == NGX_OK;

    ngx_http_weir_assert((b->last > b->pos || done) && b->last <= b->end);

    if (b->last == b->pos) {
        /* what was left to write was empty; nginx refuses empty memory */
        b->temporary = 0;
    }

    if (done) {
        b->last_buf = (r == r->main);
        b->last_in_chain = 1;
    }

    out.buf = b;
    out.next = NULL;

    rc = ngx_http_output_filter(r, &out);

    if (done) {
        ngx_http_finalize_request(r, rc);
        return NGX_DONE;
    }

    return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
}


/*
 * Lets the handler run again: in the next turn of the event loop, or when the
 * client has taken more.
 */

static void
ngx_http_weir_metrics_parts_wait(ngx_http_request_t *r, ngx_uint_t taken)
{
    ngx_event_t               *wev;
    ngx_http_core_loc_conf_t  *clcf;

    wev = r->connection->write;

    if (taken) {
        ngx_post_event(wev, &ngx_posted_next_events);
        return;
    }

    clcf = ngx_http_get_module_loc_conf(r->main, ngx_http_core_module);

    if (!wev->delayed) {
        ngx_add_timer(wev, clcf->send_timeout);
    }

    if (ngx_handle_write_event(wev, clcf->send_lowat) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_ERROR);
    }
}
