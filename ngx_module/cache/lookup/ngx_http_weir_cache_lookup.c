/*
 * Look-ups in Redis, shared by requests: requests of one worker that want the
 * same key while its GET is in progress wait for the same reply.  So a popular
 * key that is not in memory costs Redis and the network one transfer, not one
 * per client.
 *
 * A lookup is found by its digest until Redis has answered; later requests
 * start a new lookup, so a reply is never older than one command timeout.  Each
 * request decides for itself whether it may use the entry.
 *
 * Invariants:
 *   - the reply and the entry are in the lookup's pool, which is freed with the
 *     last reference; a request has one reference for each entry that it may
 *     still send.
 *   - a request in the queue of a lookup is waiting (ctx->looking) and has a
 *     reference.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry_check.h"
#include "cache/lookup/key/ngx_http_weir_cache_key.h"
#include "cache/lookup/ngx_http_weir_cache_ctx.h"
#include "cache/lookup/ngx_http_weir_cache_lookup.h"
#include "http/ngx_http_weir_assert.h"
#include "http/ngx_http_weir_park.h"

#define NGX_HTTP_WEIR_CACHE_LOOKUPS      256  /* buckets; a power of 2 */
#define NGX_HTTP_WEIR_CACHE_LOOKUP_POOL  1024 /* bytes; large replies are
                                                 allocated separately */

/* Limit of an entry's bytes beside its body: key, tags, header lines. */
#define NGX_HTTP_WEIR_CACHE_HEAD_MAX     (1024 * 1024)

/* Minimum interval between log lines about refusals by Redis, s. */
#define NGX_HTTP_WEIR_CACHE_LOG_INTERVAL  10


struct ngx_http_weir_cache_lookup_s {
    ngx_http_weir_cache_lookup_t    *next;      /* in the bucket, while asked is
                                                   set */
    ngx_http_weir_cache_zone_t      *zone;
    u_char                           digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    ngx_uint_t                       refs;
    ngx_queue_t                      waiting;   /* ctx->lookup_queue */
    ngx_pool_t                      *pool;      /* contains this struct, too */
    ngx_http_weir_redis_command_t    command;
    ngx_str_t                        key;       /* the Redis key */
    ngx_http_weir_redis_reply_t     *reply;     /* NULL: no reply */
    weir_str_t                       value;     /* string reply: the entry */
    weir_entry_t                     entry;     /* set if wrong is NULL */
    const char                      *wrong;     /* string reply: the fault, or
                                                   NULL */
    unsigned                         asked:1;   /* is in its bucket */
    unsigned                         kept:1;    /* was put into the first level */
    unsigned                         told:1;    /* the fault was logged and
                                                   counted */
    unsigned                         forged:1;  /* has no valid signature */
};


static ngx_http_weir_cache_lookup_t **ngx_http_weir_cache_lookup_bucket(
    u_char *digest);
static ngx_http_weir_cache_lookup_t *ngx_http_weir_cache_lookup_ask(
    ngx_http_weir_cache_ctx_t *ctx, u_char *digest);
static void ngx_http_weir_cache_lookup_forget(
    ngx_http_weir_cache_lookup_t *lookup);
static void ngx_http_weir_cache_lookup_handler(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);
static void ngx_http_weir_cache_lookup_read(
    ngx_http_weir_cache_lookup_t *lookup);
static void ngx_http_weir_cache_lookup_wrong(ngx_http_weir_cache_ctx_t *ctx,
    const char *wrong);
static void ngx_http_weir_cache_lookup_refused(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *text);


/* of this worker, for all zones */
static ngx_http_weir_cache_lookup_t
    *ngx_http_weir_cache_lookups[NGX_HTTP_WEIR_CACHE_LOOKUPS];


ngx_int_t
ngx_http_weir_cache_lookup(ngx_http_weir_cache_ctx_t *ctx, ngx_uint_t anew)
{
    u_char                        *digest;
    ngx_http_weir_cache_lookup_t  *lookup;

    ngx_http_weir_cache_lookup_release(&ctx->lookup);

    digest = ctx->varies ? ctx->variant : ctx->digest;

    for (lookup = anew ? NULL : *ngx_http_weir_cache_lookup_bucket(digest);
         lookup;
         lookup = lookup->next)
    {
        if (lookup->zone == ctx->conf->zone
            && ngx_memcmp(lookup->digest, digest,
                          NGX_HTTP_WEIR_CACHE_DIGEST_LEN)
               == 0)
        {
            break;
        }
    }

    if (lookup == NULL) {
        lookup = ngx_http_weir_cache_lookup_ask(ctx, digest);

        if (lookup == NULL) {
            return NGX_DECLINED;
        }

        /* the fault was logged at the first lookup */
        lookup->told = anew || ctx->collapsed;
    }

    ngx_queue_insert_tail(&lookup->waiting, &ctx->lookup_queue);
    ngx_http_weir_cache_lookup_hold(lookup);
    ctx->lookup = lookup;
    ctx->looking = 1;

    return NGX_OK;
}


