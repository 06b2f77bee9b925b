/*
 * What spans of a location have in common: all but ids, times, and those attributes
 * that differ from request to request (path, client, size).  They are encoded once,
 * as a frame (common/trace/encode/frame.h), and copied into the spans that follow.
 *
 * A key is all that the frame depends on beside the location.  Spans with the same
 * key share it.  The last frames of a location are kept, in slots by their keys.
 * The memory is that of the location's configuration in this process.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export.h"
#include "trace/ngx_http_weir_trace_private.h"


ngx_http_weir_trace_known_t *
ngx_http_weir_trace_known_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, NGX_HTTP_WEIR_TRACE_KNOWN
                             * sizeof(ngx_http_weir_trace_known_t));
}


void
ngx_http_weir_trace_known_keep(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key, weir_span_t *span)
{
    ngx_http_weir_trace_known_t  *known;

    known = ngx_http_weir_trace_known_slot(r, key);

    if (known == NULL || !ngx_http_weir_export_has_frames(r)) {
        return;
    }

    known->number = 0;
    weir_frame_make(&known->frame, span);

    if (known->frame.len == 0) {
        return;
    }

    ngx_memcpy(known->text, key->text.data, key->text.len);
    known->text_len = key->text.len;
    known->protocol = key->protocol;
    known->version = key->version;
    known->tracestate = key->tracestate;
    known->cache = key->cache;
    known->number = key->number;
}
