/* Stored parts (206), and the range of them that a request wants. */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/ngx_http_weir_cache_part.h"
#include "cache/ngx_http_weir_cache_entry.h"


ngx_uint_t
ngx_http_weir_cache_part_fits(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_str_t               value;
    weir_range_t             held;
    weir_entry_t            *entry;
    ngx_http_request_t      *r;
    weir_cache_freshness_t   freshness;

    entry = &ctx->entry;

    if (entry->status != NGX_HTTP_PARTIAL_CONTENT) {
        return 1;
    }

    r = ctx->request;

    if (ctx->conf->sliced) {
        /*
         * the key contains the range; nginx's slice filter assembles the answer
         */
        return r->method == NGX_HTTP_GET;
    }

    /* conditions, also on a part, are evaluated by the upstream */

    if (r->method != NGX_HTTP_GET || r->headers_in.range == NULL
        || r->headers_in.if_range || r->headers_in.if_match
        || r->headers_in.if_none_match || r->headers_in.if_modified_since
        || r->headers_in.if_unmodified_since)
    {
        return 0;
    }

    ngx_http_weir_cache_entry_freshness(entry, &freshness);

    if (ctx->soft
        || weir_cache_use(&freshness, ngx_http_weir_cache_entry_age(entry),
                          &ctx->request_cc)
           != WEIR_CACHE_FRESH)
    {
        return 0;
    }

    value = ngx_http_weir_cache_entry_header(entry, "Content-Range");

    if (!weir_content_range_parse(value, &held)
        || held.last - held.first + 1 < (int64_t) entry->body.len)
    {
        return 0;
    }

    /*
     * an incomplete part is valid for the bytes it has (RFC 9111 section 3.3)
     */

    held.last = held.first + entry->body.len - 1;

    value.data = (char *) r->headers_in.range->value.data;
    value.len = r->headers_in.range->value.len;

    if (!weir_range_parse(value, held.total, &ctx->range)
        || ctx->range.first < held.first || ctx->range.last > held.last)
    {
        return 0;
    }

    entry->body.data += ctx->range.first - held.first;
    entry->body.len = ctx->range.last - ctx->range.first + 1;

    return 1;
}
