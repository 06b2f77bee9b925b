/*
 * The series of routes and upstreams in weir_metrics, family after family.  A
 * part of the document has whole samples: what does not fit any more is written
 * again to the next part.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "metrics/ngx_http_weir_metrics.h"
#include "metrics/cost/ngx_http_weir_cost.h"
#include "metrics/ngx_http_weir_metrics_labels.h"
#include "metrics/ngx_http_weir_metrics_parts.h"
#include "metrics/series/ngx_http_weir_series.h"
#include "metrics/tail/ngx_http_weir_tail.h"


/* Series that are added up in one part: some 500 us; and what windows take. */
#define NGX_HTTP_WEIR_METRICS_TURN   64
#define NGX_HTTP_WEIR_METRICS_VIEW   8


/* The families, in the order of the document. */
typedef enum {
    NGX_HTTP_WEIR_METRICS_SERVER_DURATION = 0,
    NGX_HTTP_WEIR_METRICS_SERVER_RECEIVED,
    NGX_HTTP_WEIR_METRICS_SERVER_SENT,
    NGX_HTTP_WEIR_METRICS_CLIENT_DURATION,
    NGX_HTTP_WEIR_METRICS_CLIENT_RECEIVED,
    NGX_HTTP_WEIR_METRICS_CLIENT_SENT,
    NGX_HTTP_WEIR_METRICS_PHASES_SPENT,
    NGX_HTTP_WEIR_METRICS_SERVER_SLOW,
    NGX_HTTP_WEIR_METRICS_SERVER_PERCENTILES,
    NGX_HTTP_WEIR_METRICS_CLIENT_PERCENTILES,
    NGX_HTTP_WEIR_METRICS_USAGE,           /* families of cost/ */
    NGX_HTTP_WEIR_METRICS_DROPPED,
    NGX_HTTP_WEIR_METRICS_FAMILIES
} ngx_http_weir_metrics_family_e;


struct ngx_http_weir_metrics_series_s {
    ngx_http_weir_series_zone_t     *zone;
    ngx_uint_t                       openmetrics;
    weir_otlp_t                     *otlp;    /* NULL: text is written */
    ngx_http_weir_metrics_family_e   family;
    ngx_uint_t                       begun;   /* bool: its lines are written */
    ngx_http_weir_series_group_t    *group;   /* the next sample's */
    ngx_http_weir_series_view_t     *view;
    ngx_http_weir_series_t          *series;
    ngx_http_weir_cost_position_t    cost;
};


static void ngx_http_weir_metrics_series_init(
    ngx_http_weir_metrics_series_t *s, ngx_http_weir_series_zone_t *zone,
    ngx_http_weir_cost_prices_t *prices);
static void ngx_http_weir_metrics_series_write(
    ngx_http_weir_metrics_series_t *s, weir_exposition_t *e);
static ngx_uint_t ngx_http_weir_metrics_series_has_views(
    ngx_http_weir_metrics_series_t *s);
static void ngx_http_weir_metrics_series_advance(
    ngx_http_weir_metrics_series_t *s);
static ngx_uint_t ngx_http_weir_metrics_series_seek(
    ngx_http_weir_metrics_series_t *s);
static void ngx_http_weir_metrics_series_duration(
    ngx_http_weir_metrics_series_t *s, weir_exposition_t *e);
static void ngx_http_weir_metrics_series_bytes(
    ngx_http_weir_metrics_series_t *s, weir_exposition_t *e);
static void ngx_http_weir_metrics_series_phases(
    ngx_http_weir_metrics_series_t *s, weir_exposition_t *e);

/* In the order of ngx_http_weir_metrics_family_e. */
static weir_metric_t
    ngx_http_weir_metrics_families[NGX_HTTP_WEIR_METRICS_FAMILIES] =
{
    { "http_server_request_duration_seconds", "seconds", WEIR_METRIC_HISTOGRAM,
      "Duration of HTTP server requests." },
    { "weir_http_server_received_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes that requests of clients had, with header." },
    { "weir_http_server_sent_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes that responses to clients had, with header." },
    { "http_client_request_duration_seconds", "seconds", WEIR_METRIC_HISTOGRAM,
      "Duration of HTTP client requests: those to upstreams." },
    { "weir_http_client_received_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes that responses of upstreams had, with header." },
    { "weir_http_client_sent_bytes", "bytes", WEIR_METRIC_COUNTER,
      "Bytes that requests to upstreams had, with header." },
    { "weir_request_phase_seconds", "seconds", WEIR_METRIC_COUNTER,
      "Time that requests have spent in a phase." },
    { "weir_http_server_slow_requests", NULL, WEIR_METRIC_COUNTER,
      "Requests above the 99th percentile, by what took most of their time." },
    { "weir_http_server_request_duration_percentile_seconds", "seconds",
      WEIR_METRIC_GAUGE,
      "Percentiles of the last minute, quarter of an hour and hour." },
    { "weir_http_client_request_duration_percentile_seconds", "seconds",
      WEIR_METRIC_GAUGE,
      "The same of requests to upstreams." },
    { NULL, NULL, WEIR_METRIC_COUNTER, NULL },  /* they are in cost/ */
    { "weir_metrics_series_dropped", NULL, WEIR_METRIC_COUNTER,
      "Series for which weir_metrics_zone has no room, by worker." }
};


