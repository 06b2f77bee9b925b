/*
 * When a batch is sent, and what becomes of it.  Each process looks again and
 * again: the exporter at the rings, and the others whether there is an exporter.
 *
 * A batch remains in the rings until its end is known:
 *
 *     2xx                    sent, except what partial_success says
 *     429, 502, 503, 504     sent again (the OTLP specification, "Retryable
 *     and no answer          Response Codes"), after Retry-After or a growing
 *                            delay, until retry= has passed
 *     any other status       dropped
 *
 * What the rings then have no room for is dropped by the workers; nothing waits.
 *
 * A process that nginx ends gracefully leaves everything to another one, which
 * a reload has started already.  Without any, nginx itself ends, and the exporter
 * sends what is left, in NGX_HTTP_WEIR_EXPORT_LINGER at most.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_metrics.h"
#include "export/ngx_http_weir_export_private.h"
#include "common/trace/partial.h"
#include "http/ngx_http_weir_assert.h"


static ngx_msec_t ngx_http_weir_export_drain_task(
    ngx_http_weir_record_task_t *task);
static void ngx_http_weir_export_drain_handler(ngx_event_t *ev);
static void ngx_http_weir_export_drain_work(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_drain_exit(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_drain_yield(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_drain_arm(ngx_http_weir_exporter_t *ex,
    ngx_msec_t delay);
static ngx_uint_t ngx_http_weir_export_drain_due(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_drain_send(ngx_http_weir_exporter_t *ex);
static void ngx_http_weir_export_drain_done(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome);
static void ngx_http_weir_export_drain_accepted(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome);
static void ngx_http_weir_export_drain_again(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome);
static ngx_msec_t ngx_http_weir_export_drain_delay(
    ngx_http_weir_exporter_t *ex, ngx_uint_t answered);


void
ngx_http_weir_export_drain_start(ngx_http_weir_exporter_t *ex)
{
    ex->task.handler = ngx_http_weir_export_drain_task;
    ex->tick.handler = ngx_http_weir_export_drain_handler;
    ex->tick.data = ex;
    ex->tick.log = ngx_cycle->log;
    ex->tick.cancelable = 1;

    ex->last = ngx_current_msec - ex->interval;
    ex->not_before = ngx_current_msec;

    ngx_http_weir_export_drain_arm(ex, 1);
}


static ngx_msec_t
ngx_http_weir_export_drain_task(ngx_http_weir_record_task_t *task)
{
    ngx_http_weir_exporter_t  *ex;

    ex = (ngx_http_weir_exporter_t *)
             ((u_char *) task - offsetof(ngx_http_weir_exporter_t, task));

    ngx_http_weir_export_drain_handler(&ex->tick);

    return ex->delay;
}


static void
ngx_http_weir_export_drain_handler(ngx_event_t *ev)
{
    ngx_http_weir_exporter_t *ex = ev->data;

    if (ex->exiting) {
        ngx_http_weir_export_drain_exit(ex);
        return;
    }

    if (ex->slot == NULL) {
        /* one may have become free */
        ngx_http_weir_export_zone_enter(ex);
    }

    if (!ngx_http_weir_export_zone_claim(ex->sh)) {
        ngx_http_weir_export_drain_yield(ex);
        ngx_http_weir_export_drain_arm(ex, NGX_HTTP_WEIR_EXPORT_WATCH);
        return;
    }

    ex->exporting = 1;

    ngx_http_weir_export_log_overflow(ex);
    ngx_http_weir_export_metrics_work(ex);
    ngx_http_weir_export_drain_work(ex);
    ngx_http_weir_export_drain_arm(ex, NGX_HTTP_WEIR_EXPORT_TICK);
}


/* Sends a batch if one is due. */

static void
ngx_http_weir_export_drain_work(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_assert(ex->exporting);

    if (!ngx_http_weir_client_busy(&ex->client)
        && (ngx_msec_int_t) (ngx_current_msec - ex->not_before) >= 0
        && ngx_http_weir_export_drain_due(ex))
    {
        ngx_http_weir_export_drain_send(ex);
    }
}


static ngx_uint_t
ngx_http_weir_export_drain_due(ngx_http_weir_exporter_t *ex)
{
    uint64_t    n, bytes;
    ngx_uint_t  half;

    n = ngx_http_weir_export_zone_queued(ex->sh, &bytes, &half);

    return n > 0
           && (n >= ex->batch_spans || half || ex->tries || ex->exiting
               || bytes >= NGX_HTTP_WEIR_EXPORT_BATCH_MAX
               || ngx_current_msec - ex->last >= ex->interval);
}


