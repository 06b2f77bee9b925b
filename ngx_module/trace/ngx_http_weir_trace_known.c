/*
 * What spans of a location have in common: name, kind and those attributes that
 * few requests change (method, host, status, server of the upstream).  They are
 * encoded once, and copied into the spans that follow.
 *
 * A key is all that the encoded bytes depend on beside the location.  Spans with
 * the same key share the bytes.  The last spans of a
 * location are kept, in slots by their keys.  The memory is that of the
 * location's configuration in this process.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export.h"
#include "trace/ngx_http_weir_trace_private.h"


/* Of a location; a power of two. */
#define NGX_HTTP_WEIR_TRACE_KNOWN  8


struct ngx_http_weir_trace_known_s {
    uint64_t                    number;    /* of the key; 0: nothing is known */
    const void                 *version;
    const void                 *cache_status;
    size_t                      text_len;
    size_t                      len;       /* of encoded */
    u_char                      text[NGX_HTTP_WEIR_TRACE_KEY_MAX];
    char                        encoded[384];
};


static ngx_http_weir_trace_known_t *ngx_http_weir_trace_known_slot(
    ngx_http_request_t *r, ngx_http_weir_trace_key_t *key);


ngx_http_weir_trace_known_t *
ngx_http_weir_trace_known_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, NGX_HTTP_WEIR_TRACE_KNOWN
                             * sizeof(ngx_http_weir_trace_known_t));
}


/* NULL: nothing can be kept for this request. */

static ngx_inline ngx_http_weir_trace_known_t *
ngx_http_weir_trace_known_slot(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key)
{
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);

    if (key->number == 0 || key->text.len > NGX_HTTP_WEIR_TRACE_KEY_MAX
        || tlcf->known == NULL)
    {
        return NULL;
    }

    return &tlcf->known[key->slot & (NGX_HTTP_WEIR_TRACE_KNOWN - 1)];
}


ngx_uint_t
ngx_http_weir_trace_known(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key, weir_span_t *span)
{
    ngx_http_weir_trace_known_t  *known;

    known = ngx_http_weir_trace_known_slot(r, key);

    if (known == NULL || known->number != key->number
        || known->version != key->version
        || known->cache_status != key->cache_status
        || known->text_len != key->text.len
        || ngx_memcmp(known->text, key->text.data, key->text.len) != 0)
    {
        return 0;
    }

    span->encoded.data = known->encoded;
    span->encoded.len = known->len;

    return 1;
}


void
ngx_http_weir_trace_known_keep(ngx_http_request_t *r,
    ngx_http_weir_trace_key_t *key, weir_span_t *span)
{
    ngx_http_weir_trace_known_t  *known;

    known = ngx_http_weir_trace_known_slot(r, key);

    if (known == NULL) {
        return;
    }

    known->number = 0;
    known->len = ngx_http_weir_export_common(r, span, known->encoded,
                                             sizeof(known->encoded));
    if (known->len == 0) {
        return;
    }

    ngx_memcpy(known->text, key->text.data, key->text.len);
    known->text_len = key->text.len;
    known->version = key->version;
    known->cache_status = key->cache_status;
    known->number = key->number;

    span->encoded.data = known->encoded;
    span->encoded.len = known->len;
}
