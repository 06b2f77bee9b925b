/*
 * Slots in weir_metrics: those whose keys the configuration names.  Keys that are
 * made of variables are in the totals of their zone only, because clients may
 * choose their number and names.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "limit/ngx_http_weir_limit_zone.h"
#include "metrics/ngx_http_weir_metrics.h"


/* The values of a zone. */
typedef enum {
    NGX_HTTP_WEIR_METRICS_LIMIT_KEYS = 0,
    NGX_HTTP_WEIR_METRICS_LIMIT_FORGOTTEN,
    NGX_HTTP_WEIR_METRICS_LIMIT_UNCOUNTED,
    NGX_HTTP_WEIR_METRICS_LIMIT_RECLAIMED,
    NGX_HTTP_WEIR_METRICS_LIMIT_ZONE_VALUES
} ngx_http_weir_metrics_limit_zone_value_e;

/* The values of a key, beside the refusals. */
typedef enum {
    NGX_HTTP_WEIR_METRICS_LIMIT_SLOTS = 0,
    NGX_HTTP_WEIR_METRICS_LIMIT_IN_USE,
    NGX_HTTP_WEIR_METRICS_LIMIT_WAITING,
    NGX_HTTP_WEIR_METRICS_LIMIT_ADMITTED,
    NGX_HTTP_WEIR_METRICS_LIMIT_QUEUED,
    NGX_HTTP_WEIR_METRICS_LIMIT_VALUES
} ngx_http_weir_metrics_limit_value_e;


struct ngx_http_weir_metrics_limit_zone_s {
    weir_str_t   name;
    uint64_t     values[NGX_HTTP_WEIR_METRICS_LIMIT_ZONE_VALUES];
};


struct ngx_http_weir_metrics_limit_s {
    weir_str_t   zone;
    weir_str_t   key;
    uint64_t     values[NGX_HTTP_WEIR_METRICS_LIMIT_VALUES];
    uint64_t     refused[WEIR_SLOTS_REASONS];
};


static void ngx_http_weir_metrics_limits_one(ngx_http_weir_limit_use_t *use,
    ngx_http_weir_metrics_limit_t *limit);
static void ngx_http_weir_metrics_limits_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_metrics_limit_zone_t *zone);
static void ngx_http_weir_metrics_limits_refused(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics);


/* In the order of ngx_http_weir_metrics_limit_zone_value_e. */
static weir_metric_t  ngx_http_weir_metrics_limit_zone[] = {
    { "weir_limit_keys", NULL, WEIR_METRIC_GAUGE,
      "Keys that the zone has." },
    { "weir_limit_keys_forgotten", NULL, WEIR_METRIC_COUNTER,
      "Keys without requests that were dropped for lack of room." },
    { "weir_limit_uncounted", NULL, WEIR_METRIC_COUNTER,
      "Requests that were passed uncounted because the zone was full." },
    { "weir_limit_reclaimed", NULL, WEIR_METRIC_COUNTER,
      "Slots that were taken back from workers that had died." }
};


/* In the order of ngx_http_weir_metrics_limit_value_e. */
static weir_metric_t  ngx_http_weir_metrics_limit[] = {
    { "weir_limit_slots", NULL, WEIR_METRIC_GAUGE,
      "Requests that may be at work at the same time." },
    { "weir_limit_in_use", NULL, WEIR_METRIC_GAUGE,
      "Requests that are at work." },
    { "weir_limit_waiting", NULL, WEIR_METRIC_GAUGE,
      "Requests that wait for a slot." },
    { "weir_limit_admitted", NULL, WEIR_METRIC_COUNTER,
      "Requests that got a slot." },
    { "weir_limit_queued", NULL, WEIR_METRIC_COUNTER,
      "Requests that had to wait for a slot." }
};


static weir_metric_t  ngx_http_weir_metrics_refused = {
    "weir_limit_refused", NULL, WEIR_METRIC_COUNTER,
    "Requests that were refused, by reason."
};


ngx_int_t
ngx_http_weir_metrics_limits_read(ngx_http_request_t *r,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                         i;
    ngx_shm_zone_t                   **zone;
    ngx_http_weir_limit_use_t         *use;
    ngx_http_weir_metrics_limit_t     *limit;
    ngx_http_weir_limit_main_conf_t   *lmcf;

    lmcf = ngx_http_get_module_main_conf(r, ngx_http_weir_limit_module);
    use = lmcf->keys.elts;
    zone = lmcf->zones.elts;

    limit = ngx_pcalloc(r->pool, lmcf->keys.nelts
                                 * sizeof(ngx_http_weir_metrics_limit_t));
    metrics->limit_zone = ngx_pcalloc(r->pool,
                                  lmcf->zones.nelts
                                  * sizeof(ngx_http_weir_metrics_limit_zone_t));

    if (limit == NULL || metrics->limit_zone == NULL) {
        return NGX_ERROR;
    }

    metrics->limit = limit;
    metrics->limits = 0;
    metrics->limit_zones = lmcf->zones.nelts;

    for (i = 0; i < lmcf->keys.nelts; i++) {
        if (!use[i].variable) {
            ngx_http_weir_metrics_limits_one(&use[i], limit++);
            metrics->limits++;
        }
    }

    for (i = 0; i < lmcf->zones.nelts; i++) {
        ngx_http_weir_metrics_limits_zone(zone[i], &metrics->limit_zone[i]);
    }

    return NGX_OK;
}