/*
 * nginx ends this process: the request under way gets some time, and what is in
 * the rings is another process' matter, if there is one.
 */

static void
ngx_http_weir_export_drain_exit(ngx_http_weir_exporter_t *ex)
{
    uint64_t    n, bytes;
    ngx_uint_t  half, late;

    late = (ngx_msec_int_t) (ngx_current_msec - ex->exit_deadline) >= 0;

    if (ngx_http_weir_client_busy(&ex->client) && !late) {
        ngx_http_weir_export_drain_arm(ex, NGX_HTTP_WEIR_EXPORT_TICK);
        return;
    }

    n = ngx_http_weir_export_zone_queued(ex->sh, &bytes, &half);

    if (n == 0 || ngx_http_weir_export_zone_has_heir(ex->sh)) {
        ngx_http_weir_export_drain_yield(ex);
        return;
    }

    ex->exporting = ngx_http_weir_export_zone_claim(ex->sh);

    if (late) {

        if (ex->exporting) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "weir_exporter could not send %uL spans to %V before"
                          " nginx ended", n, &ex->server.url);
        }

        ngx_http_weir_export_drain_yield(ex);
        return;
    }

    if (ex->exporting) {
        ngx_http_weir_export_drain_work(ex);
    }

    ngx_http_weir_export_drain_arm(ex, NGX_HTTP_WEIR_EXPORT_TICK);
}


/* This process is not the exporter, or no longer. */

static void
ngx_http_weir_export_drain_yield(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_client_close(&ex->client);
    ngx_http_weir_export_metrics_abandon(ex);
    ngx_http_weir_export_batch_free(ex);
    ngx_http_weir_export_zone_release(ex->sh);

    ex->exporting = 0;
    ex->failures = 0;
    ex->tries = 0;
}


/*
 * nginx waits for the timer of a process that ends.  Without a master process, tasks
 * end some time after a reload, with the configuration that was read first.
 */

static void
ngx_http_weir_export_drain_arm(ngx_http_weir_exporter_t *ex, ngx_msec_t delay)
{
    ex->delay = delay;

    if (ex->exiting || ex->timed
        || ngx_http_weir_record_repeat(&ex->task, delay) != NGX_OK)
    {
        ngx_add_timer(&ex->tick, delay);
    }
}


void
ngx_http_weir_export_drain_leave(ngx_http_weir_exporter_t *ex)
{
    if (ex->exiting) {
        return;
    }

    ex->exiting = 1;
    ex->exit_deadline = ngx_current_msec + NGX_HTTP_WEIR_EXPORT_LINGER;
    ex->not_before = ngx_current_msec;

    ngx_http_weir_record_cease(&ex->task);

    if (ex->tick.timer_set) {
        ngx_del_timer(&ex->tick);
    }

    ex->tick.cancelable = 0;

    ngx_http_weir_export_drain_exit(ex);
}


void
ngx_http_weir_export_drain_linger(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_assert(ex->exiting);

    if (!ex->tick.timer_set && !ngx_http_weir_export_zone_has_heir(ex->sh)) {
        ex->exit_deadline = ngx_current_msec + NGX_HTTP_WEIR_EXPORT_LINGER;
        ngx_http_weir_export_drain_arm(ex, 1);
    }
}


void
ngx_http_weir_export_drain_stop(ngx_http_weir_exporter_t *ex)
{
    ngx_http_weir_export_drain_yield(ex);
    ngx_http_weir_record_cease(&ex->task);

    if (ex->tick.timer_set) {
        ngx_del_timer(&ex->tick);
    }

    ngx_http_weir_client_free(&ex->client);
}


static void
ngx_http_weir_export_drain_send(ngx_http_weir_exporter_t *ex)
{
    ngx_int_t                       rc;
    ngx_http_weir_client_request_t  request;

    rc = ngx_http_weir_export_batch_make(ex);

    if (rc == NGX_OK) {
        ex->last = ngx_current_msec;

        request.head = &ex->head;
        request.body = ex->batch.body;
        request.len = ex->batch.len;
        request.zipped = (ex->batch.zipped != NULL);

        ngx_http_weir_export_send(ex, &request,
                                  ngx_http_weir_export_drain_done);

    } else if (rc == NGX_ERROR) {
        /* nginx has logged it; the spans remain in the rings */
        ex->failures++;
        ex->not_before = ngx_current_msec + NGX_HTTP_WEIR_EXPORT_BACKOFF_MIN;
    }
}


