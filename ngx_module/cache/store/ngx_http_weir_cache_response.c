/*
 * What the upstream's response says to a cache, and whether it is stored: RFC
 * 9111 sections 3 and 4.2, over the plain core in rules.c.  Of a 304 what it
 * doesn't say is what was stored.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "cache/policy/http_date.h"
#include "cache/policy/vary.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir.h"


/* the header lines that are read, and where some of them stand */
#define NGX_HTTP_WEIR_CACHE_LINES  8
#define NGX_HTTP_WEIR_CACHE_DATE   2
#define NGX_HTTP_WEIR_CACHE_AGE    3
#define NGX_HTTP_WEIR_CACHE_MODIFIED  7


static ngx_int_t ngx_http_weir_cache_try_prepare(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_uint_t ngx_http_weir_cache_lasts(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t status);
static ngx_array_t *ngx_http_weir_cache_response_lines(
    ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *name);
static ngx_int_t ngx_http_weir_cache_read_response(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_response_t *response,
    weir_cache_control_t *cc);
static ngx_uint_t ngx_http_weir_cache_is_named(ngx_array_t *valid,
    ngx_uint_t status);
static ngx_uint_t ngx_http_weir_cache_is_part(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_read_targeted(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_control_t *cc);
static time_t ngx_http_weir_cache_date(ngx_array_t *lines);


/*
 * A response that there is no memory to store still reaches its client, and says
 * nothing about the next one.
 */

ngx_int_t
ngx_http_weir_cache_prepare(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;

    rc = ngx_http_weir_cache_try_prepare(ctx);

    if (rc == NGX_ERROR) {
        ctx->uncacheable = 0;
        return NGX_DECLINED;
    }

    return rc;
}


/* NGX_OK: the body is collected; NGX_DECLINED: not; NGX_ERROR: no memory. */

static ngx_int_t
ngx_http_weir_cache_try_prepare(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                rc;
    const char              *reason;
    ngx_http_request_t      *r;
    weir_cache_control_t     cc;
    weir_cache_response_t    response;
    weir_cache_freshness_t   freshness;

    r = ctx->request;

    if (ctx->forbidden) {
        return NGX_DECLINED;
    }

    rc = ngx_http_test_predicates(r, ctx->conf->no_store);
    if (rc != NGX_OK) {
        return rc;
    }

    if (ngx_http_weir_cache_read_response(ctx, &response, &cc) != NGX_OK) {
        return NGX_ERROR;
    }

    reason = weir_cache_refuses_storing(&response, &freshness);

    if (reason == NULL && ngx_http_weir_cache_ttl(ctx, &freshness) <= 0) {
        reason = "no time to keep it";
    }

    if (reason == NULL
        && r->headers_out.content_length_n > (off_t) ctx->conf->max_size)
    {
        reason = "too large";
    }

    ctx->uncacheable = reason && !response.request_no_store
                       && ngx_http_weir_cache_lasts(ctx, response.status);

    if (reason == NULL && ctx->conf->min_uses > 1 && ctx->conf->l1
        && ngx_http_weir_cache_zone_uses(ctx->conf->zone,
                                         ctx->varies ? ctx->variant
                                                     : ctx->digest)
           < ctx->conf->min_uses)
    {
        reason = "not used often enough";
    }

    if (reason == NULL && ctx->unavailable && !ctx->conf->l1) {
        reason = "redis is unavailable";
    }

    if (reason) {
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                       "weir cache: not stored: %s", reason);
        return NGX_DECLINED;
    }

    rc = ngx_http_weir_cache_begin(ctx, &freshness, &cc);

    if (rc == NGX_DECLINED && !ctx->unavailable) {
        ctx->uncacheable = ngx_http_weir_cache_lasts(ctx, response.status);
    }

    return rc;
}


/*
 * Whether the next response will be as little storable as this one.  An error,
 * and what this request's own fields brought about, is chance.
 */

static ngx_uint_t
ngx_http_weir_cache_lasts(ngx_http_weir_cache_ctx_t *ctx, ngx_uint_t status)
{
    return ctx->request->method == NGX_HTTP_GET && status != 0 && status < 500
           && !weir_cache_is_about_request(status);
}


void
ngx_http_weir_cache_not_passed_on(ngx_http_weir_cache_ctx_t *ctx)
{
    if (!ctx->stored && ctx->key.len
        && ctx->state == NGX_HTTP_WEIR_CACHE_STATE_FORWARDED
        && ngx_http_weir_cache_lasts(ctx,
                                  ngx_http_weir_upstream_status(ctx->request)))
    {
        ctx->uncacheable = 1;
    }
}


ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_led_away(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx, *last;

    last = NULL;
    cln = r->pool->cleanup;

    while ((ctx = ngx_http_weir_cache_ctx_next(r, &cln)) != NULL) {
        ngx_http_weir_cache_not_passed_on(ctx);
        ngx_http_weir_cache_turn_not_stored(ctx);

        if (ctx->holding) {
            ctx->holding = 0;
            r->aio = 0;
        }

        if (last == NULL) {
            last = ctx;
        }
    }

    return last;
}


/*
 * RFC 9110 section 9.3.3: a POST's response that says how long it is fresh, and
 * by Content-Location that a GET of the POST's own URI would have brought it,
 * is stored as if that GET had.  What the POST itself invalidates, it outlives;
 * see invalidate.
 */

ngx_int_t
ngx_http_weir_cache_prepare_post(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t            key;
    ngx_table_elt_t     *h;
    ngx_http_request_t  *r;

    static ngx_str_t  name = ngx_string("Content-Location");

    r = ctx->request;

    h = ngx_http_weir_find_header(&r->upstream->headers_in.headers, &name);

    if (h == NULL || r->headers_out.status != NGX_HTTP_OK) {
        return NGX_DECLINED;
    }

    if (ngx_http_weir_cache_key(ctx) != NGX_OK
        || ngx_http_weir_cache_read_request(ctx) != NGX_OK
        || ngx_http_weir_cache_key_of(r, &ctx->key_text, &h->value, &key)
           != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (key.len != ctx->key_text.len
        || ngx_memcmp(key.data, ctx->key_text.data, key.len) != 0)
    {
        return NGX_DECLINED;
    }

    return ngx_http_weir_cache_prepare(ctx);
}


/*
 * How long Redis keeps the entry: while it is fresh, while it may be served
 * stale, and for weir_cache_keep if it can be validated.
 */

time_t
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

    lines = ngx_http_weir_header_lines(r, &r->upstream->headers_in.headers,
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
    int64_t               seconds;
    weir_str_t           *line, fields[2];
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
                   ? ngx_http_weir_header_lines(r,
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

    if (!(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_X_ACCEL_EXPIRES)
        && ngx_http_weir_cache_accel_expires(r, &seconds) == NGX_OK)
    {
        /* as in nginx's own caches it takes the place of all others */

        fields[0] = cc->no_cache_fields;
        fields[1] = cc->private_fields;
        weir_cache_control_init(cc);
        cc->no_cache_fields = fields[0];
        cc->private_fields = fields[1];
        cc->max_age = seconds;
        cc->flags = seconds ? 0 : WEIR_CC_NO_STORE;
        response->expires = WEIR_DATE_ABSENT;
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

    response->post = (r->method == NGX_HTTP_POST);
    response->part = ngx_http_weir_cache_is_part(ctx);
    ctx->part = response->part;

    response->valid = -1;

    if (ctx->conf->valid) {
        response->named = ngx_http_weir_cache_is_named(ctx->conf->valid,
                                                       response->status);
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


static ngx_uint_t
ngx_http_weir_cache_is_named(ngx_array_t *valid, ngx_uint_t status)
{
    ngx_uint_t               i;
    ngx_http_cache_valid_t  *v;

    v = valid->elts;

    for (i = 0; i < valid->nelts; i++) {
        if (v[i].status == status) {
            return 1;
        }
    }

    return 0;
}


/*
 * A 206 that may be kept (section 3.3): one range, of which is known where it
 * belongs.  It stands where the whole would, and never takes its place.  One
 * that varies isn't kept, so that no part ends the list of a response's fields.
 *
 * It holds what comes, even if that is less than Content-Range says.  But of a
 * coded part that is not as long as it says nobody knows what the positions
 * count: some servers code a part without telling them anew.
 */

static ngx_uint_t
ngx_http_weir_cache_is_part(ngx_http_weir_cache_ctx_t *ctx)
{
    off_t                 length, told;
    weir_str_t            value;
    ngx_list_t           *headers;
    ngx_table_elt_t      *h;
    ngx_http_request_t   *r;

    static ngx_str_t  name = ngx_string("Content-Range");
    static ngx_str_t  coding = ngx_string("Content-Encoding");

    r = ctx->request;

    if (r->headers_out.status != NGX_HTTP_PARTIAL_CONTENT
        || (r->headers_in.range == NULL && !ctx->conf->sliced)
        || ctx->have_stale
        || ctx->vary_fields.len)
    {
        return 0;
    }

    headers = &r->upstream->headers_in.headers;

    h = ngx_http_weir_find_header(headers, &name);
    if (h == NULL) {
        return 0;
    }

    value.data = (char *) h->value.data;
    value.len = h->value.len;

    if (!weir_content_range_parse(value, &ctx->range)) {
        return 0;
    }

    told = ctx->range.last - ctx->range.first + 1;
    length = r->upstream->headers_in.content_length_n;

    return length == told
           || (length < told
               && ngx_http_weir_find_header(headers, &coding) == NULL);
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
