/*
 * The document of weir_status as one event of an event stream (WHATWG HTML,
 * section 9.2): it is written once, for all listeners of the worker.
 *
 * A line feed ends a line of the stream; in JSON it is white space between
 * values, and becomes a blank.  The id of the event is its time, in ms since
 * 1970.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "dashboard/ngx_http_weir_dashboard.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/ngx_http_weir_metrics_parts.h"
#include "metrics/ngx_http_weir_status.h"


static ngx_int_t ngx_http_weir_dashboard_document_json(ngx_buf_t *b);
static ngx_int_t ngx_http_weir_dashboard_document_text(char *text);
static ngx_int_t ngx_http_weir_dashboard_document_append(ngx_buf_t *b);


/* What is being written; without a pool nothing is. */
static struct {
    ngx_pool_t                     *pool;
    ngx_chain_t                    *blocks;
    ngx_chain_t                   **last;
    size_t                          size;
    ngx_http_weir_status_series_t  *series;
} ngx_http_weir_dashboard_draft;


/*
 * The functions of weir_status take a request for its configuration and its
 * pool.  A listener may leave, so they get one of their own.
 */

ngx_int_t
ngx_http_weir_dashboard_document_begin(ngx_http_request_t *r)
{
    ngx_buf_t           *b;
    ngx_pool_t          *pool;
    ngx_time_t          *tp;
    ngx_http_request_t  *own;

    ngx_http_weir_assert(ngx_http_weir_dashboard_draft.pool == NULL);

    pool = ngx_create_pool(4096, ngx_cycle->log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    ngx_http_weir_dashboard_draft.pool = pool;
    ngx_http_weir_dashboard_draft.size = 0;
    ngx_http_weir_dashboard_draft.blocks = NULL;
    ngx_http_weir_dashboard_draft.last = &ngx_http_weir_dashboard_draft.blocks;

    own = ngx_pcalloc(pool, sizeof(ngx_http_request_t));
    b = ngx_create_temp_buf(pool, sizeof("id: \nevent: status\ndata: ")
                                  + NGX_INT64_LEN);

    if (own == NULL || b == NULL
        || ngx_http_weir_dashboard_document_append(b) != NGX_OK)
    {
        ngx_http_weir_dashboard_document_drop();
        return NGX_ERROR;
    }

    tp = ngx_timeofday();
    b->last = ngx_sprintf(b->last, "id: %M\nevent: status\ndata: ",
                          (ngx_msec_t) tp->sec * 1000 + tp->msec);

    own->signature = NGX_HTTP_MODULE;
    own->pool = pool;
    own->main_conf = r->main_conf;
    own->srv_conf = r->srv_conf;
    own->loc_conf = r->loc_conf;
    own->main = own;

    b = ngx_http_weir_status_begin(own, 0,
                                   &ngx_http_weir_dashboard_draft.series);

    if (b == NULL || ngx_http_weir_dashboard_document_json(b) != NGX_OK) {
        ngx_http_weir_dashboard_document_drop();
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_dashboard_document_next(
    ngx_http_weir_dashboard_document_t **document)
{
    ngx_int_t                            rc;
    ngx_buf_t                           *b;
    ngx_pool_t                          *pool;
    ngx_http_weir_dashboard_document_t  *d;

    pool = ngx_http_weir_dashboard_draft.pool;

    if (ngx_http_weir_dashboard_draft.series) {
        b = ngx_create_temp_buf(pool, NGX_HTTP_WEIR_METRICS_PART);
        if (b == NULL) {
            goto failed;
        }

        rc = ngx_http_weir_status_series_next(
                                      ngx_http_weir_dashboard_draft.series, b);

        if (ngx_http_weir_dashboard_document_json(b) != NGX_OK) {
            goto failed;
        }

        if (rc != NGX_OK) {
            return NGX_AGAIN;
        }
    }

    d = ngx_palloc(pool, sizeof(ngx_http_weir_dashboard_document_t));

    if (d == NULL || ngx_http_weir_dashboard_document_text("\n\n") != NGX_OK) {
        goto failed;
    }

    d->pool = pool;
    d->users = 1;
    d->size = ngx_http_weir_dashboard_draft.size;
    d->blocks = ngx_http_weir_dashboard_draft.blocks;

    ngx_http_weir_dashboard_draft.pool = NULL;

    *document = d;

    return NGX_OK;

failed:

    ngx_http_weir_dashboard_document_drop();

    return NGX_ERROR;
}


void
ngx_http_weir_dashboard_document_drop(void)
{
    if (ngx_http_weir_dashboard_draft.pool) {
        ngx_destroy_pool(ngx_http_weir_dashboard_draft.pool);
        ngx_http_weir_dashboard_draft.pool = NULL;
    }
}


void
ngx_http_weir_dashboard_document_free(
    ngx_http_weir_dashboard_document_t *document)
{
    ngx_http_weir_assert(document->users);

    if (--document->users == 0) {
        ngx_destroy_pool(document->pool);
    }
}


/* Appends JSON, as a part of one line; NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_dashboard_document_json(ngx_buf_t *b)
{
    u_char  *p;

    for (p = b->pos; p < b->last; p++) {
        if (*p == LF) {
            *p = ' ';
        }
    }

    return ngx_http_weir_dashboard_document_append(b);
}


/* Appends a constant; NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_dashboard_document_text(char *text)
{
    ngx_buf_t  *b;

    b = ngx_calloc_buf(ngx_http_weir_dashboard_draft.pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = (u_char *) text;
    b->last = b->pos + ngx_strlen(text);

    return ngx_http_weir_dashboard_document_append(b);
}


static ngx_int_t
ngx_http_weir_dashboard_document_append(ngx_buf_t *b)
{
    ngx_chain_t  *cl;

    cl = ngx_alloc_chain_link(ngx_http_weir_dashboard_draft.pool);
    if (cl == NULL) {
        return NGX_ERROR;
    }

    cl->buf = b;
    cl->next = NULL;

    ngx_http_weir_dashboard_draft.size += b->last - b->pos;
    *ngx_http_weir_dashboard_draft.last = cl;
    ngx_http_weir_dashboard_draft.last = &cl->next;

    return NGX_OK;
}
