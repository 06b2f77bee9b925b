/*
 * The end of a request: whether its trace is kept.
 *
 * What can be known at the start is the sampled flag, which upstreams have
 * received.  Errors and slow requests are kept, too.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/trace/ids.h"
#include "export/ngx_http_weir_export.h"
#include "http/ngx_http_weir_clock.h"
#include "trace/ngx_http_weir_trace_private.h"


static void ngx_http_weir_trace_request_end(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_http_weir_trace_ctx_t *ctx);
static ngx_msec_int_t ngx_http_weir_trace_took(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_trace_is_kept(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_msec_int_t took);
static ngx_uint_t ngx_http_weir_trace_is_late(ngx_http_weir_trace_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_trace_has_failed(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf);
static ngx_uint_t ngx_http_weir_trace_is_refused(ngx_http_request_t *r);
static void ngx_http_weir_trace_export(ngx_http_request_t *r,
    ngx_http_weir_trace_ctx_t *ctx);
static void ngx_http_weir_trace_refresh_end(
    ngx_http_weir_trace_refresh_t *refresh);


ngx_int_t
ngx_http_weir_trace_log_handler(ngx_http_request_t *r)
{
    ngx_http_weir_trace_ctx_t        *ctx;
    ngx_http_weir_trace_refresh_t    *refresh;
    ngx_http_weir_trace_loc_conf_t   *tlcf;
    ngx_http_weir_trace_main_conf_t  *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_trace_module);

    if (r != r->main || tmcf->exporter == NULL) {
        return NGX_OK;
    }

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);
    ctx = ngx_http_weir_trace_find_own(r);

    if (tlcf->mode == NGX_HTTP_WEIR_TRACE_OFF && ctx == NULL) {
        return NGX_OK;
    }

    refresh = ctx ? ctx->refreshes : NULL;

    if (tlcf->mode != NGX_HTTP_WEIR_TRACE_OFF || ctx->calls || refresh) {
        ngx_http_weir_trace_request_end(r, tlcf, ctx);
    }

    /* else a location with weir_trace that led here has not sent a context */

    for ( /* void */ ; refresh; refresh = refresh->next) {
        ngx_http_weir_trace_refresh_end(refresh);
    }

    return NGX_OK;
}


static void
ngx_http_weir_trace_request_end(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_http_weir_trace_ctx_t *ctx)
{
    uint64_t                   drawn;
    ngx_uint_t                 kept;
    ngx_msec_int_t             took;
    ngx_http_weir_trace_ctx_t  here;

    kept = 0;
    took = tlcf->slow ? ngx_http_weir_trace_took(r) : 0;

    if (ctx == NULL) {
        drawn = weir_trace_ids_draw();

        if (tlcf->mode == NGX_HTTP_WEIR_TRACE_RATIO
            && !(tlcf->context & NGX_HTTP_WEIR_TRACE_EXTRACT)
            && weir_sampling_randomness_of(drawn) < tlcf->threshold)
        {
            kept = tlcf->keeps && ngx_http_weir_trace_is_kept(r, tlcf, took);

            if (!kept) {
                /* most requests, where only a share is kept */
                return;
            }
        }

        ctx = &here;

        if (ngx_http_weir_trace_begin(r, tlcf, drawn, ctx) != NGX_OK) {
            return;
        }
    }

    if (!ctx->sampled && !kept
        && !(tlcf->keeps && ngx_http_weir_trace_is_kept(r, tlcf, took)))
    {
        return;
    }

    ngx_http_weir_trace_export(r, ctx);

    if (!ctx->sampled && ngx_http_weir_trace_is_late(ctx)) {
        ngx_http_weir_trace_publish(r, ctx);
    }
}


/* Milliseconds, as $request_time. */

static ngx_msec_int_t
ngx_http_weir_trace_took(ngx_http_request_t *r)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                             + (tp->msec - r->start_msec));
}


/* True if an upstream was asked and told that the trace may be kept late. */

static ngx_uint_t
ngx_http_weir_trace_is_late(ngx_http_weir_trace_ctx_t *ctx)
{
    ngx_http_weir_trace_call_t  *call;

    if (!ctx->late) {
        return 0;
    }

    for (call = ctx->calls; call; call = call->next) {
        if (call->upstream && (call->context & NGX_HTTP_WEIR_TRACE_INJECT)) {
            return 1;
        }
    }

    return 0;
}


/* To be called once for a request: refusals of a breaker are counted here. */

static ngx_uint_t
ngx_http_weir_trace_is_kept(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf, ngx_msec_int_t took)
{
    ngx_http_weir_record_t  *record;

    if (tlcf->errors && ngx_http_weir_trace_has_failed(r, tlcf)) {
        return 1;
    }

    if (tlcf->percentile != NGX_HTTP_WEIR_PERCENTILES && r == r->main) {
        record = ngx_http_weir_record(r);

        if (record && ngx_http_weir_record_is_above(record, tlcf->percentile))
        {
            return 1;
        }
    }

    return tlcf->slow != 0 && took >= (ngx_msec_int_t) tlcf->slow;
}


