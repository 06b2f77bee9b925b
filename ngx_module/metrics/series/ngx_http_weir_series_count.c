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


static ngx_http_weir_series_part_t *ngx_http_weir_series_count_request(
    ngx_http_request_t *r, ngx_http_weir_record_t *record, double seconds);
static void ngx_http_weir_series_count_key(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_http_weir_series_key_t *key,
    ngx_str_t *version);
static void ngx_http_weir_series_count_slow(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_http_weir_series_part_t *part);
static void ngx_http_weir_series_count_upstreams(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, weir_exemplar_t *exemplar);
static void ngx_http_weir_series_count_try(ngx_http_request_t *r,
    ngx_uint_t method, ngx_http_upstream_t *u,
    ngx_http_upstream_state_t *state, uint64_t ns, weir_exemplar_t *exemplar);
static uint64_t ngx_http_weir_series_count_ns(ngx_http_weir_record_t *record,
    ngx_msec_t ms);
static ngx_msec_t ngx_http_weir_series_count_age(ngx_http_request_t *r);


/* What the request has used; see usage/. */

static ngx_inline void
ngx_http_weir_series_count_usage(ngx_http_request_t *r,
    ngx_http_weir_record_t *record)
{
    ngx_http_weir_usage_t      *usage;
    ngx_http_weir_cache_ctx_t  *cache;

    usage = ngx_http_weir_usage(r);
    if (usage == NULL) {
        return;
    }

    if (record) {
        usage->ran.ticks += record->ran.ticks;
        usage->ran.times += record->ran.times;

    } else {
        usage->ran.times++;
    }

    ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_REQUESTS, 1);
    ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_SENT,
                            r->connection->sent);

    if (r->upstream_states || (record && record->refresh)) {
        ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_FETCHED, 1);
        return;
    }

    cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (cache && (cache->status == NGX_HTTP_WEIR_CACHE_HIT
                  || cache->status == NGX_HTTP_WEIR_CACHE_STALE))
    {
        ngx_http_weir_usage_add(usage->part, cache->collapsed
                                             ? NGX_HTTP_WEIR_USAGE_COLLAPSED
                                             : NGX_HTTP_WEIR_USAGE_CACHED, 1);
    }
}


/* A brief record has no other phase. */

static ngx_inline void
ngx_http_weir_series_count_phases(uint64_t *phase,
    ngx_http_weir_record_t *record)
{
    ngx_uint_t  i;

    if (record->brief) {
        phase[NGX_HTTP_WEIR_PHASE_NGINX] +=
              ngx_http_weir_clock_ns(record->spent[NGX_HTTP_WEIR_PHASE_NGINX]);
        return;
    }

    for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
        if (record->spent[i]) {
            phase[i] += ngx_http_weir_clock_ns(record->spent[i]);
        }
    }
}


