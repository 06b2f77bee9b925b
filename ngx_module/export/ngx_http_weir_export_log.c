/*
 * The collector's state in words: one line for each change.  The state is in
 * shared memory, so that a new exporter does not repeat what the last one said.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export_private.h"
#include "http/ngx_http_weir_clock.h"


static void ngx_http_weir_export_log_up(ngx_http_weir_exporter_t *ex);
static uint64_t ngx_http_weir_export_log_dropped(ngx_http_weir_exporter_t *ex);


void
ngx_http_weir_export_log(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_export_state_e state, uint32_t spans,
    ngx_http_weir_client_outcome_t *outcome, const char *message)
{
    uint64_t    queued, bytes;
    ngx_uint_t  half;

    if (ngx_http_weir_export_get(&ex->sh->state) == (uint64_t) state) {
        return;
    }

    atomic_store_explicit(&ex->sh->state, state, memory_order_relaxed);

    if (state == NGX_HTTP_WEIR_EXPORT_UP) {
        ngx_http_weir_export_log_up(ex);
        return;
    }

    atomic_store_explicit(&ex->sh->dropped_before,
                          ngx_http_weir_export_log_dropped(ex),
                          memory_order_relaxed);

    if (state == NGX_HTTP_WEIR_EXPORT_PARTIAL) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_exporter: %V rejected %uD of %uD spans, which are"
                      " dropped: \"%s\"", &ex->server.url, spans, ex->batch.spans,
                      message);
        return;
    }

    if (state == NGX_HTTP_WEIR_EXPORT_REFUSING) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_exporter: %V refused %uD spans with status %ui,"
                      " which are dropped: \"%s\"", &ex->server.url, spans,
                      (ngx_uint_t) ex->client.answer->status, message);
        return;
    }

    queued = ngx_http_weir_export_zone_queued(ex->sh, &bytes, &half);

    if (outcome->how == NGX_HTTP_WEIR_CLIENT_ANSWERED) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_exporter: %V takes no spans now, status %ui; %uL are"
                      " queued and sent again", &ex->server.url,
                      (ngx_uint_t) ex->client.answer->status, queued);
        return;
    }

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, outcome->err,
                  "weir_exporter: %V is away: %s%s%s; %uL spans are queued and"
                  " sent again", &ex->server.url, outcome->fault,
                  outcome->detail ? ": " : "",
                  outcome->detail ? outcome->detail : "", queued);
}


static void
ngx_http_weir_export_log_up(ngx_http_weir_exporter_t *ex)
{
    uint64_t  dropped;

    dropped = ngx_http_weir_export_log_dropped(ex)
              - ngx_http_weir_export_get(&ex->sh->dropped_before);

    /* those are part of this line */
    atomic_store_explicit(&ex->sh->overflows,
                          ngx_http_weir_export_zone_overflows(ex->sh),
                          memory_order_relaxed);

    ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                  "weir_exporter: %V takes spans again; %uL were dropped"
                  " meanwhile", &ex->server.url, dropped);
}


static uint64_t
ngx_http_weir_export_log_dropped(ngx_http_weir_exporter_t *ex)
{
    return ngx_http_weir_export_zone_overflows(ex->sh)
           + ngx_http_weir_export_get(&ex->sh->dropped_refused)
           + ngx_http_weir_export_get(&ex->sh->dropped_unsent)
           + ngx_http_weir_export_get(&ex->sh->dropped_corrupt);
}


void
ngx_http_weir_export_log_metrics(ngx_http_weir_exporter_t *ex,
    ngx_http_weir_client_outcome_t *outcome, ngx_uint_t taken,
    const char *message)
{
    if (ngx_http_weir_export_get(&ex->sh->metrics_failing) == !taken) {
        return;
    }

    atomic_store_explicit(&ex->sh->metrics_failing, !taken,
                          memory_order_relaxed);

    if (taken) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "weir_exporter: %V takes metrics again", &ex->server.url);

    } else if (outcome->how == NGX_HTTP_WEIR_CLIENT_ANSWERED) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "weir_exporter: %V takes no metrics, or not all, at %V:"
                      " status %ui, \"%s\"", &ex->server.url, &ex->metrics_path,
                      (ngx_uint_t) ex->client.answer->status, message);

    } else {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, outcome->err,
                      "weir_exporter: %V takes no metrics: %s%s%s", &ex->server.url,
                      outcome->fault, outcome->detail ? ": " : "",
                      outcome->detail ? outcome->detail : "");
    }
}


/*
 * While the collector is away, the line that it is back has the number.  A
 * collector that is only too slow is named when spans are first dropped, and
 * again after a minute at the earliest.
 */

void
ngx_http_weir_export_log_overflow(ngx_http_weir_exporter_t *ex)
{
    uint64_t  n, before, now;

    n = ngx_http_weir_export_zone_overflows(ex->sh);
    before = ngx_http_weir_export_get(&ex->sh->overflows);

    if (n == before) {
        return;
    }

    now = ngx_http_weir_ms();

    if (ngx_http_weir_export_get(&ex->sh->state) == NGX_HTTP_WEIR_EXPORT_AWAY
        || (before && now < ngx_http_weir_export_get(&ex->sh->overflow_logged)
                            + NGX_HTTP_WEIR_EXPORT_OVERFLOW))
    {
        return;
    }

    atomic_store_explicit(&ex->sh->overflows, n, memory_order_relaxed);
    atomic_store_explicit(&ex->sh->overflow_logged, now, memory_order_relaxed);

    ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                  "weir_exporter: %uL spans were dropped, because they were"
                  " longer than %d bytes, or ended faster than %V takes them;"
                  " increase buffer= or batch=, or keep fewer spans",
                  n - before, NGX_HTTP_WEIR_EXPORT_SPAN_MAX, &ex->server.url);
}