#define NGX_HTTP_WEIR_METRICS_BOUNDS  (WEIR_EXEMPLARS_BUCKETS - 1)


ngx_http_weir_metrics_series_t *
ngx_http_weir_metrics_series_create(ngx_http_request_t *r,
    ngx_uint_t openmetrics)
{
    ngx_http_weir_series_zone_t     *zone;
    ngx_http_weir_metrics_series_t  *s;

    zone = ngx_http_weir_series_zone(r);
    if (zone == NULL) {
        return NULL;
    }

    s = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_metrics_series_t));
    if (s == NULL) {
        return NULL;
    }

    ngx_http_weir_metrics_series_init(s, zone, ngx_http_weir_cost_prices(r));
    s->openmetrics = openmetrics;

    return s;
}


/* At the beginning of the zone's metrics.  S is zeroed. */

static void
ngx_http_weir_metrics_series_init(ngx_http_weir_metrics_series_t *s,
    ngx_http_weir_series_zone_t *zone, ngx_http_weir_cost_prices_t *prices)
{
    s->zone = zone;
    s->cost.sh = &zone->sh->usage;
    s->cost.prices = prices;
}


ngx_int_t
ngx_http_weir_metrics_series_next(void *data, ngx_buf_t *b)
{
    ngx_http_weir_metrics_series_t *s = data;

    size_t             written;
    ngx_uint_t         n;
    weir_exposition_t  e;

    ngx_memzero(&e, sizeof(weir_exposition_t));
    e.buf = (char *) b->last;
    e.cap = b->end - b->last;
    e.openmetrics = s->openmetrics;

    for (n = 0; n < NGX_HTTP_WEIR_METRICS_TURN; n++) {
        written = e.len;

        ngx_http_weir_metrics_series_write(s, &e);

        if (e.len > e.cap) {
            ngx_http_weir_assert(written);

            b->last += written;
            return NGX_AGAIN;
        }

        if (s->family == NGX_HTTP_WEIR_METRICS_FAMILIES) {
            b->last += e.len;
            return NGX_OK;
        }

        if (ngx_http_weir_metrics_series_has_views(s)) {
            n += NGX_HTTP_WEIR_METRICS_VIEW - 1;
        }

        ngx_http_weir_metrics_series_advance(s);
    }

    b->last += e.len;

    /* all samples may have been empty */
    return e.len ? NGX_AGAIN : ngx_http_weir_metrics_series_next(s, b);
}


void
ngx_http_weir_metrics_series_begin(ngx_http_weir_metrics_series_t **s)
{
    ngx_http_weir_series_zone_t  *zone;

    static ngx_http_weir_metrics_series_t  position;

    zone = ngx_http_weir_series_cycle_zone();
    if (zone == NULL) {
        *s = NULL;
        return;
    }

    ngx_memzero(&position, sizeof(ngx_http_weir_metrics_series_t));
    ngx_http_weir_metrics_series_init(&position, zone,
                                      ngx_http_weir_cost_cycle_prices());

    *s = &position;
}


ngx_int_t
ngx_http_weir_metrics_series_add(ngx_http_weir_metrics_series_t *s,
    weir_otlp_t *otlp, const weir_exposition_sink_t *sink)
{
    ngx_uint_t         n;
    weir_exposition_t  e;

    ngx_memzero(&e, sizeof(weir_exposition_t));
    e.sink = sink;
    s->otlp = otlp;

    for (n = 0; n < NGX_HTTP_WEIR_METRICS_TURN; n++) {

        if (s->family == NGX_HTTP_WEIR_METRICS_FAMILIES) {
            return NGX_OK;
        }

        if (otlp->cap - otlp->out.len < NGX_HTTP_WEIR_METRICS_PART) {
            return NGX_DECLINED;
        }

        /* histograms of that scale tell all percentiles */

        if (s->family != NGX_HTTP_WEIR_METRICS_SERVER_PERCENTILES
            && s->family != NGX_HTTP_WEIR_METRICS_CLIENT_PERCENTILES)
        {
            ngx_http_weir_metrics_series_write(s, &e);
        }

        ngx_http_weir_metrics_series_advance(s);
    }

    return NGX_AGAIN;
}


/*
 * Writes what the position is at: the lines that begin a family, a sample, or
 * the end of the document.
 */