/* A key that no request has used has its limit, and nothing else. */

static void
ngx_http_weir_metrics_limits_one(ngx_http_weir_limit_use_t *use,
    ngx_http_weir_metrics_limit_t *limit)
{
    uint64_t                    *v;
    ngx_http_weir_limit_info_t   info;

    limit->zone = ngx_http_weir_metrics_text(&use->limit->zone->shm.name);
    limit->key = ngx_http_weir_metrics_text(&use->key);

    ngx_http_weir_limit_zone_key(use, &info);

    v = limit->values;

    v[NGX_HTTP_WEIR_METRICS_LIMIT_SLOTS] = info.limit;
    v[NGX_HTTP_WEIR_METRICS_LIMIT_IN_USE] = info.in_use;
    v[NGX_HTTP_WEIR_METRICS_LIMIT_WAITING] = info.waiting;
    v[NGX_HTTP_WEIR_METRICS_LIMIT_ADMITTED] = info.counts.admitted;
    v[NGX_HTTP_WEIR_METRICS_LIMIT_QUEUED] = info.counts.queued;

    ngx_memcpy(limit->refused, info.counts.refused, sizeof(limit->refused));
}


static void
ngx_http_weir_metrics_limits_zone(ngx_shm_zone_t *shm_zone,
    ngx_http_weir_metrics_limit_zone_t *zone)
{
    uint64_t                         *v;
    ngx_http_weir_limit_zone_info_t   info;

    zone->name = ngx_http_weir_metrics_text(&shm_zone->shm.name);

    ngx_http_weir_limit_zone_info(shm_zone, &info);

    v = zone->values;

    v[NGX_HTTP_WEIR_METRICS_LIMIT_KEYS] = info.keys;
    v[NGX_HTTP_WEIR_METRICS_LIMIT_FORGOTTEN] = info.forgotten;
    v[NGX_HTTP_WEIR_METRICS_LIMIT_UNCOUNTED] = info.uncounted;
    v[NGX_HTTP_WEIR_METRICS_LIMIT_RECLAIMED] = info.reclaimed;
}


void
ngx_http_weir_metrics_limits_write(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                           i, k;
    weir_label_t                         labels[2];
    ngx_http_weir_metrics_limit_t       *limit;
    ngx_http_weir_metrics_limit_zone_t  *zone;

    if (metrics->limit_zones == 0) {
        return;
    }

    zone = metrics->limit_zone;
    limit = metrics->limit;

    labels[0].name = "zone";
    labels[1].name = "key";

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_LIMIT_ZONE_VALUES; i++) {
        weir_exposition_family(e, &ngx_http_weir_metrics_limit_zone[i]);

        for (k = 0; k < metrics->limit_zones; k++) {
            labels[0].value = zone[k].name;
            weir_exposition_sample(e, &ngx_http_weir_metrics_limit_zone[i],
                                   labels, 1, zone[k].values[i]);
        }
    }

    for (i = 0; i < NGX_HTTP_WEIR_METRICS_LIMIT_VALUES; i++) {
        weir_exposition_family(e, &ngx_http_weir_metrics_limit[i]);

        for (k = 0; k < metrics->limits; k++) {
            labels[0].value = limit[k].zone;
            labels[1].value = limit[k].key;
            weir_exposition_sample(e, &ngx_http_weir_metrics_limit[i], labels,
                                   2, limit[k].values[i]);
        }
    }

    ngx_http_weir_metrics_limits_refused(e, metrics);
}


static void
ngx_http_weir_metrics_limits_refused(weir_exposition_t *e,
    ngx_http_weir_metrics_t *metrics)
{
    ngx_uint_t                      i, k;
    weir_label_t                    labels[3];
    ngx_http_weir_metrics_limit_t  *limit;

    limit = metrics->limit;

    weir_exposition_family(e, &ngx_http_weir_metrics_refused);

    labels[0].name = "zone";
    labels[1].name = "key";
    labels[2].name = "reason";

    for (i = 0; i < metrics->limits; i++) {
        labels[0].value = limit[i].zone;
        labels[1].value = limit[i].key;

        for (k = 0; k < WEIR_SLOTS_REASONS; k++) {
            labels[2].value =
                       ngx_http_weir_metrics_text(
                                              ngx_http_weir_limit_reason(k));
            weir_exposition_sample(e, &ngx_http_weir_metrics_refused, labels,
                                   3, limit[i].refused[k]);
        }
    }
}
