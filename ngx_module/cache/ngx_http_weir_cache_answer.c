/*
 * A stored response on its way to the client, and what the cache says about
 * itself in Cache-Status (RFC 9211).
 *
 * The stored header lines go back to where an upstream's would be, so that
 * nginx's own filters (not_modified, range, gzip, expires, add_header) and the
 * other modules of Weir treat both alike.  Nothing is copied: values and body
 * stay where the entry is.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/http_date.h"
#include "cache/ngx_http_weir_cache.h"
#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/ngx_http_weir.h"


static ngx_int_t ngx_http_weir_cache_restore_header(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value);
static void ngx_http_weir_cache_conditions(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_restore_content_type(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_int_t ngx_http_weir_cache_add_range(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_add_age(ngx_http_request_t *r,
    time_t age);
static ngx_int_t ngx_http_weir_cache_add_hit(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_reason(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_count(ngx_http_weir_cache_ctx_t *ctx,
    char *detail);


ngx_str_t  ngx_http_weir_cache_reasons[NGX_HTTP_WEIR_CACHE_REASONS] = {
    ngx_string("uri-miss"),
    ngx_string("miss"),
    ngx_string("vary-miss"),
    ngx_string("stale"),
    ngx_string("request"),
    ngx_string("bypass"),
    ngx_string("method")
};


static ngx_str_t  ngx_http_weir_cache_age_name = ngx_string("Age");
static ngx_str_t  ngx_http_weir_cache_range_name = ngx_string("Content-Range");
static ngx_str_t  ngx_http_weir_cache_status_name = ngx_string("Cache-Status");


ngx_int_t
ngx_http_weir_cache_answer(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t            rc;
    ngx_chain_t         *out;
    ngx_http_request_t  *r;

    r = ctx->request;

    /* nobody shall wait for this client, who may be slow */

    ngx_http_weir_cache_end_flight(ctx, 0);

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_weir_cache_restore(ctx) != NGX_OK
        || ngx_http_weir_cache_add_hit(ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_OK && !r->header_only) {
        out = ngx_http_weir_cache_body(ctx);
        rc = out ? ngx_http_output_filter(r, out) : NGX_ERROR;
    }

    ngx_http_finalize_request(r, rc);

    return NGX_DONE;
}


ngx_chain_t *
ngx_http_weir_cache_body(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_buf_t    *b;
    ngx_chain_t  *out;

    b = ngx_calloc_buf(ctx->request->pool);
    out = ngx_alloc_chain_link(ctx->request->pool);

    if (b == NULL || out == NULL) {
        return NULL;
    }

    b->pos = (u_char *) ctx->entry.body.data;
    b->last = b->pos + ctx->entry.body.len;
    b->memory = (ctx->entry.body.len != 0);
    b->last_buf = 1;
    b->last_in_chain = 1;

    out->buf = b;
    out->next = NULL;

    return out;
}


