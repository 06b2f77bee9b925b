/* The cache zones in weir_metrics. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_invalidation.h"
#include "cache/request/ngx_http_weir_cache_request.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "metrics/ngx_http_weir_metrics.h"


/* The values of a zone that have a family of their own. */
typedef enum {
    NGX_HTTP_WEIR_METRICS_ENTRIES = 0,
    NGX_HTTP_WEIR_METRICS_BYTES,
    NGX_HTTP_WEIR_METRICS_SIZE,
    NGX_HTTP_WEIR_METRICS_STALE,
    NGX_HTTP_WEIR_METRICS_COLLAPSED,
    NGX_HTTP_WEIR_METRICS_REVALIDATED,
    NGX_HTTP_WEIR_METRICS_STALE_ERRORS,
    NGX_HTTP_WEIR_METRICS_STORED,
    NGX_HTTP_WEIR_METRICS_EVICTED,
    NGX_HTTP_WEIR_METRICS_REFUSED,
    NGX_HTTP_WEIR_METRICS_RECOVERED,
    NGX_HTTP_WEIR_METRICS_FORGED,
    NGX_HTTP_WEIR_METRICS_APPLIED,
    NGX_HTTP_WEIR_METRICS_FORGOTTEN,
    NGX_HTTP_WEIR_METRICS_GAPS,
    NGX_HTTP_WEIR_METRICS_PENDING,
    NGX_HTTP_WEIR_METRICS_MALFORMED,
    NGX_HTTP_WEIR_METRICS_UNSENT,
    NGX_HTTP_WEIR_METRICS_WRITES_REFUSED,
    NGX_HTTP_WEIR_METRICS_CLIENTS_PENDING,
    NGX_HTTP_WEIR_METRICS_CLIENTS_FORGOTTEN,
    NGX_HTTP_WEIR_METRICS_CLIENTS_UNSENT,
    NGX_HTTP_WEIR_METRICS_CACHE_VALUES
} ngx_http_weir_metrics_value_e;


struct ngx_http_weir_metrics_cache_s {
    weir_str_t  zone;
    uint64_t    values[NGX_HTTP_WEIR_METRICS_CACHE_VALUES];
    uint64_t    hits_memory;
    uint64_t    hits_redis;
    uint64_t    forwarded[NGX_HTTP_WEIR_CACHE_REASONS];
    int64_t     lag;                        /* ms; -1: never known */
};


static void ngx_http_weir_metrics_caches_zone(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_metrics_cache_t *cache);
static void ngx_http_weir_metrics_caches_hits(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);
static void ngx_http_weir_metrics_caches_forwarded(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);
static void ngx_http_weir_metrics_caches_lag(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);


/* In the order of ngx_http_weir_metrics_value_e. */
static weir_metric_t
    ngx_http_weir_metrics_cache[NGX_HTTP_WEIR_METRICS_CACHE_VALUES] =
{
    { "weir_cache_entries", NULL, WEIR_METRIC_GAUGE,
      "Responses in shared memory." },
    { "weir_cache_used_bytes", "bytes", WEIR_METRIC_GAUGE,
      "Shared memory that responses take." },
    { "weir_cache_size_bytes", "bytes", WEIR_METRIC_GAUGE,
      "Shared memory that responses may take." },
    { "weir_cache_stale_hits", NULL, WEIR_METRIC_COUNTER,
      "Hits that were stale." },
    { "weir_cache_collapsed_hits", NULL, WEIR_METRIC_COUNTER,
      "Hits that had waited for the response to another request." },
    { "weir_cache_revalidated", NULL, WEIR_METRIC_COUNTER,
      "Forwarded requests that the upstream answered with 304." },
    { "weir_cache_stale_if_error", NULL, WEIR_METRIC_COUNTER,
      "Forwarded requests that failed and got a stale response." },
    { "weir_cache_stored", NULL, WEIR_METRIC_COUNTER,
      "Responses stored in shared memory." },
    { "weir_cache_evicted", NULL, WEIR_METRIC_COUNTER,
      "Responses that made room for others." },
    { "weir_cache_refused", NULL, WEIR_METRIC_COUNTER,
      "Responses for which there was no room." },
    { "weir_cache_recovered", NULL, WEIR_METRIC_COUNTER,
      "Times that the zone was emptied after a worker was killed." },
    { "weir_cache_forged", NULL, WEIR_METRIC_COUNTER,
      "Values in Redis without a valid signature." },
    { "weir_invalidations_applied", NULL, WEIR_METRIC_COUNTER,
      "Invalidations that this edge has applied." },
    { "weir_invalidation_records_forgotten", NULL, WEIR_METRIC_COUNTER,
      "Records of tags, keys and prefixes dropped for lack of room." },
    { "weir_invalidation_gaps", NULL, WEIR_METRIC_COUNTER,
      "Times that messages were lost before this edge had read them." },
    { "weir_invalidations_pending", NULL, WEIR_METRIC_GAUGE,
      "Invalidations of this edge that wait to be sent." },
    { "weir_invalidations_malformed", NULL, WEIR_METRIC_COUNTER,
      "Messages that could not be read." },
    { "weir_invalidations_unsent", NULL, WEIR_METRIC_COUNTER,
      "Messages of this edge that Redis did not take at once." },
    { "weir_invalidation_writes_refused", NULL, WEIR_METRIC_GAUGE,
      "1 while Redis answers but takes no writes." },
    { "weir_client_invalidations_pending", NULL, WEIR_METRIC_GAUGE,
      "Invalidations caused by clients that wait to be sent." },
    { "weir_client_invalidation_records_forgotten", NULL, WEIR_METRIC_COUNTER,
      "Records of what clients invalidated dropped for lack of room." },
    { "weir_client_invalidations_unsent", NULL, WEIR_METRIC_COUNTER,
      "Invalidations caused by clients that were dropped unsent." }
};


