/*
 * Whose turn it is to ask the upstream.  Of the requests that miss one key, one
 * per box gets the flight (ngx_http_weir_cache_flight.h), and of the boxes that
 * share Redis, one gets the lease; all others wait, look again, and find what
 * was stored.
 *
 * The lease is a key in Redis beside the entry: SET NX with a time to live and a
 * random token, the fencing token.  Who holds it stores and then deletes it;
 * who held it too long finds another's token there and does not store.  A holder
 * that dies delays the others by the lease's time at most, which is
 * weir_cache_lock_timeout.  A response that can't be stored leaves the word
 * "pass" there for a short while, so that nobody queues for it; each box
 * remembers for itself for weir_cache_uncacheable which keys are so.
 *
 * Redis without an answer means no lease: each box asks for itself.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"
#include "cache/ngx_http_weir_cache_flight.h"


/* Milliseconds between two looks of one that waits: the first, the longest. */
#define NGX_HTTP_WEIR_CACHE_WAIT_FIRST  1
#define NGX_HTTP_WEIR_CACHE_WAIT_MAX    50


static ngx_int_t ngx_http_weir_cache_begin_flight(
    ngx_http_weir_cache_ctx_t *ctx);
static ngx_int_t ngx_http_weir_cache_take_lease(
    ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_lease_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static void ngx_http_weir_cache_end_lease(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t uncacheable);
static void ngx_http_weir_cache_note(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t uncacheable);
static void ngx_http_weir_cache_flight_digest(ngx_http_weir_cache_ctx_t *ctx,
    u_char *digest);
static ngx_int_t ngx_http_weir_cache_wait(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_wait_handler(ngx_event_t *ev);


/*
 * stale-while-revalidate (RFC 5861 section 3): the stale response at once, and
 * one refresh behind it.  NGX_BUSY: it may not be served.
 */

ngx_int_t
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

    switch (ngx_http_weir_cache_begin_flight(ctx)) {

    case NGX_ABORT:
        /* the newer response can't be stored, so no refresh would end this */
        return NGX_BUSY;

    case NGX_OK:

        /* the last refresh may have landed since the look-up */

        rc = ctx->conf->l1 ? ngx_http_weir_cache_find_l1(ctx) : NGX_BUSY;

        if (rc != NGX_BUSY) {
            return rc;
        }

        if (ngx_http_weir_cache_refresh(ctx) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        break;

    default:
        break;
    }

    ngx_http_weir_cache_take_stale(ctx);
    ctx->status = NGX_HTTP_WEIR_CACHE_STALE;

    return ngx_http_weir_cache_answer(ctx);
}


/* To the upstream, or behind somebody who is on the way there already. */

ngx_int_t
ngx_http_weir_cache_fly(ngx_http_weir_cache_ctx_t *ctx,
    ngx_http_weir_cache_status_e status)
{
    ngx_int_t            rc;
    ngx_http_request_t  *r;

    r = ctx->request;

    ctx->flying_as = status;

    /* those whose answer would not be stored can help nobody */

    if (r->method != NGX_HTTP_GET || r->headers_in.authorization
        || ctx->conf->lock_timeout == 0
        || (ctx->request_cc.flags & (WEIR_CC_NO_STORE|WEIR_CC_ONLY_IF_CACHED)))
    {
        return ngx_http_weir_cache_forward(ctx, status);
    }

    rc = ngx_http_weir_cache_begin_flight(ctx);

    if (rc == NGX_ABORT) {
        return ngx_http_weir_cache_forward(ctx, status);
    }

    if (rc == NGX_BUSY) {
        return ngx_http_weir_cache_wait(ctx);
    }

    if (rc == NGX_DECLINED) {
        return ngx_http_weir_cache_forward(ctx, status);
    }

    if (ctx->conf->l1) {

        /* the last flight may have landed since the look-up */

        rc = ngx_http_weir_cache_find_l1(ctx);

        if (rc != NGX_BUSY) {
            return rc;
        }
    }

    return ngx_http_weir_cache_take_lease(ctx);
}


/* As ngx_http_weir_cache_flight_begin(); a flight of another key is ended. */

static ngx_int_t
ngx_http_weir_cache_begin_flight(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char           *digest;
    uint64_t          since;
    ngx_int_t         rc;
    struct timespec   now;

    digest = ctx->varies ? ctx->variant : ctx->digest;

    if (ctx->in_flight) {

        if (ngx_memcmp(ctx->flight, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
            == 0)
        {
            return NGX_OK;
        }

        ngx_http_weir_cache_end_flight(ctx, 0);
    }

    rc = ngx_http_weir_cache_flight_begin(ctx->conf->zone, digest,
                                          ctx->conf->lock_timeout,
                                          &ctx->flight_token, &since);

    if (rc == NGX_OK) {
        ngx_memcpy(ctx->flight, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
        ctx->in_flight = 1;

    } else if (rc == NGX_BUSY && ctx->refused && since > ctx->arrived
               && ctx->accepts == 0)
    {
        /*
         * This one asks the origin for a response that is new enough: what is
         * stored, by the clock of entries, since the flight began.
         */

        (void) clock_gettime(CLOCK_REALTIME, &now);

        ctx->accepts = (uint64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000
                       - (ngx_http_weir_cache_ms() - since);
    }

    return rc;
}


void
ngx_http_weir_cache_end_flight(ngx_http_weir_cache_ctx_t *ctx, ngx_msec_t pass)
{
    if (ctx->lease.len) {
        ngx_http_weir_cache_end_lease(ctx, pass != 0);
    }

    if (ctx->in_flight) {
        ctx->in_flight = 0;
        ngx_http_weir_cache_flight_end(ctx->conf->zone, ctx->flight,
                                       ctx->flight_token, pass);
    }
}


void
ngx_http_weir_cache_not_stored(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->in_flight || !ctx->uncacheable) {
        ngx_http_weir_cache_end_flight(ctx, ctx->uncacheable
                                            ? ctx->conf->uncacheable
                                            : NGX_HTTP_WEIR_CACHE_FLIGHT_PASS);
        return;
    }

    ngx_http_weir_cache_note(ctx, ctx->conf->uncacheable);
}


/*
 * As ngx_http_weir_cache_flight_note().  What is known of requests with
 * credentials is kept apart: their responses may be private where others are
 * not (RFC 9111 section 3.5).
 */

static void
ngx_http_weir_cache_note(ngx_http_weir_cache_ctx_t *ctx,
    ngx_msec_t uncacheable)
{
    u_char  digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];

    ngx_http_weir_cache_flight_digest(ctx, digest);
    ngx_http_weir_cache_flight_note(ctx->conf->zone, digest, uncacheable);
}


static void
ngx_http_weir_cache_flight_digest(ngx_http_weir_cache_ctx_t *ctx,
    u_char *digest)
{
    ngx_memcpy(digest, ctx->varies ? ctx->variant : ctx->digest,
               NGX_HTTP_WEIR_CACHE_DIGEST_LEN);

    if (ctx->request->headers_in.authorization) {
        digest[0] = ~digest[0];
    }
}


void
ngx_http_weir_cache_storable(ngx_http_weir_cache_ctx_t *ctx)
{
    if (ctx->request->method == NGX_HTTP_GET && !ctx->in_flight && !ctx->part)
    {
        ngx_http_weir_cache_note(ctx, 0);
    }
}


ngx_uint_t
ngx_http_weir_cache_known_uncacheable(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char  digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];

    ngx_http_weir_cache_flight_digest(ctx, digest);

    return ngx_http_weir_cache_flight_uncacheable(ctx->conf->zone, digest);
}


/*
 * SET NX GET: nothing when it is ours now, else the word of who has it.  The
 * entry is asked for once more behind it: whoever had the lease between our
 * look-up and now has stored it before he let the lease go.
 */

static ngx_int_t
ngx_http_weir_cache_take_lease(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char                          timeout[NGX_INT64_LEN];
    ngx_str_t                       argv[7], token;
    ngx_http_request_t             *r;
    ngx_http_weir_redis_command_t  *cmd;

    r = ctx->request;
    cmd = &ctx->command;

    if (ctx->conf->zone->redis == NULL || ctx->unavailable) {
        return ngx_http_weir_cache_forward(ctx, ctx->flying_as);
    }

    token.data = ngx_pnalloc(r->pool, 16);
    ctx->lease_key = ngx_http_weir_cache_redis_key(ctx, "lease", ctx->varies);

    if (token.data == NULL || ctx->lease_key.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    token.len = 16;
    ngx_sprintf(token.data, "%016xL", ngx_http_weir_cache_random());
    ctx->lease_wanted = token;

    cmd->pool = r->pool;
    cmd->handler = ngx_http_weir_cache_lease_handler;
    cmd->data = ctx;
    cmd->log = r->connection->log;

    ngx_str_set(&argv[0], "SET");
    argv[1] = ctx->lease_key;
    argv[2] = token;
    ngx_str_set(&argv[3], "NX");
    ngx_str_set(&argv[4], "GET");
    ngx_str_set(&argv[5], "PX");
    argv[6].data = timeout;
    argv[6].len = ngx_sprintf(timeout, "%M", ctx->conf->lock_timeout)
                  - timeout;

    if (ngx_http_weir_redis_command(ctx->conf->zone->redis, cmd, 7, argv)
        != NGX_OK)
    {
        return ngx_http_weir_cache_forward(ctx, ctx->flying_as);
    }

    ctx->waiting = 1;
    ctx->leasing = 1;

    (void) ngx_http_weir_cache_lookup(ctx, 1);

    return ngx_http_weir_cache_park(ctx->request);
}


static void
ngx_http_weir_cache_lease_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = cmd->data;
    ctx->waiting = 0;
    ctx->reply = reply;

    if (!ctx->looking) {
        ngx_http_weir_cache_resume(ctx->request);
    }
}


ngx_int_t
ngx_http_weir_cache_decide_lease(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t                     rc;
    ngx_http_weir_redis_reply_t  *reply;

    reply = ctx->reply;
    ctx->reply = NULL;
    ctx->leasing = 0;

    if (reply == NULL || reply->type == NGX_HTTP_WEIR_REDIS_NIL) {
        /* without an answer it may be ours all the same */
        ctx->lease = ctx->lease_wanted;
    }

    rc = ngx_http_weir_cache_use_lookup(ctx);

    if (rc != NGX_BUSY) {
        return rc;
    }

    if (reply && reply->type == NGX_HTTP_WEIR_REDIS_STRING) {

        if (reply->str.len != 4
            || ngx_strncmp(reply->str.data, "pass", 4) != 0)
        {
            return ngx_http_weir_cache_wait(ctx);
        }

        ngx_http_weir_cache_end_flight(ctx, NGX_HTTP_WEIR_CACHE_FLIGHT_PASS);
    }

    return ngx_http_weir_cache_forward(ctx, ctx->flying_as);
}


static void
ngx_http_weir_cache_end_lease(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t uncacheable)
{
    ngx_str_t                      argv[5];
    ngx_http_weir_redis_command_t  cmd;

    static ngx_str_t  release = ngx_string(
        "if redis.call('GET',KEYS[1])==ARGV[1] then"
        " return redis.call('DEL',KEYS[1]) end return 0");

    static ngx_str_t  pass = ngx_string(
        "if redis.call('GET',KEYS[1])==ARGV[1] then"
        " redis.call('SET',KEYS[1],'pass','PX',1000) return 1 end return 0");

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = uncacheable ? pass : release;
    ngx_str_set(&argv[2], "1");
    argv[3] = ctx->lease_key;
    argv[4] = ctx->lease;

    ctx->lease.len = 0;

    (void) ngx_http_weir_redis_command(ctx->conf->zone->redis, &cmd, 5, argv);
}


/*
 * Looks again soon, and then less and less often; who takes longer than
 * weir_cache_lock_timeout is waited for no more.
 */

static ngx_int_t
ngx_http_weir_cache_wait(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_int_t  rc;

    if (!ctx->collapsed) {
        ctx->collapsed = 1;
        ctx->wait_since = ngx_current_msec;
        ctx->wait_next = NGX_HTTP_WEIR_CACHE_WAIT_FIRST;

    } else if (ngx_current_msec - ctx->wait_since >= ctx->conf->lock_timeout) {
        ctx->collapsed = 0;
        return ngx_http_weir_cache_forward(ctx, ctx->flying_as);
    }

    ctx->wait.handler = ngx_http_weir_cache_wait_handler;
    ctx->wait.data = ctx;
    ctx->wait.log = ctx->request->connection->log;

    rc = ngx_http_weir_cache_park(ctx->request);

    if (rc == NGX_AGAIN) {
        ngx_add_timer(&ctx->wait, ctx->wait_next);

        ctx->wait_next = ngx_min(ctx->wait_next * 2,
                                 NGX_HTTP_WEIR_CACHE_WAIT_MAX);
    }

    return rc;
}


static void
ngx_http_weir_cache_wait_handler(ngx_event_t *ev)
{
    ngx_http_weir_cache_ctx_t *ctx = ev->data;

    /* from the beginning: the response may vary otherwise than the last one */

    ctx->varies = 0;
    ctx->l2 = 0;

    ngx_http_weir_cache_resume(ctx->request);
}
