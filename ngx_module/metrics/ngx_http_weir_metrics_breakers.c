/*
 * The breakers in weir_metrics: those whose keys the configuration names.
 * Breakers whose keys are made of variables are in the totals of their zone
 * only, because clients may choose their number and names.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "breaker/ngx_http_weir_breaker.h"
#include "metrics/ngx_http_weir_metrics.h"


/* The values of a zone. */
typedef enum {
    NGX_HTTP_WEIR_METRICS_BREAKERS = 0,
    NGX_HTTP_WEIR_METRICS_NOT_CLOSED,
    NGX_HTTP_WEIR_METRICS_FORGOTTEN,
    NGX_HTTP_WEIR_METRICS_UNCOUNTED,
    NGX_HTTP_WEIR_METRICS_ZONE_VALUES
} ngx_http_weir_metrics_zone_value_e;

/* The values of a breaker, beside its state. */
typedef enum {
    NGX_HTTP_WEIR_METRICS_CALLS = 0,
    NGX_HTTP_WEIR_METRICS_FAILURES,
    NGX_HTTP_WEIR_METRICS_SLOW,
    NGX_HTTP_WEIR_METRICS_TIMEOUTS,
    NGX_HTTP_WEIR_METRICS_OPENINGS,
    NGX_HTTP_WEIR_METRICS_REFUSED,
    NGX_HTTP_WEIR_METRICS_PROBES,
    NGX_HTTP_WEIR_METRICS_BREAKER_VALUES
} ngx_http_weir_metrics_breaker_value_e;


struct ngx_http_weir_metrics_breaker_zone_s {
    weir_str_t            name;
    uint64_t              values[NGX_HTTP_WEIR_METRICS_ZONE_VALUES];
};


struct ngx_http_weir_metrics_breaker_s {
    weir_str_t            zone;
    weir_str_t            key;
    weir_breaker_state_t  state;
    uint64_t              values[NGX_HTTP_WEIR_METRICS_BREAKER_VALUES];
};


static void ngx_http_weir_metrics_breakers_one(
    ngx_http_weir_breaker_use_t *use,
    ngx_http_weir_metrics_breaker_t *breaker);
static ngx_int_t ngx_http_weir_metrics_breakers_zones(ngx_http_request_t *r,
    ngx_array_t *keys, ngx_http_weir_metrics_t *metrics);
static ngx_int_t ngx_http_weir_metrics_breakers_zone(ngx_http_request_t *r,
    ngx_shm_zone_t *shm_zone, ngx_http_weir_metrics_breaker_zone_t *zone);
static void ngx_http_weir_metrics_breakers_states(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);


/* In the order of ngx_http_weir_metrics_zone_value_e. */
static weir_metric_t
    ngx_http_weir_metrics_zone[NGX_HTTP_WEIR_METRICS_ZONE_VALUES] =
{
    { "weir_breakers", NULL, WEIR_METRIC_GAUGE,
      "Breakers that the zone has." },
    { "weir_breakers_not_closed", NULL, WEIR_METRIC_GAUGE,
      "Breakers that are open or half-open." },
    { "weir_breakers_forgotten", NULL, WEIR_METRIC_COUNTER,
      "Closed breakers that were dropped for lack of room." },
    { "weir_breaker_calls_uncounted", NULL, WEIR_METRIC_COUNTER,
      "Calls that were not counted because the zone was full." }
};


/* In the order of ngx_http_weir_metrics_breaker_value_e. */
static weir_metric_t
    ngx_http_weir_metrics_breaker[NGX_HTTP_WEIR_METRICS_BREAKER_VALUES] =
{
    { "weir_breaker_window_calls", NULL, WEIR_METRIC_GAUGE,
      "Calls within the window." },
    { "weir_breaker_window_failures", NULL, WEIR_METRIC_GAUGE,
      "Failures among the calls within the window." },
    { "weir_breaker_window_slow", NULL, WEIR_METRIC_GAUGE,
      "Slow calls within the window; timeouts are slow, too." },
    { "weir_breaker_window_timeouts", NULL, WEIR_METRIC_GAUGE,
      "Timeouts among the failures within the window." },
    { "weir_breaker_openings", NULL, WEIR_METRIC_COUNTER,
      "Times that the breaker opened." },
    { "weir_breaker_refused", NULL, WEIR_METRIC_COUNTER,
      "Requests that the breaker refused." },
    { "weir_breaker_probes", NULL, WEIR_METRIC_COUNTER,
      "Requests that were let through while the breaker was half-open." }
};


static weir_metric_t  ngx_http_weir_metrics_state = {
    "weir_breaker_state", NULL, WEIR_METRIC_GAUGE,
    "1 for the state that the breaker has, 0 for the others."
};


ngx_int_t
ngx_http_weir_metrics_breakers_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                          i;
    ngx_array_t                        *keys;
    ngx_http_weir_breaker_use_t        *use;
    ngx_http_weir_metrics_breaker_t    *breaker;
    ngx_http_weir_breaker_main_conf_t  *bmcf;

    bmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_breaker_module);
    keys = &bmcf->keys;
    use = keys->elts;

    breaker = ngx_pcalloc(r->pool, keys->nelts
                                   * sizeof(ngx_http_weir_metrics_breaker_t));
    if (breaker == NULL) {
        return NGX_ERROR;
    }

    metrics->breaker = breaker;
    metrics->breakers = 0;

    for (i = 0; i < keys->nelts; i++) {

        if (!use[i].variable) {
            ngx_http_weir_metrics_breakers_one(&use[i], breaker++);
            metrics->breakers++;
        }
    }

    return ngx_http_weir_metrics_breakers_zones(r, keys, metrics);
}