static void
ngx_http_weir_metrics_series_write(ngx_http_weir_metrics_series_t *s,
    weir_exposition_t *e)
{
    weir_metric_t  *metric;

    if (s->family == NGX_HTTP_WEIR_METRICS_FAMILIES) {
        weir_exposition_end(e);
        return;
    }

    if (s->family == NGX_HTTP_WEIR_METRICS_USAGE) {
        ngx_http_weir_cost_write(&s->cost, e);
        return;
    }

    metric = &ngx_http_weir_metrics_families[s->family];

    if (!s->begun) {
        weir_exposition_family(e, metric);
        return;
    }

    switch (s->family) {

    case NGX_HTTP_WEIR_METRICS_SERVER_DURATION:
    case NGX_HTTP_WEIR_METRICS_CLIENT_DURATION:
        ngx_http_weir_metrics_series_duration(s, e);
        break;

    case NGX_HTTP_WEIR_METRICS_PHASES_SPENT:
        ngx_http_weir_metrics_series_phases(s, e);
        break;

    case NGX_HTTP_WEIR_METRICS_SERVER_SLOW:
        ngx_http_weir_tail_metrics(e, metric, s->view);
        break;

    case NGX_HTTP_WEIR_METRICS_SERVER_PERCENTILES:
    case NGX_HTTP_WEIR_METRICS_CLIENT_PERCENTILES:
        ngx_http_weir_metrics_percentiles_write(e, metric, s->zone, s->view);
        break;

    case NGX_HTTP_WEIR_METRICS_DROPPED:
        weir_exposition_sample(e, metric, NULL, 0, s->zone->sh->dropped);
        break;

    default:
        ngx_http_weir_metrics_series_bytes(s, e);
        break;
    }
}


/* True if the family has samples for each view. */

static ngx_uint_t
ngx_http_weir_metrics_series_has_views(ngx_http_weir_metrics_series_t *s)
{
    return s->family == NGX_HTTP_WEIR_METRICS_SERVER_SLOW
           || s->family == NGX_HTTP_WEIR_METRICS_SERVER_PERCENTILES
           || s->family == NGX_HTTP_WEIR_METRICS_CLIENT_PERCENTILES;
}


/* Moves the position behind what was written. */

static void
ngx_http_weir_metrics_series_advance(ngx_http_weir_metrics_series_t *s)
{
    ngx_http_weir_series_sh_t  *sh;

    if (s->family == NGX_HTTP_WEIR_METRICS_USAGE) {
        if (!ngx_http_weir_cost_advance(&s->cost)) {
            s->family++;
        }

        return;
    }

    if (!s->begun) {
        sh = s->zone->sh;

        s->begun = 1;
        s->series = NULL;
        s->view = NULL;
        s->group = NULL;

        switch (s->family) {

        case NGX_HTTP_WEIR_METRICS_DROPPED:
            return;

        case NGX_HTTP_WEIR_METRICS_CLIENT_DURATION:
        case NGX_HTTP_WEIR_METRICS_CLIENT_RECEIVED:
        case NGX_HTTP_WEIR_METRICS_CLIENT_SENT:
        case NGX_HTTP_WEIR_METRICS_CLIENT_PERCENTILES:
            s->group = ngx_http_weir_series_load(
                                    sh->groups[NGX_HTTP_WEIR_SERIES_UPSTREAM]);
            break;

        default:
            s->group = ngx_http_weir_series_load(
                                    sh->groups[NGX_HTTP_WEIR_SERIES_ROUTE]);
            break;
        }

        if (s->group) {
            s->view = ngx_http_weir_series_load(s->group->views);
        }

        if (s->view) {
            s->series = ngx_http_weir_series_load(s->view->series);
        }

    } else if (s->family == NGX_HTTP_WEIR_METRICS_PHASES_SPENT) {
        s->group = s->group->next;

    } else if (ngx_http_weir_metrics_series_has_views(s)) {
        s->view = s->view->next;

    } else if (s->series) {
        s->series = s->series->next;
    }

    if (!ngx_http_weir_metrics_series_seek(s)) {
        s->family++;
        s->begun = 0;
    }
}


/* Finds the next sample at or behind the position; false: there is none. */

static ngx_uint_t
ngx_http_weir_metrics_series_seek(ngx_http_weir_metrics_series_t *s)
{
    if (s->family == NGX_HTTP_WEIR_METRICS_PHASES_SPENT) {
        return s->group != NULL;
    }

    if (ngx_http_weir_metrics_series_has_views(s)) {

        while (s->view == NULL) {

            if (s->group == NULL || s->group->next == NULL) {
                return 0;
            }

            s->group = s->group->next;
            s->view = ngx_http_weir_series_load(s->group->views);
        }

        return 1;
    }

    while (s->series == NULL) {

        if (s->view) {
            s->view = s->view->next;

        } else if (s->group) {
            s->group = s->group->next;

            if (s->group) {
                s->view = ngx_http_weir_series_load(s->group->views);
            }

        } else {
            return 0;
        }

        if (s->view) {
            s->series = ngx_http_weir_series_load(s->view->series);
        }
    }

    return 1;
}


