/* The labels of a series. */

#ifndef _NGX_HTTP_WEIR_METRICS_LABELS_H_INCLUDED_
#define _NGX_HTTP_WEIR_METRICS_LABELS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/metrics/exposition.h"
#include "metrics/series/ngx_http_weir_series.h"


/* Bytes that values are in are those of the series, or here. */
typedef struct {
    weir_label_t    label[WEIR_EXPOSITION_LABELS - 1];
    ngx_uint_t      n;
    u_char          status[NGX_INT_T_LEN];
    u_char          port[NGX_INT_T_LEN];
} ngx_http_weir_metrics_labels_t;


/* The attributes of the conventions, and after them our own. */
void ngx_http_weir_metrics_labels(ngx_http_weir_series_t *series,
    ngx_http_weir_metrics_labels_t *labels);


#endif /* _NGX_HTTP_WEIR_METRICS_LABELS_H_INCLUDED_ */
