/* Metrics on their way to the collector; private to weir_exporter. */

#ifndef _NGX_HTTP_WEIR_EXPORT_METRICS_H_INCLUDED_
#define _NGX_HTTP_WEIR_EXPORT_METRICS_H_INCLUDED_


#include "export/ngx_http_weir_export_private.h"


/*
 * To be called often by the exporter: begins what is due, and sends
 * what is complete.
 */
void ngx_http_weir_export_metrics_work(ngx_http_weir_exporter_t *ex);

/* Notes when counting began, before there are workers. */
void ngx_http_weir_export_metrics_start(void);

/* Gives up what is under way, after the client was closed. */
void ngx_http_weir_export_metrics_abandon(ngx_http_weir_exporter_t *ex);


#endif /* _NGX_HTTP_WEIR_EXPORT_METRICS_H_INCLUDED_ */