static ngx_http_weir_cache_lookup_t **
ngx_http_weir_cache_lookup_bucket(u_char *digest)
{
    return &ngx_http_weir_cache_lookups[digest[0]
                                        % NGX_HTTP_WEIR_CACHE_LOOKUPS];
}


/* Creates a lookup without a reference; NULL: Redis cannot be asked. */

static ngx_http_weir_cache_lookup_t *
ngx_http_weir_cache_lookup_ask(ngx_http_weir_cache_ctx_t *ctx, u_char *digest)
{
    ngx_str_t                       argv[2];
    ngx_pool_t                     *pool;
    ngx_http_weir_cache_lookup_t   *lookup, **bucket;
    ngx_http_weir_redis_command_t  *cmd;

    pool = ngx_create_pool(NGX_HTTP_WEIR_CACHE_LOOKUP_POOL, ngx_cycle->log);
    if (pool == NULL) {
        return NULL;
    }

    lookup = ngx_pcalloc(pool, sizeof(ngx_http_weir_cache_lookup_t));
    ngx_str_set(&argv[0], "GET");
    argv[1] = ngx_http_weir_cache_key_in_redis(ctx, "cache", ctx->varies);

    if (lookup == NULL || argv[1].data == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    lookup->key.len = argv[1].len;
    lookup->key.data = ngx_pstrdup(pool, &argv[1]);

    if (lookup->key.data == NULL) {
        ngx_destroy_pool(pool);
        return NULL;
    }

    lookup->pool = pool;
    lookup->zone = ctx->conf->zone;
    ngx_memcpy(lookup->digest, digest, NGX_HTTP_WEIR_CACHE_DIGEST_LEN);
    ngx_queue_init(&lookup->waiting);

    cmd = &lookup->command;
    cmd->pool = pool;
    cmd->max = ctx->conf->max_size + NGX_HTTP_WEIR_CACHE_HEAD_MAX;
    cmd->handler = ngx_http_weir_cache_lookup_handler;
    cmd->data = lookup;
    cmd->log = ngx_cycle->log;
    cmd->usage = ngx_http_weir_usage(ctx->request);

    if (ngx_http_weir_redis_command(lookup->zone->redis, cmd, 2, argv)
        != NGX_OK)
    {
        ngx_destroy_pool(pool);
        return NULL;
    }

    bucket = ngx_http_weir_cache_lookup_bucket(digest);
    lookup->next = *bucket;
    *bucket = lookup;
    lookup->asked = 1;

    return lookup;
}


/* Removes the lookup from its bucket; later requests start a new one. */

static void
ngx_http_weir_cache_lookup_forget(ngx_http_weir_cache_lookup_t *lookup)
{
    ngx_http_weir_cache_lookup_t  **p;

    ngx_http_weir_assert(lookup->asked);

    for (p = ngx_http_weir_cache_lookup_bucket(lookup->digest);
         *p != lookup;
         p = &(*p)->next)
    {
        ngx_http_weir_assert(*p != NULL);
    }

    *p = lookup->next;
    lookup->asked = 0;
}


void
ngx_http_weir_cache_lookup_leave(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_assert(ctx->looking && ctx->lookup != NULL);

    ngx_queue_remove(&ctx->lookup_queue);
    ctx->looking = 0;
    ngx_http_weir_cache_lookup_release(&ctx->lookup);
}


void
ngx_http_weir_cache_lookup_hold(ngx_http_weir_cache_lookup_t *lookup)
{
    lookup->refs++;
}


void
ngx_http_weir_cache_lookup_release(ngx_http_weir_cache_lookup_t **held)
{
    ngx_http_weir_cache_lookup_t  *lookup = *held;

    ngx_http_weir_assert(lookup == NULL || lookup->refs != 0);

    *held = NULL;

    if (lookup == NULL || --lookup->refs) {
        return;
    }

    ngx_http_weir_assert(ngx_queue_empty(&lookup->waiting));

    if (lookup->asked) {
        ngx_http_weir_redis_cancel(&lookup->command);
        ngx_http_weir_cache_lookup_forget(lookup);
    }

    ngx_destroy_pool(lookup->pool);
}


static void
ngx_http_weir_cache_lookup_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply)
{
    ngx_queue_t                   *q;
    ngx_http_weir_cache_ctx_t     *ctx;
    ngx_http_weir_cache_lookup_t  *lookup;

    lookup = cmd->data;

    ngx_http_weir_cache_lookup_forget(lookup);

    lookup->reply = reply;

    if (reply && reply->type == NGX_HTTP_WEIR_REDIS_STRING) {
        ngx_http_weir_cache_lookup_read(lookup);
    }

    ngx_http_weir_cache_lookup_hold(lookup);

    while (!ngx_queue_empty(&lookup->waiting)) {
        q = ngx_queue_head(&lookup->waiting);
        /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): it is a ring */
        ngx_queue_remove(q);

        ctx = ngx_queue_data(q, ngx_http_weir_cache_ctx_t, lookup_queue);
        ctx->looking = 0;

        if (!ngx_http_weir_cache_ctx_waits(ctx)) {
            ngx_http_weir_resume(ctx->request);
        }
    }

    ngx_http_weir_cache_lookup_release(&lookup);
}