void
ngx_http_weir_series_count(ngx_http_request_t *r,
    ngx_http_weir_record_t *record)
{
    double                        seconds;
    ngx_http_weir_series_part_t  *part;

    if (ngx_http_weir_series_table.zone == NULL
        || (record && record->endless))
    {
        return;
    }

    seconds = record ? record->seconds : ngx_http_weir_series_count_age(r) * 1e-3;

    part = ngx_http_weir_series_count_request(r, record, seconds);

    weir_histogram_add_to(&part->received, r->request_length);
    weir_histogram_add_to(&part->sent, r->connection->sent);

    ngx_http_weir_series_count_usage(r, record);

    if (r->upstream_states) {
        ngx_http_weir_series_count_upstreams(r, record, NULL);
    }

    if (record == NULL) {
        return;
    }

    ngx_http_weir_series_count_phases(part->phase, record);

    record->percentiles = part->view->percentiles;

    if (seconds > record->percentiles[NGX_HTTP_WEIR_PERCENTILE_99]) {
        record->slow = 1;
        ngx_http_weir_series_count_slow(r, record, part);
    }

    if (record->refresh && record->refresh->upstream_states) {
        ngx_http_weir_series_count_upstreams(record->refresh, record, NULL);
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
    ngx_str_t                     version;
    weir_exemplar_t               exemplar;
    ngx_http_weir_series_key_t    key;
    ngx_http_weir_series_part_t  *part;

    if (ngx_http_weir_series_table.zone == NULL) {
        return;
    }

    ngx_memcpy(exemplar.trace_id, trace_id, sizeof(exemplar.trace_id));
    exemplar.value = record->seconds;
    exemplar.time = end;

    ngx_http_weir_series_count_key(r, record, &key, &version);

    part = ngx_http_weir_series_table_find(&key)->part;

    if (part && !part->full) {
        ngx_http_weir_series_exemplars_put(part, &exemplar);
    }

    if (r->upstream_states) {
        ngx_http_weir_series_count_upstreams(r, record, &exemplar);
    }
}


/*
 * Counts the request's duration.  A request without a record ended before its
 * header was read; it has nginx's milliseconds and no version.
 */

static ngx_http_weir_series_part_t *
ngx_http_weir_series_count_request(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, double seconds)
{
    ngx_str_t                      version;
    ngx_http_weir_series_key_t     key;
    ngx_http_weir_series_entry_t  *entry;

    ngx_http_weir_series_count_key(r, record, &key, &version);

    entry = ngx_http_weir_series_table_find(&key);

    return ngx_http_weir_series_table_add(entry->part
                                    ? entry->part
                                    : ngx_http_weir_series_table_open(r, &key,
                                                                      &version),
                                    NGX_HTTP_WEIR_SERIES_ROUTE, seconds);
}


static void
ngx_http_weir_series_count_key(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, ngx_http_weir_series_key_t *key,
    ngx_str_t *version)
{
    ngx_uint_t                  status, method, secure;
    ngx_http_weir_loc_conf_t   *wlcf;
    ngx_http_weir_cache_ctx_t  *cache;

    ngx_str_null(version);

    if (record) {
        method = record->method;

        (void) ngx_http_weir_version_get(r, version);

    } else {
        method = r->method;
    }

    status = r->err_status ? r->err_status : r->headers_out.status;
    cache = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

#if (NGX_HTTP_SSL)
    secure = r->connection->ssl != NULL;
#else
    secure = 0;
#endif

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    key->route = wlcf->route.data;
    key->by = version->data;
    key->labels = ngx_http_weir_series_table_pack(NGX_HTTP_WEIR_SERIES_ROUTE,
                                            method, status,
                                            cache ? cache->status : 0, secure,
                                            0);
}


static void
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

static ngx_msec_t
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
 * a location that led to this one, the upstream is not known any more.  With an
 * exemplar, what was counted gets it.
 */

static void
ngx_http_weir_series_count_upstreams(ngx_http_request_t *r,
    ngx_http_weir_record_t *record, weir_exemplar_t *exemplar)
{
    uint64_t                    ns;
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
            ns = ngx_http_weir_series_count_ns(record,
                                               state[i].response_time);
        } else {
            ns = (uint64_t) state[i].response_time * 1000000;
        }

        ngx_http_weir_series_count_try(r, record ? record->method : r->method,
                                       u, &state[i], ns, exemplar);
    }
}


/*
 * If one server was tried, the clock of the phases knows its time better than
 * nginx's milliseconds, unless the upstream was not asked for all of that time:
 * while the body of the request was read, or the client was waited for.
 */

static uint64_t
ngx_http_weir_series_count_ns(ngx_http_weir_record_t *record, ngx_msec_t ms)
{
    uint64_t  ns, rounded;

    ns = ngx_http_weir_clock_ns(record->spent[NGX_HTTP_WEIR_PHASE_UPSTREAM]
                                + record->spent[NGX_HTTP_WEIR_PHASE_RESPONSE]);
    rounded = (uint64_t) ms * 1000000;

    return ns + 2000000 > rounded && ns < rounded + 2000000 ? ns : rounded;
}


static void
ngx_http_weir_series_count_try(ngx_http_request_t *r, ngx_uint_t method,
    ngx_http_upstream_t *u, ngx_http_upstream_state_t *state, uint64_t ns,
    weir_exemplar_t *exemplar)
{
    ngx_uint_t                     failed, secure;
    ngx_http_weir_usage_t         *usage;
    ngx_http_weir_loc_conf_t      *wlcf;
    ngx_http_weir_series_key_t     key;
    ngx_http_weir_series_part_t   *part;
    ngx_http_weir_series_entry_t  *entry;

    failed = state->header_time == (ngx_msec_t) -1;

#if (NGX_HTTP_SSL)
    secure = u && u->ssl;
#else
    secure = 0;
#endif

    wlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_module);

    key.route = wlcf->route.data;
    key.by = u ? u->upstream : NULL;
    key.labels = ngx_http_weir_series_table_pack(NGX_HTTP_WEIR_SERIES_UPSTREAM,
                                           method, state->status, 0, secure,
                                           failed);

    entry = ngx_http_weir_series_table_find(&key);

    if (exemplar) {

        if (entry->part && !entry->part->full) {
            exemplar->value = (int64_t) ns * 1e-9;
            ngx_http_weir_series_exemplars_put(entry->part, exemplar);
        }

        return;
    }

    part = entry->part ? entry->part
                       : ngx_http_weir_series_table_open(r, &key, NULL);

    part = ngx_http_weir_series_table_add(part, NGX_HTTP_WEIR_SERIES_UPSTREAM,
                                    (int64_t) ns * 1e-9);

    weir_histogram_add_to(&part->received, state->bytes_received);
    weir_histogram_add_to(&part->sent, state->bytes_sent);

    usage = ngx_http_weir_usage(r);

    if (usage) {
        ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_TRIES, 1);
        ngx_http_weir_usage_add(usage->part, NGX_HTTP_WEIR_USAGE_UPSTREAM, ns);
    }
}
