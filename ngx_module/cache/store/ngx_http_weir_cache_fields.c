/*
 * The header block of an entry: Content-Type, the upstream's Date, and the list
 * as the upstream module has prepared it (proxy_hide_header, proxy_redirect);
 * for a 304 the stored lines follow.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry_check.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir_headers.h"


/*
 * Bytes of the lists of fields that are not stored.  A response with longer
 * lists is not stored, because each of its fields is searched in them.
 */
#define NGX_HTTP_WEIR_CACHE_DROPPED_MAX  4096


/* Header lines of an entry. */
typedef struct {
    weir_str_t   name[WEIR_ENTRY_HEADERS_MAX];
    weir_str_t   value[WEIR_ENTRY_HEADERS_MAX];
    ngx_uint_t   n;
} ngx_http_weir_cache_fields_t;


static ngx_uint_t ngx_http_weir_cache_fields_keep(ngx_table_elt_t *h,
    ngx_array_t *dropped);
static ngx_uint_t ngx_http_weir_cache_fields_drop(weir_str_t *name,
    ngx_array_t *dropped);
static ngx_int_t ngx_http_weir_cache_fields_find_dropped(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_control_t *cc,
    ngx_array_t **dropped);
static ngx_int_t ngx_http_weir_cache_fields_put_own(
    ngx_http_weir_cache_ctx_t *ctx, ngx_array_t *dropped,
    ngx_http_weir_cache_fields_t *fields);
static ngx_int_t ngx_http_weir_cache_fields_put_upstream(
    ngx_http_weir_cache_ctx_t *ctx, ngx_array_t *dropped,
    ngx_http_weir_cache_fields_t *fields);
static ngx_int_t ngx_http_weir_cache_fields_put_stale(
    ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_fields_t *fields);
static ngx_int_t ngx_http_weir_cache_fields_put(
    ngx_http_weir_cache_fields_t *fields, weir_str_t name, weir_str_t value);


ngx_int_t
ngx_http_weir_cache_fields_write(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc, weir_str_t *headers)
{
    char                          *p;
    size_t                         len;
    ngx_int_t                      rc;
    ngx_uint_t                     i;
    ngx_array_t                   *dropped;
    ngx_http_weir_cache_fields_t   fields;

    rc = ngx_http_weir_cache_fields_find_dropped(ctx, cc, &dropped);
    if (rc != NGX_OK) {
        return rc;
    }

    fields.n = 0;

    if (ngx_http_weir_cache_fields_put_own(ctx, dropped, &fields) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ngx_http_weir_cache_fields_put_upstream(ctx, dropped, &fields) != NGX_OK
        || (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED
            && ngx_http_weir_cache_fields_put_stale(ctx, &fields) != NGX_OK))
    {
        return NGX_DECLINED;
    }

    len = 0;

    for (i = 0; i < fields.n; i++) {
        len += weir_entry_header_size(fields.name[i], fields.value[i]);
    }

    p = ngx_pnalloc(ctx->request->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    headers->data = p;
    headers->len = len;

    for (i = 0; i < fields.n; i++) {
        p = weir_entry_put_header(p, fields.name[i], fields.value[i]);
    }

    return NGX_OK;
}


/*
 * Not stored: fields of one connection (RFC 9111 section 3.1), fields that the
 * entry has in another form, cookies, which belong to one client, and the empty
 * Server that nginx adds to a response without one.
 */

static ngx_uint_t
ngx_http_weir_cache_fields_keep(ngx_table_elt_t *h, ngx_array_t *dropped)
{
    weir_str_t  name;

    if (h->hash == 0 || h->key.len == 0 || h->key.len > 65535
        || (h->value.len == 0 && h->key.len == 6
            && ngx_strncasecmp(h->key.data, (u_char *) "Server", 6) == 0))
    {
        return 0;
    }

    name.data = (char *) h->key.data;
    name.len = h->key.len;

    /* put_own writes Content-Type and Date first */

    return !weir_entry_field_is_barred(name)
           && !weir_str_caseeq(name, WEIR_STR("Content-Type"))
           && !weir_str_caseeq(name, WEIR_STR("Date"))
           && !ngx_http_weir_cache_fields_drop(&name, dropped);
}


static ngx_uint_t
ngx_http_weir_cache_fields_drop(weir_str_t *name, ngx_array_t *dropped)
{
    ngx_uint_t   i;
    weir_str_t  *list;

    list = dropped->elts;

    for (i = 0; i < dropped->nelts; i++) {
        if (weir_cache_lists_field(list[i], *name)) {
            return 1;
        }
    }

    return 0;
}


/*
 * The lists of fields that are not stored, as weir_str_t: those of Connection,
 * no-cache and private.  NGX_OK, NGX_DECLINED (they are too long), or
 * NGX_ERROR (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_fields_find_dropped(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc, ngx_array_t **dropped)
{
    size_t               len;
    ngx_uint_t           i;
    weir_str_t          *line;
    ngx_array_t         *lines;
    ngx_http_request_t  *r;

    static ngx_str_t  connection = ngx_string("Connection");

    r = ctx->request;

    lines = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
                                       &connection);
    if (lines == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < 2; i++) {
        line = ngx_array_push(lines);
        if (line == NULL) {
            return NGX_ERROR;
        }

        *line = i ? cc->private_fields : cc->no_cache_fields;
    }

    line = lines->elts;
    len = 0;

    for (i = 0; i < lines->nelts; i++) {
        len += line[i].len;
    }

    *dropped = lines;

    return len > NGX_HTTP_WEIR_CACHE_DROPPED_MAX ? NGX_DECLINED : NGX_OK;
}


/*
 * The fields that nginx keeps outside the list; fields has room for them.
 * NGX_OK or NGX_ERROR (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_fields_put_own(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t *dropped, ngx_http_weir_cache_fields_t *fields)
{
    weir_str_t           value, *line;
    ngx_array_t         *dates;
    ngx_table_elt_t     *rate;
    ngx_http_request_t  *r;

    static ngx_str_t   date = ngx_string("Date");
    static ngx_str_t   limit_rate = ngx_string("X-Accel-Limit-Rate");
    static weir_str_t  content_type = { "Content-Type", 12 };

    r = ctx->request;

    dates = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
                                       &date);
    if (dates == NULL) {
        return NGX_ERROR;
    }

    if (r->headers_out.content_type.len
        && r->headers_out.content_type.data != ctx->content_type
        && !ngx_http_weir_cache_fields_drop(&content_type, dropped))
    {
        value.data = (char *) r->headers_out.content_type.data;
        value.len = r->headers_out.content_type.len;
        (void) ngx_http_weir_cache_fields_put(fields, content_type, value);
    }

    /*
     * Without a Date from the upstream, the time of arrival is used (RFC 9110
     * section 6.6.1); nginx has left an empty line then.
     */

    line = dates->elts;

    if (dates->nelts && line[0].len) {
        value = line[0];

    } else {
        value.data = (char *) ngx_cached_http_time.data;
        value.len = ngx_cached_http_time.len;
    }

    (void) ngx_http_weir_cache_fields_put(fields, WEIR_STR("Date"), value);

    if (r->headers_out.override_charset) {
        /* not sent to clients, but evaluated by nginx's charset filter */
        value.data = (char *) r->headers_out.override_charset->data;
        value.len = r->headers_out.override_charset->len;
        (void) ngx_http_weir_cache_fields_put(fields,
                                             WEIR_STR("X-Accel-Charset"),
                                             value);
    }

    rate = ngx_http_weir_find_header(&r->upstream->headers_in.headers,
                                     &limit_rate);

    if (rate && !(r->upstream->conf->ignore_headers
                  & NGX_HTTP_UPSTREAM_IGN_XA_LIMIT_RATE))
    {
        value.data = (char *) rate->value.data;
        value.len = rate->value.len;
        (void) ngx_http_weir_cache_fields_put(fields,
                                              WEIR_STR("X-Accel-Limit-Rate"),
                                              value);
    }

    return NGX_OK;
}


