/*
 * Exemplars: a part that counts a request whose trace is kept has the id of the
 * trace.  Memory is taken for a part when it has the first one.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_clock.h"
#include "metrics/series/ngx_http_weir_series.h"
#include "metrics/series/ngx_http_weir_series_table.h"


const double  ngx_http_weir_series_bounds[WEIR_EXEMPLARS_BUCKETS - 1] = {
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10
};


void
ngx_http_weir_series_exemplars_put(ngx_http_weir_series_part_t *part,
    weir_exemplar_t *exemplar)
{
    weir_exemplars_t  *exemplars;

    exemplars = part->exemplars;

    if (exemplars == NULL) {

        if (part->bare) {
            return;
        }

        exemplars = ngx_http_weir_series_zone_memory(
                                              ngx_http_weir_series_table.zone,
                                              sizeof(weir_exemplars_t));
        if (exemplars == NULL) {
            part->bare = 1;
            return;
        }

        __atomic_store_n(&part->exemplars, exemplars, __ATOMIC_RELEASE);
    }

    weir_exemplars_put(exemplars, ngx_http_weir_series_bounds, exemplar);
}


void
ngx_http_weir_series_exemplars_slowest(ngx_http_weir_series_view_t *view,
    ngx_http_weir_series_slowest_t *into)
{
    uint64_t                      now;
    ngx_uint_t                    span;
    weir_exemplars_t              copy, *exemplars;
    ngx_http_weir_series_t       *series;
    ngx_http_weir_series_part_t  *part;

    /* s, in the order of weir_window_span_t */
    static const uint64_t  spans[WEIR_WINDOW_SPANS] = { 60, 900, 3600 };

    now = ngx_http_weir_unix_ns();

    for (series = ngx_http_weir_series_load(view->series);
         series;
         series = series->next)
    {
        for (part = ngx_http_weir_series_load(series->parts);
             part;
             part = part->next)
        {
            exemplars = ngx_http_weir_series_load(part->exemplars);

            if (exemplars == NULL || !weir_exemplars_read(exemplars, &copy)) {
                continue;
            }

            for (span = 0; span < WEIR_WINDOW_SPANS; span++) {
                weir_exemplars_slowest(&copy, now - spans[span] * 1000000000,
                                       into[span].exemplar, &into[span].n);
            }
        }
    }
}


void
ngx_http_weir_series_exemplars_read(ngx_http_weir_series_t *series,
    weir_exemplars_t *merged)
{
    weir_exemplars_t              copy, *exemplars;
    ngx_http_weir_series_part_t  *part;

    ngx_memzero(merged, sizeof(weir_exemplars_t));

    for (part = ngx_http_weir_series_load(series->parts);
         part;
         part = part->next)
    {
        exemplars = ngx_http_weir_series_load(part->exemplars);

        if (exemplars && weir_exemplars_read(exemplars, &copy)) {
            weir_exemplars_merge(merged, &copy);
        }
    }
}