static weir_metric_t  ngx_http_weir_metrics_hits = {
    "weir_cache_hits", NULL, WEIR_METRIC_COUNTER,
    "Responses from the cache, fresh or stale, by level."
};

static weir_metric_t  ngx_http_weir_metrics_forwarded = {
    "weir_cache_forwarded", NULL, WEIR_METRIC_COUNTER,
    "Requests sent to the upstream, by the fwd of Cache-Status."
};

static weir_metric_t  ngx_http_weir_metrics_lag = {
    "weir_invalidation_lag_seconds", "seconds", WEIR_METRIC_GAUGE,
    "Time since this edge last knew the end of the stream."
};


ngx_int_t
ngx_http_weir_metrics_caches_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                    i;
    ngx_array_t                  *zones;
    ngx_http_weir_cache_zone_t  **zone;

    zones = ngx_http_weir_cache_zones(r);
    zone = zones->elts;

    metrics->caches = zones->nelts;
    metrics->cache = ngx_pcalloc(r->pool,
                                 zones->nelts
                                 * sizeof(ngx_http_weir_metrics_cache_t));
    if (metrics->cache == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < zones->nelts; i++) {
        ngx_http_weir_metrics_caches_zone(zone[i], &metrics->cache[i]);
    }

    return NGX_OK;
}


static void
ngx_http_weir_metrics_caches_zone(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_metrics_cache_t *cache)
{
    uint64_t                                *v;
    ngx_uint_t                               i;
    ngx_http_weir_cache_usage_t              usage;
    ngx_http_weir_cache_counters_t          *n;
    ngx_http_weir_cache_invalidation_info_t  info;

    n = ngx_http_weir_cache_zone_counters(zone);
    ngx_http_weir_cache_zone_usage(zone, &usage);
    ngx_http_weir_cache_invalidation_info(zone, &info);

    cache->zone = ngx_http_weir_metrics_text(&zone->name);
    cache->hits_memory = n->hits_memory;
    cache->hits_redis = n->hits_redis;
    cache->lag = info.lag;

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_REASONS; i++) {
        cache->forwarded[i] = n->forwarded[i];
    }

    v = cache->values;

    v[NGX_HTTP_WEIR_METRICS_ENTRIES] = usage.entries;
    v[NGX_HTTP_WEIR_METRICS_BYTES] = usage.bytes;
    v[NGX_HTTP_WEIR_METRICS_SIZE] = usage.size;
    v[NGX_HTTP_WEIR_METRICS_STALE] = n->stale;
    v[NGX_HTTP_WEIR_METRICS_COLLAPSED] = n->collapsed;
    v[NGX_HTTP_WEIR_METRICS_REVALIDATED] = n->revalidated;
    v[NGX_HTTP_WEIR_METRICS_STALE_ERRORS] = n->stale_errors;
    v[NGX_HTTP_WEIR_METRICS_STORED] = n->stored;
    v[NGX_HTTP_WEIR_METRICS_EVICTED] = n->evicted;
    v[NGX_HTTP_WEIR_METRICS_REFUSED] = n->refused;
    v[NGX_HTTP_WEIR_METRICS_RECOVERED] = n->recovered;
    v[NGX_HTTP_WEIR_METRICS_FORGED] = n->forged;
    v[NGX_HTTP_WEIR_METRICS_APPLIED] = info.applied;
    v[NGX_HTTP_WEIR_METRICS_FORGOTTEN] = info.evicted;
    v[NGX_HTTP_WEIR_METRICS_GAPS] = info.gaps;
    v[NGX_HTTP_WEIR_METRICS_PENDING] = info.pending;
    v[NGX_HTTP_WEIR_METRICS_MALFORMED] = info.malformed;
    v[NGX_HTTP_WEIR_METRICS_UNSENT] = info.unsent;
    v[NGX_HTTP_WEIR_METRICS_WRITES_REFUSED] = (info.refusing != 0);
    v[NGX_HTTP_WEIR_METRICS_CLIENTS_PENDING] = info.clients_pending;
    v[NGX_HTTP_WEIR_METRICS_CLIENTS_FORGOTTEN] = info.clients_forgotten;
    v[NGX_HTTP_WEIR_METRICS_CLIENTS_UNSENT] = info.clients_unsent;
}


