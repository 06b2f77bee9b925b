/* The tail of a route in weir_metrics. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "metrics/tail/ngx_http_weir_tail.h"


static weir_str_t ngx_http_weir_tail_text(ngx_str_t *s);


void
ngx_http_weir_tail_metrics(weir_exposition_t *e, weir_metric_t *metric,
    ngx_http_weir_series_view_t *view)
{
    uint64_t                       cause[WEIR_WINDOW_CAUSES];
    ngx_uint_t                     i, n, m;
    weir_label_t                   labels[4];
    ngx_http_weir_series_t        *series;
    ngx_http_weir_series_part_t   *part;
    ngx_http_weir_series_cause_e   phase;
    ngx_http_weir_series_blame_t  *blame;

    ngx_memzero(cause, sizeof(cause));

    for (series = ngx_http_weir_series_load(view->series);
         series;
         series = series->next)
    {
        for (part = ngx_http_weir_series_load(series->parts);
             part;
             part = part->next)
        {
            ngx_http_weir_series_zone_tail(part, cause);
        }
    }

    labels[0].name = "http_route";
    labels[0].value = ngx_http_weir_tail_text(&view->group->name);
    n = 1;

    if (view->version.len) {
        labels[n].name = "weir_version";
        labels[n++].value = ngx_http_weir_tail_text(&view->version);
    }

    for (i = 0; i < WEIR_WINDOW_CAUSES; i++) {

        if (cause[i] == 0) {
            continue;
        }

        blame = ngx_http_weir_series_cause_of(view->group, i, &phase);
        m = n;

        labels[m].name = "phase";
        labels[m++].value = ngx_http_weir_tail_text(
                                       ngx_http_weir_series_cause_name(phase));
        if (blame) {
            labels[m].name = "dependency";
            labels[m++].value = ngx_http_weir_tail_text(&blame->name);
        }

        weir_exposition_sample(e, metric, labels, m, cause[i]);
    }
}


static weir_str_t
ngx_http_weir_tail_text(ngx_str_t *s)
{
    return (weir_str_t) { (char *) s->data, s->len };
}