static void
ngx_http_weir_metrics_series_duration(ngx_http_weir_metrics_series_t *s,
    weir_exposition_t *e)
{
    uint64_t                         counts[NGX_HTTP_WEIR_METRICS_BOUNDS];
    weir_buckets_t                   buckets;
    weir_exemplars_t                 exemplars;
    ngx_http_weir_series_part_t     *part;
    ngx_http_weir_metrics_labels_t   labels;

    static weir_histogram_sum_t  sum;

    ngx_memzero(&sum, sizeof(weir_histogram_sum_t));

    for (part = ngx_http_weir_series_load(s->series->parts);
         part;
         part = part->next)
    {
        weir_histogram_merge(&sum, &part->durations);
    }

    buckets.bounds = ngx_http_weir_series_bounds;
    buckets.counts = counts;
    buckets.n = NGX_HTTP_WEIR_METRICS_BOUNDS;
    buckets.count = weir_histogram_count(&sum);
    buckets.sum = sum.sum;
    buckets.exemplars = NULL;

    if (buckets.count == 0) {
        /* the series for what has no room, which had none */
        return;
    }

    weir_histogram_cumulative(&sum, ngx_http_weir_series_bounds, counts,
                              NGX_HTTP_WEIR_METRICS_BOUNDS);

    if (s->openmetrics || s->otlp) {
        ngx_http_weir_series_exemplars_read(s->series, &exemplars);
        buckets.exemplars = exemplars.bucket;
    }

    ngx_http_weir_metrics_labels(s->series, &labels);

    if (s->otlp) {
        (void) weir_otlp_histogram(s->otlp,
                                   &ngx_http_weir_metrics_families[s->family],
                                   labels.label, labels.n, &sum,
                                   exemplars.bucket);
        return;
    }

    weir_exposition_histogram(e, &ngx_http_weir_metrics_families[s->family],
                              labels.label, labels.n, &buckets);
}


static void
ngx_http_weir_metrics_series_bytes(ngx_http_weir_metrics_series_t *s,
    weir_exposition_t *e)
{
    uint64_t                        *value, bytes;
    ngx_http_weir_series_part_t     *part;
    ngx_http_weir_metrics_labels_t   labels;

    bytes = 0;

    for (part = ngx_http_weir_series_load(s->series->parts);
         part;
         part = part->next)
    {
        value = s->family == NGX_HTTP_WEIR_METRICS_SERVER_RECEIVED
                || s->family == NGX_HTTP_WEIR_METRICS_CLIENT_RECEIVED
                ? &part->received : &part->sent;

        bytes += __atomic_load_n(value, __ATOMIC_RELAXED);
    }

    if (bytes == 0) {
        return;
    }

    ngx_http_weir_metrics_labels(s->series, &labels);

    weir_exposition_sample(e, &ngx_http_weir_metrics_families[s->family],
                           labels.label, labels.n, bytes);
}


/* The phases of a route. */

static void
ngx_http_weir_metrics_series_phases(ngx_http_weir_metrics_series_t *s,
    weir_exposition_t *e)
{
    uint64_t                      spent[NGX_HTTP_WEIR_PHASES];
    ngx_uint_t                    i;
    weir_label_t                  label[2];
    ngx_http_weir_series_t       *series;
    ngx_http_weir_series_part_t  *part;
    ngx_http_weir_series_view_t  *view;

    ngx_memzero(spent, sizeof(spent));

    for (view = ngx_http_weir_series_load(s->group->views);
         view;
         view = view->next)
    {
        for (series = ngx_http_weir_series_load(view->series);
             series;
             series = series->next)
        {
            for (part = ngx_http_weir_series_load(series->parts);
                 part;
                 part = part->next)
            {
                for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {
                    spent[i] += __atomic_load_n(&part->phase[i],
                                                __ATOMIC_RELAXED);
                }
            }
        }
    }

    label[0].name = "http_route";
    label[0].value = ngx_http_weir_metrics_text(&s->group->name);
    label[1].name = "phase";

    for (i = 0; i < NGX_HTTP_WEIR_PHASES; i++) {

        if (spent[i] == 0) {
            /* the route does not have the phase */
            continue;
        }

        label[1].value = ngx_http_weir_metrics_text(
                                               ngx_http_weir_record_phase(i));
        weir_exposition_sample_seconds(e,
                                   &ngx_http_weir_metrics_families[s->family],
                                   label, 2, spent[i] * 1e-9);
    }
}
