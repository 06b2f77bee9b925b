/*
 * Routes and upstreams in weir_status: percentiles of the last minute, quarter
 * of an hour, and hour; and what tail/ knows of the slow ones.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/problem.h"
#include "http/ngx_http_weir_assert.h"
#include "metrics/cost/ngx_http_weir_cost.h"
#include "metrics/ngx_http_weir_status.h"
#include "metrics/series/ngx_http_weir_series.h"
#include "metrics/tail/ngx_http_weir_tail.h"

#include <math.h>


/* Groups and views in one part, some 500 us; and what a history takes. */
#define NGX_HTTP_WEIR_STATUS_TURN     16
#define NGX_HTTP_WEIR_STATUS_MINUTES  3

/* Bytes of a name at most; names of the configuration are shorter. */
#define NGX_HTTP_WEIR_STATUS_NAME     255

/*
 * Upper limit of bytes of a group or a view: its name, a port, its spans, and its
 * history.
 */
#define NGX_HTTP_WEIR_STATUS_SPANS                                            \
    (6 * NGX_HTTP_WEIR_STATUS_NAME + 64                                       \
     + NGX_HTTP_WEIR_COST_STATUS                                              \
     + WEIR_WINDOW_MINUTES * 64                                               \
     + WEIR_WINDOW_SPANS * (256 + NGX_HTTP_WEIR_TAIL_STATUS))


struct ngx_http_weir_status_series_s {
    ngx_http_weir_series_zone_t   *zone;
    ngx_http_weir_cost_prices_t   *prices;
    ngx_http_weir_cost_index_t     used;
    ngx_uint_t                     history;   /* bool: it is written, too */
    ngx_uint_t                     kind;
    ngx_uint_t                     begun;     /* bool: its object is open */
    ngx_uint_t                     open;      /* bool: the group's object is */
    ngx_uint_t                     members;   /* of the kind's object */
    ngx_uint_t                     versions;  /* of the group */
    ngx_http_weir_series_group_t  *group;
    ngx_http_weir_series_view_t   *view;      /* next version of an open group */
};


static u_char *ngx_http_weir_status_series_write(
    ngx_http_weir_status_series_t *s, u_char *p, u_char *last);
static u_char *ngx_http_weir_status_series_name(u_char *p, u_char *last,
    ngx_str_t *name, in_port_t port);
static u_char *ngx_http_weir_status_series_spans(
    ngx_http_weir_status_series_t *s, ngx_http_weir_series_view_t *view,
    u_char *p, u_char *last);
static u_char *ngx_http_weir_status_series_span(u_char *p, u_char *last,
    ngx_http_weir_tail_t *tail);
static u_char *ngx_http_weir_status_series_history(
    ngx_http_weir_status_series_t *s, ngx_http_weir_series_view_t *view,
    u_char *p, u_char *last);


/* Used by one call at a time. */
static weir_window_sum_t  ngx_http_weir_status_series_sums[WEIR_WINDOW_SPANS];


ngx_http_weir_status_series_t *
ngx_http_weir_status_series_create(ngx_http_request_t *r, ngx_uint_t history)
{
    ngx_http_weir_series_zone_t    *zone;
    ngx_http_weir_status_series_t  *s;

    zone = ngx_http_weir_series_zone(r);
    if (zone == NULL) {
        return NULL;
    }

    s = ngx_pcalloc(r->pool, sizeof(ngx_http_weir_status_series_t));
    if (s == NULL) {
        return NULL;
    }

    s->zone = zone;
    s->prices = ngx_http_weir_cost_prices(r);
    s->history = history;

    if (ngx_http_weir_cost_index(&s->used, &zone->sh->usage, r->pool)
        != NGX_OK)
    {
        return NULL;
    }

    return s;
}


