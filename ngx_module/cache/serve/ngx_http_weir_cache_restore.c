/*
 * Copies the header of a stored response into the response of the request.
 *
 * The stored lines are put where an upstream's lines would be, so that nginx's
 * own filters (not_modified, range, gzip, expires, add_header) and the other
 * modules of Weir treat both alike.  No bytes are copied: values and body
 * remain in the entry.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache_entry.h"
#include "cache/serve/ngx_http_weir_cache_serve.h"
#include "common/text/http_date.h"
#include "compat/ngx_http_weir_compat_nginx.h"
#include "http/ngx_http_weir.h"


#define ngx_http_weir_cache_is(name, text)                                    \
    ((name)->len == sizeof(text) - 1                                          \
     && ngx_strncasecmp((name)->data, (u_char *) (text),                      \
                        sizeof(text) - 1)                                     \
        == 0)


static ngx_int_t ngx_http_weir_cache_restore_header(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value);
static ngx_int_t ngx_http_weir_cache_link_header(ngx_http_request_t *r,
    ngx_table_elt_t *h);
static ngx_int_t ngx_http_weir_cache_restore_content_range(
    ngx_http_request_t *r, ngx_table_elt_t *h);
static void ngx_http_weir_cache_restore_content_type(ngx_http_request_t *r,
    ngx_str_t *value);
static ngx_uint_t ngx_http_weir_cache_restore_is_modified(
    ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_cache_restore_matches_none(
    ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_restore_add_range(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_restore_add_age(ngx_http_request_t *r,
    time_t age);


static ngx_str_t  ngx_http_weir_cache_age_name = ngx_string("Age");
static ngx_str_t  ngx_http_weir_cache_range_name = ngx_string("Content-Range");


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
    r->headers_out.override_charset = NULL;

    pos = 0;

    while (weir_entry_next_header(entry->headers, &pos, &n, &v)) {
        name.data = (u_char *) n.data;
        name.len = n.len;
        value.data = (u_char *) v.data;
        value.len = v.len;

        if (entry->status == NGX_HTTP_PARTIAL_CONTENT && !ctx->conf->sliced
            && weir_str_caseeq(n, content_range))
        {
            continue;
        }

        if (ngx_http_weir_cache_restore_header(r, &name, &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (entry->status == NGX_HTTP_PARTIAL_CONTENT && !ctx->conf->sliced
        && ngx_http_weir_cache_restore_add_range(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    r->allow_ranges = 0;
    r->disable_not_modified = 0;

    if (entry->status == NGX_HTTP_OK) {
        ngx_http_weir_cache_restore_conditions(r);
    }

    return ngx_http_weir_cache_restore_add_age(r,
                                         ngx_http_weir_cache_entry_age(entry));
}


static ngx_int_t
ngx_http_weir_cache_restore_header(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    ngx_int_t         rate;
    ngx_str_t        *charset;
    ngx_table_elt_t  *h;

    if (ngx_http_weir_cache_is(name, "Content-Type")) {
        ngx_http_weir_cache_restore_content_type(r, value);
        return NGX_OK;
    }

    if (ngx_http_weir_cache_is(name, "X-Accel-Charset")) {

        charset = ngx_palloc(r->pool, sizeof(ngx_str_t));
        if (charset == NULL) {
            return NGX_ERROR;
        }

        *charset = *value;
        r->headers_out.override_charset = charset;

        return NGX_OK;
    }

    if (ngx_http_weir_cache_is(name, "X-Accel-Limit-Rate")) {
        rate = ngx_atoi(value->data, value->len);

        if (rate != NGX_ERROR) {
            r->limit_rate = rate;
            r->limit_rate_set = 1;
        }

        return NGX_OK;
    }

    h = ngx_http_weir_add_header(r, name, value);

    return h ? ngx_http_weir_cache_link_header(r, h) : NGX_ERROR;
}


/* Fields to which nginx's filters have a pointer.  NGX_OK or NGX_ERROR. */

static ngx_int_t
ngx_http_weir_cache_link_header(ngx_http_request_t *r, ngx_table_elt_t *h)
{
    switch (h->key.len) {

    case sizeof("ETag") - 1:
        if (ngx_http_weir_cache_is(&h->key, "ETag")) {
            r->headers_out.etag = h;

        } else if (ngx_http_weir_cache_is(&h->key, "Date")) {
            r->headers_out.date = h;
        }

        break;

    case sizeof("Server") - 1:
        if (ngx_http_weir_cache_is(&h->key, "Server")) {
            r->headers_out.server = h;
        }

        break;

    case sizeof("Expires") - 1:
        if (ngx_http_weir_cache_is(&h->key, "Expires")) {
            r->headers_out.expires = h;
        }

        break;

    case sizeof("Last-Modified") - 1:
        if (ngx_http_weir_cache_is(&h->key, "Last-Modified")) {
            r->headers_out.last_modified = h;
            r->headers_out.last_modified_time =
                             ngx_parse_http_time(h->value.data, h->value.len);

        } else if (ngx_http_weir_cache_is(&h->key, "Content-Range")) {
            return ngx_http_weir_cache_restore_content_range(r, h);

        } else if (ngx_http_weir_cache_is(&h->key, "Cache-Control")) {
            return ngx_http_weir_link_cache_control(r, h);
        }

        break;

    case sizeof("Content-Encoding") - 1:
        if (ngx_http_weir_cache_is(&h->key, "Content-Encoding")) {
            r->headers_out.content_encoding = h;

        } else if (ngx_http_weir_cache_is(&h->key, "WWW-Authenticate")) {
            r->headers_out.www_authenticate = h;
        }

        break;
    }

    return NGX_OK;
}


