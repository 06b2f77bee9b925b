/*
 * The lease: of the edges that share a Redis, one at a time fetches a key.
 *
 * The lease is a key in Redis beside the entry: SET NX with a time to live and
 * a random token, the fencing token, behind which is the context of the owner's
 * span if it is traced ("<token>-<traceparent>").  The owner of the lease stores
 * the entry and then deletes the lease.  An owner that held it too long finds
 * another token there and does not store.  An owner that dies delays the other
 * edges by at most the lease's time, which is weir_cache_lock_timeout.  After a
 * response that cannot be stored, a marker replaces the lease for a short time,
 * so that no request waits for the key.
 *
 * Without a reply from Redis there is no lease: each edge asks the upstream.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/lookup/ngx_http_weir_cache_lease.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_clock.h"
#include "http/ngx_http_weir_park.h"
#include "record/ngx_http_weir_record.h"


/* Digits of the fencing token. */
#define NGX_HTTP_WEIR_CACHE_LEASE_TOKEN_LEN  16


static ngx_int_t ngx_http_weir_cache_lease_token(
    ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_lease_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static void ngx_http_weir_cache_lease_link(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *token);


/*
 * Markers that replace the lease after a response that cannot be stored: by
 * chance or to a request without credentials (pass), or to a request with the
 * credentials named here.
 */

static ngx_str_t  ngx_http_weir_cache_pass[] = {
    ngx_string("pass"),
    ngx_string("pass1"),    /* Authorization */
    ngx_string("pass2"),    /* Cookie */
    ngx_string("pass3")     /* both */
};


/*
 * SET NX GET: returns nil if the lease is ours now, otherwise the value of the
 * current owner.  The entry is looked up once more after it, because the
 * previous owner may have stored it and released the lease between our look-up
 * and now.
 */

ngx_int_t
ngx_http_weir_cache_lease_take(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char                          timeout[NGX_INT64_LEN];
    ngx_str_t                       argv[7];
    ngx_http_request_t             *r;
    ngx_http_weir_redis_command_t  *cmd;

    r = ctx->request;
    cmd = &ctx->lease_command;

    if (ctx->conf->zone->redis == NULL || ctx->unavailable) {
        return NGX_DECLINED;
    }

    ctx->lease_key = ngx_http_weir_cache_key_in_redis(ctx, "lease",
                                                      ctx->varies);

    if (ctx->lease_key.data == NULL
        || ngx_http_weir_cache_lease_token(ctx) != NGX_OK)
    {
        return NGX_ERROR;
    }

    cmd->pool = r->pool;
    cmd->handler = ngx_http_weir_cache_lease_handler;
    cmd->data = ctx;
    cmd->log = r->connection->log;
    cmd->usage = ngx_http_weir_usage(r);

    ngx_str_set(&argv[0], "SET");
    argv[1] = ctx->lease_key;
    argv[2] = ctx->lease_wanted;
    ngx_str_set(&argv[3], "NX");
    ngx_str_set(&argv[4], "GET");
    ngx_str_set(&argv[5], "PX");
    argv[6].data = timeout;
    argv[6].len = ngx_sprintf(timeout, "%M", ctx->conf->lock_timeout)
                  - timeout;

    if (ngx_http_weir_redis_command(ctx->conf->zone->redis, cmd, 7, argv)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    ctx->lease_asked = 1;

    (void) ngx_http_weir_cache_lookup(ctx, 1);

    return NGX_OK;
}


/* Makes ctx->lease_wanted. */

static ngx_int_t
ngx_http_weir_cache_lease_token(ngx_http_weir_cache_ctx_t *ctx)
{
    u_char          *p;
    weir_context_t   context;

    static u_char  none[WEIR_TRACE_ID_LEN];

    p = ngx_pnalloc(ctx->request->pool, NGX_HTTP_WEIR_CACHE_LEASE_TOKEN_LEN
                                        + 1 + WEIR_CONTEXT_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->lease_wanted.data = p;
    p = ngx_sprintf(p, "%016xL", ngx_http_weir_random());

    ngx_http_weir_record_identify(ctx->request, &context);

    if (ngx_memcmp(context.trace_id, none, sizeof(none)) != 0) {
        *p++ = '-';
        weir_context_format(&context, (char *) p);
        p += WEIR_CONTEXT_LEN;
    }

    ctx->lease_wanted.len = p - ctx->lease_wanted.data;

    return NGX_OK;
}


static void
ngx_http_weir_cache_lease_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_http_weir_cache_ctx_t  *ctx;

    ctx = cmd->data;
    ngx_http_weir_assert(ctx->lease_asked);

    ctx->lease_asked = 0;
    ctx->lease_reply = reply;

    if (!ngx_http_weir_cache_ctx_waits(ctx)) {
        ngx_http_weir_resume(ctx->request);
    }
}


ngx_http_weir_cache_lease_e
ngx_http_weir_cache_lease_read(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t                    *own, *word;
    ngx_http_weir_redis_reply_t  *reply;

    reply = ctx->lease_reply;
    ctx->lease_reply = NULL;

    if (reply == NULL || reply->type == NGX_HTTP_WEIR_REDIS_NIL) {
        /* without a reply the lease may be ours */
        ctx->lease = ctx->lease_wanted;
        return NGX_HTTP_WEIR_CACHE_LEASE_OURS;
    }

    if (reply->type != NGX_HTTP_WEIR_REDIS_STRING) {
        return NGX_HTTP_WEIR_CACHE_LEASE_NONE;
    }

    word = &reply->str;

    if (word->len < 4 || ngx_strncmp(word->data, "pass", 4) != 0) {
        ngx_http_weir_cache_lease_link(ctx, word);
        return NGX_HTTP_WEIR_CACHE_LEASE_TAKEN;
    }

    if (word->len == ngx_http_weir_cache_pass[0].len) {
        return NGX_HTTP_WEIR_CACHE_LEASE_PASSED;
    }

    own = &ngx_http_weir_cache_pass[ngx_http_weir_cache_key_credentials(ctx)];

    return (word->len == own->len
            && ngx_memcmp(word->data, own->data, own->len) == 0)
           ? NGX_HTTP_WEIR_CACHE_LEASE_UNCACHEABLE
           : NGX_HTTP_WEIR_CACHE_LEASE_NONE;
}


/* The request waits for the owner of the token, if this names its span. */

static void
ngx_http_weir_cache_lease_link(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *token)
{
    weir_str_t      value;
    weir_context_t  context;

    value.data = (char *) token->data + NGX_HTTP_WEIR_CACHE_LEASE_TOKEN_LEN + 1;
    value.len = WEIR_CONTEXT_LEN;

    if (token->len != NGX_HTTP_WEIR_CACHE_LEASE_TOKEN_LEN + 1 + value.len
        || value.data[-1] != '-' || weir_context_parse(value, &context) != 0)
    {
        ngx_memzero(&context, sizeof(weir_context_t));
    }

    ngx_http_weir_record_link(ctx->request, &context);
}


void
ngx_http_weir_cache_lease_end(ngx_http_weir_cache_ctx_t *ctx, ngx_uint_t pass,
    ngx_uint_t credentials)
{
    ngx_str_t                      argv[6];
    ngx_http_weir_redis_command_t  cmd;

    static ngx_str_t  release = ngx_string(
        "if redis.call('GET',KEYS[1])==ARGV[1] then"
        " return redis.call('DEL',KEYS[1]) end return 0");

    static ngx_str_t  replace = ngx_string(
        "if redis.call('GET',KEYS[1])==ARGV[1] then"
        " redis.call('SET',KEYS[1],ARGV[2],'PX',1000) return 1 end return 0");

    ngx_http_weir_assert(ctx->lease.len != 0 && ctx->lease_key.len != 0);
    ngx_http_weir_assert(credentials < sizeof(ngx_http_weir_cache_pass)
                                       / sizeof(ngx_http_weir_cache_pass[0]));

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;
    cmd.usage = ngx_http_weir_usage(ctx->request);

    ngx_str_set(&argv[0], "EVAL");
    argv[1] = pass ? replace : release;
    ngx_str_set(&argv[2], "1");
    argv[3] = ctx->lease_key;
    argv[4] = ctx->lease;

    if (pass) {
        argv[5] = ngx_http_weir_cache_pass[credentials];
    }

    ctx->lease.len = 0;

    (void) ngx_http_weir_redis_command(ctx->conf->zone->redis, &cmd,
                                       pass ? 6 : 5, argv);
}
