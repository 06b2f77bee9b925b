/*
 * Reads the fields of the upstream's header that concern caching.  Fields that
 * a 304 lacks are those of the stored response.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_flags.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/key/ngx_http_weir_cache_redirect.h"
#include "cache/policy/vary.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "common/text/http_date.h"
#include "http/ngx_http_weir_headers.h"


/* the header lines that are read */
enum {
    NGX_HTTP_WEIR_CACHE_LINE_CONTROL = 0,
    NGX_HTTP_WEIR_CACHE_LINE_EXPIRES,
    NGX_HTTP_WEIR_CACHE_LINE_DATE,
    NGX_HTTP_WEIR_CACHE_LINE_AGE,
    NGX_HTTP_WEIR_CACHE_LINE_COOKIE,
    NGX_HTTP_WEIR_CACHE_LINE_VARY,
    NGX_HTTP_WEIR_CACHE_LINE_ETAG,
    NGX_HTTP_WEIR_CACHE_LINE_MODIFIED,
    NGX_HTTP_WEIR_CACHE_LINES
};


static ngx_array_t *ngx_http_weir_cache_read_field_lines(
    ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *name);
static ngx_int_t ngx_http_weir_cache_read_lines(
    ngx_http_weir_cache_ctx_t *ctx, ngx_array_t **lines);
static ngx_int_t ngx_http_weir_cache_read_control(
    ngx_http_weir_cache_ctx_t *ctx, ngx_array_t **lines,
    weir_cache_response_t *response, weir_cache_control_t *cc);
static ngx_int_t ngx_http_weir_cache_read_vary(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t *lines, weir_cache_response_t *response);
static void ngx_http_weir_cache_read_valid(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_response_t *response);
static ngx_uint_t ngx_http_weir_cache_read_is_named(ngx_array_t *valid,
    ngx_uint_t status);
