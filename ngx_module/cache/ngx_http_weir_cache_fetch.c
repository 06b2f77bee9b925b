/*
 * From a request to the decision: the key, one look-up in Redis, a second one
 * when the response varies, and what RFC 9111 section 4 says about what was
 * found.  While Redis is asked the request waits in the precontent phase; the
 * client's time-outs and its leaving are watched as nginx does for a delayed
 * request.
 *
 * Whatever goes wrong is a miss: the upstream is asked.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "cache/vary.h"
#include "http/ngx_http_weir.h"
#include "version/ngx_http_weir_version.h"

/* A refusal by Redis is logged at most this often, in seconds. */
#define NGX_HTTP_WEIR_CACHE_LOG_INTERVAL  10

#define XXH_INLINE_ALL
#include <xxhash.h>


static ngx_http_weir_cache_ctx_t *ngx_http_weir_cache_create_ctx(
    ngx_http_request_t *r, ngx_http_weir_cache_loc_conf_t *clcf);
static ngx_int_t ngx_http_weir_cache_key(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_redis_key(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *text, ngx_str_t *key);
static ngx_int_t ngx_http_weir_cache_read_request(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_look_up(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *key);
static void ngx_http_weir_cache_redis_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static ngx_int_t ngx_http_weir_cache_decide(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status);
static ngx_uint_t ngx_http_weir_cache_read_entry(
    ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_refusal(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *key);
static void ngx_http_weir_cache_cleanup(void *data);


static ngx_str_t  ngx_http_weir_cache_cache_control =
                                                  ngx_string("Cache-Control");
static ngx_str_t  ngx_http_weir_cache_pragma = ngx_string("Pragma");


ngx_int_t
ngx_http_weir_cache_handler(ngx_http_request_t *r)
{
    ngx_http_weir_cache_ctx_t       *ctx;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    ctx = ngx_http_get_module_ctx(r, ngx_http_weir_cache_module);

    if (ctx) {

        if (ctx->waiting) {
            return NGX_AGAIN;
        }

        return ctx->status == NGX_HTTP_WEIR_CACHE_NONE
               ? ngx_http_weir_cache_decide(ctx) : NGX_DECLINED;
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL || r != r->main || r->error_page
        || r->content_handler == NULL)
    {
        return NGX_DECLINED;
    }

    ctx = ngx_http_weir_cache_create_ctx(r, clcf);
    if (ctx == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_METHOD);
    }

    if (r->headers_in.content_length_n > 0 || r->headers_in.chunked) {
        /* the key doesn't know the body */
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    if (ngx_http_weir_cache_key(ctx) != NGX_OK
        || ngx_http_weir_cache_read_request(ctx) != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    switch (ngx_http_test_predicates(r, clcf->bypass)) {

    case NGX_ERROR:
        return NGX_HTTP_INTERNAL_SERVER_ERROR;

    case NGX_DECLINED:
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_BYPASS);
    }

    return ngx_http_weir_cache_look_up(ctx, &ctx->redis_key);
}


static ngx_http_weir_cache_ctx_t *
ngx_http_weir_cache_create_ctx(ngx_http_request_t *r,
    ngx_http_weir_cache_loc_conf_t *clcf)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_weir_cache_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_weir_cache_ctx_t));
    ctx->request = r;
    ctx->conf = clcf;

    cln->handler = ngx_http_weir_cache_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_weir_cache_module);

    return ctx;
}


/* A request that goes away waits for no reply. */

static void
ngx_http_weir_cache_cleanup(void *data)
{
    ngx_http_weir_cache_ctx_t  *ctx = data;

    if (ctx->waiting) {
        ngx_http_weir_redis_cancel(&ctx->command);
    }
}


static ngx_int_t
ngx_http_weir_cache_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status)
{
    weir_problem_t  problem;

    ctx->status = status;
    ctx->request_time = ngx_time();

    if (!(ctx->request_cc.flags & WEIR_CC_ONLY_IF_CACHED)) {
        return NGX_DECLINED;
    }

    /* RFC 9111 section 5.2.1.7 */

    ngx_memzero(&problem, sizeof(weir_problem_t));
    problem.status = NGX_HTTP_GATEWAY_TIME_OUT;
    problem.title = "Not in the cache";
    problem.detail = WEIR_STR("The request takes only a stored response, and"
                              " there is none that may be used.");

    return ngx_http_weir_send_problem(ctx->request, &problem);
}


