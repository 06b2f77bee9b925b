/*
 * A request that ends is counted, and so are the requests to upstreams that it
 * has made.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "http/ngx_http_weir.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/series/ngx_http_weir_series.h"
#include "metrics/series/ngx_http_weir_series_table.h"
#include "version/ngx_http_weir_version.h"


static ngx_int_t ngx_http_weir_series_count_none(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_series_count_any(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_http_weir_cache_ctx_t *cache,
    uint64_t labels);
static ngx_http_weir_series_part_t *ngx_http_weir_series_count_part(
    ngx_http_request_t *r, ngx_http_weir_record_t *record, uint64_t labels);
static ngx_inline void ngx_http_weir_series_count_phases(uint64_t *phase,
    ngx_http_weir_record_t *record);
static void ngx_http_weir_series_count_slow(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_http_weir_series_part_t *part);
static ngx_inline ngx_uint_t ngx_http_weir_series_count_same_try(
    ngx_http_request_t *r, ngx_http_weir_record_t *record);
static ngx_int_t ngx_http_weir_series_count_upstreams(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, weir_exemplar_t *exemplar);
static void ngx_http_weir_series_count_try(ngx_http_request_t *r,
    ngx_uint_t method, ngx_http_upstream_t *u,
    ngx_http_upstream_state_t *state, double seconds,
    weir_exemplar_t *exemplar);
static ngx_inline double ngx_http_weir_series_count_took(
    ngx_http_weir_record_t *record, ngx_msec_t ms);
static ngx_inline ngx_uint_t ngx_http_weir_series_count_tls(
    ngx_http_upstream_t *u);
static ngx_inline void ngx_http_weir_series_count_used(
    ngx_http_weir_usage_t *usage, ngx_http_weir_series_part_t *part,
    ngx_http_upstream_state_t *state, double seconds);
static ngx_msec_t ngx_http_weir_series_count_age(ngx_http_request_t *r);


/* Never 0, as each request has a method. */

static ngx_inline uint64_t
ngx_http_weir_series_count_labels(ngx_http_request_t *r, ngx_uint_t method,
    ngx_http_weir_cache_ctx_t *cache)
{
    ngx_uint_t  status, secure;

    status = r->err_status ? r->err_status : r->headers_out.status;

#if (NGX_HTTP_SSL)
    secure = r->connection->ssl != NULL;
#else
    secure = 0;
#endif

    return ngx_http_weir_series_table_pack(NGX_HTTP_WEIR_SERIES_ROUTE, method,
                                           status, cache ? cache->status : 0,
                                           secure, 0);
}


/* What the route has used by this request, except for time; see usage/. */

static ngx_inline void
ngx_http_weir_series_count_usage(ngx_http_request_t *r,
    ngx_http_weir_usage_part_t *part, ngx_http_weir_cache_ctx_t *cache,
    ngx_uint_t fetched, ngx_uint_t collapsed)
{
    ngx_http_weir_usage_add(part, NGX_HTTP_WEIR_USAGE_REQUESTS, 1);
    ngx_http_weir_usage_add(part, NGX_HTTP_WEIR_USAGE_SENT,
                            r->connection->sent);

    if (fetched) {
        ngx_http_weir_usage_add(part, NGX_HTTP_WEIR_USAGE_FETCHED, 1);

    } else if (cache && (cache->status == NGX_HTTP_WEIR_CACHE_HIT
                         || cache->status == NGX_HTTP_WEIR_CACHE_STALE))
    {
        ngx_http_weir_usage_add(part, collapsed
                                      ? NGX_HTTP_WEIR_USAGE_COLLAPSED
                                      : NGX_HTTP_WEIR_USAGE_CACHED, 1);
    }
}


/*
 * Most requests are like the one before at the same location: all places that
 * count them are known.  fresh is a constant; a fresh request has waited for no
 * other one, has no other phase than that of nginx, and has no refresh.
 */

