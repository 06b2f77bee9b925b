/*
 * The entry as it grows: begun with the response's header, then the body byte
 * by byte, in one piece of memory of the request's pool, never past
 * weir_cache_max_size.  A response that breaks off has no last buffer and is
 * not kept.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry/entry_check.h"
#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "cache/policy/vary.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir_headers.h"


#define NGX_HTTP_WEIR_CACHE_BUF_MIN  4096

/*
 * Bytes of the lists of fields that are not kept; a response with more is not
 * stored, as each of its fields is looked for in them.
 */
#define NGX_HTTP_WEIR_CACHE_DROPPED_MAX  4096


static size_t ngx_http_weir_cache_body_max(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_keeps(ngx_table_elt_t *h,
    weir_str_t *dropped, ngx_uint_t ndropped);
static ngx_uint_t ngx_http_weir_cache_dropped(weir_str_t *name,
    weir_str_t *dropped, ngx_uint_t ndropped);
static ngx_int_t ngx_http_weir_cache_put_headers(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_control_t *cc,
    weir_str_t *headers);
static ngx_int_t ngx_http_weir_cache_room(ngx_http_weir_cache_ctx_t *ctx,
    size_t len);


ngx_int_t
ngx_http_weir_cache_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc)
{
    ngx_int_t            rc;
    size_t               body_len;
    const char          *wrong;
    ngx_time_t          *tp;
    weir_entry_t         entry;
    ngx_http_request_t  *r;

    r = ctx->request;
    tp = ngx_timeofday();

    ngx_memzero(&entry, sizeof(weir_entry_t));

    if (ctx->vary_fields.len) {
        if (ngx_http_weir_cache_variant(ctx, &ctx->vary_fields) != NGX_OK) {
            return NGX_ERROR;
        }

        entry.flags |= WEIR_ENTRY_VARIANT;
        entry.vary.data = (char *) ctx->vary.data;
        entry.vary.len = ctx->vary.len;
    }

    rc = ngx_http_weir_cache_put_headers(ctx, cc, &entry.headers);
    if (rc != NGX_OK) {
        return rc;
    }

    if (freshness->must_revalidate) {
        entry.flags |= WEIR_ENTRY_MUST_REVALIDATE;
    }

    if (freshness->no_cache) {
        entry.flags |= WEIR_ENTRY_NO_CACHE;
    }

    rc = ngx_http_weir_cache_read_tags(ctx, &entry.tags);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED
        && entry.tags.len == 0)
    {
        /* the 304 names none: they are as they were */
        entry.tags = ctx->stale.tags;
    }

    ctx->tags = entry.tags;

    entry.status = r->headers_out.status;
    body_len = r->headers_out.content_length_n >= 0
               ? (size_t) r->headers_out.content_length_n
               : NGX_HTTP_WEIR_CACHE_BUF_MIN;

    if (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        entry.status = ctx->stale.status;
        body_len = ctx->stale.body.len;
    }

    entry.stored = (int64_t) tp->sec * 1000 + tp->msec;
    entry.initial_age = freshness->initial_age;
    entry.lifetime = freshness->lifetime;
    entry.stale_while_revalidate = freshness->stale_while_revalidate;
    entry.stale_if_error = freshness->stale_if_error;
    entry.era = ctx->stamp.era;
    entry.position_ms = ctx->stamp.position.ms;
    entry.position_seq = ctx->stamp.position.seq;
    entry.origin = ctx->stamp.origin;
    entry.local = ctx->stamp.local;
    entry.key.data = (char *) ctx->key.data;
    entry.key.len = ctx->key.len;

    /* a field, or a status, for which other edges would not take the entry */

    wrong = weir_entry_check(&entry, entry.stored);

    if (wrong) {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "weir cache: not stored: %s", wrong);
        return NGX_DECLINED;
    }

    ctx->ttl = ngx_http_weir_cache_ttl(ctx, freshness);
    ctx->head_len = weir_entry_head_size(&entry);
    ctx->len = ctx->head_len;
    ctx->size = ctx->head_len + body_len;

    if (r->headers_out.content_length_n
        > (off_t) ngx_http_weir_cache_body_max(ctx))
    {
        return NGX_DECLINED;
    }

    /* the signature gets its place behind */

    ctx->buf = ngx_palloc(r->pool, ctx->size + WEIR_ENTRY_MAC_LEN);
    if (ctx->buf == NULL) {
        return NGX_ERROR;
    }

    (void) weir_entry_begin((char *) ctx->buf, &entry);

    ctx->storing = 1;
    ctx->stored = 1;

    return NGX_OK;
}


