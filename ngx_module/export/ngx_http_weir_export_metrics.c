/*
 * Metrics of the machine go to the collector, too, each interval, from the
 * process that sends the spans and over its connection.
 *
 * The points of an interval are added in steps of the event loop, to requests of
 * limited size.  They are cumulative, so what is not taken is not sent again: the
 * next interval has it.  While spans cannot be sent, no metrics are made.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "common/trace/partial.h"
#include "export/ngx_http_weir_export_metrics.h"
#include "export/ngx_http_weir_export_private.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"


/* Delay between two steps, ms. */
#define NGX_HTTP_WEIR_EXPORT_METRICS_STEP  1


static void ngx_http_weir_export_metrics_round(ngx_http_weir_exporter_t *ex);
static ngx_int_t ngx_http_weir_export_metrics_begin(
    ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_metrics_handler(ngx_event_t *ev);
static void ngx_http_weir_export_metrics_complete(
    ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_metrics_done(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome);
static void ngx_http_weir_export_metrics_count(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome);
static void ngx_http_weir_export_metrics_accepted(
    ngx_http_weir_exporter_t *ex, ngx_http_weir_client_outcome_t *outcome);


static const ngx_http_weir_export_source_t  *ngx_http_weir_export_source;

/* Unix time, ns; of the first configuration of this nginx.  Workers inherit it. */
static uint64_t  ngx_http_weir_export_started;


void
ngx_http_weir_export_set_source(const ngx_http_weir_export_source_t *source)
{
    ngx_http_weir_export_source = source;
}


void
ngx_http_weir_export_metrics_start(void)
{
    if (ngx_http_weir_export_started == 0) {
        ngx_http_weir_export_started = ngx_http_weir_unix_ns();
    }
}


void
ngx_http_weir_export_metrics_work(ngx_http_weir_exporter_t *ex)
{
    uint64_t                         due, now;
    ngx_http_weir_export_metrics_t  *metrics;

    metrics = &ex->metrics;

    if (ex->metrics_interval == 0 || ngx_http_weir_export_source == NULL) {
        return;
    }

    if (metrics->complete && !metrics->sending && !ngx_http_weir_client_busy(&ex->client)) {
        metrics->sending = 1;
        ngx_http_weir_export_send(ex, &metrics->request,
                                  ngx_http_weir_export_metrics_done);
        return;
    }

    if (metrics->position) {
        return;
    }

    now = ngx_http_weir_ms();
    due = ngx_http_weir_export_get(&ex->sh->metrics_due);

    if (!metrics->looked) {
        /* another configuration may have had a longer interval */
        metrics->looked = 1;
        due = ngx_min(due, now + ex->metrics_interval);
        atomic_store_explicit(&ex->sh->metrics_due, due, memory_order_relaxed);
    }

    if (now < due) {
        return;
    }

    atomic_store_explicit(&ex->sh->metrics_due, now + ex->metrics_interval,
                          memory_order_relaxed);

    if (due && ex->tries == 0) {
        ngx_http_weir_export_metrics_round(ex);
    }
}


static void
ngx_http_weir_export_metrics_round(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_export_metrics_t  *metrics;

    metrics = &ex->metrics;

    metrics->position = ngx_http_weir_export_source->begin();

    if (metrics->position == NULL) {
        return;
    }

    metrics->otlp.start = ngx_http_weir_export_started;
    metrics->otlp.time = ngx_http_weir_unix_ns();
    metrics->otlp.since = metrics->since;

    if (ngx_http_weir_export_metrics_begin(ex) != NGX_OK) {
        ngx_http_weir_export_metrics_abandon(ex);
        return;
    }

    metrics->timer.handler = ngx_http_weir_export_metrics_handler;
    metrics->timer.data = ex;
    metrics->timer.log = ngx_cycle->log;
    metrics->timer.cancelable = 1;

    ngx_add_timer(&metrics->timer, NGX_HTTP_WEIR_EXPORT_METRICS_STEP);
}


/* Begins a request; NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_export_metrics_begin(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_export_metrics_t  *metrics;

    metrics = &ex->metrics;
    metrics->complete = 0;
    metrics->last = 0;

    if (metrics->buf == NULL) {
        metrics->buf = ngx_alloc(NGX_HTTP_WEIR_EXPORT_BATCH_MAX,
                                 ngx_cycle->log);
        if (metrics->buf == NULL) {
            return NGX_ERROR;
        }
    }

    metrics->otlp.buf = (char *) metrics->buf;
    metrics->otlp.cap = NGX_HTTP_WEIR_EXPORT_BATCH_MAX;

    /* the resource is much shorter, as lines of the configuration are */
    return weir_otlp_begin(&metrics->otlp, ex->format, &ex->resource)
           ? NGX_OK : NGX_ERROR;
}


static void
ngx_http_weir_export_metrics_handler(ngx_event_t *ev)
{
    ngx_int_t                        rc;
    ngx_http_weir_exporter_t        *ex;
    ngx_http_weir_export_metrics_t  *metrics;

    ex = ev->data;
    metrics = &ex->metrics;

    rc = ngx_http_weir_export_source->next(metrics->position, &metrics->otlp);

    if (rc == NGX_AGAIN) {
        ngx_add_timer(ev, NGX_HTTP_WEIR_EXPORT_METRICS_STEP);
        return;
    }

    metrics->last = (rc == NGX_OK);

    if (metrics->otlp.points == 0) {
        ngx_http_weir_export_metrics_abandon(ex);
        return;
    }

    ngx_http_weir_export_metrics_complete(ex);
}


static void
ngx_http_weir_export_metrics_complete(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_export_metrics_t  *metrics;
    ngx_http_weir_client_request_t  *request;

    metrics = &ex->metrics;
    request = &metrics->request;

    request->head = &ex->metrics_head;
    request->body = metrics->buf;
    request->len = weir_otlp_end(&metrics->otlp);
    request->zipped = 0;

    if (ex->gzip) {
        metrics->zipped = ngx_http_weir_export_batch_gzip(metrics->buf,
                                                          &request->len);
        if (metrics->zipped) {
            request->body = metrics->zipped;
            request->zipped = 1;
        }
    }

    metrics->complete = 1;
}


static void
ngx_http_weir_export_metrics_done(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome)
{
    unsigned                         status;
    ngx_http_weir_exporter_t        *ex;
    ngx_http_weir_export_metrics_t  *metrics;

    ex = client->data;
    metrics = &ex->metrics;

    if (outcome->how == NGX_HTTP_WEIR_CLIENT_LOST) {
        /* the next connection is a new one, so this happens once */
        ngx_http_weir_export_send(ex, &metrics->request,
                                  ngx_http_weir_export_metrics_done);
        return;
    }

    status = ngx_http_weir_client_status(&ex->client, outcome);

    ngx_http_weir_export_metrics_count(ex, outcome);

    if (metrics->last || outcome->how != NGX_HTTP_WEIR_CLIENT_ANSWERED
        || status < 200 || status > 299)
    {
        if (outcome->how == NGX_HTTP_WEIR_CLIENT_ANSWERED && status < 300) {
            metrics->since = metrics->otlp.time;
        }

        ngx_http_weir_export_metrics_abandon(ex);
        return;
    }

    metrics->sending = 0;

    if (metrics->zipped) {
        ngx_free(metrics->zipped);
        metrics->zipped = NULL;
    }

    if (ngx_http_weir_export_metrics_begin(ex) != NGX_OK) {
        ngx_http_weir_export_metrics_abandon(ex);
        return;
    }

    ngx_add_timer(&metrics->timer, NGX_HTTP_WEIR_EXPORT_METRICS_STEP);
}


static void
ngx_http_weir_export_metrics_count(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome)
{
    char        message[128];
    int64_t     after;
    unsigned    status;
    weir_str_t  body;

    status = ngx_http_weir_client_status(&ex->client, outcome);

    if (outcome->how == NGX_HTTP_WEIR_CLIENT_ANSWERED
        && status >= 200 && status < 300)
    {
        ngx_http_weir_export_metrics_accepted(ex, outcome);
        return;
    }

    ngx_http_weir_export_add(&ex->sh->failures, 1);
    message[0] = '\0';

    if (outcome->how == NGX_HTTP_WEIR_CLIENT_ANSWERED) {
        ngx_http_weir_export_add(&ex->sh->points_refused,
                                 ex->metrics.otlp.points);

        body.data = ex->client.answer->body;
        body.len = ex->client.answer->encoded ? 0 : ex->client.answer->body_len;
        weir_partial_text(body, message, sizeof(message));

        after = weir_answer_retry_after(ex->client.answer, ngx_time());
        after = ngx_min(after, NGX_HTTP_WEIR_EXPORT_RETRY_AFTER_MAX) * 1000;

        if (after > (int64_t) ex->metrics_interval) {
            atomic_store_explicit(&ex->sh->metrics_due,
                                  ngx_http_weir_ms() + after,
                                  memory_order_relaxed);
        }

    } else {
        ngx_http_weir_export_add(&ex->sh->points_unsent,
                                 ex->metrics.otlp.points);
    }

    ngx_http_weir_export_log_metrics(ex, outcome, 0, message);
}


/* 2xx: partial_success may say that some points were rejected. */

static void
ngx_http_weir_export_metrics_accepted(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome)
{
    uint32_t         points, rejected;
    weir_partial_t   partial;

    points = ex->metrics.otlp.points;

    ngx_http_weir_export_partial(ex, &partial);

    rejected = partial.rejected > 0
               ? ngx_min(partial.rejected, (int64_t) points) : 0;

    ngx_http_weir_export_add(&ex->sh->points_sent, points - rejected);
    ngx_http_weir_export_add(&ex->sh->points_refused, rejected);

    ngx_http_weir_export_log_metrics(ex, outcome, rejected == 0,
                                     partial.message);
}


void
ngx_http_weir_export_metrics_abandon(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_export_metrics_t  *metrics;

    metrics = &ex->metrics;

    metrics->position = NULL;
    metrics->complete = 0;
    metrics->sending = 0;

    if (metrics->timer.timer_set) {
        ngx_del_timer(&metrics->timer);
    }

    if (metrics->buf) {
        ngx_free(metrics->buf);
        metrics->buf = NULL;
    }

    if (metrics->zipped) {
        ngx_free(metrics->zipped);
        metrics->zipped = NULL;
    }
}