static ngx_inline ngx_int_t
ngx_http_weir_series_count_again(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_uint_t fresh)
{
    uint64_t                      labels;
    ngx_http_weir_usage_t        *usage;
    ngx_http_weir_loc_conf_t     *wlcf;
    ngx_http_weir_cache_ctx_t    *cache;
    ngx_http_weir_series_part_t  *part;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);
    cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);
    labels = ngx_http_weir_series_count_labels(r, record->method, cache);
    part = wlcf->request.part;

    if (wlcf->request.labels != labels
        || (fresh ? r->upstream_states != NULL : record->subrequests != NULL)
        || !weir_histogram_has(&part->durations, record->seconds)
        || record->seconds
           > part->view->percentiles[NGX_HTTP_WEIR_PERCENTILE_99])
    {
        return ngx_http_weir_series_count_any(r, record, cache, labels);
    }

    record->percentiles = part->view->percentiles;

    weir_histogram_count_in(&part->durations, record->seconds);
    weir_count_add(&part->received, r->request_length);
    weir_count_add(&part->sent, r->connection->sent);

    usage = wlcf->usage;
    usage->ran.times += fresh ? 1 : record->ran.times;
    usage->ran.ticks += fresh ? record->spent[NGX_HTTP_WEIR_PHASE_NGINX]
                              : record->ran.ticks;

    ngx_http_weir_series_count_usage(r, usage->part, cache,
                                     r->upstream_states != NULL,
                                     !fresh && cache && cache->collapsed);

    if (fresh) {
        weir_count_add(&part->phase[NGX_HTTP_WEIR_PHASE_NGINX],
                       (int64_t) (record->seconds * 1e9));
        return NGX_OK;
    }

    ngx_http_weir_series_count_phases(part->phase, record);

    return r->upstream_states && !ngx_http_weir_series_count_same_try(r, record)
           ? ngx_http_weir_series_count_upstreams(r, record, NULL) : NGX_OK;
}


/*
 * One server was tried, and its answer is like that of the request before at the
 * same location.  False: nothing was counted.
 */

static ngx_inline ngx_uint_t
ngx_http_weir_series_count_same_try(ngx_http_request_t *r,
    ngx_http_weir_record_t *record)
{
    double                        seconds;
    ngx_http_upstream_t          *u;
    ngx_http_weir_loc_conf_t     *wlcf;
    ngx_http_upstream_state_t    *state;
    ngx_http_weir_series_part_t  *part;

    u = r->upstream;
    state = r->upstream_states->elts;
    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);
    part = wlcf->upstream.part;

    if (r->upstream_states->nelts != 1 || u == NULL
        || u->upstream != wlcf->upstream.by
        || state->header_time == (ngx_msec_t) -1
        || state->response_time == (ngx_msec_t) -1
        || wlcf->upstream.labels
           != ngx_http_weir_series_table_pack(NGX_HTTP_WEIR_SERIES_UPSTREAM,
                                              record->method, state->status, 0,
                                              ngx_http_weir_series_count_tls(u),
                                              0))
    {
        return 0;
    }

    seconds = ngx_http_weir_series_count_took(record, state->response_time);

    if (!weir_histogram_has(&part->durations, seconds)) {
        return 0;
    }

    weir_histogram_count_in(&part->durations, seconds);

    ngx_http_weir_series_count_used(wlcf->usage, part, state, seconds);

    return 1;
}


ngx_int_t
ngx_http_weir_series_count_fresh(ngx_http_request_t *r,
    ngx_http_weir_record_t *record)
{
    return ngx_http_weir_series_count_again(r, &ngx_http_weir_record_fresh, 1);
}


ngx_int_t
ngx_http_weir_series_count(ngx_http_request_t *r,
    ngx_http_weir_record_t *record)
{
    return record ? ngx_http_weir_series_count_again(r, record, 0)
                  : ngx_http_weir_series_count_none(r);
}


/* A request without a record ended before its header was read. */

static weir_apart ngx_int_t
ngx_http_weir_series_count_none(ngx_http_request_t *r)
{
    ngx_http_weir_cache_ctx_t  *cache;

    cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    return ngx_http_weir_series_count_any(r, NULL, cache,
                       ngx_http_weir_series_count_labels(r, r->method, cache));
}


/* The same for any request; record may be NULL. */