/* A breaker that no request has asked is closed. */

static void
ngx_http_weir_metrics_breakers_one(ngx_http_weir_breaker_use_t *use,
    ngx_http_weir_metrics_breaker_t *breaker)
{
    uint64_t                      *v;
    ngx_shm_zone_t                *zone;
    ngx_http_weir_breaker_info_t   info;

    zone = use->breaker->zone;

    breaker->zone = ngx_http_weir_metrics_text(&zone->shm.name);
    breaker->key = ngx_http_weir_metrics_text(&use->key);

    if (ngx_http_weir_breaker_list_find(zone, &use->key, &info) != NGX_OK) {
        breaker->state = WEIR_BREAKER_CLOSED;
        return;
    }

    breaker->state = info.state;

    v = breaker->values;

    v[NGX_HTTP_WEIR_METRICS_CALLS] = info.counts.calls;
    v[NGX_HTTP_WEIR_METRICS_FAILURES] = info.counts.failed;
    v[NGX_HTTP_WEIR_METRICS_SLOW] = info.counts.slow;
    v[NGX_HTTP_WEIR_METRICS_TIMEOUTS] = info.counts.timeouts;
    v[NGX_HTTP_WEIR_METRICS_OPENINGS] = info.openings;
    v[NGX_HTTP_WEIR_METRICS_REFUSED] = info.refused;
    v[NGX_HTTP_WEIR_METRICS_PROBES] = info.probes;
}


/* Each zone that a weir_breaker uses. */

static ngx_int_t
ngx_http_weir_metrics_breakers_zones(ngx_http_request_t *r, ngx_array_t *keys,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                             i, j;
    ngx_shm_zone_t                        *shm_zone;
    ngx_http_weir_breaker_use_t           *use;
    ngx_http_weir_metrics_breaker_zone_t  *zone;

    use = keys->elts;

    zone = ngx_pcalloc(r->pool,
                       keys->nelts
                       * sizeof(ngx_http_weir_metrics_breaker_zone_t));
    if (zone == NULL) {
        return NGX_ERROR;
    }

    metrics->breaker_zone = zone;
    metrics->breaker_zones = 0;

    for (i = 0; i < keys->nelts; i++) {

        shm_zone = use[i].breaker->zone;

        for (j = 0; j < i && use[j].breaker->zone != shm_zone; j++) {
            /* void */
        }

        if (j < i) {
            continue;
        }

        if (ngx_http_weir_metrics_breakers_zone(r, shm_zone, zone++)
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        metrics->breaker_zones++;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_metrics_breakers_zone(ngx_http_request_t *r,
    ngx_shm_zone_t *shm_zone, ngx_http_weir_metrics_breaker_zone_t *zone)
{
    uint64_t                           *v;
    ngx_http_weir_breaker_zone_info_t   info;

    if (ngx_http_weir_breaker_list(shm_zone, r->pool, &info, NULL, 0)
        == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    zone->name = ngx_http_weir_metrics_text(&shm_zone->shm.name);

    v = zone->values;

    v[NGX_HTTP_WEIR_METRICS_BREAKERS] = info.breakers;
    v[NGX_HTTP_WEIR_METRICS_NOT_CLOSED] = info.not_closed;
    v[NGX_HTTP_WEIR_METRICS_FORGOTTEN] = info.forgotten;
    v[NGX_HTTP_WEIR_METRICS_UNCOUNTED] = info.uncounted;

    return NGX_OK;
}


void
ngx_http_weir_metrics_breakers_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                             i, j;
    weir_label_t                           labels[2];
    ngx_http_weir_metrics_breaker_t       *breaker;
    ngx_http_weir_metrics_breaker_zone_t  *zone;

    zone = metrics->breaker_zone;
    breaker = metrics->breaker;

    labels[0].name = "zone";
    labels[1].name = "key";

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_ZONE_VALUES; i++) {
        weir_exposition_family(e, &ngx_http_weir_metrics_zone[i]);

        for (j = 0; j < metrics->breaker_zones; j++) {
            labels[0].value = zone[j].name;
            weir_exposition_sample(e, &ngx_http_weir_metrics_zone[i], labels,
                                   1, zone[j].values[i]);
        }
    }

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_BREAKER_VALUES; i++) {
        weir_exposition_family(e, &ngx_http_weir_metrics_breaker[i]);

        for (j = 0; j < metrics->breakers; j++) {
            labels[0].value = breaker[j].zone;
            labels[1].value = breaker[j].key;
            weir_exposition_sample(e, &ngx_http_weir_metrics_breaker[i],
                                   labels, 2, breaker[j].values[i]);
        }
    }

    ngx_http_weir_metrics_breakers_states(e, metrics);
}


static void
ngx_http_weir_metrics_breakers_states(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                        i, j;
    weir_label_t                      labels[3];
    ngx_http_weir_metrics_breaker_t  *breaker;

    /* in the order of weir_breaker_state_t */
    static const char  *states[] = { "closed", "open", "half_open",
                                     "ramping" };

    breaker = metrics->breaker;

    weir_exposition_family(e, &ngx_http_weir_metrics_state);

    labels[0].name = "zone";
    labels[1].name = "key";
    labels[2].name = "state";

    for (i = 0; i < metrics->breakers; i++) {
        labels[0].value = breaker[i].zone;
        labels[1].value = breaker[i].key;

        for (j = 0; j < sizeof(states) / sizeof(states[0]); j++) {
            labels[2].value = weir_str(states[j]);
            weir_exposition_sample(e, &ngx_http_weir_metrics_state, labels, 3,
                                   breaker[i].state == j);
        }
    }
}
