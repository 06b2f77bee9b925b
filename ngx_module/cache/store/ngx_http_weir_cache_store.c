/*
 * Writes a complete entry into shared memory and sends it to Redis; the client
 * waits for neither.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/invalidation/ngx_http_weir_cache_validity.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/ngx_http_weir_cache_turn.h"
#include "cache/store/ngx_http_weir_cache_store.h"
#include "http/ngx_http_weir_assert.h"


/* Seconds, so that a short-lived variant does not hide the others. */
#define NGX_HTTP_WEIR_CACHE_POINTER_TTL  3600


static void ngx_http_weir_cache_store_pointer(ngx_http_weir_cache_ctx_t *ctx);
static void ngx_http_weir_cache_store_set(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t variant, u_char *data, size_t len, time_t ttl);
static ngx_str_t ngx_http_weir_cache_store_sign(
    ngx_http_weir_cache_zone_t *zone,
    ngx_str_t *key, u_char *data, size_t len);
static void ngx_http_weir_cache_store_set_fenced(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t variant, ngx_str_t *key, ngx_str_t *value, ngx_str_t *time);
static ngx_uint_t ngx_http_weir_cache_store_whole_is_there(
    ngx_http_weir_cache_ctx_t *ctx, u_char *digest);


void
ngx_http_weir_cache_store(ngx_http_weir_cache_ctx_t *ctx)
{
    off_t       length, stored;
    ngx_uint_t  status;

    ngx_http_weir_assert(ctx->storing && ctx->buf != NULL);
    ngx_http_weir_assert(ctx->head_len <= ctx->len && ctx->len <= ctx->size);

    status = ctx->request->headers_out.status;
    length = ctx->request->upstream->headers_in.content_length_n;
    stored = ctx->len - ctx->head_len;

    /* a 204 and a 205 have no body, whatever their fields say */

    if (length >= 0 && ctx->status != NGX_HTTP_WEIR_CACHE_REVALIDATED
        && stored != length
        && status != NGX_HTTP_NO_CONTENT && status != 205)
    {
        ngx_http_weir_cache_record_abandon(ctx,
                                           "not as long as its Content-Length");
        return;
    }

    if (ctx->part && stored > ctx->range.last - ctx->range.first + 1) {
        ngx_http_weir_cache_record_abandon(ctx,
                                           "longer than its Content-Range");
        return;
    }

    weir_entry_finish((char *) ctx->buf, ctx->len);

    if (!ngx_http_weir_cache_validity_would_hold(ctx)) {
        ngx_http_weir_cache_turn_end(ctx, 0);
        ngx_http_weir_cache_record_abandon(ctx, "invalidated meanwhile");
        return;
    }

    if (ctx->vary_fields.len) {
        /* in this order, so that a pointer always leads to an entry */
        ngx_http_weir_cache_store_set(ctx, 1, ctx->buf, ctx->len,
                                      ctx->ttl);
        ngx_http_weir_cache_store_pointer(ctx);

    } else {
        ngx_http_weir_cache_store_set(ctx, 0, ctx->buf, ctx->len,
                                      ctx->ttl);
    }

    ctx->storing = 0;

    ngx_http_weir_cache_turn_storable(ctx);
    ngx_http_weir_cache_turn_end(ctx, 0);

    ngx_http_weir_cache_record_free_buf(ctx);
}


/* Removes the original of ctx->stale from both levels. */

void
ngx_http_weir_cache_store_drop(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_str_t                      argv[2];
    ngx_http_weir_redis_command_t  cmd;

    ngx_http_weir_cache_zone_remove(ctx->conf->zone,
                                    ctx->varies ? ctx->variant : ctx->digest,
                                    ctx->stale.stored);

    if (ctx->conf->zone->redis == NULL) {
        return;
    }

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;
    cmd.usage = ngx_http_weir_usage(ctx->request);

    ngx_str_set(&argv[0], "DEL");
    argv[1] = ngx_http_weir_cache_key_in_redis(ctx, "cache", ctx->varies);

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

    p = ngx_pnalloc(ctx->request->pool, len + WEIR_ENTRY_MAC_LEN);
    if (p == NULL) {
        return;
    }

    (void) weir_entry_begin((char *) p, &entry);
    weir_entry_finish((char *) p, len);

    ngx_http_weir_cache_store_set(ctx, 0, p, len,
                                  ngx_max(ctx->ttl,
                                          NGX_HTTP_WEIR_CACHE_POINTER_TTL));
}


/*
 * Writes to both levels, without waiting for Redis' reply; Redis expires the
 * entry.  data must be followed by room for a signature.
 */

static void
ngx_http_weir_cache_store_set(ngx_http_weir_cache_ctx_t *ctx,
    ngx_uint_t variant,
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
        && !(ctx->part && ngx_http_weir_cache_store_whole_is_there(ctx,
                                                                   digest)))
    {
        (void) ngx_http_weir_cache_zone_put(zone, digest,
                                       ngx_http_weir_cache_key_hash(ctx, data),
                                            ctx->began, data, len);
    }

    if (zone->redis == NULL) {
        return;
    }

    key = ngx_http_weir_cache_key_in_redis(ctx, "cache", variant);
    if (key.data == NULL) {
        return;
    }

    value = ngx_http_weir_cache_store_sign(zone, &key, data, len);

    time.data = seconds;
    time.len = ngx_sprintf(seconds, "%T", ttl) - seconds;

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;
    cmd.usage = ngx_http_weir_usage(ctx->request);

    if (ctx->lease.len) {
        ngx_http_weir_cache_store_set_fenced(ctx, variant, &key, &value, &time);
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
 * The value for Redis: with a secret, the entry is followed by its signature
 * for that Redis key.
 */

static ngx_str_t
ngx_http_weir_cache_store_sign(ngx_http_weir_cache_zone_t *zone, ngx_str_t *key,
    u_char *data, size_t len)
{
    ngx_str_t   value;
    weir_str_t  name, entry;

    value.data = data;
    value.len = len;

    if (zone->mac) {
        name.data = (char *) key->data;
        name.len = key->len;
        entry.data = (char *) data;
        entry.len = len;

        weir_entry_mac_sign(zone->mac, name, entry, (char *) data + len);

        value.len += WEIR_ENTRY_MAC_LEN;
    }

    return value;
}


/*
 * An owner that held the lease too long must not overwrite: the value is
 * written to a key of its own, and renamed to its final key if the lease is
 * still held.  As an argument of the script, a large value would cost Redis
 * several times as much.  A value that is never renamed soon expires.
 */

static void
ngx_http_weir_cache_store_set_fenced(ngx_http_weir_cache_ctx_t *ctx,
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

    own = ngx_http_weir_cache_key_in_redis(ctx, "fill", variant);

    p = ngx_pnalloc(ctx->request->pool, own.len + 1 + ctx->lease.len);

    if (own.data == NULL || p == NULL) {
        return;
    }

    own.len = ngx_sprintf(p, "%V:%V", &own, &ctx->lease) - p;
    own.data = p;

    ngx_memzero(&cmd, sizeof(ngx_http_weir_redis_command_t));
    cmd.log = ctx->request->connection->log;
    cmd.usage = ngx_http_weir_usage(ctx->request);

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


/* True if shared memory has an entry that is not a part. */

static ngx_uint_t
ngx_http_weir_cache_store_whole_is_there(ngx_http_weir_cache_ctx_t *ctx,
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
