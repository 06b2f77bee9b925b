/*
 * The upstream's response on its way to the client, and a copy of it on its way
 * to Redis.
 *
 * These filters are the first of all: they see what the upstream said, before
 * any other filter has changed headers or body.  The entry grows in one piece
 * of memory of the request's pool, never past weir_cache_max_size, and is sent
 * to Redis when the last byte is there; the client waits for none of it.  A
 * response that breaks off has no last buffer and is not kept.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "cache/vary.h"


#define NGX_HTTP_WEIR_CACHE_BUF_MIN  4096

/* Seconds, so that a short-lived variant does not hide the others. */
#define NGX_HTTP_WEIR_CACHE_POINTER_TTL  3600


static ngx_int_t ngx_http_weir_cache_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_prepare(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_read_response(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_response_t *response,
    weir_cache_control_t *cc);
static time_t ngx_http_weir_cache_date(ngx_array_t *lines);
static ngx_int_t ngx_http_weir_cache_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc);
static ngx_uint_t ngx_http_weir_cache_keeps(ngx_table_elt_t *h,
    weir_str_t *dropped, ngx_uint_t ndropped);
static ngx_uint_t ngx_http_weir_cache_dropped(weir_str_t *name,
    weir_str_t *dropped, ngx_uint_t ndropped);
static ngx_int_t ngx_http_weir_cache_put_headers(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_control_t *cc,
    weir_str_t *headers);
static ngx_int_t ngx_http_weir_cache_room(ngx_http_weir_cache_ctx_t *ctx,
    size_t len);
static ngx_int_t ngx_http_weir_cache_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_weir_cache_append(ngx_http_weir_cache_ctx_t *ctx,
    ngx_buf_t *b);
static void ngx_http_weir_cache_abandon(ngx_http_weir_cache_ctx_t *ctx,
    char *reason);
static void ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_store_pointer(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_set(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *key, u_char *data, size_t len, time_t ttl);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;
static ngx_http_output_body_filter_pt    ngx_http_next_body_filter;


void
ngx_http_weir_cache_init_filters(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_weir_cache_header_filter;

    ngx_http_next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = ngx_http_weir_cache_body_filter;
}


static ngx_int_t
ngx_http_weir_cache_header_filter(ngx_http_request_t *r)
{
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || ctx->status == NGX_HTTP_WEIR_CACHE_HIT
        || r->upstream == NULL)
    {
        return ngx_http_next_header_filter(r);
    }

    /* a page of nginx's own, though an upstream was asked, is not kept */

    if (r->upstream->headers_in.status_n == r->headers_out.status
        && r->method == NGX_HTTP_GET
        && ctx->key.len
        && ngx_http_weir_cache_prepare(ctx) == NGX_ERROR)
    {
        return NGX_ERROR;
    }

    if (ngx_http_weir_cache_forwarded(ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    /* these have no body, and so no last buffer */

    if (ctx->storing && (r->headers_out.status == NGX_HTTP_NO_CONTENT
                         || r->headers_out.status == 205))
    {
        ngx_http_weir_cache_store(ctx);
    }

    return ngx_http_next_header_filter(r);
}


/* NGX_OK: the body is collected; NGX_DECLINED: not; NGX_ERROR: no memory. */

static ngx_int_t
ngx_http_weir_cache_prepare(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                rc;
    const char              *reason;
    ngx_http_request_t      *r;
    weir_cache_control_t     cc;
    weir_cache_response_t    response;
    weir_cache_freshness_t   freshness;

    r = ctx->request;

    rc = ngx_http_test_predicates(r, ctx->conf->no_store);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_weir_cache_read_response(ctx, &response, &cc) != NGX_OK) {
        return NGX_ERROR;
    }

    reason = weir_cache_refuses_storing(&response, &freshness);

    if (reason == NULL && ctx->unavailable) {
        reason = "redis is unavailable";
    }

    if (reason == NULL
        && r->headers_out.content_length_n > (off_t) ctx->conf->max_size)
    {
        reason = "too large";
    }

    if (reason) {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "weir cache: not stored: %s", reason);
        return NGX_DECLINED;
    }

    return ngx_http_weir_cache_begin(ctx, &freshness, &cc);
}