ngx_int_t
ngx_http_weir_status_series_next(void *data, ngx_buf_t *b)
{
    ngx_http_weir_status_series_t *s = data;

    ngx_uint_t  n;

    for (n = 0;
         n < NGX_HTTP_WEIR_STATUS_TURN
         && b->end - b->last > NGX_HTTP_WEIR_STATUS_SPANS;
         n++)
    {
        if (s->kind == NGX_HTTP_WEIR_SERIES_KINDS) {
            b->last = ngx_slprintf(b->last, b->end, "}\n");
            return NGX_OK;
        }

        b->last = ngx_http_weir_status_series_write(s, b->last, b->end);

        ngx_http_weir_assert(b->last < b->end);

        if (s->history) {
            n += NGX_HTTP_WEIR_STATUS_MINUTES;
        }
    }

    return NGX_AGAIN;
}


/* Writes the next group or version, or the begin or the end of a kind. */

static u_char *
ngx_http_weir_status_series_write(ngx_http_weir_status_series_t *s, u_char *p,
    u_char *last)
{
    ngx_http_weir_series_view_t  *view;

    if (!s->begun) {
        s->begun = 1;
        s->members = 0;
        s->group = ngx_http_weir_series_load(s->zone->sh->groups[s->kind]);

        return ngx_slprintf(p, last, "%s", s->kind == NGX_HTTP_WEIR_SERIES_ROUTE
                                           ? ",\n\"routes\":{"
                                           : ",\n\"upstreams\":{");
    }

    if (s->group == NULL) {
        s->kind++;
        s->begun = 0;

        return ngx_slprintf(p, last, "\n}");
    }

    if (!s->open) {
        s->open = 1;
        s->versions = 0;
        s->view = ngx_http_weir_series_load(s->group->views);

        p = ngx_slprintf(p, last, "%s\n", s->members++ ? "," : "");
        p = ngx_http_weir_status_series_name(p, last, &s->group->name,
                                             s->group->port);
        p = ngx_slprintf(p, last, ":{");

        p = ngx_http_weir_status_series_spans(s, NULL, p, last);

        if (s->kind == NGX_HTTP_WEIR_SERIES_ROUTE) {
            p = ngx_http_weir_cost_status(&s->used, s->prices,
                                          &s->group->name, p, last);
        }

        return p;
    }

    while (s->view && s->view->version.len == 0) {
        s->view = s->view->next;
    }

    if (s->view == NULL) {
        s->open = 0;
        s->group = s->group->next;

        return ngx_slprintf(p, last, "%s}", s->versions ? "}" : "");
    }

    view = s->view;
    s->view = view->next;

    p = ngx_slprintf(p, last, "%s\n", s->versions++ ? "," : ",\"versions\":{");
    p = ngx_http_weir_status_series_name(p, last, &view->version, 0);
    p = ngx_slprintf(p, last, ":{");
    p = ngx_http_weir_status_series_spans(s, view, p, last);

    return ngx_slprintf(p, last, "}");
}


static u_char *
ngx_http_weir_status_series_name(u_char *p, u_char *last, ngx_str_t *name,
    in_port_t port)
{
    u_char      text[NGX_HTTP_WEIR_STATUS_NAME + sizeof(":65535")];
    ngx_str_t   joined;

    joined.data = text;
    joined.len = ngx_min(name->len, NGX_HTTP_WEIR_STATUS_NAME);
    ngx_memcpy(text, name->data, joined.len);

    if (port) {
        joined.len = ngx_sprintf(text + joined.len, ":%ui", (ngx_uint_t) port)
                     - text;
    }

    return p + weir_json_string((char *) p, last - p,
                                (weir_str_t) { (char *) joined.data,
                                               joined.len });
}


/*
 * Of the view, or of all views of the group; and the duration from which on a
 * request is in the tail, of a group that of the fastest version.
 */

