/*
 * What a request's server span has in common with that of the last request of
 * its location: name, method, route, scheme, host and protocol.  It is encoded
 * once, and copied into the spans of the requests that follow.
 *
 * The memory is that of the location's configuration in this process.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "export/ngx_http_weir_export.h"
#include "trace/ngx_http_weir_trace_private.h"


static ngx_uint_t ngx_http_weir_trace_known_applies(
    ngx_http_weir_trace_kept_t *kept);


ngx_http_weir_trace_known_t *
ngx_http_weir_trace_known_create(ngx_pool_t *pool)
{
    return ngx_pcalloc(pool, sizeof(ngx_http_weir_trace_known_t));
}


/*
 * The host is read from the header Host, unless the request line has another
 * one, which is rare.  A method of r->method may be that of an error_page.
 */

static ngx_uint_t
ngx_http_weir_trace_known_applies(ngx_http_weir_trace_kept_t *kept)
{
    ngx_http_request_t  *r;

    r = kept->request;

    return kept->record
           && kept->record->method != NGX_HTTP_UNKNOWN
           && r->headers_in.host && r->request_line.len
           && r->headers_in.server.data == r->headers_in.host->value.data;
}


ngx_http_weir_trace_known_t *
ngx_http_weir_trace_known_find(ngx_http_weir_trace_kept_t *kept)
{
    ngx_str_t                       *host;
    ngx_http_request_t              *r;
    ngx_http_weir_trace_known_t     *known;
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    if (!ngx_http_weir_trace_known_applies(kept)) {
        return NULL;
    }

    r = kept->request;
    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);
    known = tlcf->known;
    host = &r->headers_in.host->value;

    return known
           && known->method == kept->record->method
           && known->version == r->http_version
           && known->tls == ngx_http_weir_trace_is_tls(r)
           && known->host_len == host->len
           && known->address_len == r->headers_in.server.len
           && ngx_memcmp(known->host, host->data, host->len) == 0
           ? known : NULL;
}


void
ngx_http_weir_trace_known_keep(ngx_http_weir_trace_kept_t *kept,
    ngx_http_weir_trace_attributes_t *attributes, ngx_str_t *name)
{
    size_t                           len;
    ngx_str_t                       *host;
    weir_attributes_t                list;
    ngx_http_request_t              *r;
    ngx_http_weir_trace_known_t     *known;
    ngx_http_weir_trace_loc_conf_t  *tlcf;

    if (!ngx_http_weir_trace_known_applies(kept)) {
        return;
    }

    r = kept->request;
    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_trace_module);
    known = tlcf->known;

    if (known == NULL) {
        return;
    }

    host = &r->headers_in.host->value;

    /* of no request, while it is written, or if it cannot be kept */
    known->method = 0;

    if (host->len > sizeof(known->host) || name->len > sizeof(known->name)) {
        return;
    }

    list.elts = attributes->elts;
    list.n = attributes->n;
    len = ngx_http_weir_export_attributes(r, &list, known->encoded,
                                          sizeof(known->encoded));
    if (len == 0) {
        return;
    }

    known->version = r->http_version;
    known->tls = ngx_http_weir_trace_is_tls(r);
    known->host_len = host->len;
    known->address_len = r->headers_in.server.len;
    ngx_memcpy(known->host, host->data, host->len);
    known->name_len = name->len;
    ngx_memcpy(known->name, name->data, name->len);
    known->len = len;
    known->method = kept->record->method;
}