static void
ngx_http_weir_export_drain_done(ngx_http_weir_client_t *client,
    ngx_http_weir_client_outcome_t *outcome)
{
    char                       message[128];
    unsigned                   status;
    weir_str_t                 body;
    ngx_http_weir_exporter_t  *ex;

    ex = client->data;

    if (outcome->how == NGX_HTTP_WEIR_CLIENT_LOST) {
        /* the next connection is a new one, so this happens once */
        ngx_http_weir_export_send(ex, &ex->client.request,
                                  ngx_http_weir_export_drain_done);
        return;
    }

    status = ngx_http_weir_client_status(&ex->client, outcome);

    if (outcome->how == NGX_HTTP_WEIR_CLIENT_FAILED
        || status == NGX_HTTP_TOO_MANY_REQUESTS
        || status == NGX_HTTP_BAD_GATEWAY
        || status == NGX_HTTP_SERVICE_UNAVAILABLE
        || status == NGX_HTTP_GATEWAY_TIME_OUT)
    {
        ngx_http_weir_export_drain_again(ex, outcome);
        return;
    }

    ex->tries = 0;

    if (status >= 200 && status < 300) {
        ex->failures = 0;
        ngx_http_weir_export_drain_accepted(ex, outcome);

    } else {
        ex->failures++;
        ngx_http_weir_export_add(&ex->sh->failures, 1);

        body.data = ex->client.answer->body;
        body.len = ex->client.answer->encoded ? 0 : ex->client.answer->body_len;
        weir_partial_text(body, message, sizeof(message));

        ngx_http_weir_export_log(ex, NGX_HTTP_WEIR_EXPORT_REFUSING,
                                 ex->batch.spans, outcome, message);
        ngx_http_weir_export_batch_commit(ex, 0, &ex->sh->dropped_refused);
    }

    /* the next batch may be due already */

    if (ex->tick.timer_set) {
        ngx_del_timer(&ex->tick);
    }

    ngx_http_weir_export_drain_arm(ex, 1);
}


/* 2xx: partial_success may say that some spans were rejected. */

static void
ngx_http_weir_export_drain_accepted(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome)
{
    uint32_t        rejected;
    weir_partial_t  partial;

    ngx_http_weir_export_partial(ex, &partial);

    rejected = 0;

    if (partial.rejected > 0) {
        rejected = ngx_min(partial.rejected, (int64_t) ex->batch.spans);
    }

    ngx_http_weir_export_log(ex, rejected ? NGX_HTTP_WEIR_EXPORT_PARTIAL
                                          : NGX_HTTP_WEIR_EXPORT_UP,
                             rejected, outcome, partial.message);

    ngx_http_weir_export_batch_commit(ex, ex->batch.spans - rejected,
                                      &ex->sh->dropped_refused);
}


/* The batch is to be sent again, or was too often. */

static void
ngx_http_weir_export_drain_again(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome)
{
    ngx_msec_t  delay;

    ex->failures++;
    ngx_http_weir_export_add(&ex->sh->failures, 1);

    if (ex->tries++ == 0) {
        ex->first_try = ex->last;
    }

    ngx_http_weir_export_log(ex, NGX_HTTP_WEIR_EXPORT_AWAY, ex->batch.spans,
                             outcome, "");

    delay = ngx_http_weir_export_drain_delay(ex,
                               outcome->how == NGX_HTTP_WEIR_CLIENT_ANSWERED);
    ex->not_before = ngx_current_msec + delay;

    if (!ex->exiting && ex->not_before - ex->first_try > ex->retry) {
        ex->tries = 0;
        ngx_http_weir_export_batch_commit(ex, 0, &ex->sh->dropped_unsent);

    } else {
        ngx_http_weir_export_batch_free(ex);
    }
}


static ngx_msec_t
ngx_http_weir_export_drain_delay(ngx_http_weir_exporter_t *ex,
    ngx_uint_t answered)
{
    int64_t     after;
    ngx_msec_t  delay;

    if (answered) {
        after = weir_answer_retry_after(ex->client.answer, ngx_time());

        if (after >= 0) {
            after = ngx_min(after, NGX_HTTP_WEIR_EXPORT_RETRY_AFTER_MAX);
            return after * 1000 + ngx_random() % 100;
        }
    }

    delay = NGX_HTTP_WEIR_EXPORT_BACKOFF_MIN << ngx_min(ex->failures - 1, 6);
    delay = ngx_min(delay, NGX_HTTP_WEIR_EXPORT_BACKOFF_MAX);

    /* half is random, so that edges do not come at the same time */
    return delay / 2 + ngx_random() % (delay / 2 + 1);
}