static u_char *
ngx_http_weir_status_series_spans(ngx_http_weir_status_series_t *s,
    ngx_http_weir_series_view_t *view, u_char *p, u_char *last)
{
    double                        slow, limit;
    ngx_uint_t                    span;
    weir_window_sum_t            *sums;
    ngx_http_weir_tail_t          tail;
    ngx_http_weir_series_view_t  *v;
    ngx_http_weir_series_slowest_t  slowest[WEIR_WINDOW_SPANS];

    /* in the order of weir_window_span_t */
    static char  *names[] = { "\"1m\":", ",\"15m\":", ",\"1h\":" };

    sums = ngx_http_weir_status_series_sums;
    slow = INFINITY;

    ngx_memzero(sums, sizeof(ngx_http_weir_status_series_sums));
    ngx_memzero(slowest, sizeof(slowest));

    for (v = view ? view : ngx_http_weir_series_load(s->group->views);
         v;
         v = view ? NULL : v->next)
    {
        ngx_http_weir_series_windows_read(s->zone, v, sums);
        ngx_http_weir_series_exemplars_slowest(v, slowest);

        __atomic_load(&v->percentiles[NGX_HTTP_WEIR_PERCENTILE_99], &limit,
                      __ATOMIC_RELAXED);
        slow = ngx_min(slow, limit);
    }

    tail.group = s->group;
    tail.view = view;

    for (span = 0; span < WEIR_WINDOW_SPANS; span++) {
        tail.sum = &sums[span];
        tail.slowest = &slowest[span];

        p = ngx_slprintf(p, last, "%s", names[span]);
        p = ngx_http_weir_status_series_span(p, last, &tail);
    }

    if (isfinite(slow)) {
        p = ngx_slprintf(p, last, ",\"slow_ms\":%.3f", slow * 1000);
    }

    if (s->history) {
        p = ngx_http_weir_status_series_history(s, view, p, last);
    }

    return p;
}


static u_char *
ngx_http_weir_status_series_span(u_char *p, u_char *last,
    ngx_http_weir_tail_t *tail)
{
    double              ms[5];
    uint64_t            requests;
    weir_window_sum_t  *sum;

    static const double  q[] = { 0.5, 0.9, 0.95, 0.99, 0.999 };

    sum = tail->sum;
    requests = weir_histogram_count(&sum->durations);

    p = ngx_slprintf(p, last, "{\"requests\":%uL", requests);

    if (requests) {
        weir_histogram_quantiles(&sum->durations, q, ms, 5);

        p = ngx_slprintf(p, last, ",\"p50_ms\":%.3f,\"p90_ms\":%.3f,"
                         "\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"p99_9_ms\":%.3f",
                         ms[0] * 1000, ms[1] * 1000, ms[2] * 1000,
                         ms[3] * 1000, ms[4] * 1000);

        p = ngx_http_weir_tail_status(tail, ms[3], p, last);
    }

    return ngx_slprintf(p, last, "}");
}


/* The whole minutes of the last quarter of an hour, the oldest first. */

static u_char *
ngx_http_weir_status_series_history(ngx_http_weir_status_series_t *s,
    ngx_http_weir_series_view_t *view, u_char *p, u_char *last)
{
    double                        p99;
    uint64_t                      requests;
    ngx_uint_t                    ago;
    weir_window_sum_t            *sum;
    ngx_http_weir_series_view_t  *v;

    static const double  q = 0.99;

    sum = ngx_http_weir_status_series_sums;
    p = ngx_slprintf(p, last, ",\"history\":[");

    for (ago = WEIR_WINDOW_MINUTES; ago-- > 0; /* void */ ) {
        ngx_memzero(sum, sizeof(weir_window_sum_t));

        for (v = view ? view : ngx_http_weir_series_load(s->group->views);
             v;
             v = view ? NULL : v->next)
        {
            ngx_http_weir_series_windows_minute(s->zone, v, ago, sum);
        }

        requests = weir_histogram_count(&sum->durations);
        p = ngx_slprintf(p, last, "[%uL,", requests);

        if (requests) {
            weir_histogram_quantiles(&sum->durations, &q, &p99, 1);
            p = ngx_slprintf(p, last, "%.3f]%s", p99 * 1000, ago ? "," : "");

        } else {
            p = ngx_slprintf(p, last, "null]%s", ago ? "," : "");
        }
    }

    return ngx_slprintf(p, last, "]");
}