/*
 * weir_cache_key, and the negotiated version, so that versions of an API never
 * answer for each other whatever the key.
 */

static ngx_int_t
ngx_http_weir_cache_key(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char              *p;
    ngx_str_t            version, key;
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ctx->conf->key) {
        if (ngx_http_complex_value(r, ctx->conf->key, &key) != NGX_OK) {
            return NGX_ERROR;
        }

    } else {
        ngx_str_null(&key);
    }

    if (ngx_http_weir_version_get(r, &version) == NGX_OK) {

        p = ngx_pnalloc(r->pool, version.len + 1 + key.len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        ctx->key.data = p;
        p = ngx_cpymem(p, version.data, version.len);
        *p++ = ' ';
        p = ngx_cpymem(p, key.data, key.len);
        ctx->key.len = p - ctx->key.data;

    } else {
        ctx->key = key;
    }

    return ngx_http_weir_cache_redis_key(ctx, &ctx->key, &ctx->redis_key);
}


/* weir:cache:<zone>:<digest of the text> */

static ngx_int_t
ngx_http_weir_cache_redis_key(ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *text,
    ngx_str_t *key)
{
    u_char               *p;
    XXH128_hash_t         hash;
    XXH128_canonical_t    digest;
    ngx_str_t            *zone;

    zone = &ctx->conf->zone->name;

    key->len = sizeof("weir:cache::") - 1 + zone->len
               + NGX_HTTP_WEIR_CACHE_DIGEST_LEN;

    key->data = ngx_pnalloc(ctx->request->pool, key->len);
    if (key->data == NULL) {
        return NGX_ERROR;
    }

    hash = XXH3_128bits(text->data, text->len);
    XXH128_canonicalFromHash(&digest, hash);

    p = ngx_cpymem(key->data, "weir:cache:", sizeof("weir:cache:") - 1);
    p = ngx_cpymem(p, zone->data, zone->len);
    *p++ = ':';
    ngx_hex_dump(p, digest.digest, sizeof(digest.digest));

    return NGX_OK;
}


ngx_array_t *
ngx_http_weir_cache_lines(ngx_http_request_t *r, ngx_list_t *headers,
    ngx_str_t *name)
{
    weir_str_t       *line;
    ngx_uint_t        i;
    ngx_array_t      *lines;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    lines = ngx_array_create(r->pool, 2, sizeof(weir_str_t));
    if (lines == NULL) {
        return NULL;
    }

    for (part = &headers->part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].hash == 0 || h[i].key.len != name->len
                || ngx_strncasecmp(h[i].key.data, name->data, name->len) != 0)
            {
                continue;
            }

            line = ngx_array_push(lines);
            if (line == NULL) {
                return NULL;
            }

            line->data = (char *) h[i].value.data;
            line->len = h[i].value.len;
        }
    }

    return lines;
}


/* Cache-Control, or without one Pragma: no-cache (RFC 9111 section 5.4) */

static ngx_int_t
ngx_http_weir_cache_read_request(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_str_t            *line;
    ngx_uint_t             i;
    ngx_array_t           *lines, *pragma;
    weir_cache_control_t   old;
    ngx_http_request_t    *r;

    r = ctx->request;

    weir_cache_control_init(&ctx->request_cc);

    if (ctx->conf->ignore & NGX_HTTP_WEIR_CACHE_IGNORE_CACHE_CONTROL) {
        return NGX_OK;
    }

    lines = ngx_http_weir_cache_lines(r, &r->headers_in.headers,
                                      &ngx_http_weir_cache_cache_control);

    pragma = ngx_http_weir_cache_lines(r, &r->headers_in.headers,
                                       &ngx_http_weir_cache_pragma);

    if (lines == NULL || pragma == NULL) {
        return NGX_ERROR;
    }

    line = lines->elts;

    for (i = 0; i < lines->nelts; i++) {
        (void) weir_cache_control_parse(&ctx->request_cc, line[i]);
    }

    if (lines->nelts == 0) {
        weir_cache_control_init(&old);
        line = pragma->elts;

        for (i = 0; i < pragma->nelts; i++) {
            (void) weir_cache_control_parse(&old, line[i]);
        }

        ctx->request_cc.flags = old.flags & WEIR_CC_NO_CACHE;
    }

    return NGX_OK;
}


