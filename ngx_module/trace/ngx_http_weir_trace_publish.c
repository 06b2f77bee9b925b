/*
 * weir_trace_publish: the ids of traces that are kept late, that is, of which
 * upstreams were told that they are not sampled.  Upstreams that have held their
 * spans back (tracestate: weir=late) read the ids in Redis and send these spans.
 *
 * The ids of a worker wait in a ring, and are sent in batches: the next batch
 * when Redis has confirmed the last one.  Redis may get an id twice, after a
 * connection was lost; that does no harm.  Nothing waits for Redis: an id that
 * finds no room, or has waited for too long, is dropped and counted, and its
 * trace gets a span that says so.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "common/text/hex.h"
#include "common/trace/ids.h"
#include "common/trace/late/late.h"
#include "export/ngx_http_weir_export.h"
#include "http/ngx_http_weir_clock.h"
#include "redis/ngx_http_weir_redis.h"
#include "trace/ngx_http_weir_trace_private.h"


/* Of one worker: ids that wait, and those of one message. */
#define NGX_HTTP_WEIR_TRACE_PUBLISH_IDS    4096
#define NGX_HTTP_WEIR_TRACE_PUBLISH_BATCH  256

/* ms: before a batch that is not full is sent, and before one is sent again */
#define NGX_HTTP_WEIR_TRACE_PUBLISH_DELAY  100
#define NGX_HTTP_WEIR_TRACE_PUBLISH_RETRY  500

/* ms: ids that have waited so long are dropped: nobody holds spans longer */
#define NGX_HTTP_WEIR_TRACE_PUBLISH_AGE    30000


typedef struct {
    uint8_t                         trace_id[WEIR_TRACE_ID_LEN];
    uint8_t                         span_id[WEIR_SPAN_ID_LEN];  /* the server
                                                                   span */
    ngx_msec_t                      since;
} ngx_http_weir_trace_publish_id_t;


/* Of a configuration; the members behind redis are this process's. */
struct ngx_http_weir_trace_publish_s {
    ngx_http_weir_redis_t             *redis;
    ngx_http_weir_exporter_t          *exporter;
    ngx_http_weir_trace_publish_id_t  *ids;     /* malloc'ed ring; NULL: no id
                                                   has come yet */
    ngx_uint_t                         first;   /* index of the oldest id */
    ngx_uint_t                         n;
    ngx_uint_t                         sent;    /* ids of the command under way;
                                                   0: none is */
    ngx_http_weir_redis_command_t      command;
    ngx_pool_t                        *pool;    /* for its reply */
    ngx_event_t                        timer;
    ngx_connection_t                   dummy;
    unsigned                           failed:1;   /* the last command */
    unsigned                           refused:1;  /* logged */
};


static ngx_int_t ngx_http_weir_trace_publish_begin(
    ngx_http_weir_trace_publish_t *publish);
static void ngx_http_weir_trace_publish_timer(ngx_event_t *ev);
static void ngx_http_weir_trace_publish_send(
    ngx_http_weir_trace_publish_t *publish);
static void ngx_http_weir_trace_publish_reply(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static void ngx_http_weir_trace_publish_drop(
    ngx_http_weir_trace_publish_t *publish, ngx_uint_t n);
static void ngx_http_weir_trace_publish_mark(
    ngx_http_weir_trace_publish_t *publish,
    ngx_http_weir_trace_publish_id_t *id);
static void ngx_http_weir_trace_publish_end(void *data);


char *
ngx_http_weir_trace_set_publish(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_weir_trace_main_conf_t  *tmcf = conf;

    ngx_str_t           *value;
    ngx_pool_cleanup_t  *cln;

    if (tmcf->publish) {
        return "is duplicate";
    }

    value = cf->args->elts;

    cln = ngx_pool_cleanup_add(cf->pool, sizeof(ngx_http_weir_trace_publish_t));
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    tmcf->publish = cln->data;
    ngx_memzero(tmcf->publish, sizeof(ngx_http_weir_trace_publish_t));
    cln->handler = ngx_http_weir_trace_publish_end;

    tmcf->publish->redis = ngx_http_weir_redis_get(cf, &value[1]);

    return tmcf->publish->redis ? NGX_CONF_OK : NGX_CONF_ERROR;
}


void
ngx_http_weir_trace_publish(ngx_http_request_t *r,
    ngx_http_weir_trace_ctx_t *ctx)
{
    ngx_http_weir_trace_publish_t     *publish;
    ngx_http_weir_trace_main_conf_t   *tmcf;
    ngx_http_weir_trace_publish_id_t  *id, here;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_trace_module);
    publish = tmcf->publish;
    publish->exporter = ngx_http_weir_export_exporter(r);

    if (publish->n == NGX_HTTP_WEIR_TRACE_PUBLISH_IDS
        || (publish->ids == NULL
            && ngx_http_weir_trace_publish_begin(publish) != NGX_OK))
    {
        id = &here;

    } else {
        id = &publish->ids[(publish->first + publish->n++)
                           % NGX_HTTP_WEIR_TRACE_PUBLISH_IDS];
    }

    ngx_memcpy(id->trace_id, ctx->context.trace_id, WEIR_TRACE_ID_LEN);
    ngx_memcpy(id->span_id, ctx->context.span_id, WEIR_SPAN_ID_LEN);
    id->since = ngx_current_msec;

    if (id == &here) {
        ngx_http_weir_trace_publish_mark(publish, id);
        ngx_http_weir_export_ids(publish->exporter, 0, 1);
        return;
    }

    if (publish->sent == 0 && !publish->timer.timer_set) {
        ngx_add_timer(&publish->timer, NGX_HTTP_WEIR_TRACE_PUBLISH_DELAY);
    }
}