/* What the upstream's header says to a cache. */

static ngx_int_t
ngx_http_weir_cache_read_response(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_response_t *response, weir_cache_control_t *cc)
{
    u_char               *buf;
    size_t                len;
    weir_str_t           *line;
    ngx_uint_t            i, ignore;
    ngx_list_t           *headers;
    ngx_array_t          *lines[6];
    ngx_http_request_t   *r;

    static ngx_str_t  names[] = {
        ngx_string("Cache-Control"),
        ngx_string("Expires"),
        ngx_string("Date"),
        ngx_string("Age"),
        ngx_string("Set-Cookie"),
        ngx_string("Vary")
    };

    r = ctx->request;
    ignore = ctx->conf->ignore;
    headers = &r->upstream->headers_in.headers;

    for (i = 0; i < 6; i++) {
        lines[i] = ngx_http_weir_cache_lines(r, headers, &names[i]);
        if (lines[i] == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_memzero(response, sizeof(weir_cache_response_t));
    weir_cache_control_init(cc);

    if (!(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL)) {
        line = lines[0]->elts;

        for (i = 0; i < lines[0]->nelts; i++) {
            (void) weir_cache_control_parse(cc, line[i]);
        }
    }

    response->status = r->headers_out.status;
    response->cc = cc;
    response->expires = (ignore & NGX_HTTP_WEIR_CACHE_IGNORE_EXPIRES)
                        ? WEIR_DATE_ABSENT : ngx_http_weir_cache_date(lines[1]);
    response->date = ngx_http_weir_cache_date(lines[2]);
    response->age = -1;

    if (lines[3]->nelts) {
        line = lines[3]->elts;
        response->age = weir_cache_first_delta_seconds(line[0]);
    }

    response->set_cookie = lines[4]->nelts != 0
                          && !(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_SET_COOKIE);

    if (lines[5]->nelts && !(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_VARY)) {

        buf = ngx_pnalloc(r->pool,
                          WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1));
        if (buf == NULL) {
            return NGX_ERROR;
        }

        response->vary_any = !weir_vary_fields(lines[5]->elts, lines[5]->nelts,
                                               (char *) buf, &len);

        if (!response->vary_any) {
            ctx->vary_fields.data = buf;
            ctx->vary_fields.len = len;
        }
    }

    response->valid = -1;

    if (ctx->conf->valid) {
        response->valid = ngx_http_file_cache_valid(ctx->conf->valid,
                                                    r->headers_out.status);
        if (response->valid == 0) {
            response->valid = -1;
        }
    }

    response->authorization = r->headers_in.authorization != NULL;
    response->request_no_store = (ctx->request_cc.flags & WEIR_CC_NO_STORE)
                                 != 0;
    response->request_time = ctx->request_time;
    response->response_time = ngx_time();

    return NGX_OK;
}


/* A date header; of several lines the first (RFC 9111 section 4.2.1). */

static time_t
ngx_http_weir_cache_date(ngx_array_t *lines)
{
    time_t       date;
    weir_str_t  *line;

    if (lines->nelts == 0) {
        return WEIR_DATE_ABSENT;
    }

    line = lines->elts;
    date = ngx_parse_http_time((u_char *) line[0].data, line[0].len);

    return date < 0 ? WEIR_DATE_INVALID : date;
}


static ngx_int_t
ngx_http_weir_cache_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc)
{
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

    if (ngx_http_weir_cache_put_headers(ctx, cc, &entry.headers) != NGX_OK) {
        return NGX_DECLINED;
    }

    if (freshness->must_revalidate) {
        entry.flags |= WEIR_ENTRY_MUST_REVALIDATE;
    }

    entry.status = r->headers_out.status;
    entry.stored = (int64_t) tp->sec * 1000 + tp->msec;
    entry.initial_age = freshness->initial_age;
    entry.lifetime = freshness->lifetime;
    entry.stale_while_revalidate = freshness->stale_while_revalidate;
    entry.stale_if_error = freshness->stale_if_error;
    entry.key.data = (char *) ctx->key.data;
    entry.key.len = ctx->key.len;

    ctx->ttl = freshness->lifetime - freshness->initial_age;
    ctx->head_len = weir_entry_head_size(&entry);
    ctx->len = ctx->head_len;
    ctx->size = ctx->head_len + (r->headers_out.content_length_n >= 0
                                 ? (size_t) r->headers_out.content_length_n
                                 : NGX_HTTP_WEIR_CACHE_BUF_MIN);

    ctx->buf = ngx_palloc(r->pool, ctx->size);
    if (ctx->buf == NULL) {
        return NGX_ERROR;
    }

    (void) weir_entry_begin((char *) ctx->buf, &entry);

    ctx->storing = 1;

    return NGX_OK;
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
    ngx_uint_t  i;
    weir_str_t  name;

    static weir_str_t  never[] = {
        { "Connection", 10 },
        { "Keep-Alive", 10 },
        { "Proxy-Connection", 16 },
        { "TE", 2 },
        { "Trailer", 7 },
        { "Transfer-Encoding", 17 },
        { "Upgrade", 7 },
        { "Proxy-Authenticate", 18 },
        { "Proxy-Authentication-Info", 25 },
        { "Proxy-Authorization", 19 },
        { "Content-Length", 14 },
        { "Content-Type", 12 },
        { "Accept-Ranges", 13 },  /* nginx cuts ranges out of what is stored */
        { "Age", 3 },
        { "Date", 4 },
        { "Set-Cookie", 10 }
    };

    if (h->hash == 0 || h->key.len == 0 || h->key.len > 65535
        || (h->value.len == 0 && h->key.len == 6
            && ngx_strncasecmp(h->key.data, (u_char *) "Server", 6) == 0))
    {
        return 0;
    }

    name.data = (char *) h->key.data;
    name.len = h->key.len;

    for (i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
        if (weir_str_caseeq(never[i], name)) {
            return 0;
        }
    }

    return !ngx_http_weir_cache_dropped(&name, dropped, ndropped);
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
    size_t               len;
    weir_str_t           name[WEIR_ENTRY_HEADERS_MAX];
    weir_str_t           value[WEIR_ENTRY_HEADERS_MAX], *line, *dropped;
    ngx_uint_t           i, n, ndropped;
    ngx_array_t         *lines, *dates;
    ngx_list_part_t     *part;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    static ngx_str_t   connection = ngx_string("Connection");
    static ngx_str_t   date = ngx_string("Date");
    static weir_str_t  content_type = { "Content-Type", 12 };

    r = ctx->request;

    lines = ngx_http_weir_cache_lines(r, &r->upstream->headers_in.headers,
                                      &connection);
    dates = ngx_http_weir_cache_lines(r, &r->upstream->headers_in.headers,
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

    n = 0;
    len = 0;

    if (r->headers_out.content_type.len
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

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
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


static ngx_int_t
ngx_http_weir_cache_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                *cl;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || !ctx->storing) {
        return ngx_http_next_body_filter(r, in);
    }

    for (cl = in; cl && ctx->storing; cl = cl->next) {

        if (ngx_http_weir_cache_append(ctx, cl->buf) != NGX_OK) {
            return NGX_ERROR;
        }

        if (cl->buf->last_buf && ctx->storing) {
            ngx_http_weir_cache_store(ctx);
        }
    }

    return ngx_http_next_body_filter(r, in);
}


/* Copies what the buffer holds, from memory or from a temporary file. */

static ngx_int_t
ngx_http_weir_cache_append(ngx_http_weir_cache_ctx_t *ctx, ngx_buf_t *b)
{
    off_t  len;

    if (ngx_buf_special(b)) {
        return NGX_OK;
    }

    len = ngx_buf_size(b);

    if (len > (off_t) (ctx->conf->max_size - (ctx->len - ctx->head_len))) {
        ngx_http_weir_cache_abandon(ctx, "too large");
        return NGX_OK;
    }

    if (ngx_http_weir_cache_room(ctx, len) != NGX_OK) {
        return NGX_ERROR;
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

    buf = ngx_palloc(ctx->request->pool, size);
    if (buf == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(buf, ctx->buf, ctx->len);
    (void) ngx_pfree(ctx->request->pool, ctx->buf);

    ctx->buf = buf;
    ctx->size = size;

    return NGX_OK;
}


static void
ngx_http_weir_cache_abandon(ngx_http_weir_cache_ctx_t *ctx, char *reason)
{
    ngx_log_debug1(NGX_LOG_DEBUG_HTTP, ctx->request->connection->log, 0,
                   "weir cache: storing given up: %s", reason);

    (void) ngx_pfree(ctx->request->pool, ctx->buf);

    ctx->buf = NULL;
    ctx->storing = 0;
}


static void
ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx)
{
    off_t  length;

    length = ctx->request->upstream->headers_in.content_length_n;

    if (length >= 0 && (off_t) (ctx->len - ctx->head_len) != length) {
        ngx_http_weir_cache_abandon(ctx, "not as long as its Content-Length");
        return;
    }

    weir_entry_finish((char *) ctx->buf, ctx->len);

    if (ctx->vary_fields.len) {
        /* in this order, so that a pointer leads to something */
        ngx_http_weir_cache_set(ctx, &ctx->variant_key, ctx->buf, ctx->len,
                                ctx->ttl);
        ngx_http_weir_cache_store_pointer(ctx);

    } else {
        ngx_http_weir_cache_set(ctx, &ctx->redis_key, ctx->buf, ctx->len,
                                ctx->ttl);
    }

    (void) ngx_pfree(ctx->request->pool, ctx->buf);

    ctx->buf = NULL;
    ctx->storing = 0;
}


static void
ngx_http_weir_cache_store_pointer(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char        *p;
    size_t         len;
    weir_entry_t   entry;

    ngx_memzero(&entry, sizeof(weir_entry_t));

    entry.flags = WEIR_ENTRY_VARY_POINTER;
    entry.key.data = (char *) ctx->key.data;
    entry.key.len = ctx->key.len;
    entry.vary.data = (char *) ctx->vary_fields.data;
    entry.vary.len = ctx->vary_fields.len;

    len = weir_entry_head_size(&entry);

    p = ngx_pnalloc(ctx->request->pool, len);
    if (p == NULL) {
        return;
    }

    (void) weir_entry_begin((char *) p, &entry);
    weir_entry_finish((char *) p, len);

    ngx_http_weir_cache_set(ctx, &ctx->redis_key, p, len,
                            ngx_max(ctx->ttl,
                                    NGX_HTTP_WEIR_CACHE_POINTER_TTL));
}


/* Nobody waits for the reply; Redis drops the entry when its time is over. */

static void
ngx_http_weir_cache_set(ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *key,
    u_char *data, size_t len, time_t ttl)
{
    u_char                         seconds[NGX_TIME_T_LEN];
    ngx_str_t                      argv[5];
    ngx_http_weir_redis_command_t  cmd;

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;

    ngx_str_set(&argv[0], "SET");
    argv[1] = *key;
    argv[2].data = data;
    argv[2].len = len;
    ngx_str_set(&argv[3], "EX");
    argv[4].data = seconds;
    argv[4].len = ngx_sprintf(seconds, "%T", ttl) - seconds;

    (void) ngx_http_weir_redis_command(ctx->conf->zone->redis, &cmd, 5, argv);
}
