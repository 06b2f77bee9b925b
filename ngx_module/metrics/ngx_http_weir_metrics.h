/*
 * Shared by the files of weir_metrics.
 *
 *     module    the directive and the document
 *     caches    the metrics of cache zones
 *     breakers  the metrics of breakers
 *     exporter  the metrics of weir_exporter
 *     tokens/   the metrics of weir_jwt
 *     limits/   the metrics of weir_limit
 *     series    the metrics of routes and upstreams
 *     labels    the labels of a series
 *     percentiles  of these, of the last minute, quarter of an hour and hour
 *     otlp/     the same metrics for weir_exporter
 *
 * The first part of a document, with caches and breakers, is rendered twice,
 * first to know its length.  So caches and breakers first copy what they render:
 * both renderings have the same values.  Series follow in parts of their own,
 * because there may be thousands.
 */

#ifndef _NGX_HTTP_WEIR_METRICS_H_INCLUDED_
#define _NGX_HTTP_WEIR_METRICS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "auth/ngx_http_weir_jwt.h"
#include "common/metrics/exposition.h"
#include "export/ngx_http_weir_export.h"
#include "metrics/series/ngx_http_weir_series.h"


/* The values of all cache zones at one time. */
typedef struct ngx_http_weir_metrics_cache_s  ngx_http_weir_metrics_cache_t;

/* The states of all breakers whose keys the configuration names. */
typedef struct ngx_http_weir_metrics_breaker_s  ngx_http_weir_metrics_breaker_t;

typedef struct ngx_http_weir_metrics_breaker_zone_s
    ngx_http_weir_metrics_breaker_zone_t;


/* The slots of all keys that the configuration names. */
typedef struct ngx_http_weir_metrics_limit_s  ngx_http_weir_metrics_limit_t;

typedef struct ngx_http_weir_metrics_limit_zone_s
    ngx_http_weir_metrics_limit_zone_t;


/* A position in the series. */
typedef struct ngx_http_weir_metrics_series_s  ngx_http_weir_metrics_series_t;


typedef struct {
    ngx_http_weir_metrics_cache_t         *cache;
    ngx_uint_t                             caches;
    ngx_http_weir_metrics_breaker_zone_t  *breaker_zone;
    ngx_uint_t                             breaker_zones;
    ngx_http_weir_metrics_breaker_t       *breaker;
    ngx_uint_t                             breakers;
    ngx_http_weir_export_counts_t          exporter;
    ngx_uint_t                             exports;    /* bool */
    ngx_http_weir_jwt_counts_t            *issuer;
    ngx_uint_t                             issuers;
    ngx_http_weir_metrics_limit_zone_t    *limit_zone;
    ngx_uint_t                             limit_zones;
    ngx_http_weir_metrics_limit_t         *limit;
    ngx_uint_t                             limits;
    ngx_atomic_t                          *audited;    /* NULL: off */
} ngx_http_weir_metrics_t;


/*
 * caches, breakers: copy the values to the request's pool; NGX_OK or NGX_ERROR
 * (no memory).
 */
ngx_int_t ngx_http_weir_metrics_caches_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics);
ngx_int_t ngx_http_weir_metrics_breakers_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics);

/* caches, breakers: write all families. */
void ngx_http_weir_metrics_caches_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);
void ngx_http_weir_metrics_breakers_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);

/* exporter: the same. */
void ngx_http_weir_metrics_exporter_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics);
void ngx_http_weir_metrics_exporter_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);

/* tokens: as caches. */
ngx_int_t ngx_http_weir_metrics_tokens_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics);
void ngx_http_weir_metrics_tokens_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);

/* limits: the same. */
ngx_int_t ngx_http_weir_metrics_limits_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics);
void ngx_http_weir_metrics_limits_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);


/*
 * series: the position of the first one, from the request's pool.  NULL: the
 * configuration has none, or there is no memory.
 */
ngx_http_weir_metrics_series_t *ngx_http_weir_metrics_series_create(
    ngx_http_request_t *r, ngx_uint_t openmetrics);

/*
 * series: writes the next part of the document, up to its end; an
 * ngx_http_weir_metrics_part_pt.
 */
ngx_int_t ngx_http_weir_metrics_series_next(void *data, ngx_buf_t *b);


/*
 * series: the position of the first one of this process' configuration, of which
 * there is one at a time; NULL: it has none.
 */
void ngx_http_weir_metrics_series_begin(ngx_http_weir_metrics_series_t **s);

/*
 * series: adds some as points: histograms to otlp, all others to the sink, which
 * leads to it.  As next() of ngx_http_weir_export_source_t.
 */
ngx_int_t ngx_http_weir_metrics_series_add(ngx_http_weir_metrics_series_t *s,
    weir_otlp_t *otlp, const weir_exposition_sink_t *sink);

/* otlp/: the metrics that weir_exporter sends. */
extern const ngx_http_weir_export_source_t  ngx_http_weir_metrics_otlp;


/*
 * percentiles: writes the samples of a view; none for a span without requests.
 */
void ngx_http_weir_metrics_percentiles_write(weir_exposition_t *e,
    weir_metric_t *metric, ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_series_view_t *view);


/* The text shares the string's bytes. */
static ngx_inline weir_str_t
ngx_http_weir_metrics_text(ngx_str_t *s)
{
    weir_str_t  text;

    text.data = (char *) s->data;
    text.len = s->len;

    return text;
}


#endif /* _NGX_HTTP_WEIR_METRICS_H_INCLUDED_ */
