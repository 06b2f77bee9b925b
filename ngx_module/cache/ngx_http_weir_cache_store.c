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

#include "cache/http_date.h"
#include "cache/ngx_http_weir_cache.h"
#include "cache/vary.h"
#include "http/ngx_http_weir.h"


#define NGX_HTTP_WEIR_CACHE_BUF_MIN  4096

/* the header lines that are read, and where some of them stand */
#define NGX_HTTP_WEIR_CACHE_LINES  8
#define NGX_HTTP_WEIR_CACHE_DATE   2
#define NGX_HTTP_WEIR_CACHE_AGE    3
#define NGX_HTTP_WEIR_CACHE_MODIFIED  7

/* Seconds, so that a short-lived variant does not hide the others. */
#define NGX_HTTP_WEIR_CACHE_POINTER_TTL  3600


static ngx_int_t ngx_http_weir_cache_header_filter(ngx_http_request_t *r);
static ngx_int_t ngx_http_weir_cache_replace(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_revalidated(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_head(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_same(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *name);
static ngx_int_t ngx_http_weir_cache_prepare(ngx_http_weir_cache_ctx_t *ctx);
static ngx_array_t *ngx_http_weir_cache_response_lines(
    ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *name);
static void ngx_http_weir_cache_drop(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_read_response(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_response_t *response,
    weir_cache_control_t *cc);
static ngx_uint_t ngx_http_weir_cache_is_part(ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_whole_is_there(
    ngx_http_weir_cache_ctx_t *ctx, u_char *digest);
static ngx_int_t ngx_http_weir_cache_read_targeted(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_control_t *cc);
static time_t ngx_http_weir_cache_ttl(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness);
static time_t ngx_http_weir_cache_date(ngx_array_t *lines);
static ngx_int_t ngx_http_weir_cache_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc);
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
static ngx_int_t ngx_http_weir_cache_body_filter(ngx_http_request_t *r,
    ngx_chain_t *in);
static ngx_int_t ngx_http_weir_cache_replace_body(
    ngx_http_weir_cache_ctx_t *ctx, ngx_chain_t *in);
static ngx_uint_t ngx_http_weir_cache_consume(ngx_chain_t *in);
static ngx_int_t ngx_http_weir_cache_append(ngx_http_weir_cache_ctx_t *ctx,
    ngx_buf_t *b);
static void ngx_http_weir_cache_abandon(ngx_http_weir_cache_ctx_t *ctx,
    char *reason);
static void ngx_http_weir_cache_free_buf(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_store_pointer(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_set(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t variant, u_char *data, size_t len, time_t ttl);
static void ngx_http_weir_cache_set_fenced(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t variant, ngx_str_t *key, ngx_str_t *value, ngx_str_t *time);


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
    char                       *detail;
    ngx_int_t                   rc;
    ngx_uint_t                  genuine;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL || ctx->status == NGX_HTTP_WEIR_CACHE_NONE
        || ctx->status == NGX_HTTP_WEIR_CACHE_HIT
        || ctx->status == NGX_HTTP_WEIR_CACHE_STALE)
    {
        return ngx_http_next_header_filter(r);
    }

    /* a page of nginx's own, though an upstream was asked, is not its answer */

    genuine = (r->upstream
               && r->upstream->headers_in.status_n == r->headers_out.status);
    detail = NULL;

    if (ctx->conditional) {
        r->headers_in.headers = ctx->headers_in;
    }

    if (genuine && ctx->conditional
        && r->headers_out.status == NGX_HTTP_NOT_MODIFIED)
    {
        rc = ngx_http_weir_cache_revalidated(ctx);

    } else if (genuine && ctx->have_stale && r->method == NGX_HTTP_HEAD
               && r->headers_out.status == NGX_HTTP_OK
               && ctx->stale.status == NGX_HTTP_OK)
    {
        rc = ngx_http_weir_cache_head(ctx);

    } else {
        detail = ctx->have_stale && !ctx->background
                 ? ngx_http_weir_cache_instead_of_error(ctx) : NULL;

        rc = detail ? ngx_http_weir_cache_replace(ctx)
                    : genuine && r->method == NGX_HTTP_GET && ctx->key.len
                    ? ngx_http_weir_cache_prepare(ctx) : NGX_DECLINED;
    }

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (!ctx->storing && !ctx->stored) {
        ngx_http_weir_cache_end_flight(ctx, 1);
    }

    if (ctx->background) {
        return NGX_OK;
    }

    if ((r->upstream || detail)
        && ngx_http_weir_cache_forwarded(ctx, detail) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (detail) {
        ctx->status = NGX_HTTP_WEIR_CACHE_STALE;
    }

    /* these have no body, and so no last buffer */

    if (ctx->storing && (r->headers_out.status == NGX_HTTP_NO_CONTENT
                         || r->headers_out.status == 205))
    {
        ngx_http_weir_cache_store(ctx);
    }

    return ngx_http_next_header_filter(r);
}


/* The answer becomes ctx->stale; what comes as a body is thrown away. */

static ngx_int_t
ngx_http_weir_cache_replace(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->entry = ctx->stale;
    ctx->replacing = 1;

    ngx_http_clean_header(r);
    r->err_status = 0;

    return ngx_http_weir_cache_restore(ctx);
}


/*
 * 304 for the stored response: its header lines are renewed by those of the 304
 * (RFC 9111 section 3.2), it is stored again as if it had just come, and is the
 * answer.
 */

static ngx_int_t
ngx_http_weir_cache_revalidated(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t   rc;
    weir_str_t  data;
    ngx_uint_t  status;

    status = ctx->status;

    ctx->by_request = (status == NGX_HTTP_WEIR_CACHE_REQUEST);
    ctx->status = NGX_HTTP_WEIR_CACHE_REVALIDATED;

    rc = ngx_http_weir_cache_prepare(ctx);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        /* it may be used this once, and not be kept */
        ngx_http_weir_cache_drop(ctx);
        ctx->status = status;
        return ngx_http_weir_cache_replace(ctx);
    }

    ngx_memcpy(ctx->buf + ctx->len, ctx->stale.body.data,
               ctx->stale.body.len);
    ctx->len += ctx->stale.body.len;

    data.data = (char *) ctx->buf;
    data.len = ctx->len;

    ngx_http_weir_cache_store(ctx);

    if (weir_entry_view(data, &ctx->stale) != NULL) {
        return NGX_ERROR;
    }

    return ngx_http_weir_cache_replace(ctx);
}


/*
 * A HEAD's 200 tells what a GET would have brought (section 4.3.5): it renews
 * the stored response like a 304, or that one has been replaced.
 */

static ngx_int_t
ngx_http_weir_cache_head(ngx_http_weir_cache_ctx_t *ctx)
{
    off_t  length;

    static ngx_str_t  etag = ngx_string("ETag");
    static ngx_str_t  modified = ngx_string("Last-Modified");

    length = ctx->request->upstream->headers_in.content_length_n;

    if ((length < 0 || length == (off_t) ctx->stale.body.len)
        && ngx_http_weir_cache_same(ctx, &etag)
        && ngx_http_weir_cache_same(ctx, &modified))
    {
        return ngx_http_weir_cache_revalidated(ctx);
    }

    ngx_http_weir_cache_drop(ctx);

    return NGX_DECLINED;
}


/* Whether the response has no such header, or that of the stored one. */

static ngx_uint_t
ngx_http_weir_cache_same(ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *name)
{
    weir_str_t        stored, value;
    ngx_table_elt_t  *h;

    h = ngx_http_weir_find_header(&ctx->request->upstream->headers_in.headers,
                                  name);
    if (h == NULL) {
        return 1;
    }

    stored = ngx_http_weir_cache_entry_header(&ctx->stale,
                                              (char *) name->data);
    value.data = (char *) h->value.data;
    value.len = h->value.len;

    return weir_str_eq(stored, value);
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

    if (reason == NULL && ctx->conf->min_uses > 1 && ctx->conf->l1
        && ngx_http_weir_cache_zone_uses(ctx->conf->zone,
                                         ctx->varies ? ctx->variant
                                                     : ctx->digest)
           < ctx->conf->min_uses)
    {
        reason = "not used often enough";
    }

    if (reason == NULL && ngx_http_weir_cache_ttl(ctx, &freshness) <= 0) {
        reason = "no time to keep it";
    }

    if (reason == NULL && ctx->unavailable && !ctx->conf->l1) {
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


/*
 * How long Redis keeps the entry: while it is fresh, while it may be served
 * stale, and for weir_cache_keep if it can be validated.
 */

static time_t
ngx_http_weir_cache_ttl(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness)
{
    int64_t  fresh, after;

    fresh = freshness->lifetime - freshness->initial_age;
    after = ngx_max(freshness->stale_while_revalidate,
                    freshness->stale_if_error);

    if ((ctx->validator || ctx->conf->use_stale & ~NGX_CONF_BITMASK_SET)
        && after < (int64_t) ctx->conf->keep)
    {
        after = ctx->conf->keep;
    }

    return ngx_max(fresh, 0) + after;
}


/*
 * All lines of a header of the upstream's response; of a 304 that doesn't have
 * it, what is stored.
 */

static ngx_array_t *
ngx_http_weir_cache_response_lines(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *name)
{
    size_t               pos;
    weir_str_t           n, value, wanted, *line;
    ngx_array_t         *lines;
    ngx_http_request_t  *r;

    r = ctx->request;

    lines = ngx_http_weir_cache_lines(r, &r->upstream->headers_in.headers,
                                      name);

    if (lines == NULL || lines->nelts
        || ctx->status != NGX_HTTP_WEIR_CACHE_REVALIDATED)
    {
        return lines;
    }

    wanted.data = (char *) name->data;
    wanted.len = name->len;
    pos = 0;

    while (weir_entry_next_header(ctx->stale.headers, &pos, &n, &value)) {

        if (!weir_str_caseeq(n, wanted)) {
            continue;
        }

        line = ngx_array_push(lines);
        if (line == NULL) {
            return NULL;
        }

        *line = value;
    }

    return lines;
}


/* What the upstream's header says to a cache. */

static ngx_int_t
ngx_http_weir_cache_read_response(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_response_t *response, weir_cache_control_t *cc)
{
    u_char               *buf;
    size_t                len;
    weir_str_t           *line;
    ngx_int_t             rc;
    ngx_uint_t            i, ignore;
    ngx_array_t          *lines[NGX_HTTP_WEIR_CACHE_LINES];
    ngx_http_request_t   *r;

    static ngx_str_t  names[] = {
        ngx_string("Cache-Control"),
        ngx_string("Expires"),
        ngx_string("Date"),
        ngx_string("Age"),
        ngx_string("Set-Cookie"),
        ngx_string("Vary"),
        ngx_string("ETag"),
        ngx_string("Last-Modified")
    };

    r = ctx->request;
    ignore = ctx->conf->ignore;

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_LINES; i++) {

        /* how old the stored response was is not news of the 304 */

        lines[i] = (i == NGX_HTTP_WEIR_CACHE_DATE || i == NGX_HTTP_WEIR_CACHE_AGE)
                   ? ngx_http_weir_cache_lines(r,
                                      &r->upstream->headers_in.headers,
                                      &names[i])
                   : ngx_http_weir_cache_response_lines(ctx, &names[i]);

        if (lines[i] == NULL) {
            return NGX_ERROR;
        }
    }

    ngx_memzero(response, sizeof(weir_cache_response_t));

    response->cc = cc;
    response->status = ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED
                       ? ctx->stale.status : r->headers_out.status;
    response->expires = WEIR_DATE_ABSENT;

    rc = ngx_http_weir_cache_read_targeted(ctx, cc);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        weir_cache_control_init(cc);

        if (!(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL)) {
            line = lines[0]->elts;

            for (i = 0; i < lines[0]->nelts; i++) {
                (void) weir_cache_control_parse(cc, line[i]);
            }
        }

        if (!(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_EXPIRES)) {
            response->expires = ngx_http_weir_cache_date(lines[1]);
        }
    }

    response->date = ngx_http_weir_cache_date(
                                        lines[NGX_HTTP_WEIR_CACHE_DATE]);
    response->age = -1;

    if (lines[NGX_HTTP_WEIR_CACHE_AGE]->nelts) {
        line = lines[NGX_HTTP_WEIR_CACHE_AGE]->elts;
        response->age = weir_cache_first_delta_seconds(line[0]);
    }

    response->last_modified = ngx_http_weir_cache_date(
                                        lines[NGX_HTTP_WEIR_CACHE_MODIFIED]);
    response->heuristic = (int) ctx->conf->heuristic;

    response->validator = lines[6]->nelts || lines[7]->nelts;
    ctx->validator = response->validator;

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

    response->part = ngx_http_weir_cache_is_part(ctx);
    ctx->part = response->part;

    response->valid = -1;

    if (ctx->conf->valid) {
        response->valid = ngx_http_file_cache_valid(ctx->conf->valid,
                                                    response->status);
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


/*
 * A 206 that may be kept (section 3.3): one range, of which is known where it
 * belongs.  It stands where the whole would, and never takes its place.  One
 * that varies isn't kept, so that no part ends the list of a response's fields.
 */

static ngx_uint_t
ngx_http_weir_cache_is_part(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_str_t            value;
    weir_range_t          range;
    ngx_table_elt_t      *h;
    ngx_http_request_t   *r;

    static ngx_str_t  name = ngx_string("Content-Range");

    r = ctx->request;

    if (r->headers_out.status != NGX_HTTP_PARTIAL_CONTENT
        || r->headers_in.range == NULL || ctx->have_stale
        || ctx->vary_fields.len)
    {
        return 0;
    }

    h = ngx_http_weir_find_header(&r->upstream->headers_in.headers, &name);
    if (h == NULL) {
        return 0;
    }

    value.data = (char *) h->value.data;
    value.len = h->value.len;

    return weir_content_range_parse(value, &range)
           && range.last - range.first + 1
              == (int64_t) r->upstream->headers_in.content_length_n;
}


/*
 * The first targeted field that is there and valid takes the place of
 * Cache-Control and Expires (RFC 9213 section 2.2).  NGX_DECLINED: none is.
 */

static ngx_int_t
ngx_http_weir_cache_read_targeted(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_control_t *cc)
{
    ngx_str_t    *names;
    ngx_uint_t    i;
    ngx_array_t  *lines;

    if (ctx->conf->targeted == NULL
        || (ctx->conf->ignore & NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL))
    {
        return NGX_DECLINED;
    }

    names = ctx->conf->targeted->elts;

    for (i = 0; i < ctx->conf->targeted->nelts; i++) {

        lines = ngx_http_weir_cache_response_lines(ctx, &names[i]);
        if (lines == NULL) {
            return NGX_ERROR;
        }

        if (weir_cache_control_parse_targeted(cc, lines->elts, lines->nelts)) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
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
    date = weir_http_date(line[0], ngx_time());

    return date < 0 ? WEIR_DATE_INVALID : date;
}


static ngx_int_t
ngx_http_weir_cache_begin(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_freshness_t *freshness, weir_cache_control_t *cc)
{
    ngx_int_t            rc;
    size_t               body_len;
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

    ctx->ttl = ngx_http_weir_cache_ttl(ctx, freshness);
    ctx->head_len = weir_entry_head_size(&entry);
    ctx->len = ctx->head_len;
    ctx->size = ctx->head_len + body_len;

    if (r->headers_out.content_length_n
        > (off_t) ngx_http_weir_cache_body_max(ctx))
    {
        return NGX_DECLINED;
    }

    ctx->buf = ngx_palloc(r->pool, ctx->size);
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

    if (ctx->conf->zone->redis) {
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
        { "Weir-Invalidate", 15 },
        { "Weir-Position", 13 },
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
    size_t               len, pos;
    weir_str_t           name[WEIR_ENTRY_HEADERS_MAX];
    weir_str_t           value[WEIR_ENTRY_HEADERS_MAX], *line, *dropped;
    weir_str_t           stored, line_value;
    ngx_uint_t           i, n, ndropped, renewed;
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


static ngx_int_t
ngx_http_weir_cache_body_filter(ngx_http_request_t *r, ngx_chain_t *in)
{
    ngx_chain_t                *cl;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx == NULL
        || (!ctx->storing && !ctx->replacing && !ctx->background))
    {
        return ngx_http_next_body_filter(r, in);
    }

    if (ctx->replacing) {
        return ngx_http_weir_cache_replace_body(ctx, in);
    }

    for (cl = in; cl && ctx->storing; cl = cl->next) {

        if (ngx_http_weir_cache_append(ctx, cl->buf) != NGX_OK) {
            return NGX_ERROR;
        }

        /* a subrequest's last buffer is none of the response's */

        if ((cl->buf->last_buf
             || (ctx->background && cl->buf->last_in_chain
                 && ngx_buf_special(cl->buf)))
            && ctx->storing)
        {
            ngx_http_weir_cache_store(ctx);
        }
    }

    if (ctx->background) {
        ngx_http_weir_cache_consume(in);
        return NGX_OK;
    }

    return ngx_http_next_body_filter(r, in);
}


/* The upstream's body, or nginx's page, is swallowed; at its end the entry's. */

static ngx_int_t
ngx_http_weir_cache_replace_body(ngx_http_weir_cache_ctx_t *ctx,
    ngx_chain_t *in)
{
    ngx_chain_t  *out;

    if (!ngx_http_weir_cache_consume(in) || ctx->background) {
        return NGX_OK;
    }

    ctx->replacing = 0;

    out = ngx_http_weir_cache_body(ctx);

    return out ? ngx_http_next_body_filter(ctx->request, out) : NGX_ERROR;
}


/* Marks buffers as sent; whether the last one was among them. */

static ngx_uint_t
ngx_http_weir_cache_consume(ngx_chain_t *in)
{
    ngx_uint_t    last;
    ngx_chain_t  *cl;

    last = 0;

    for (cl = in; cl; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
        cl->buf->file_pos = cl->buf->file_last;
        last |= cl->buf->last_buf;
    }

    return last;
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

    if (len > (off_t) ngx_http_weir_cache_body_max(ctx)
              - (off_t) (ctx->len - ctx->head_len))
    {
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

    ngx_http_weir_cache_free_buf(ctx);

    ctx->storing = 0;

    ngx_http_weir_cache_end_flight(ctx, 1);
}


/* The client may yet be given it. */

static void
ngx_http_weir_cache_free_buf(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->status != NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        (void) ngx_pfree(ctx->request->pool, ctx->buf);
        ctx->buf = NULL;
    }
}


static void
ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx)
{
    off_t  length;

    length = ctx->request->upstream->headers_in.content_length_n;

    if (length >= 0 && ctx->status != NGX_HTTP_WEIR_CACHE_REVALIDATED
        && (off_t) (ctx->len - ctx->head_len) != length) {
        ngx_http_weir_cache_abandon(ctx, "not as long as its Content-Length");
        return;
    }

    weir_entry_finish((char *) ctx->buf, ctx->len);

    if (!ngx_http_weir_cache_worth_storing(ctx)) {
        ngx_http_weir_cache_end_flight(ctx, 0);
        ngx_http_weir_cache_abandon(ctx, "invalidated meanwhile");
        return;
    }

    if (ctx->vary_fields.len) {
        /* in this order, so that a pointer leads to something */
        ngx_http_weir_cache_set(ctx, 1, ctx->buf, ctx->len,
                                ctx->ttl);
        ngx_http_weir_cache_store_pointer(ctx);

    } else {
        ngx_http_weir_cache_set(ctx, 0, ctx->buf, ctx->len,
                                ctx->ttl);
    }

    ctx->storing = 0;

    ngx_http_weir_cache_end_flight(ctx, 0);

    ngx_http_weir_cache_free_buf(ctx);
}


/* Out of both levels. */

static void
ngx_http_weir_cache_drop(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t                      argv[2];
    ngx_http_weir_redis_command_t  cmd;

    ngx_http_weir_cache_zone_remove(ctx->conf->zone,
                                    ctx->varies ? ctx->variant : ctx->digest);

    if (ctx->conf->zone->redis == NULL) {
        return;
    }

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;

    ngx_str_set(&argv[0], "DEL");
    argv[1] = ngx_http_weir_cache_redis_key(ctx, "cache", ctx->varies);

    if (argv[1].data) {
        (void) ngx_http_weir_redis_command(ctx->conf->zone->redis, &cmd, 2,
                                           argv);
    }
}


static void
ngx_http_weir_cache_store_pointer(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char        *p;
    size_t         len;
    ngx_time_t    *tp;
    weir_entry_t   entry;

    ngx_memzero(&entry, sizeof(weir_entry_t));

    tp = ngx_timeofday();

    entry.flags = WEIR_ENTRY_VARY_POINTER;
    entry.stored = (int64_t) tp->sec * 1000 + tp->msec;
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

    ngx_http_weir_cache_set(ctx, 0, p, len,
                            ngx_max(ctx->ttl,
                                    NGX_HTTP_WEIR_CACHE_POINTER_TTL));
}


/*
 * Into both levels.  Nobody waits for Redis' reply; Redis drops the entry when
 * its time is over.
 */

static void
ngx_http_weir_cache_set(ngx_http_weir_cache_ctx_t *ctx, ngx_uint_t variant,
    u_char *data, size_t len, time_t ttl)
{
    u_char                         seconds[NGX_TIME_T_LEN];
    u_char                        *digest;
    ngx_str_t                      argv[6], key, value, time;
    ngx_http_weir_cache_zone_t    *zone;
    ngx_http_weir_redis_command_t  cmd;

    zone = ctx->conf->zone;
    digest = variant ? ctx->variant : ctx->digest;

    if (ctx->conf->l1
        && !(ctx->part && ngx_http_weir_cache_whole_is_there(ctx, digest)))
    {
        (void) ngx_http_weir_cache_zone_put(zone, digest, data, len);
    }

    if (zone->redis == NULL) {
        return;
    }

    key = ngx_http_weir_cache_redis_key(ctx, "cache", variant);
    if (key.data == NULL) {
        return;
    }

    value.data = data;
    value.len = len;
    time.data = seconds;
    time.len = ngx_sprintf(seconds, "%T", ttl) - seconds;

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;

    if (ctx->lease.len) {
        ngx_http_weir_cache_set_fenced(ctx, variant, &key, &value, &time);
        return;
    }

    ngx_str_set(&argv[0], "SET");
    argv[1] = key;
    argv[2] = value;
    ngx_str_set(&argv[3], "EX");
    argv[4] = time;
    ngx_str_set(&argv[5], "NX");

    (void) ngx_http_weir_redis_command(zone->redis, &cmd, ctx->part ? 6 : 5,
                                       argv);
}


/*
 * Who held the lease too long must not overwrite: the value goes to a key of
 * its own, and from there into its place if the lease is still held.  As an
 * argument of the script a large value would cost Redis several times as much.
 * A value that never gets to its place is soon dropped.
 */

static void
ngx_http_weir_cache_set_fenced(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t variant, ngx_str_t *key, ngx_str_t *value, ngx_str_t *time)
{
    u_char                         *p;
    ngx_str_t                       argv[8], own;
    ngx_http_weir_redis_t          *redis;
    ngx_http_weir_redis_command_t   cmd;

    static ngx_str_t  fenced = ngx_string(
        "local t=redis.call('GET',KEYS[2])"
        " if t and t~=ARGV[2] then redis.call('UNLINK',KEYS[3]) return 0 end"
        " if redis.call('EXPIRE',KEYS[3],ARGV[1])==0 then return 0 end"
        " redis.call('RENAME',KEYS[3],KEYS[1]) return 1");

    redis = ctx->conf->zone->redis;

    own = ngx_http_weir_cache_redis_key(ctx, "fill", variant);

    p = ngx_pnalloc(ctx->request->pool, own.len + 1 + ctx->lease.len);

    if (own.data == NULL || p == NULL) {
        return;
    }

    own.len = ngx_sprintf(p, "%V:%V", &own, &ctx->lease) - p;
    own.data = p;

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;

    ngx_str_set(&argv[0], "SET");
    argv[1] = own;
    argv[2] = *value;
    ngx_str_set(&argv[3], "EX");
    ngx_str_set(&argv[4], "60");

    if (ngx_http_weir_redis_command(redis, &cmd, 5, argv) != NGX_OK) {
        return;
    }

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = fenced;
    ngx_str_set(&argv[2], "3");
    argv[3] = *key;
    argv[4] = ctx->lease_key;
    argv[5] = own;
    argv[6] = *time;
    argv[7] = ctx->lease;

    (void) ngx_http_weir_redis_command(redis, &cmd, 8, argv);
}


/* Whether shared memory holds anything but a part. */

static ngx_uint_t
ngx_http_weir_cache_whole_is_there(ngx_http_weir_cache_ctx_t *ctx,
    u_char *digest)
{
    ngx_uint_t                  there;
    weir_str_t                  data;
    weir_entry_t                entry;
    ngx_http_weir_cache_pin_t   pin;

    ngx_memzero(&pin, sizeof(ngx_http_weir_cache_pin_t));

    if (ngx_http_weir_cache_zone_get(ctx->conf->zone, digest,
                                     ctx->request->pool, &pin)
        != NGX_OK)
    {
        return 0;
    }

    data.data = (char *) pin.data;
    data.len = pin.len;

    there = weir_entry_view(data, &entry) == NULL
            && entry.status != NGX_HTTP_PARTIAL_CONTENT;

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &pin);

    return there;
}