/* Bytes; without Redis there is no place for what the zone has no room for. */

static size_t
ngx_http_weir_cache_body_max(ngx_http_weir_cache_ctx_t *ctx)
{
    size_t  largest;

    if (ctx->conf->zone->redis && !ctx->unavailable) {
        return ctx->conf->max_size;
    }

    largest = ngx_http_weir_cache_zone_largest(ctx->conf->zone);
    largest -= ngx_min(largest, ctx->head_len);

    return ngx_min(largest, ctx->conf->max_size);
}


/*
 * Not kept: what belongs to one connection (RFC 9111 section 3.1), what the
 * entry says otherwise, cookies, which are one client's, and the empty Server
 * that nginx adds to a response without one.
 */

static ngx_uint_t
ngx_http_weir_cache_keeps(ngx_table_elt_t *h, weir_str_t *dropped,
    ngx_uint_t ndropped)
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

    /* Content-Type and Date are put first, by put_headers */

    return !weir_entry_field_is_barred(name)
           && !weir_str_caseeq(name, WEIR_STR("Content-Type"))
           && !weir_str_caseeq(name, WEIR_STR("Date"))
           && !ngx_http_weir_cache_dropped(&name, dropped, ndropped);
}


static ngx_uint_t
ngx_http_weir_cache_dropped(weir_str_t *name, weir_str_t *dropped,
    ngx_uint_t ndropped)
{
    ngx_uint_t  i;

    for (i = 0; i < ndropped; i++) {
        if (weir_cache_lists_field(dropped[i], *name)) {
            return 1;
        }
    }

    return 0;
}


/*
 * The header block: Content-Type, the upstream's Date, and the list as the
 * upstream module has prepared it (proxy_hide_header, proxy_redirect).
 */

static ngx_int_t
ngx_http_weir_cache_put_headers(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc, weir_str_t *headers)
{
    char                *p;
    size_t               len, pos;
    weir_str_t           name[WEIR_ENTRY_HEADERS_MAX];
    weir_str_t           value[WEIR_ENTRY_HEADERS_MAX], *line, *dropped;
    weir_str_t           stored, line_value;
    ngx_uint_t           i, n, ndropped, renewed, before;
    ngx_array_t         *lines, *dates;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    static ngx_str_t   connection = ngx_string("Connection");
    static ngx_str_t   date = ngx_string("Date");
    static weir_str_t  content_type = { "Content-Type", 12 };

    r = ctx->request;

    lines = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
                                       &connection);
    dates = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
                                       &date);

    if (lines == NULL || dates == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < 2; i++) {
        line = ngx_array_push(lines);
        if (line == NULL) {
            return NGX_ERROR;
        }

        *line = i ? cc->private_fields : cc->no_cache_fields;
    }

    dropped = lines->elts;
    ndropped = lines->nelts;
    len = 0;

    for (i = 0; i < ndropped; i++) {
        len += dropped[i].len;
    }

    if (len > NGX_HTTP_WEIR_CACHE_DROPPED_MAX) {
        return NGX_DECLINED;
    }

    n = 0;
    len = 0;

    if (r->headers_out.content_type.len
        && r->headers_out.content_type.data != ctx->content_type
        && !ngx_http_weir_cache_dropped(&content_type, dropped, ndropped))
    {
        name[n] = WEIR_STR("Content-Type");
        value[n].data = (char *) r->headers_out.content_type.data;
        value[n].len = r->headers_out.content_type.len;
        n++;
    }

    /*
     * Without a Date of the upstream's the time of arrival stands for it (RFC
     * 9110 section 6.6.1); nginx has left an empty line then.
     */

    line = dates->elts;
    name[n] = WEIR_STR("Date");

    if (dates->nelts && line[0].len) {
        value[n++] = line[0];

    } else {
        value[n].data = (char *) ngx_cached_http_time.data;
        value[n++].len = ngx_cached_http_time.len;
    }

    if (r->headers_out.override_charset) {
        /* hidden from clients, and obeyed by nginx's charset filter */
        name[n] = WEIR_STR("X-Accel-Charset");
        value[n].data = (char *) r->headers_out.override_charset->data;
        value[n++].len = r->headers_out.override_charset->len;
    }

    before = ctx->lines;

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            /* those of an earlier answer, or of a module, are one client's */

            if (before) {
                before--;
                continue;
            }

            if (!ngx_http_weir_cache_keeps(&h[i], dropped, ndropped)) {
                continue;
            }

            if (n == WEIR_ENTRY_HEADERS_MAX) {
                return NGX_DECLINED;
            }

            name[n].data = (char *) h[i].key.data;
            name[n].len = h[i].key.len;
            value[n].data = (char *) h[i].value.data;
            value[n].len = h[i].value.len;
            n++;
        }
    }

    if (ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED) {

        /* the 304's lines take the place of those of the same name */

        renewed = n;
        pos = 0;

        while (weir_entry_next_header(ctx->stale.headers, &pos, &stored,
                                      &line_value))
        {
            for (i = 0; i < renewed; i++) {
                if (weir_str_caseeq(name[i], stored)) {
                    break;
                }
            }

            if (i < renewed) {
                continue;
            }

            if (n == WEIR_ENTRY_HEADERS_MAX) {
                return NGX_DECLINED;
            }

            name[n] = stored;
            value[n++] = line_value;
        }
    }

    for (i = 0; i < n; i++) {
        len += weir_entry_header_size(name[i], value[i]);
    }

    p = ngx_pnalloc(r->pool, len + 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    headers->data = p;
    headers->len = len;

    for (i = 0; i < n; i++) {
        p = weir_entry_put_header(p, name[i], value[i]);
    }

    return NGX_OK;
}