static weir_apart ngx_int_t
ngx_http_weir_series_count_any(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_http_weir_cache_ctx_t *cache,
    uint64_t labels)
{
    double                              seconds;
    ngx_http_weir_usage_t              *usage;
    ngx_http_weir_series_part_t        *part;
    ngx_http_weir_record_subrequest_t  *sub;

    seconds = record ? record->seconds
                     : ngx_http_weir_series_count_age(r) * 1e-3;

    part = ngx_http_weir_series_count_part(r, record, labels);
    part = ngx_http_weir_series_table_add(part, NGX_HTTP_WEIR_SERIES_ROUTE,
                                          seconds);

    weir_count_add(&part->received, r->request_length);
    weir_count_add(&part->sent, r->connection->sent);

    usage = ngx_http_weir_usage(r);

    if (usage) {
        if (record == NULL || record == &ngx_http_weir_record_fresh) {
            usage->ran.ticks += record
                                ? record->spent[NGX_HTTP_WEIR_PHASE_NGINX] : 0;
            usage->ran.times++;

        } else {
            usage->ran.ticks += record->ran.ticks;
            usage->ran.times += record->ran.times;
        }

        ngx_http_weir_series_count_usage(r, usage->part, cache,
                                         r->upstream_states
                                         || (record && record->refresh),
                                         cache && cache->collapsed);
    }

    if (r->upstream_states) {
        (void) ngx_http_weir_series_count_upstreams(r, record, NULL);
    }

    if (record == NULL) {
        return NGX_OK;
    }

    ngx_http_weir_series_count_phases(part->phase, record);

    record->percentiles = part->view->percentiles;

    if (ngx_http_weir_record_is_above(record, NGX_HTTP_WEIR_PERCENTILE_99)) {
        ngx_http_weir_series_count_slow(r, record, part);
    }

    for (sub = record->subrequests; sub; sub = sub->next) {

        if (sub->request->upstream_states) {
            (void) ngx_http_weir_series_count_upstreams(sub->request, record,
                                                        NULL);
        }
    }

    return NGX_OK;
}


/* The part that counts the request. */

static ngx_http_weir_series_part_t *
ngx_http_weir_series_count_part(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, uint64_t labels)
{
    ngx_str_t                  version;
    ngx_http_weir_loc_conf_t  *wlcf;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    ngx_str_null(&version);

    if (!wlcf->versions) {
        return ngx_http_weir_series_table_part(r, &wlcf->request, labels, NULL,
                                               &version);
    }

    if (record) {
        (void) ngx_http_weir_version_get(r, &version);
    }

    return ngx_http_weir_series_table_part(r, &wlcf->versioned, labels,
                                           version.data, &version);
}


static ngx_inline void
ngx_http_weir_series_count_phases(uint64_t *phase,
    ngx_http_weir_record_t *record)
{
    ngx_uint_t  i;

#pragma GCC unroll 9

    for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
        if (record->spent[i]) {
            weir_count_add(&phase[i], ngx_http_weir_clock_ns(record->spent[i]));
        }
    }
}


/*
 * What has counted the request gets the id of its trace.  A part that had no
 * room for a duration gets none: the duration may have been counted elsewhere.
 */

void
ngx_http_weir_series_count_kept(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, const u_char *trace_id, uint64_t end)
{
    uint64_t                      labels;
    weir_exemplar_t               exemplar;
    ngx_http_weir_cache_ctx_t    *cache;
    ngx_http_weir_series_part_t  *part;

    ngx_memcpy(exemplar.trace_id, trace_id, sizeof(exemplar.trace_id));
    exemplar.value = record->seconds;
    exemplar.time = end;

    cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);
    labels = ngx_http_weir_series_count_labels(r, record->method, cache);
    part = ngx_http_weir_series_count_part(r, record, labels);

    if (!part->full) {
        ngx_http_weir_series_exemplars_put(part, &exemplar);
    }

    if (r->upstream_states) {
        (void) ngx_http_weir_series_count_upstreams(r, record, &exemplar);
    }
}


static weir_apart void
ngx_http_weir_series_count_slow(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_http_weir_series_part_t *part)
{
    u_char                        buf[NGX_HTTP_WEIR_SERIES_BLAME];
    ngx_str_t                     dependency;
    ngx_http_weir_series_cause_e  phase;

    phase = ngx_http_weir_series_cause(r, record, &dependency, buf);

    ngx_http_weir_series_table_slow(part, phase, &dependency);
}


/* $request_time. */

static weir_apart ngx_msec_t
ngx_http_weir_series_count_age(ngx_http_request_t *r)
{
    ngx_time_t      *tp;
    ngx_msec_int_t   ms;

    tp = ngx_timeofday();

    ms = (ngx_msec_int_t) ((tp->sec - r->start_sec) * 1000
                           + (ngx_msec_int_t) (tp->msec - r->start_msec));

    return ngx_max(ms, 0);
}