/*
 * Decodes the value only after its signature, if one is required, was verified.
 */

static void
ngx_http_weir_cache_lookup_read(ngx_http_weir_cache_lookup_t *lookup)
{
    weir_str_t                       name;
    ngx_time_t                      *tp;
    ngx_http_weir_cache_counters_t  *counters;

    lookup->value.data = (char *) lookup->reply->str.data;
    lookup->value.len = lookup->reply->str.len;

    name.data = (char *) lookup->key.data;
    name.len = lookup->key.len;

    if (lookup->zone->mac
        && !weir_entry_mac_verify(lookup->zone->mac, name, &lookup->value))
    {
        lookup->wrong = "not signed with this edge's secret";
        lookup->forged = 1;

        if (!lookup->told) {
            counters = ngx_http_weir_cache_zone_counters(lookup->zone);
            (void) ngx_atomic_fetch_add(&counters->forged, 1);
        }

        return;
    }

    lookup->wrong = weir_entry_decode(lookup->value, &lookup->entry);

    if (lookup->wrong == NULL) {
        tp = ngx_timeofday();
        lookup->wrong = weir_entry_check(&lookup->entry,
                                         (int64_t) tp->sec * 1000 + tp->msec);
    }
}


/*
 * A value under one of Weir's keys that is no entry is logged for the operator;
 * the next response overwrites it.
 */

ngx_int_t
ngx_http_weir_cache_lookup_result(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_redis_reply_t   *reply;
    ngx_http_weir_cache_lookup_t  *lookup;

    lookup = ctx->lookup;
    reply = lookup->reply;

    if (reply == NULL) {
        ctx->unavailable = 1;
        return NGX_DECLINED;
    }

    switch (reply->type) {

    case NGX_HTTP_WEIR_REDIS_NIL:
        return NGX_DECLINED;

    case NGX_HTTP_WEIR_REDIS_STRING:

        if (lookup->wrong) {
            ngx_http_weir_cache_lookup_wrong(ctx, lookup->wrong);
            return NGX_DECLINED;
        }

        if (((lookup->entry.flags & WEIR_ENTRY_VARIANT) != 0) != ctx->varies) {
            ngx_http_weir_cache_lookup_wrong(ctx, "the entry of another key");
            return NGX_DECLINED;
        }

        ctx->entry = lookup->entry;
        return NGX_OK;

    default:

        if (reply->str.len >= 9
            && ngx_strncmp(reply->str.data, "WRONGTYPE", 9) == 0)
        {
            ngx_http_weir_cache_lookup_wrong(ctx, (char *) reply->str.data);

        } else {
            ngx_http_weir_cache_lookup_refused(ctx, &reply->str);
        }

        return NGX_DECLINED;
    }
}


void
ngx_http_weir_cache_lookup_keep(ngx_http_weir_cache_ctx_t *ctx)
{
    ngx_http_weir_cache_lookup_t  *lookup;

    lookup = ctx->lookup;

    if (!lookup->kept) {
        lookup->kept = 1;

        (void) ngx_http_weir_cache_zone_put(lookup->zone, lookup->digest,
                                            ngx_http_weir_cache_key_hash(ctx,
                                               (u_char *) lookup->value.data),
                                            0, (u_char *) lookup->value.data,
                                            lookup->value.len);
    }
}


static void
ngx_http_weir_cache_lookup_wrong(ngx_http_weir_cache_ctx_t *ctx,
    const char *wrong)
{
    static time_t  logged;

    if (ctx->lookup->told) {
        return;
    }

    ctx->lookup->told = 1;

    /* after a change of the secret, all old values are such */

    if (ctx->lookup->forged) {

        if (ngx_time() - logged < NGX_HTTP_WEIR_CACHE_LOG_INTERVAL) {
            return;
        }

        logged = ngx_time();
    }

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "weir_cache \"%V\": the value of \"%V\" in Redis is foreign"
                  " or damaged (%s); it counts as a miss", &ctx->conf->zone->name,
                  &ctx->lookup->key, wrong);
}


/* Redis cannot answer at present. */

static void
ngx_http_weir_cache_lookup_refused(ngx_http_weir_cache_ctx_t *ctx,
    ngx_str_t *text)
{
    static time_t  logged;

    ctx->unavailable = 1;

    if (ngx_time() - logged < NGX_HTTP_WEIR_CACHE_LOG_INTERVAL) {
        return;
    }

    logged = ngx_time();

    ngx_log_error(NGX_LOG_ERR, ctx->request->connection->log, 0,
                  "weir_cache \"%V\": Redis refused a GET: %V",
                  &ctx->conf->zone->name, text);
}