/* Asks Redis; NGX_AGAIN: the request waits. */

static ngx_int_t
ngx_http_weir_cache_look_up(ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *key)
{
    ngx_str_t                       argv[2];
    ngx_http_request_t             *r;
    ngx_http_weir_redis_command_t  *cmd;

    r = ctx->request;
    cmd = &ctx->command;

    cmd->pool = r->pool;
    cmd->handler = ngx_http_weir_cache_redis_handler;
    cmd->data = ctx;
    cmd->log = r->connection->log;

    ngx_str_set(&argv[0], "GET");
    argv[1] = *key;

    if (ngx_http_weir_redis_command(ctx->conf->zone->redis, cmd, 2, argv)
        != NGX_OK)
    {
        ctx->unavailable = 1;
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_MISS);
    }

    ctx->waiting = 1;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


static void
ngx_http_weir_cache_redis_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_connection_t           *c;
    ngx_http_request_t         *r;
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = cmd->data;
    r = ctx->request;
    c = r->connection;

    ctx->waiting = 0;
    ctx->reply = reply;

    if (rc != NGX_OK) {
        ctx->unavailable = 1;
    }

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/* What the reply means for the request. */

static ngx_int_t
ngx_http_weir_cache_decide(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t               fields;
    weir_entry_t           *entry;
    weir_cache_freshness_t  freshness;

    entry = &ctx->entry;

    if (ctx->reply == NULL || !ngx_http_weir_cache_read_entry(ctx)) {
        return ngx_http_weir_cache_forward(ctx,
                                           ctx->variant_key.len
                                           ? NGX_HTTP_WEIR_CACHE_VARY_MISS
                                           : NGX_HTTP_WEIR_CACHE_MISS);
    }

    if (entry->flags & WEIR_ENTRY_VARY_POINTER) {
        fields.data = (u_char *) entry->vary.data;
        fields.len = entry->vary.len;

        if (ngx_http_weir_cache_variant(ctx, &fields) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->reply = NULL;

        return ngx_http_weir_cache_look_up(ctx, &ctx->variant_key);
    }

    ngx_memzero(&freshness, sizeof(weir_cache_freshness_t));
    freshness.lifetime = entry->lifetime;

    switch (weir_cache_use(&freshness, ngx_http_weir_cache_age(entry),
                           &ctx->request_cc))
    {
    case WEIR_CACHE_FRESH:
        ctx->status = NGX_HTTP_WEIR_CACHE_HIT;
        return ngx_http_weir_cache_answer(ctx);

    case WEIR_CACHE_STALE:
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_STALE);

    default:
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_REQUEST);
    }
}


/*
 * Whether the reply is an entry for this request.  Anything else under one of
 * Weir's keys is for the operator to know; the next response overwrites it.
 */

static ngx_uint_t
ngx_http_weir_cache_read_entry(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t                    *key;
    weir_str_t                    data;
    const char                   *wrong;
    weir_entry_t                 *entry;
    ngx_http_weir_redis_reply_t  *reply;

    reply = ctx->reply;
    entry = &ctx->entry;
    key = ctx->variant_key.len ? &ctx->variant_key : &ctx->redis_key;

    switch (reply->type) {

    case NGX_HTTP_WEIR_REDIS_NIL:
        return 0;

    case NGX_HTTP_WEIR_REDIS_STRING:
        break;

    default:
        ngx_http_weir_cache_refusal(ctx, key);
        return 0;
    }

    data.data = (char *) reply->str.data;
    data.len = reply->str.len;

    wrong = weir_entry_decode(data, entry);

    if (wrong == NULL
        && ((entry->flags & WEIR_ENTRY_VARIANT) != 0)
           != (ctx->variant_key.len != 0))
    {
        wrong = "in the place of another";
    }

    if (wrong) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "weir_cache \"%V\": \"%V\" holds a foreign or damaged"
                      " value (%s), taken as a miss",
                      &ctx->conf->zone->name, key, wrong);
        return 0;
    }

    /* another text of the same digest is not for this request */

    return entry->key.len == ctx->key.len
           && ngx_memcmp(entry->key.data, ctx->key.data, ctx->key.len) == 0
           && (ctx->variant_key.len == 0
               || (entry->vary.len == ctx->vary.len
                   && ngx_memcmp(entry->vary.data, ctx->vary.data,
                                 ctx->vary.len)
                      == 0));
}