/*
 * Each server that was tried counts as a request to its upstream.  Of servers of
 * a location that led to this one, the upstream is not known any more.  r may be
 * a subrequest of the record's request.  With an exemplar, what was counted gets it.
 */

static weir_apart ngx_int_t
ngx_http_weir_series_count_upstreams(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, weir_exemplar_t *exemplar)
{
    double                      seconds;
    ngx_int_t                   i;
    ngx_http_upstream_t        *u;
    ngx_http_upstream_state_t  *state;

    u = r->upstream;
    state = r->upstream_states->elts;

    for (i = r->upstream_states->nelts - 1; i >= 0; i--) {

        if (state[i].peer == NULL) {
            /* separates the upstreams of two locations */
            u = NULL;
            continue;
        }

        if (state[i].response_time == (ngx_msec_t) -1) {
            continue;
        }

        if (record && r == r->main && r->upstream_states->nelts == 1) {
            seconds = ngx_http_weir_series_count_took(record,
                                                      state[i].response_time);
        } else {
            seconds = (int64_t) state[i].response_time * 1e-3;
        }

        ngx_http_weir_series_count_try(r, record && r == r->main
                                          ? record->method : r->method,
                                       u, &state[i], seconds, exemplar);
    }

    return NGX_OK;
}


/*
 * If one server was tried, the clock of the phases knows its time better than
 * nginx's milliseconds, unless the upstream was not asked for all of that time:
 * while the body of the request was read, or the client was waited for.
 */

static ngx_inline double
ngx_http_weir_series_count_took(ngx_http_weir_record_t *record, ngx_msec_t ms)
{
    double  seconds, rounded;

    seconds = (int64_t) (record->spent[NGX_HTTP_WEIR_PHASE_UPSTREAM]
                         + record->spent[NGX_HTTP_WEIR_PHASE_RESPONSE])
              * ngx_http_weir_clock_seconds;
    rounded = (int64_t) ms * 1e-3;

    return seconds > rounded - 2e-3 && seconds < rounded + 2e-3 ? seconds
                                                                : rounded;
}


static ngx_inline ngx_uint_t
ngx_http_weir_series_count_tls(ngx_http_upstream_t *u)
{
#if (NGX_HTTP_SSL)
    return u->ssl;
#else
    return 0;
#endif
}


/* What a try has used beside its time in the histogram; usage may be NULL. */

static ngx_inline void
ngx_http_weir_series_count_used(ngx_http_weir_usage_t *usage,
    ngx_http_weir_series_part_t *part, ngx_http_upstream_state_t *state,
    double seconds)
{
    weir_count_add(&part->received, state->bytes_received);
    weir_count_add(&part->sent, state->bytes_sent);

    if (usage) {
        ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_TRIES, 1);
        ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_UPSTREAM,
                                (int64_t) (seconds * 1e9));
    }
}


static void
ngx_http_weir_series_count_try(ngx_http_request_t *r, ngx_uint_t method,
    ngx_http_upstream_t *u, ngx_http_upstream_state_t *state, double seconds,
    weir_exemplar_t *exemplar)
{
    ngx_uint_t                    failed, secure;
    ngx_http_weir_loc_conf_t     *wlcf;
    ngx_http_weir_series_part_t  *part;

    failed = state->header_time == (ngx_msec_t) -1;
    secure = u ? ngx_http_weir_series_count_tls(u) : 0;

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    part = ngx_http_weir_series_table_part(r, &wlcf->upstream,
                 ngx_http_weir_series_table_pack(NGX_HTTP_WEIR_SERIES_UPSTREAM,
                                                 method, state->status, 0,
                                                 secure, failed),
                 u ? u->upstream : NULL, NULL);

    if (exemplar) {

        if (!part->full) {
            exemplar->value = seconds;
            ngx_http_weir_series_exemplars_put(part, exemplar);
        }

        return;
    }

    part = ngx_http_weir_series_table_add(part, NGX_HTTP_WEIR_SERIES_UPSTREAM,
                                          seconds);

    ngx_http_weir_series_count_used(ngx_http_weir_usage(r), part, state,
                                    seconds);
}