static ngx_uint_t ngx_http_weir_cache_read_is_part(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_read_targeted(
    ngx_http_weir_cache_ctx_t *ctx, weir_cache_control_t *cc);
static time_t ngx_http_weir_cache_read_date(ngx_array_t *lines);


ngx_int_t
ngx_http_weir_cache_read_response(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_response_t *response, weir_cache_control_t *cc)
{
    weir_str_t           *line;
    ngx_array_t          *lines[NGX_HTTP_WEIR_CACHE_LINES];
    ngx_http_request_t   *r;

    r = ctx->request;

    if (ngx_http_weir_cache_read_lines(ctx, lines) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(response, sizeof(weir_cache_response_t));

    response->cc = cc;
    response->status = ctx->status == NGX_HTTP_WEIR_CACHE_REVALIDATED
                       ? ctx->stale.status : r->headers_out.status;

    if (ngx_http_weir_cache_read_control(ctx, lines, response, cc)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    response->date = ngx_http_weir_cache_read_date(
                                        lines[NGX_HTTP_WEIR_CACHE_LINE_DATE]);
    response->age = -1;

    if (lines[NGX_HTTP_WEIR_CACHE_LINE_AGE]->nelts) {
        line = lines[NGX_HTTP_WEIR_CACHE_LINE_AGE]->elts;
        response->age = weir_cache_first_delta_seconds(line[0]);
    }

    response->last_modified = ngx_http_weir_cache_read_date(
                                   lines[NGX_HTTP_WEIR_CACHE_LINE_MODIFIED]);
    response->heuristic = (int) ctx->conf->heuristic;

    response->validator = lines[NGX_HTTP_WEIR_CACHE_LINE_ETAG]->nelts
                          || lines[NGX_HTTP_WEIR_CACHE_LINE_MODIFIED]->nelts;
    ctx->validator = response->validator;

    response->set_cookie = lines[NGX_HTTP_WEIR_CACHE_LINE_COOKIE]->nelts != 0
                          && !(ctx->conf->ignore
                               & NGX_HTTP_WEIR_CACHE_IGNORE_SET_COOKIE);

    if (ngx_http_weir_cache_read_vary(ctx, lines[NGX_HTTP_WEIR_CACHE_LINE_VARY],
                                      response)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    response->post = (r->method == NGX_HTTP_POST);
    response->part = ngx_http_weir_cache_read_is_part(ctx);
    ctx->part = response->part;

    ngx_http_weir_cache_read_valid(ctx, response);

    response->authorization = ngx_http_weir_cache_key_has_authorization(ctx);
    response->token = ctx->share.partition.len != 0;
    response->request_no_store = (ctx->request_cc.flags & WEIR_CC_NO_STORE)
                                 != 0;
    response->request_time = ctx->request_time;
    response->response_time = ngx_time();

    return NGX_OK;
}


/*
 * All lines of a header of the upstream's response; for a 304 without that
 * header, those of the stored response.
 */

static ngx_array_t *
ngx_http_weir_cache_read_field_lines(ngx_http_weir_cache_ctx_t *ctx,
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


/* NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_cache_read_lines(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t **lines)
{
    ngx_uint_t  i;

    static ngx_str_t  names[NGX_HTTP_WEIR_CACHE_LINES] = {
        ngx_string("Cache-Control"),
        ngx_string("Expires"),
        ngx_string("Date"),
        ngx_string("Age"),
        ngx_string("Set-Cookie"),
        ngx_string("Vary"),
        ngx_string("ETag"),
        ngx_string("Last-Modified")
    };

    for (i = 0; i < NGX_HTTP_WEIR_CACHE_LINES; i++) {

        /* the age of the stored response does not apply to the 304 */

        lines[i] = (i == NGX_HTTP_WEIR_CACHE_LINE_DATE
                    || i == NGX_HTTP_WEIR_CACHE_LINE_AGE)
                   ? ngx_http_weir_header_lines(ctx->request,
                             &ctx->request->upstream->headers_in.headers,
                             &names[i])
                   : ngx_http_weir_cache_read_field_lines(ctx, &names[i]);

        if (lines[i] == NULL) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * Reads the freshness fields into cc and response->expires: a targeted field,
 * otherwise Cache-Control and Expires.  NGX_OK or NGX_ERROR (no memory).
 */

static ngx_int_t
ngx_http_weir_cache_read_control(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t **lines, weir_cache_response_t *response,
    weir_cache_control_t *cc)
{
    int64_t       seconds;
    weir_str_t   *line, fields[2];
    ngx_int_t     rc;
    ngx_uint_t    i, ignore;
    ngx_array_t  *control;

    ignore = ctx->conf->ignore;
    response->expires = WEIR_DATE_ABSENT;

    rc = ngx_http_weir_cache_read_targeted(ctx, cc);

    if (rc == NGX_ERROR) {
        return NGX_ERROR;
    }

    if (rc == NGX_DECLINED) {
        weir_cache_control_init(cc);

        if (!(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL)) {
            control = lines[NGX_HTTP_WEIR_CACHE_LINE_CONTROL];
            line = control->elts;

            for (i = 0; i < control->nelts; i++) {
                (void) weir_cache_control_parse(cc, line[i]);
            }
        }

        if (!(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_EXPIRES)) {
            response->expires = ngx_http_weir_cache_read_date(
                                    lines[NGX_HTTP_WEIR_CACHE_LINE_EXPIRES]);
        }
    }

    if (!(ignore & NGX_HTTP_WEIR_CACHE_IGNORE_X_ACCEL_EXPIRES)
        && ngx_http_weir_cache_redirect_accel_expires(ctx->request, &seconds)
           == NGX_OK)
    {
        /* as in nginx's own caches, it overrides all others */

        fields[0] = cc->no_cache_fields;
        fields[1] = cc->private_fields;
        weir_cache_control_init(cc);
        cc->no_cache_fields = fields[0];
        cc->private_fields = fields[1];
        cc->max_age = seconds;
        cc->flags = seconds ? 0 : WEIR_CC_NO_STORE;
        response->expires = WEIR_DATE_ABSENT;
    }

    return NGX_OK;
}


/* Reads the fields of Vary into ctx.  NGX_OK or NGX_ERROR (no memory). */

static ngx_int_t
ngx_http_weir_cache_read_vary(ngx_http_weir_cache_ctx_t *ctx,
    ngx_array_t *lines, weir_cache_response_t *response)
{
    u_char       *buf;
    size_t        len;
    ngx_int_t     rc;
    ngx_array_t  *flags;

    static ngx_str_t  name = ngx_string("Weir-Vary-Flags");

    if (ctx->conf->ignore & NGX_HTTP_WEIR_CACHE_IGNORE_VARY) {
        lines->nelts = 0;
    }

    flags = ngx_http_weir_cache_read_field_lines(ctx, &name);
    if (flags == NULL) {
        return NGX_ERROR;
    }

    if (ctx->status != NGX_HTTP_WEIR_CACHE_REVALIDATED) {
        ctx->flags.len = 0;
    }

    rc = ngx_http_weir_cache_flags_add(ctx, flags, lines);

    if (rc != NGX_OK) {
        response->vary_any = 1;
        return rc == NGX_ERROR ? NGX_ERROR : NGX_OK;
    }

    if (lines->nelts == 0) {
        return NGX_OK;
    }

    buf = ngx_pnalloc(ctx->request->pool,
                      WEIR_VARY_FIELDS_MAX * (WEIR_VARY_NAME_MAX + 1));
    if (buf == NULL) {
        return NGX_ERROR;
    }

    response->vary_any = !weir_vary_fields(lines->elts, lines->nelts,
                                           (char *) buf, &len);

    if (!response->vary_any) {
        ctx->vary_fields.data = buf;
        ctx->vary_fields.len = len;
    }

    return NGX_OK;
}


/* weir_cache_valid for the status; -1 if not set. */

static void
ngx_http_weir_cache_read_valid(ngx_http_weir_cache_ctx_t *ctx,
    weir_cache_response_t *response)
{
    ngx_array_t  *valid;

    valid = ctx->conf->valid;
    response->valid = -1;

    if (valid == NULL) {
        return;
    }

    response->named = ngx_http_weir_cache_read_is_named(valid,
                                                        response->status);
    response->valid = ngx_http_file_cache_valid(valid, response->status);

    if (response->valid == 0) {
        response->valid = -1;
    }
}


static ngx_uint_t
ngx_http_weir_cache_read_is_named(ngx_array_t *valid, ngx_uint_t status)
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
 * True for a 206 that may be stored (section 3.3): a single range of known
 * position.  It is stored where the whole response would be, and never replaces
 * a whole response.  A 206 with Vary is not stored, so that no part replaces
 * the list of a response's fields.
 *
 * Fewer bytes than Content-Range says are stored as they are.  But if a part
 * with a content coding has another length than it says, the meaning of its
 * positions is unknown: some servers encode a part without adapting them.
 */

static ngx_uint_t
ngx_http_weir_cache_read_is_part(ngx_http_weir_cache_ctx_t *ctx)
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
 * The first targeted field that is present and valid replaces Cache-Control and
 * Expires (RFC 9213 section 2.2).  NGX_DECLINED: there is none.
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

        lines = ngx_http_weir_cache_read_field_lines(ctx, &names[i]);
        if (lines == NULL) {
            return NGX_ERROR;
        }

        if (weir_cache_control_parse_targeted(cc, lines->elts, lines->nelts)) {
            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


/* A date header; the first of several lines counts (RFC 9111 section 4.2.1). */

static time_t
ngx_http_weir_cache_read_date(ngx_array_t *lines)
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