/*
 * nginx's slice filter reads the value up to a NUL, which values in an entry do
 * not have.
 */

static ngx_int_t
ngx_http_weir_cache_restore_content_range(ngx_http_request_t *r,
    ngx_table_elt_t *h)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, h->value.len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    *ngx_cpymem(p, h->value.data, h->value.len) = '\0';

    h->value.data = p;
    r->headers_out.content_range = h;

    return NGX_OK;
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

    p = value->data;
    last = p + value->len;

    do {
        while (p < last && *p != ';') {
            p++;
        }

        end = p;

        while (p < last && (*p == ';' || *p == ' ')) {
            p++;
        }

        if (p == last) {
            return;
        }

    } while (last - p < 8
             || ngx_strncasecmp(p, (u_char *) "charset=", 8) != 0);

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


/*
 * Evaluates conditions where nginx's filters differ from RFC 9110 section 13
 * and RFC 9111 section 4.3.2: If-None-Match overrides If-Modified-Since;
 * If-Modified-Since is met by any date that is not before the response's
 * Last-Modified, by default its Date; a weak tag in If-Range never matches.
 * The filters evaluate the rest.
 *
 * The result is recorded in the response.  The request keeps its conditions: an
 * error_page may lead to a location that needs them.
 */

void
ngx_http_weir_cache_restore_conditions(ngx_http_request_t *r)
{
    ngx_table_elt_t           *h;
    ngx_http_core_loc_conf_t  *clcf;

    r->allow_ranges = 1;
    r->disable_not_modified = 0;

    h = r->headers_in.if_range;

    if (h && h->value.len > 2 && h->value.data[0] == 'W'
        && h->value.data[1] == '/')
    {
        r->allow_ranges = 0;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (r->headers_in.if_modified_since == NULL || r->headers_in.if_match
        || r->headers_in.if_unmodified_since)
    {
        return;
    }

    if (r->headers_in.if_none_match) {
        if (!ngx_http_weir_cache_restore_matches_none(r)) {
            r->disable_not_modified = 1;
            return;
        }

    } else if (clcf->if_modified_since == NGX_HTTP_IMS_OFF) {
        return;

    } else if (ngx_http_weir_cache_restore_is_modified(r)) {
        r->disable_not_modified = 1;
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


/* True if the response is newer than the request's If-Modified-Since. */

static ngx_uint_t
ngx_http_weir_cache_restore_is_modified(ngx_http_request_t *r)
{
    int64_t           since, modified;
    weir_str_t        value;
    ngx_table_elt_t  *h;

    h = r->headers_in.if_modified_since;

    value.data = (char *) h->value.data;
    value.len = h->value.len;
    since = weir_http_date(value, ngx_time());

    h = r->headers_out.last_modified;

    if (h == NULL || h->value.len == 0) {
        h = r->headers_out.date;
    }

    if (h == NULL) {
        return 1;
    }

    value.data = (char *) h->value.data;
    value.len = h->value.len;
    modified = weir_http_date(value, ngx_time());

    return since == -1 || modified == -1 || modified > since;
}


/*
 * True if If-None-Match lists the response's ETag, by weak comparison (RFC 9110
 * section 13.1.2).
 */

static ngx_uint_t
ngx_http_weir_cache_restore_matches_none(ngx_http_request_t *r)
{
    u_char     *p, *last, *start;
    ngx_str_t  *list, etag;

    list = &r->headers_in.if_none_match->value;

    if (list->len == 1 && list->data[0] == '*') {
        return 1;
    }

    ngx_str_null(&etag);

    if (r->headers_out.etag) {
        etag = r->headers_out.etag->value;
    }

    if (etag.len > 2 && etag.data[0] == 'W' && etag.data[1] == '/') {
        etag.data += 2;
        etag.len -= 2;
    }

    p = list->data;
    last = p + list->len;

    while (etag.len && p < last) {

        while (p < last && *p != '"') {
            p++;
        }

        start = p++;

        while (p < last && *p != '"') {
            p++;
        }

        if (p < last && (size_t) (++p - start) == etag.len
            && ngx_memcmp(start, etag.data, etag.len) == 0)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_weir_cache_restore_add_range(ngx_http_weir_cache_ctx_t *ctx)
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
ngx_http_weir_cache_restore_add_age(ngx_http_request_t *r, time_t age)
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