/* The timer is not cancelable: a worker that ends sends what it has first. */

static ngx_int_t
ngx_http_weir_trace_publish_begin(ngx_http_weir_trace_publish_t *publish)
{
    ngx_log_t  *log;

    log = ngx_cycle->log;

    publish->pool = ngx_create_pool(1024, log);
    if (publish->pool == NULL) {
        return NGX_ERROR;
    }

    publish->ids = ngx_alloc(NGX_HTTP_WEIR_TRACE_PUBLISH_IDS
                             * sizeof(ngx_http_weir_trace_publish_id_t), log);
    if (publish->ids == NULL) {
        ngx_destroy_pool(publish->pool);
        return NGX_ERROR;
    }

    publish->dummy.fd = (ngx_socket_t) -1;
    publish->timer.handler = ngx_http_weir_trace_publish_timer;
    publish->timer.data = &publish->dummy;
    publish->timer.log = log;
    publish->dummy.data = publish;

    publish->command.pool = publish->pool;
    publish->command.handler = ngx_http_weir_trace_publish_reply;
    publish->command.data = publish;
    publish->command.log = log;

    return NGX_OK;
}


static void
ngx_http_weir_trace_publish_timer(ngx_event_t *ev)
{
    ngx_uint_t                      n;
    ngx_connection_t               *dummy;
    ngx_http_weir_trace_publish_t  *publish;

    dummy = ev->data;
    publish = dummy->data;

    for (n = 0; n < publish->n; n++) {
        if (ngx_current_msec
            - publish->ids[(publish->first + n)
                           % NGX_HTTP_WEIR_TRACE_PUBLISH_IDS].since
            < NGX_HTTP_WEIR_TRACE_PUBLISH_AGE)
        {
            break;
        }
    }

    if (publish->failed && ngx_exiting) {
        n = publish->n;
    }

    ngx_http_weir_trace_publish_drop(publish, n);
    ngx_http_weir_trace_publish_send(publish);
}


/* XADD weir:traces:kept MAXLEN ~ 10000 * ids "id id ..." */

static void
ngx_http_weir_trace_publish_send(ngx_http_weir_trace_publish_t *publish)
{
    u_char      *p, *last, *id;
    ngx_str_t    argv[8];
    ngx_uint_t   i;

    static u_char  text[NGX_HTTP_WEIR_TRACE_PUBLISH_BATCH
                        * (2 * WEIR_TRACE_ID_LEN + 1)];

    if (publish->n == 0) {
        return;
    }

    publish->sent = ngx_min(publish->n, NGX_HTTP_WEIR_TRACE_PUBLISH_BATCH);
    last = text;

    for (i = 0; i < publish->sent; i++) {
        id = publish->ids[(publish->first + i)
                          % NGX_HTTP_WEIR_TRACE_PUBLISH_IDS].trace_id;
        p = last;
        weir_hex((char *) p, id, WEIR_TRACE_ID_LEN);
        last = p + 2 * WEIR_TRACE_ID_LEN;
        *last++ = ' ';
    }

    ngx_str_set(&argv[0], "XADD");
    ngx_str_set(&argv[1], WEIR_TRACE_KEPT_STREAM);
    ngx_str_set(&argv[2], "MAXLEN");
    ngx_str_set(&argv[3], "~");
    ngx_str_set(&argv[4], "10000");
    ngx_str_set(&argv[5], "*");
    ngx_str_set(&argv[6], "ids");
    argv[7].data = text;
    argv[7].len = last - text - 1;

    ngx_reset_pool(publish->pool);

    if (ngx_http_weir_redis_command(publish->redis, &publish->command, 8, argv)
        != NGX_OK)
    {
        publish->sent = 0;
        publish->failed = 1;
        ngx_add_timer(&publish->timer, NGX_HTTP_WEIR_TRACE_PUBLISH_RETRY);
    }
}