/* Copies what the buffer holds, from memory or from a temporary file. */

ngx_int_t
ngx_http_weir_cache_append(ngx_http_weir_cache_ctx_t *ctx, ngx_buf_t *b)
{
    off_t  len;

    if (ngx_buf_special(b)) {
        return NGX_OK;
    }

    len = ngx_buf_size(b);

    if (len > (off_t) ngx_http_weir_cache_body_max(ctx)
              - (off_t) (ctx->len - ctx->head_len))
    {
        ctx->uncacheable = (ctx->request->method == NGX_HTTP_GET
                            && !ctx->unavailable);
        ngx_http_weir_cache_abandon(ctx, "too large");
        return NGX_OK;
    }

    if (ngx_http_weir_cache_room(ctx, len) != NGX_OK) {
        ngx_http_weir_cache_abandon(ctx, "no memory");
        return NGX_OK;
    }

    if (ngx_buf_in_memory(b)) {
        ngx_memcpy(ctx->buf + ctx->len, b->pos, len);

    } else if (ngx_read_file(b->file, ctx->buf + ctx->len, len, b->file_pos)
               != len)
    {
        ngx_http_weir_cache_abandon(ctx, "a temporary file can't be read");
        return NGX_OK;
    }

    ctx->len += len;

    return NGX_OK;
}


static ngx_int_t
ngx_http_weir_cache_room(ngx_http_weir_cache_ctx_t *ctx, size_t len)
{
    size_t   size;
    u_char  *buf;

    if (len <= ctx->size - ctx->len) {
        return NGX_OK;
    }

    size = ngx_max(ctx->size * 2, ctx->len + len);
    size = ngx_min(size, ctx->head_len + ctx->conf->max_size);

    buf = ngx_palloc(ctx->request->pool, size + WEIR_ENTRY_MAC_LEN);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(buf, ctx->buf, ctx->len);
    (void) ngx_pfree(ctx->request->pool, ctx->buf);

    ctx->buf = buf;
    ctx->size = size;

    return NGX_OK;
}


void
ngx_http_weir_cache_abandon(ngx_http_weir_cache_ctx_t *ctx, char *reason)
{
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "weir cache: storing given up: %s", reason);

    ngx_http_weir_cache_free_buf(ctx);

    ctx->storing = 0;

    ngx_http_weir_cache_turn_not_stored(ctx);
}


/* The client may yet be given it. */

void
ngx_http_weir_cache_free_buf(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->status != NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        (void) ngx_pfree(ctx->request->pool, ctx->buf);
        ctx->buf = NULL;
    }
}
