/* The exporter in weir_status; nothing if the configuration has none. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export.h"
#include "metrics/ngx_http_weir_status.h"


u_char *
ngx_http_weir_status_exporter(ngx_http_request_t *r, u_char *p, u_char *last)
{
    ngx_http_weir_export_counts_t  n;

    if (!ngx_http_weir_export_enabled(r)) {
        return p;
    }

    ngx_http_weir_export_counts(r, &n);

    return ngx_slprintf(p, last, ",\n\"exporter\":{\"ended\":%uL,\"sent\":%uL,"
                        "\"dropped\":{\"full\":%uL,\"refused\":%uL,"
                        "\"unsent\":%uL,\"corrupt\":%uL},\"queued\":%uL,"
                        "\"queued_bytes\":%uL,\"failures\":%uL,"
                        "\"ids\":{\"published\":%uL,\"dropped\":%uL},"
                        "\"points\":{\"sent\":%uL,\"refused\":%uL,"
                        "\"unsent\":%uL}}",
                        n.ended, n.sent, n.dropped_full, n.dropped_refused,
                        n.dropped_unsent, n.dropped_corrupt, n.queued,
                        n.queued_bytes, n.failures, n.ids_published,
                        n.ids_dropped, n.points_sent, n.points_refused,
                        n.points_unsent);
}