static void
ngx_http_weir_trace_publish_reply(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_http_weir_trace_publish_t *publish = cmd->data;

    ngx_uint_t  n;

    n = publish->sent;
    publish->sent = 0;
    publish->failed = 0;

    if (rc != NGX_OK || reply->type == NGX_HTTP_WEIR_REDIS_ERROR) {
        publish->failed = 1;

        if (rc == NGX_OK && !publish->refused) {
            publish->refused = 1;
            ngx_log_error(NGX_LOG_WARN, cmd->log, 0,
                          "Redis refuses the ids of traces that are kept late:"
                          " \"%V\"", &reply->str);
        }

        ngx_add_timer(&publish->timer, NGX_HTTP_WEIR_TRACE_PUBLISH_RETRY);
        return;
    }

    publish->refused = 0;
    publish->first = (publish->first + n) % NGX_HTTP_WEIR_TRACE_PUBLISH_IDS;
    publish->n -= n;

    ngx_http_weir_export_ids(publish->exporter, n, 0);

    if (publish->n) {
        ngx_add_timer(&publish->timer,
                      publish->n < NGX_HTTP_WEIR_TRACE_PUBLISH_BATCH
                      ? NGX_HTTP_WEIR_TRACE_PUBLISH_DELAY : 1);
    }
}


/* Drops the oldest ids, none of which is under way. */

static void
ngx_http_weir_trace_publish_drop(ngx_http_weir_trace_publish_t *publish,
    ngx_uint_t n)
{
    ngx_uint_t  i;

    for (i = 0; i < n; i++) {
        ngx_http_weir_trace_publish_mark(publish,
                                         &publish->ids[publish->first]);
        publish->first = (publish->first + 1) % NGX_HTTP_WEIR_TRACE_PUBLISH_IDS;
        publish->n--;
    }

    if (n) {
        ngx_http_weir_export_ids(publish->exporter, 0, n);
    }
}


/* Ends a span in that trace, which says that it is incomplete. */

static void
ngx_http_weir_trace_publish_mark(ngx_http_weir_trace_publish_t *publish,
    ngx_http_weir_trace_publish_id_t *id)
{
    weir_span_t       span;
    weir_attribute_t  reason;

    ngx_memzero(&span, sizeof(weir_span_t));
    ngx_memzero(&reason, sizeof(weir_attribute_t));

    ngx_memcpy(span.trace_id, id->trace_id, WEIR_TRACE_ID_LEN);
    ngx_memcpy(span.parent_id, id->span_id, WEIR_SPAN_ID_LEN);
    weir_trace_ids_span(span.span_id);

    reason.name = "weir.trace.incomplete";
    reason.type = WEIR_ATTRIBUTE_TEXT;
    reason.value.text = WEIR_STR("not_published");

    span.name = WEIR_STR("missing spans");
    span.kind = WEIR_SPAN_INTERNAL;
    span.start = ngx_http_weir_unix_ns();
    span.end = span.start;
    span.attributes.elts = &reason;
    span.attributes.n = 1;

    (void) ngx_http_weir_export_span_to(publish->exporter, &span);
}


void
ngx_http_weir_trace_publish_exit(ngx_http_weir_trace_main_conf_t *tmcf)
{
    if (tmcf->publish) {
        ngx_http_weir_trace_publish_end(tmcf->publish);
    }
}


/*
 * Also the cleanup of the configuration's pool.  Of ids that are under way it is
 * not known whether Redis gets them.
 */

static void
ngx_http_weir_trace_publish_end(void *data)
{
    ngx_http_weir_trace_publish_t *publish = data;

    if (publish->ids == NULL) {
        return;
    }

    if (publish->timer.timer_set) {
        ngx_del_timer(&publish->timer);
    }

    ngx_http_weir_redis_cancel(&publish->command);
    ngx_http_weir_trace_publish_drop(publish, publish->n);

    ngx_destroy_pool(publish->pool);
    ngx_free(publish->ids);
    publish->ids = NULL;
}