void
ngx_http_weir_metrics_caches_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t    i, j;
    weir_label_t  zone;

    zone.name = "zone";

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_CACHE_VALUES; i++) {
        weir_exposition_family(e, &ngx_http_weir_metrics_cache[i]);

        for (j = 0; j < metrics->caches; j++) {
            zone.value = metrics->cache[j].zone;
            weir_exposition_sample(e, &ngx_http_weir_metrics_cache[i], &zone,
                                   1, metrics->cache[j].values[i]);
        }
    }

    ngx_http_weir_metrics_caches_hits(e, metrics);
    ngx_http_weir_metrics_caches_forwarded(e, metrics);
    ngx_http_weir_metrics_caches_lag(e, metrics);
}


static void
ngx_http_weir_metrics_caches_hits(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                      i;
    weir_label_t                    labels[2];
    ngx_http_weir_metrics_cache_t  *cache;

    cache = metrics->cache;

    weir_exposition_family(e, &ngx_http_weir_metrics_hits);

    labels[0].name = "zone";
    labels[1].name = "level";

    for (i = 0; i < metrics->caches; i++) {
        labels[0].value = cache[i].zone;

        labels[1].value = WEIR_STR("memory");
        weir_exposition_sample(e, &ngx_http_weir_metrics_hits, labels, 2,
                               cache[i].hits_memory);

        labels[1].value = WEIR_STR("redis");
        weir_exposition_sample(e, &ngx_http_weir_metrics_hits, labels, 2,
                               cache[i].hits_redis);
    }
}


static void
ngx_http_weir_metrics_caches_forwarded(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_str_t     *reasons;
    ngx_uint_t     i, j;
    weir_label_t   labels[2];

    reasons = ngx_http_weir_cache_reasons;

    weir_exposition_family(e, &ngx_http_weir_metrics_forwarded);

    labels[0].name = "zone";
    labels[1].name = "reason";

    for (i = 0; i < metrics->caches; i++) {
        labels[0].value = metrics->cache[i].zone;

        for (j = 0; j < NGX_HTTP_WEIR_CACHE_REASONS; j++) {
            labels[1].value = ngx_http_weir_metrics_text(&reasons[j]);
            weir_exposition_sample(e, &ngx_http_weir_metrics_forwarded, labels,
                                   2, metrics->cache[i].forwarded[j]);
        }
    }
}


/* A zone without Redis has no lag, nor has one that never reached it. */

static void
ngx_http_weir_metrics_caches_lag(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t    i;
    weir_label_t  zone;

    weir_exposition_family(e, &ngx_http_weir_metrics_lag);

    zone.name = "zone";

    for (i = 0; i < metrics->caches; i++) {

        if (metrics->cache[i].lag < 0) {
            continue;
        }

        zone.value = metrics->cache[i].zone;
        weir_exposition_sample_ms(e, &ngx_http_weir_metrics_lag, &zone, 1,
                                  metrics->cache[i].lag);
    }
}
