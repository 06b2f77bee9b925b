/*
 * The tail of a route in what operators read: what slow requests have waited for,
 * and the traces of the slowest ones.
 *
 *     status   in weir_status
 *     metrics  in weir_metrics
 */

#ifndef _NGX_HTTP_WEIR_TAIL_H_INCLUDED_
#define _NGX_HTTP_WEIR_TAIL_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/metrics/exposition.h"
#include "metrics/series/ngx_http_weir_series.h"


/* Of one span. */
typedef struct {
    ngx_http_weir_series_group_t    *group;
    ngx_http_weir_series_view_t     *view;     /* NULL: all of the group */
    weir_window_sum_t               *sum;
    ngx_http_weir_series_slowest_t  *slowest;
} ngx_http_weir_tail_t;


/* Bytes of names in the text at most; longer ones are cut. */
#define NGX_HTTP_WEIR_TAIL_ROUTE    128
#define NGX_HTTP_WEIR_TAIL_VERSION  32

/* The most frequent causes, that the text has. */
#define NGX_HTTP_WEIR_TAIL_CAUSES   3

/* Bytes of the text at most. */
#define NGX_HTTP_WEIR_TAIL_TEXT                                               \
    (64 + NGX_HTTP_WEIR_TAIL_ROUTE + NGX_HTTP_WEIR_TAIL_VERSION               \
     + NGX_HTTP_WEIR_TAIL_CAUSES * (48 + NGX_HTTP_WEIR_SERIES_BLAME))

/* Upper limit of bytes that ngx_http_weir_tail_status() writes; JSON makes 6
   bytes of one. */
#define NGX_HTTP_WEIR_TAIL_STATUS                                             \
    (128 + WEIR_WINDOW_CAUSES * (80 + 6 * NGX_HTTP_WEIR_SERIES_BLAME)         \
     + 6 * NGX_HTTP_WEIR_TAIL_TEXT + WEIR_EXEMPLARS_SLOWEST * 128)


/*
 * status: writes members that follow others: "slow", "tail" and "text" if
 * requests were slow, "slowest" if traces were kept.  p99 is in seconds.
 */
u_char *ngx_http_weir_tail_status(ngx_http_weir_tail_t *tail, double p99,
    u_char *p, u_char *last);

/* metrics: writes the samples of a view. */
void ngx_http_weir_tail_metrics(weir_exposition_t *e, weir_metric_t *metric,
    ngx_http_weir_series_view_t *view);


#endif /* _NGX_HTTP_WEIR_TAIL_H_INCLUDED_ */