/* NGX_OK, or NGX_DECLINED (there are too many). */

static ngx_int_t
ngx_http_weir_cache_fields_put_upstream(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t *dropped, ngx_http_weir_cache_fields_t *fields)
{
    weir_str_t        name, value;
    ngx_uint_t        i, before;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    before = ctx->lines;

    for (part = &ctx->request->headers_out.headers.part; part;
         part = part->next)
    {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            /* lines of an earlier response or of a module: one client's */

            if (before) {
                before--;
                continue;
            }

            if (!ngx_http_weir_cache_fields_keep(&h[i], dropped)) {
                continue;
            }

            name.data = (char *) h[i].key.data;
            name.len = h[i].key.len;
            value.data = (char *) h[i].value.data;
            value.len = h[i].value.len;

            if (ngx_http_weir_cache_fields_put(fields, name, value) != NGX_OK) {
                return NGX_DECLINED;
            }
        }
    }

    return NGX_OK;
}


/*
 * The stored lines, except those that the 304 replaces.  NGX_OK, or
 * NGX_DECLINED (there are too many).
 */

static ngx_int_t
ngx_http_weir_cache_fields_put_stale(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_fields_t *fields)
{
    size_t      pos;
    weir_str_t  name, value;
    ngx_uint_t  i, renewed;

    renewed = fields->n;
    pos = 0;

    while (weir_entry_next_header(ctx->stale.headers, &pos, &name, &value)) {

        for (i = 0; i < renewed; i++) {
            if (weir_str_caseeq(fields->name[i], name)) {
                break;
            }
        }

        if (i == renewed
            && ngx_http_weir_cache_fields_put(fields, name, value) != NGX_OK)
        {
            return NGX_DECLINED;
        }
    }

    return NGX_OK;
}


/* NGX_OK, or NGX_DECLINED (there are too many). */

static ngx_int_t
ngx_http_weir_cache_fields_put(ngx_http_weir_cache_fields_t *fields,
    weir_str_t name, weir_str_t value)
{
    if (fields->n == WEIR_ENTRY_HEADERS_MAX) {
        return NGX_DECLINED;
    }

    fields->name[fields->n] = name;
    fields->value[fields->n] = value;
    fields->n++;

    return NGX_OK;
}