/*
 * A status of 500 or more, of the response or of any try.  While a breaker is
 * open, all its requests have one, and tell the same: of these one a second is
 * enough, of each location and worker.
 */

static ngx_uint_t
ngx_http_weir_trace_has_failed(ngx_http_request_t *r,
    ngx_http_weir_trace_loc_conf_t *tlcf)
{
    ngx_uint_t                  i;
    ngx_http_upstream_state_t  *state;

    if (r->upstream_states) {
        state = r->upstream_states->elts;

        for (i = 0; i < r->upstream_states->nelts; i++) {
            if (state[i].status >= NGX_HTTP_INTERNAL_SERVER_ERROR) {
                return 1;
            }
        }
    }

    if (ngx_http_weir_trace_status(r) < NGX_HTTP_INTERNAL_SERVER_ERROR) {
        return 0;
    }

    if (!ngx_http_weir_trace_is_refused(r)) {
        return 1;
    }

    if (tlcf->refused == ngx_time()) {
        return 0;
    }

    tlcf->refused = ngx_time();

    return 1;
}


/* By a breaker. */

static ngx_uint_t
ngx_http_weir_trace_is_refused(ngx_http_request_t *r)
{
    ngx_uint_t               i;
    ngx_http_weir_record_t  *record;

    record = ngx_http_weir_record(r);

    if (record == NULL) {
        return 0;
    }

    for (i = 0; i < record->events; i++) {
        if (ngx_strcmp(record->event[i].name, "weir.breaker.refused") == 0) {
            return 1;
        }
    }

    return 0;
}


/*
 * The start is that of nginx, the arrival of the first byte, which has a
 * resolution of one millisecond.  The record is exact, but begins when the
 * header was read; it is used if that was the same moment.  It has ended, so the
 * request's context is it, also where contexts were cleared.
 */

static void
ngx_http_weir_trace_export(ngx_http_request_t *r,
    ngx_http_weir_trace_ctx_t *ctx)
{
    uint64_t                          start;
    ngx_http_weir_trace_kept_t        kept;
    ngx_http_weir_trace_main_conf_t  *tmcf;

    tmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_trace_module);

    kept.request = r;
    kept.ctx = ctx;
    kept.record = ngx_http_get_module_ctx(r, ngx_http_weir_record_module);
    kept.exporter = tmcf->exporter;
    kept.end = ngx_http_weir_unix_ns();
    kept.start = ((uint64_t) r->start_sec * 1000 + r->start_msec) * 1000000;

    if (kept.record) {
        if (kept.record->endless) {
            return;
        }

        kept.tick = kept.record->tick;
        start = kept.end
                - ngx_http_weir_clock_ns(kept.tick - kept.record->start);

        if (start < kept.start + 2000000) {
            kept.start = start;
        }

    } else {
        kept.tick = ngx_http_weir_ticks();
    }

    kept.start = ngx_min(kept.start, kept.end);

    if (ngx_http_weir_trace_server(&kept) == NGX_OK && kept.record) {
        ngx_http_weir_record_kept(r, kept.record, ctx->context.trace_id,
                                  kept.end);
    }

    if (kept.record && kept.record->waits) {
        ngx_http_weir_trace_waits(&kept);
    }

    if (ctx->calls) {
        ngx_http_weir_trace_clients(&kept);
    }
}


/* A refresh that was cut off ends with its request. */

static void
ngx_http_weir_trace_refresh_end(ngx_http_weir_trace_refresh_t *refresh)
{
    uint64_t                         now;
    ngx_http_request_t              *r;
    ngx_http_weir_trace_kept_t       kept;
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    r = refresh->ctx.request;
    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);
    now = ngx_http_weir_ticks();

    if (refresh->end == 0) {
        refresh->end = now;
    }

    if (!refresh->ctx.sampled
        && !ngx_http_weir_trace_is_kept(r, tlcf,
                                  ngx_http_weir_clock_ns(refresh->end - refresh->start)
                                  / 1000000))
    {
        return;
    }

    kept.request = r;
    kept.ctx = &refresh->ctx;
    kept.record = NULL;
    kept.exporter = ngx_http_weir_export_exporter(r);
    kept.tick = refresh->end;
    kept.end = ngx_http_weir_unix_ns()
               - ngx_http_weir_clock_ns(now - refresh->end);
    kept.start = kept.end
                 - ngx_http_weir_clock_ns(refresh->end - refresh->start);

    ngx_http_weir_trace_refresh(&kept, refresh);

    if (!refresh->ctx.sampled && ngx_http_weir_trace_is_late(&refresh->ctx)) {
        ngx_http_weir_trace_publish(r, &refresh->ctx);
    }
}
