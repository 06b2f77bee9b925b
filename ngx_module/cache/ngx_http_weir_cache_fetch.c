/*
 * From a request to the decision: the key, a look-up in shared memory and, when
 * there is nothing fresh, in Redis, the same again for the variant when the
 * response varies, and what RFC 9111 section 4 says about what was found.
 * While Redis is asked the request waits in the precontent phase; the
 * client's time-outs and its leaving are watched as nginx does for a delayed
 * request.
 *
 * Whatever goes wrong is a miss: the upstream is asked.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "cache/ngx_http_weir_cache_flight.h"
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
static void ngx_http_weir_cache_digest(ngx_str_t *text, u_char *digest);
static ngx_int_t ngx_http_weir_cache_read_request(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_find(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_find_l1(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_find_l2(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_redis_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static ngx_int_t ngx_http_weir_cache_decide_l2(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_use(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_miss(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_keep_stale(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_stale_at_once(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_fly(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status);
static ngx_int_t ngx_http_weir_cache_wait(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_wait_handler(ngx_event_t *ev);
static ngx_int_t ngx_http_weir_cache_park(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_resume(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_error_page(ngx_http_request_t *r);
static ngx_uint_t ngx_http_weir_cache_matches(ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status);
static ngx_uint_t ngx_http_weir_cache_read_entry(
    ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_refusal(ngx_http_weir_cache_ctx_t *ctx);
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

        if (ctx->waiting || ctx->wait.timer_set) {
            return NGX_AGAIN;
        }

        if (ctx->status != NGX_HTTP_WEIR_CACHE_NONE) {
            return NGX_DECLINED;
        }

        return ctx->l2 ? ngx_http_weir_cache_decide_l2(ctx)
                       : ngx_http_weir_cache_find(ctx);
    }

    if (r != r->main || r->content_handler == NULL) {
        return NGX_DECLINED;
    }

    if (r->error_page) {
        return ngx_http_weir_cache_error_page(r);
    }

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_weir_cache_module);

    if (clcf->zone == NULL) {
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

    return ngx_http_weir_cache_find(ctx);
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
    weir_cache_control_init(&ctx->request_cc);

    cln->handler = ngx_http_weir_cache_cleanup;

    ngx_http_set_ctx(r, ctx, ngx_http_weir_cache_module);

    return ctx;
}


/* A request that goes away waits for no reply and sends no entry. */

static void
ngx_http_weir_cache_cleanup(void *data)
{
    ngx_http_weir_cache_ctx_t  *ctx = data;

    if (ctx->waiting) {
        ngx_http_weir_redis_cancel(&ctx->command);
    }

    if (ctx->wait.timer_set) {
        ngx_del_timer(&ctx->wait);
    }

    ngx_http_weir_cache_end_flight(ctx, 0);

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);
    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->stale_pin);
}


void
ngx_http_weir_cache_end_flight(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t uncacheable)
{
    if (ctx->flight) {
        ngx_http_weir_cache_flight_end(ctx->conf->zone, ctx->flight,
                                       ctx->flight_token, uncacheable);
        ctx->flight = NULL;
    }
}


