/*
 * weir_exporter: finished spans go to a collector, over OTLP/HTTP or as Zipkin
 * v2.  Each worker encodes its spans into a ring in shared memory; one worker of
 * the machine sends what is in all rings.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_metrics.h"
#include "export/ngx_http_weir_export_private.h"
#include "http/ngx_http_weir_assert.h"


/*
 * nginx calls the read handlers of idle connections when a worker ends.  A
 * connection with this descriptor has no socket: -1 means a free one.
 */
#define NGX_HTTP_WEIR_EXPORT_NO_SOCKET  ((ngx_socket_t) -2)

/* Of a span that is encoded by its caller; with less, it is encoded here, bytes. */
#define NGX_HTTP_WEIR_EXPORT_ROOM       2048


static void *ngx_http_weir_export_create_main_conf(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_export_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_weir_export_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_weir_export_init_process(ngx_cycle_t *cycle);
static void ngx_http_weir_export_exit_process(ngx_cycle_t *cycle);
static void ngx_http_weir_export_start(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_stop(void *data);
static void ngx_http_weir_export_watch(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_unwatch(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_watch_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_weir_export_append(ngx_http_weir_exporter_t *ex,
    const weir_span_t *span);


static ngx_command_t  ngx_http_weir_export_commands[] = {

    { ngx_string("weir_exporter"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_weir_export_conf,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_weir_export_module_ctx = {
    NULL,                                      /* preconfiguration */
    ngx_http_weir_export_init,                 /* postconfiguration */

    ngx_http_weir_export_create_main_conf,     /* create main configuration */
    NULL,                                      /* init main configuration */

    NULL,                                      /* create server configuration */
    NULL,                                      /* merge server configuration */

    NULL,                                      /* create location configuration */
    NULL                                       /* merge location configuration */
};


ngx_module_t  ngx_http_weir_export_module = {
    NGX_MODULE_V1,
    &ngx_http_weir_export_module_ctx,          /* module context */
    ngx_http_weir_export_commands,             /* module directives */
    NGX_HTTP_MODULE,                           /* module type */
    NULL,                                      /* init master */
    ngx_http_weir_export_init_module,          /* init module */
    ngx_http_weir_export_init_process,         /* init process */
    NULL,                                      /* init thread */
    NULL,                                      /* exit thread */
    ngx_http_weir_export_exit_process,         /* exit process */
    NULL,                                      /* exit master */
    NGX_MODULE_V1_PADDING
};


ngx_http_weir_exporter_t *
ngx_http_weir_export_exporter(ngx_http_request_t *r)
{
    ngx_http_weir_export_main_conf_t  *emcf;

    emcf = ngx_http_get_module_main_conf(r, ngx_http_weir_export_module);

    return emcf->exporter;
}


ngx_http_weir_exporter_t *
ngx_http_weir_export_cycle_exporter(ngx_cycle_t *cycle)
{
    ngx_http_weir_export_main_conf_t  *emcf;

    emcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_weir_export_module);

    return emcf ? emcf->exporter : NULL;
}


ngx_uint_t
ngx_http_weir_export_enabled(ngx_http_request_t *r)
{
    return ngx_http_weir_export_exporter(r) != NULL;
}


void
ngx_http_weir_export_counts(ngx_http_request_t *r,
    ngx_http_weir_export_counts_t *counts)
{
    ngx_http_weir_exporter_t  *ex;

    ngx_memzero(counts, sizeof(ngx_http_weir_export_counts_t));

    ex = ngx_http_weir_export_exporter(r);

    if (ex) {
        ngx_http_weir_export_zone_counts(ex->sh, counts);
    }
}


void
ngx_http_weir_export_cycle_counts(ngx_http_weir_export_counts_t *counts)
{
    ngx_http_weir_exporter_t  *ex;

    ngx_memzero(counts, sizeof(ngx_http_weir_export_counts_t));

    ex = ngx_http_weir_export_cycle_exporter((ngx_cycle_t *) ngx_cycle);

    if (ex) {
        ngx_http_weir_export_zone_counts(ex->sh, counts);
    }
}


ngx_uint_t
ngx_http_weir_export_has_metrics(ngx_conf_t *cf)
{
    ngx_http_weir_export_main_conf_t  *emcf;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_export_module);

    return emcf->exporter && emcf->exporter->metrics_interval;
}


ngx_int_t
ngx_http_weir_export_span(ngx_http_request_t *r, const weir_span_t *span)
{
    ngx_http_weir_exporter_t  *ex;

    ex = ngx_http_weir_export_exporter(r);

    return ex ? ngx_http_weir_export_span_to(ex, span) : NGX_DECLINED;
}


ngx_uint_t
ngx_http_weir_export_has_frames(ngx_http_request_t *r)
{
    ngx_http_weir_exporter_t  *ex;

    ex = ngx_http_weir_export_exporter(r);

    return ex && ex->format == WEIR_SPAN_FORMAT_PROTOBUF;
}


ngx_int_t
ngx_http_weir_export_span_to(ngx_http_weir_exporter_t *ex,
    const weir_span_t *span)
{
    ngx_int_t  rc;

    if (!ex->started && !ex->stopped) {
        /* "master_process off" does not initialize what it reads later */
        ex->timed = 1;
        ngx_http_weir_export_start(ex);
    }

    if (ex->slot == NULL) {
        ngx_http_weir_export_add(&ex->sh->unslotted, 1);
        return NGX_DECLINED;
    }

    rc = ngx_http_weir_export_append(ex, span);

    if (rc != NGX_OK) {
        ngx_http_weir_export_count(&ex->slot->dropped_full);
    }

    ngx_http_weir_export_count(&ex->slot->ended);

    if (ex->exiting) {
        ngx_http_weir_export_drain_linger(ex);
    }

    return rc;
}


char *
ngx_http_weir_export_begin(ngx_http_weir_exporter_t *ex, size_t *room)
{
    return ex->slot && !ex->exiting
           ? weir_ring_reserve(&ex->ring, NGX_HTTP_WEIR_EXPORT_ROOM,
                               NGX_HTTP_WEIR_EXPORT_SPAN_MAX, room)
           : NULL;
}


void
ngx_http_weir_export_end(ngx_http_weir_exporter_t *ex, char *span, size_t len)
{
    weir_ring_push(&ex->ring, span, len);
    ngx_http_weir_export_count(&ex->slot->ended);
}


void
ngx_http_weir_export_ids(ngx_http_weir_exporter_t *ex, ngx_uint_t published,
    ngx_uint_t dropped)
{
    ngx_http_weir_export_add(&ex->sh->ids_published, published);
    ngx_http_weir_export_add(&ex->sh->ids_dropped, dropped);
}


/* Encodes the span where the ring has room. */

static ngx_int_t
ngx_http_weir_export_append(ngx_http_weir_exporter_t *ex,
    const weir_span_t *span)
{
    char    *p;
    size_t   len, cap;

    p = weir_ring_reserve(&ex->ring, 1, NGX_HTTP_WEIR_EXPORT_SPAN_MAX, &cap);

    if (p == NULL) {
        return NGX_DECLINED;
    }

    len = weir_span_encode(ex->format, span, &ex->resource, p, cap);

    if (len > cap) {
        p = weir_ring_reserve(&ex->ring, len, NGX_HTTP_WEIR_EXPORT_SPAN_MAX,
                              &cap);
        if (p == NULL) {
            return NGX_DECLINED;
        }

        len = weir_span_encode(ex->format, span, &ex->resource, p, cap);

        if (len > cap) {
            return NGX_DECLINED;
        }
    }

    weir_ring_push(&ex->ring, p, len);

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_export_init_module(ngx_cycle_t *cycle)
{
    ngx_http_weir_export_metrics_start();

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_export_init_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_exporter_t  *ex;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE) {
        /* nginx' cache manager and loader have no spans */
        return NGX_OK;
    }

    ex = ngx_http_weir_export_cycle_exporter(cycle);

    if (ex) {
        ngx_http_weir_export_start(ex);
    }

    return NGX_OK;
}


static void
ngx_http_weir_export_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_weir_exporter_t  *ex;

    ex = ngx_http_weir_export_cycle_exporter(cycle);

    if (ex) {
        ngx_http_weir_export_stop(ex);
    }
}


static void
ngx_http_weir_export_start(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_assert(ex->sh != NULL);

    ex->started = 1;

    ngx_http_weir_export_zone_enter(ex);

    if (ex->slot == NULL) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_exporter has no ring left for this process, whose"
                      " spans are dropped until another process ends; there are"
                      " %uD rings", ex->sh->slots);
    }

    ngx_http_weir_export_watch(ex);
    ngx_http_weir_export_drain_start(ex);
}


/* Also the cleanup of the configuration's pool, in any process. */

static void
ngx_http_weir_export_stop(void *data)
{
    ngx_http_weir_exporter_t *ex = data;

    if (!ex->started || ex->stopped) {
        return;
    }

    ex->stopped = 1;

    ngx_http_weir_export_unwatch(ex);
    ngx_http_weir_export_drain_stop(ex);
    ngx_http_weir_export_zone_leave(ex);
}


/* Without a free connection, the process ends without a word to others. */

static void
ngx_http_weir_export_watch(ngx_http_weir_exporter_t *ex)
{
    ngx_connection_t  *c;

    c = ngx_get_connection(0, ngx_cycle->log);

    if (c == NULL) {
        return;
    }

    c->fd = NGX_HTTP_WEIR_EXPORT_NO_SOCKET;
    c->idle = 1;
    c->data = ex;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;
    c->read->handler = ngx_http_weir_export_watch_handler;

    ex->watcher = c;
}


static void
ngx_http_weir_export_unwatch(ngx_http_weir_exporter_t *ex)
{
    if (ex->watcher) {
        /* poll has a table of connections by descriptor: this one is at 0 */
        ex->watcher->fd = 0;
        ngx_free_connection(ex->watcher);
        ex->watcher->fd = (ngx_socket_t) -1;
        ex->watcher = NULL;
    }
}


static void
ngx_http_weir_export_watch_handler(ngx_event_t *ev)
{
    ngx_connection_t          *c;
    ngx_http_weir_exporter_t  *ex;

    c = ev->data;
    ex = c->data;

    ngx_http_weir_export_unwatch(ex);

    if (ex->slot) {
        /* before others are looked for, which may do the same at this moment */
        atomic_store_explicit(&ex->slot->leaving, 1, memory_order_seq_cst);
    }

    ngx_http_weir_export_drain_leave(ex);
}


static void *
ngx_http_weir_export_create_main_conf(ngx_conf_t *cf)
{
    return ngx_pcalloc(cf->pool, sizeof(ngx_http_weir_export_main_conf_t));
}


static ngx_int_t
ngx_http_weir_export_init(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t                *cln;
    ngx_http_weir_export_main_conf_t  *emcf;

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_weir_export_module);

    if (emcf->exporter == NULL) {
        return NGX_OK;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);

    if (cln == NULL) {
        return NGX_ERROR;
    }

    cln->handler = ngx_http_weir_export_stop;
    cln->data = emcf->exporter;

    return ngx_http_weir_export_conf_complete(cf, emcf->exporter);
}