ngx_int_t
ngx_http_weir_cache_restore(ngx_http_weir_cache_ctx_t *ctx)
{
    size_t               pos;
    ngx_str_t            name, value;
    weir_str_t           n, v;
    weir_entry_t        *entry;
    ngx_http_request_t  *r;

    static weir_str_t  content_range = { "Content-Range", 13 };

    r = ctx->request;
    entry = &ctx->entry;

    r->headers_out.status = entry->status;
    r->headers_out.content_length_n = entry->body.len;

    pos = 0;

    while (weir_entry_next_header(entry->headers, &pos, &n, &v)) {
        name.data = (u_char *) n.data;
        name.len = n.len;
        value.data = (u_char *) v.data;
        value.len = v.len;

        if (entry->status == NGX_HTTP_PARTIAL_CONTENT
            && weir_str_caseeq(n, content_range))
        {
            continue;
        }

        if (ngx_http_weir_cache_restore_header(r, &name, &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (entry->status == NGX_HTTP_PARTIAL_CONTENT
        && ngx_http_weir_cache_add_range(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->allow_ranges = (entry->status == NGX_HTTP_OK);
    r->disable_not_modified = 0;

    if (entry->status == NGX_HTTP_OK) {
        ngx_http_weir_cache_conditions(ctx);
    }

    return ngx_http_weir_cache_add_age(r, ngx_http_weir_cache_age(entry));
}


static ngx_int_t
ngx_http_weir_cache_restore_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

#define is(text)  (name->len == sizeof(text) - 1                              \
                   && ngx_strncasecmp(name->data, (u_char *) text,            \
                                      sizeof(text) - 1)                       \
                      == 0)

    if (is("Content-Type")) {
        ngx_http_weir_cache_restore_content_type(r, value);
        return NGX_OK;
    }

    h = ngx_http_weir_add_header(r, name, value);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /* those that nginx's filters look for by a pointer */

    switch (name->len) {

    case sizeof("ETag") - 1:
        if (is("ETag")) {
            r->headers_out.etag = h;

        } else if (is("Date")) {
            r->headers_out.date = h;
        }

        break;

    case sizeof("Server") - 1:
        if (is("Server")) {
            r->headers_out.server = h;
        }

        break;

    case sizeof("Expires") - 1:
        if (is("Expires")) {
            r->headers_out.expires = h;
        }

        break;

    case sizeof("Last-Modified") - 1:
        if (is("Last-Modified")) {
            r->headers_out.last_modified = h;
            r->headers_out.last_modified_time =
                                 ngx_parse_http_time(value->data, value->len);

        } else if (is("Cache-Control")) {
            return ngx_http_weir_link_cache_control(r, h);
        }

        break;

    case sizeof("Content-Encoding") - 1:
        if (is("Content-Encoding")) {
            r->headers_out.content_encoding = h;

        } else if (is("WWW-Authenticate")) {
            r->headers_out.www_authenticate = h;
        }

        break;
    }

#undef is

    return NGX_OK;
}


/*
 * Where nginx's filters differ from RFC 9110 section 13 and RFC 9111 section
 * 4.3.2: If-None-Match makes If-Modified-Since void, which otherwise is met by
 * any date that is not before the response's, by default the Date; a weak tag
 * in If-Range never matches.  The rest is left to the filters.
 */

static void
ngx_http_weir_cache_conditions(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                    since, modified;
    weir_str_t                 value;
    ngx_table_elt_t           *h;
    ngx_http_request_t        *r;
    ngx_http_core_loc_conf_t  *clcf;

    r = ctx->request;

    h = r->headers_in.if_range;

    if (h && h->value.len > 2 && h->value.data[0] == 'W'
        && h->value.data[1] == '/')
    {
        r->allow_ranges = 0;
    }

    h = r->headers_in.if_modified_since;

    if (r->headers_in.if_none_match) {
        r->headers_in.if_modified_since = NULL;
        return;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (h == NULL || r->headers_in.if_match
        || r->headers_in.if_unmodified_since
        || clcf->if_modified_since == NGX_HTTP_IMS_OFF)
    {
        return;
    }

    r->headers_in.if_modified_since = NULL;

    value.data = (char *) h->value.data;
    value.len = h->value.len;
    since = weir_http_date(value, ngx_time());

    value = ngx_http_weir_cache_entry_header(&ctx->entry, "Last-Modified");

    if (value.len == 0) {
        value = ngx_http_weir_cache_entry_header(&ctx->entry, "Date");
    }

    modified = weir_http_date(value, ngx_time());

    if (since == -1 || modified == -1 || modified > since) {
        return;
    }

    r->headers_out.status = NGX_HTTP_NOT_MODIFIED;
    r->headers_out.status_line.len = 0;
    r->headers_out.content_type.len = 0;
    r->allow_ranges = 0;
    ngx_http_clear_content_length(r);

    if (r->headers_out.content_encoding) {
        r->headers_out.content_encoding->hash = 0;
        r->headers_out.content_encoding = NULL;
    }
}


/* Splits off the charset as nginx does with an upstream's Content-Type. */

static void
ngx_http_weir_cache_restore_content_type(ngx_http_request_t *r,
    ngx_str_t *value)
{
    u_char  *p, *last, *end;

    r->headers_out.content_type = *value;
    r->headers_out.content_type_len = value->len;
    r->headers_out.content_type_lowcase = NULL;

    last = value->data + value->len;

    for (p = value->data; p < last && *p != ';'; p++) { /* void */ }

    end = p;

    while (p < last && (*p == ';' || *p == ' ')) {
        p++;
    }

    if (last - p < 8 || ngx_strncasecmp(p, (u_char *) "charset=", 8) != 0) {
        return;
    }

    p += 8;

    if (p < last && *p == '"') {
        p++;
    }

    if (p < last && last[-1] == '"') {
        last--;
    }

    r->headers_out.content_type_len = end - value->data;
    r->headers_out.charset.data = p;
    r->headers_out.charset.len = last - p;
}


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

    /* conditions, on a part too, are the upstream's business */

    if (r->method != NGX_HTTP_GET || r->headers_in.range == NULL
        || r->headers_in.if_range || r->headers_in.if_match
        || r->headers_in.if_none_match || r->headers_in.if_modified_since
        || r->headers_in.if_unmodified_since)
    {
        return 0;
    }

    ngx_http_weir_cache_freshness(entry, &freshness);

    if (ctx->soft
        || weir_cache_use(&freshness, ngx_http_weir_cache_age(entry),
                          &ctx->request_cc)
           != WEIR_CACHE_FRESH)
    {
        return 0;
    }

    value = ngx_http_weir_cache_entry_header(entry, "Content-Range");

    if (!weir_content_range_parse(value, &held)
        || held.last - held.first + 1 != (int64_t) entry->body.len)
    {
        return 0;
    }

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


static ngx_int_t
ngx_http_weir_cache_add_range(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(ctx->request->pool,
                             sizeof("bytes -/") - 1 + 3 * NGX_INT64_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "bytes %L-%L/%L", ctx->range.first,
                            ctx->range.last, ctx->range.total)
                - value.data;

    return ngx_http_weir_add_header(ctx->request,
                                    &ngx_http_weir_cache_range_name, &value)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_cache_add_age(ngx_http_request_t *r, time_t age)
{
    ngx_str_t  value;

    value.data = ngx_pnalloc(r->pool, NGX_TIME_T_LEN);
    if (value.data == NULL) {
        return NGX_ERROR;
    }

    value.len = ngx_sprintf(value.data, "%T", age) - value.data;

    return ngx_http_weir_add_header(r, &ngx_http_weir_cache_age_name, &value)
           ? NGX_OK : NGX_ERROR;
}


static ngx_int_t
ngx_http_weir_cache_add_hit(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char              *p;
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_weir_cache_count(ctx, NULL);

    p = ngx_pnalloc(r->pool, sizeof("Weir; hit; ttl=; collapsed; detail=memory")
                             + NGX_TIME_T_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = ngx_sprintf(p, "Weir; hit; ttl=%T%s; detail=%s",
                    (time_t) ctx->entry.lifetime
                    - ngx_http_weir_cache_age(&ctx->entry),
                    ctx->collapsed ? "; collapsed" : "",
                    ctx->l2 ? "redis" : "memory");

    value.len = p - value.data;

    return ngx_http_weir_add_header(r, &ngx_http_weir_cache_status_name,
                                    &value)
           ? NGX_OK : NGX_ERROR;
}


/* What Redis didn't tell is not known to be missing. */

static ngx_uint_t
ngx_http_weir_cache_reason(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->by_request) {
        return 4;
    }

    switch (ctx->status) {

    case NGX_HTTP_WEIR_CACHE_MISS:
        return ctx->unavailable ? 1 : 0;

    case NGX_HTTP_WEIR_CACHE_VARY_MISS:
        return 2;

    case NGX_HTTP_WEIR_CACHE_REQUEST:
        return 4;

    case NGX_HTTP_WEIR_CACHE_BYPASS:
        return 5;

    case NGX_HTTP_WEIR_CACHE_METHOD:
        return 6;

    default:
        return 3;
    }
}


static void
ngx_http_weir_cache_count(ngx_http_weir_cache_ctx_t *ctx, char *detail)
{
    ngx_http_weir_cache_counters_t  *counters;

    counters = ngx_http_weir_cache_zone_counters(ctx->conf->zone);

    if (ctx->status == NGX_HTTP_WEIR_CACHE_HIT
        || (ctx->status == NGX_HTTP_WEIR_CACHE_STALE && !detail))
    {
        (void) ngx_atomic_fetch_add(ctx->l2 ? &counters->hits_redis
                                            : &counters->hits_memory, 1);

        if (ctx->status == NGX_HTTP_WEIR_CACHE_STALE) {
            (void) ngx_atomic_fetch_add(&counters->stale, 1);
        }

        if (ctx->collapsed) {
            (void) ngx_atomic_fetch_add(&counters->collapsed, 1);
        }

        return;
    }

    (void) ngx_atomic_fetch_add(
                     &counters->forwarded[ngx_http_weir_cache_reason(ctx)], 1);

    if (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        (void) ngx_atomic_fetch_add(&counters->revalidated, 1);
    }

    if (detail) {
        (void) ngx_atomic_fetch_add(&counters->stale_errors, 1);
    }
}


ngx_int_t
ngx_http_weir_cache_forwarded(ngx_http_weir_cache_ctx_t *ctx, char *detail)
{
    u_char              *p;
    ngx_str_t            value;
    ngx_http_request_t  *r;

    r = ctx->request;

    ngx_http_weir_cache_count(ctx, detail);

    if (ctx->unavailable && detail == NULL) {
        detail = "redis-unavailable";

    } else if (detail == NULL) {
        detail = ctx->outdated;
    }

    p = ngx_pnalloc(r->pool, sizeof("Weir; fwd=vary-miss; fwd-status=; stored;"
                                    " detail=") + NGX_INT_T_LEN
                             + (detail ? ngx_strlen(detail) : 0));
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    p = ngx_sprintf(p, "Weir; fwd=%V",
                    &ngx_http_weir_cache_reasons[
                                         ngx_http_weir_cache_reason(ctx)]);

    if (r->upstream && r->upstream->headers_in.status_n) {
        p = ngx_sprintf(p, "; fwd-status=%ui",
                        r->upstream->headers_in.status_n);
    }

    if (ctx->stored) {
        p = ngx_sprintf(p, "; stored");
    }

    if (detail) {
        p = ngx_sprintf(p, "; detail=%s", detail);
    }

    value.len = p - value.data;

    return ngx_http_weir_add_header(r, &ngx_http_weir_cache_status_name,
                                    &value)
           ? NGX_OK : NGX_ERROR;
}