static ngx_int_t
ngx_http_weir_cache_forward(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status)
{
    weir_problem_t  problem;

    ctx->status = status;
    ctx->request_time = ngx_time();
    ngx_http_weir_cache_stamp(ctx);

    if (!(ctx->request_cc.flags & WEIR_CC_ONLY_IF_CACHED)) {

        if (ctx->have_stale
            && ngx_http_weir_cache_make_conditional(ctx) != NGX_OK)
        {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

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

    ctx->key_text = key;

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

    ngx_http_weir_cache_digest(&ctx->key, ctx->digest);

    return NGX_OK;
}



static void
ngx_http_weir_cache_digest(ngx_str_t *text, u_char *digest)
{
    XXH128_canonical_t  canonical;

    XXH128_canonicalFromHash(&canonical, XXH3_128bits(text->data, text->len));

    ngx_memcpy(digest, canonical.digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
}


ngx_str_t
ngx_http_weir_cache_redis_key(ngx_http_weir_cache_ctx_t *ctx, u_char *digest)
{
    u_char     *p;
    ngx_str_t   key, *zone;

    zone = &ctx->conf->zone->name;

    key.len = sizeof("weir:cache::") - 1 + zone->len
              + NGX_HTTP_WEIR_CACHE_DIGEST_LEN * 2;

    key.data = ngx_pnalloc(ctx->request->pool, key.len);

    if (key.data) {
        p = ngx_cpymem(key.data, "weir:cache:", sizeof("weir:cache:") - 1);
        p = ngx_cpymem(p, zone->data, zone->len);
        *p++ = ':';
        ngx_hex_dump(p, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    }

    return key;
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


static ngx_int_t
ngx_http_weir_cache_find(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (ctx->conf->l1) {
        rc = ngx_http_weir_cache_find_l1(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    return ctx->conf->zone->redis ? ngx_http_weir_cache_find_l2(ctx)
                                  : ngx_http_weir_cache_miss(ctx);
}


/* NGX_BUSY: there is nothing that may be served. */

static ngx_int_t
ngx_http_weir_cache_find_l1(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t     rc;
    ngx_str_t     fields;
    weir_str_t    data;
    ngx_pool_t   *pool;

    pool = ctx->request->pool;

    for ( ;; ) {
        rc = ngx_http_weir_cache_zone_get(ctx->conf->zone,
                                          ctx->varies ? ctx->variant
                                                      : ctx->digest,
                                          pool, &ctx->pin);
        if (rc != NGX_OK) {
            return NGX_BUSY;
        }

        data.data = (char *) ctx->pin.data;
        data.len = ctx->pin.len;

        if (weir_entry_view(data, &ctx->entry) != NULL
            || !ngx_http_weir_cache_matches(ctx))
        {
            break;
        }

        if (!(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER)) {

            if (!ngx_http_weir_cache_outlived(ctx)
                || !ngx_http_weir_cache_part_fits(ctx))
            {
                break;
            }

            rc = ngx_http_weir_cache_use(ctx);

            if (rc != NGX_BUSY) {
                return rc;
            }

            ngx_http_weir_cache_keep_stale(ctx);
            break;
        }

        if (ctx->varies) {
            break;
        }

        fields.data = (u_char *) ctx->entry.vary.data;
        fields.len = ctx->entry.vary.len;

        rc = ngx_http_weir_cache_variant(ctx, &fields);

        ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);

        if (rc != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->pin);

    return NGX_BUSY;
}


/* Asks Redis; NGX_AGAIN: the request waits. */

static ngx_int_t
ngx_http_weir_cache_find_l2(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t                       argv[2];
    ngx_http_request_t             *r;
    ngx_http_weir_redis_command_t  *cmd;

    r = ctx->request;
    cmd = &ctx->command;

    ctx->l2 = 1;

    cmd->pool = r->pool;
    cmd->handler = ngx_http_weir_cache_redis_handler;
    cmd->data = ctx;
    cmd->log = r->connection->log;

    ngx_str_set(&argv[0], "GET");
    argv[1] = ngx_http_weir_cache_redis_key(ctx, ctx->varies ? ctx->variant
                                                             : ctx->digest);
    if (argv[1].data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_weir_redis_command(ctx->conf->zone->redis, cmd, 2, argv)
        != NGX_OK)
    {
        ctx->unavailable = 1;
        return ngx_http_weir_cache_miss(ctx);
    }

    ctx->waiting = 1;

    return ngx_http_weir_cache_park(ctx);
}


/* The request waits, and is dropped when its client leaves. */

static ngx_int_t
ngx_http_weir_cache_park(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    return NGX_AGAIN;
}


static void
ngx_http_weir_cache_resume(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


static void
ngx_http_weir_cache_redis_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = cmd->data;
    ctx->waiting = 0;
    ctx->reply = reply;

    if (rc != NGX_OK) {
        ctx->unavailable = 1;
    }

    ngx_http_weir_cache_resume(ctx);
}


/* What Redis' reply means for the request. */

static ngx_int_t
ngx_http_weir_cache_decide_l2(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                        rc;
    ngx_str_t                        fields, *value;
    ngx_http_weir_cache_loc_conf_t  *clcf;

    clcf = ctx->conf;

    if (ctx->reply == NULL || !ngx_http_weir_cache_read_entry(ctx)) {
        return ngx_http_weir_cache_miss(ctx);
    }

    if (!(ctx->entry.flags & WEIR_ENTRY_VARY_POINTER)
        && (!ngx_http_weir_cache_outlived(ctx)
            || !ngx_http_weir_cache_part_fits(ctx)))
    {
        return ngx_http_weir_cache_miss(ctx);
    }

    value = &ctx->reply->str;

    if (clcf->l1
        && ((ctx->entry.flags & WEIR_ENTRY_VARY_POINTER)
            || ngx_http_weir_cache_age(&ctx->entry)
               < (time_t) ctx->entry.lifetime))
    {
        (void) ngx_http_weir_cache_zone_put(clcf->zone,
                                            ctx->varies ? ctx->variant
                                                        : ctx->digest,
                                            value->data, value->len);
    }

    if (ctx->entry.flags & WEIR_ENTRY_VARY_POINTER) {
        fields.data = (u_char *) ctx->entry.vary.data;
        fields.len = ctx->entry.vary.len;

        if (ngx_http_weir_cache_variant(ctx, &fields) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->reply = NULL;
        ctx->l2 = 0;

        return ngx_http_weir_cache_find(ctx);
    }

    rc = ngx_http_weir_cache_use(ctx);

    if (rc == NGX_BUSY) {
        ngx_http_weir_cache_keep_stale(ctx);
        rc = ngx_http_weir_cache_miss(ctx);
    }

    return rc;
}


void
ngx_http_weir_cache_freshness(weir_entry_t *entry,
    weir_cache_freshness_t *freshness)
{
    freshness->initial_age = entry->initial_age;
    freshness->lifetime = entry->lifetime;
    freshness->stale_while_revalidate = entry->stale_while_revalidate;
    freshness->stale_if_error = entry->stale_if_error;
    freshness->must_revalidate = (entry->flags & WEIR_ENTRY_MUST_REVALIDATE)
                                 != 0;
    freshness->no_cache = (entry->flags & WEIR_ENTRY_NO_CACHE) != 0;
}


/* Serves ctx->entry, or goes on if it is not wanted; NGX_BUSY: it is stale. */

static ngx_int_t
ngx_http_weir_cache_use(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_cache_freshness_t  freshness;

    ngx_http_weir_cache_freshness(&ctx->entry, &freshness);

    switch (weir_cache_use(&freshness, ngx_http_weir_cache_age(&ctx->entry),
                           &ctx->request_cc))
    {
    case WEIR_CACHE_FRESH:
        if (ctx->soft) {
            return NGX_BUSY;
        }

        ctx->status = NGX_HTTP_WEIR_CACHE_HIT;
        return ngx_http_weir_cache_answer(ctx);

    case WEIR_CACHE_ALLOWED_STALE:
        ctx->status = NGX_HTTP_WEIR_CACHE_STALE;
        return ngx_http_weir_cache_answer(ctx);

    case WEIR_CACHE_STALE:
        return NGX_BUSY;

    default:
        ngx_http_weir_cache_keep_stale(ctx);
        return ngx_http_weir_cache_forward(ctx, NGX_HTTP_WEIR_CACHE_REQUEST);
    }
}


/* ctx->entry is kept to be validated, or to be served when all else fails. */

static void
ngx_http_weir_cache_keep_stale(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->have_stale && ctx->stale.stored >= ctx->entry.stored) {
        return;
    }

    ngx_http_weir_cache_zone_release(ctx->conf->zone, &ctx->stale_pin);

    ctx->stale = ctx->entry;
    ctx->have_stale = 1;
    ctx->stale_soft = ctx->soft;

    if (!ctx->l2) {
        ctx->stale_pin = ctx->pin;
        ctx->pin.node = NULL;
    }
}


/* Neither level has anything fresh. */

static ngx_int_t
ngx_http_weir_cache_miss(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_http_weir_cache_status_e   status;

    if (ctx->have_stale) {
        rc = ngx_http_weir_cache_stale_at_once(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    status = (ctx->have_stale || ctx->outdated) ? NGX_HTTP_WEIR_CACHE_EXPIRED
             : ctx->varies ? NGX_HTTP_WEIR_CACHE_VARY_MISS
             : NGX_HTTP_WEIR_CACHE_MISS;

    return ngx_http_weir_cache_fly(ctx, status);
}


/*
 * stale-while-revalidate (RFC 5861 section 3): the stale response at once, and
 * one refresh behind it.
 */

static ngx_int_t
ngx_http_weir_cache_stale_at_once(ngx_http_weir_cache_ctx_t *ctx)
{
    int64_t                 window;
    ngx_int_t               rc;
    weir_cache_freshness_t  freshness;

    ngx_http_weir_cache_freshness(&ctx->stale, &freshness);

    window = (ctx->conf->use_stale & NGX_HTTP_WEIR_CACHE_STALE_UPDATING)
             ? INT64_MAX : freshness.stale_while_revalidate;

    if (ctx->stale_soft) {
        /* who invalidates softly allows it, while the response lives */
        freshness.must_revalidate = 0;
        window = ngx_max(window, 1);
    }

    if (!weir_cache_may_be_stale(&freshness,
                                 ngx_http_weir_cache_age(&ctx->stale), window)
        || ctx->request_cc.max_age != -1 || ctx->request_cc.min_fresh != -1)
    {
        return NGX_BUSY;
    }

    ctx->flight = ctx->varies ? ctx->variant : ctx->digest;

    if (ngx_http_weir_cache_flight_begin(ctx->conf->zone, ctx->flight,
                                         ctx->conf->lock_timeout,
                                         &ctx->flight_token)
        != NGX_OK)
    {
        ctx->flight = NULL;

    } else {

        /* the last refresh may have landed since the look-up */

        rc = ctx->conf->l1 ? ngx_http_weir_cache_find_l1(ctx) : NGX_BUSY;

        if (rc != NGX_BUSY) {
            return rc;
        }

        if (ngx_http_weir_cache_refresh(ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
    }

    ctx->entry = ctx->stale;
    ctx->status = NGX_HTTP_WEIR_CACHE_STALE;

    return ngx_http_weir_cache_answer(ctx);
}


/* To the upstream, or behind somebody who is on the way there already. */

static ngx_int_t
ngx_http_weir_cache_fly(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    /* those whose answer would not be stored can help nobody */

    if (r->method != NGX_HTTP_GET || r->headers_in.range
        || r->headers_in.authorization || ctx->conf->lock_timeout == 0
        || (ctx->request_cc.flags & (WEIR_CC_NO_STORE|WEIR_CC_ONLY_IF_CACHED)))
    {
        return ngx_http_weir_cache_forward(ctx, status);
    }

    ctx->flight = ctx->varies ? ctx->variant : ctx->digest;

    rc = ngx_http_weir_cache_flight_begin(ctx->conf->zone, ctx->flight,
                                          ctx->conf->lock_timeout,
                                          &ctx->flight_token);
    if (rc != NGX_OK) {
        ctx->flight = NULL;
    }

    if (rc == NGX_BUSY) {
        return ngx_http_weir_cache_wait(ctx);
    }

    if (rc == NGX_OK && ctx->conf->l1) {

        /* the last flight may have landed since the look-up */

        rc = ngx_http_weir_cache_find_l1(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    return ngx_http_weir_cache_forward(ctx, status);
}


/*
 * Looks again soon, and then less and less often; a flight that takes longer
 * than weir_cache_lock_timeout is waited for no more.
 */

static ngx_int_t
ngx_http_weir_cache_wait(ngx_http_weir_cache_ctx_t *ctx)
{
    if (!ctx->collapsed) {
        ctx->collapsed = 1;
        ctx->wait_since = ngx_current_msec;
        ctx->wait_next = 1;

    } else if (ngx_current_msec - ctx->wait_since >= ctx->conf->lock_timeout) {
        ctx->collapsed = 0;
        return ngx_http_weir_cache_forward(ctx,
                                           ctx->have_stale
                                           ? NGX_HTTP_WEIR_CACHE_EXPIRED
                                           : NGX_HTTP_WEIR_CACHE_MISS);
    }

    ctx->wait.handler = ngx_http_weir_cache_wait_handler;
    ctx->wait.data = ctx;
    ctx->wait.log = ctx->request->connection->log;

    ngx_add_timer(&ctx->wait, ctx->wait_next);

    ctx->wait_next = ngx_min(ctx->wait_next * 2, 50);

    return ngx_http_weir_cache_park(ctx);
}


static void
ngx_http_weir_cache_wait_handler(ngx_event_t *ev)
{
    ngx_http_weir_cache_ctx_t *ctx = ev->data;

    /* from the beginning: the response may vary otherwise than the last one */

    ctx->varies = 0;
    ctx->l2 = 0;
    ctx->reply = NULL;

    ngx_http_weir_cache_resume(ctx);
}


/*
 * An error_page has led away from the location whose cache has something stale
 * for such a case.
 */

static ngx_int_t
ngx_http_weir_cache_error_page(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t         *cln;
    ngx_http_weir_cache_ctx_t  *ctx;

    for (cln = r->pool->cleanup; cln; cln = cln->next) {

        if (cln->handler != ngx_http_weir_cache_cleanup) {
            continue;
        }

        ctx = cln->data;

        if (!ctx->have_stale || ctx->status == NGX_HTTP_WEIR_CACHE_STALE
            || ngx_http_weir_cache_instead_of_error(ctx) == NULL)
        {
            return NGX_DECLINED;
        }

        ngx_http_set_ctx(r, ctx, ngx_http_weir_cache_module);
        ngx_http_clean_header(r);
        r->err_status = 0;

        ctx->entry = ctx->stale;
        ctx->status = NGX_HTTP_WEIR_CACHE_STALE;

        return ngx_http_weir_cache_answer(ctx);
    }

    return NGX_DECLINED;
}


/*
 * Whether the reply is an entry for this request.  Anything else under one of
 * Weir's keys is for the operator to know; the next response overwrites it.
 */

static ngx_uint_t
ngx_http_weir_cache_read_entry(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t                     key;
    weir_str_t                    data;
    const char                   *wrong;
    ngx_http_weir_redis_reply_t  *reply;

    reply = ctx->reply;

    if (reply->type == NGX_HTTP_WEIR_REDIS_NIL) {
        return 0;
    }

    if (reply->type == NGX_HTTP_WEIR_REDIS_STRING) {
        data.data = (char *) reply->str.data;
        data.len = reply->str.len;

        wrong = weir_entry_decode(data, &ctx->entry);

        if (wrong == NULL
            && ((ctx->entry.flags & WEIR_ENTRY_VARIANT) != 0) != ctx->varies)
        {
            wrong = "in the place of another";
        }

        if (wrong == NULL) {
            return ngx_http_weir_cache_matches(ctx);
        }

    } else {
        wrong = (char *) reply->str.data;

        if (reply->str.len < 9 || ngx_strncmp(wrong, "WRONGTYPE", 9) != 0) {
            ngx_http_weir_cache_refusal(ctx);
            return 0;
        }
    }

    key = ngx_http_weir_cache_redis_key(ctx, ctx->varies ? ctx->variant
                                                         : ctx->digest);

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "weir_cache \"%V\": \"%V\" holds a foreign or damaged value"
                  " (%s), taken as a miss", &ctx->conf->zone->name, &key,
                  wrong);

    return 0;
}


/* Another text of the same digest is not for this request. */

static ngx_uint_t
ngx_http_weir_cache_matches(ngx_http_weir_cache_ctx_t *ctx)
{
    weir_entry_t  *entry;

    entry = &ctx->entry;

    return entry->key.len == ctx->key.len
           && ngx_memcmp(entry->key.data, ctx->key.data, ctx->key.len) == 0
           && (!ctx->varies
               || (entry->vary.len == ctx->vary.len
                   && ngx_memcmp(entry->vary.data, ctx->vary.data,
                                 ctx->vary.len)
                      == 0));
}


weir_str_t
ngx_http_weir_cache_entry_header(weir_entry_t *entry, const char *name)
{
    size_t      pos;
    weir_str_t  n, value, wanted, none;

    wanted.data = name;
    wanted.len = ngx_strlen(name);
    none.data = NULL;
    none.len = 0;

    pos = 0;

    while (weir_entry_next_header(entry->headers, &pos, &n, &value)) {
        if (weir_str_caseeq(n, wanted)) {
            return value;
        }
    }

    return none;
}


/* Redis is in no state to tell. */

static void
ngx_http_weir_cache_refusal(ngx_http_weir_cache_ctx_t *ctx)
{
    static time_t  logged;

    ctx->unavailable = 1;

    if (ngx_time() - logged < NGX_HTTP_WEIR_CACHE_LOG_INTERVAL) {
        return;
    }

    logged = ngx_time();

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "weir_cache \"%V\": Redis refuses to read: %V",
                  &ctx->conf->zone->name, &ctx->reply->str);
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
        p += weir_vary_normalize_field(field,
                                       (weir_str_t) { (char *) value,
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

    ngx_http_weir_cache_digest(&text, ctx->variant);
    ctx->varies = 1;

    return NGX_OK;
}