/* A value of another type is damage; else Redis itself is in no state to tell. */

static void
ngx_http_weir_cache_refusal(ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *key)
{
    ngx_str_t  *text;

    static time_t  logged;

    text = &ctx->reply->str;

    if (text->len >= 9 && ngx_strncmp(text->data, "WRONGTYPE", 9) == 0) {
        ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                      "weir_cache \"%V\": \"%V\" holds a foreign value (%V),"
                      " taken as a miss", &ctx->conf->zone->name, key, text);
        return;
    }

    ctx->unavailable = 1;

    if (ngx_time() - logged < NGX_HTTP_WEIR_CACHE_LOG_INTERVAL) {
        return;
    }

    logged = ngx_time();

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "weir_cache \"%V\": Redis refuses to read: %V",
                  &ctx->conf->zone->name, text);
}


time_t
ngx_http_weir_cache_age(weir_entry_t *entry)
{
    int64_t      resident;
    ngx_time_t  *tp;

    tp = ngx_timeofday();
    resident = (int64_t) tp->sec * 1000 + tp->msec - entry->stored;

    return entry->initial_age + (resident > 0 ? resident / 1000 : 0);
}


/*
 * The variant's text is a line "name: value" for each field, values normalized,
 * lines of one header joined by commas (RFC 9111 section 4.1); a header that is
 * absent has no line, unlike one that is empty.
 */

ngx_int_t
ngx_http_weir_cache_variant(ngx_http_weir_cache_ctx_t *ctx, ngx_str_t *fields)
{
    size_t                pos, len;
    u_char               *p, *value, *v;
    ngx_str_t             name, text;
    weir_str_t            list, field, *line;
    ngx_uint_t            i;
    ngx_array_t          *lines[WEIR_VARY_FIELDS_MAX];
    ngx_uint_t            n;
    ngx_http_request_t   *r;

    r = ctx->request;
    list.data = (char *) fields->data;
    list.len = fields->len;

    /* how long it can get */

    len = 0;
    n = 0;

    for (pos = 0; n < WEIR_VARY_FIELDS_MAX
                  && weir_vary_next(list, &pos, &field); n++)
    {
        name.data = (u_char *) field.data;
        name.len = field.len;

        lines[n] = ngx_http_weir_cache_lines(r, &r->headers_in.headers, &name);
        if (lines[n] == NULL) {
            return NGX_ERROR;
        }

        len += field.len + sizeof(": \n") - 1;
        line = lines[n]->elts;

        for (i = 0; i < lines[n]->nelts; i++) {
            len += line[i].len + 1;
        }
    }

    /* the values are put together at the end of the buffer first */

    p = ngx_pnalloc(r->pool, len * 2);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->vary.data = p;
    value = p + len;
    n = 0;

    for (pos = 0; n < WEIR_VARY_FIELDS_MAX
                  && weir_vary_next(list, &pos, &field); n++)
    {
        if (lines[n]->nelts == 0) {
            continue;
        }

        line = lines[n]->elts;
        v = value;

        for (i = 0; i < lines[n]->nelts; i++) {
            v = ngx_cpymem(v, line[i].data, line[i].len);
            *v++ = ',';
        }

        p = ngx_cpymem(p, field.data, field.len);
        *p++ = ':';
        *p++ = ' ';
        p += weir_vary_normalize((weir_str_t) { (char *) value,
                                                (size_t) (v - value - 1) },
                                 (char *) p);
        *p++ = '\n';
    }

    ctx->vary.len = p - ctx->vary.data;

    /* the variant's digest is that of key and text */

    text.len = ctx->key.len + 1 + ctx->vary.len;
    text.data = ngx_pnalloc(r->pool, text.len);
    if (text.data == NULL) {
        return NGX_ERROR;
    }

    p = ngx_cpymem(text.data, ctx->key.data, ctx->key.len);
    *p++ = '\n';
    ngx_memcpy(p, ctx->vary.data, ctx->vary.len);

    return ngx_http_weir_cache_redis_key(ctx, &text, &ctx->variant_key);
}
