/*
 * Builds replies for hiredis' reader: each string is copied once, into the
 * pool of the command that waits for it.  For a command that waits no longer
 * nothing is built and nothing of an earlier part is touched, as its pool may
 * be gone; a mark stands in for every object.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "redis/ngx_http_weir_redis_server.h"


static char  ngx_http_weir_redis_dropped;


static ngx_http_weir_redis_reply_t *
ngx_http_weir_redis_object(const redisReadTask *task,
    ngx_http_weir_redis_type_e type, ngx_pool_t *pool)
{
    ngx_http_weir_redis_reply_t  *reply, *parent;

    reply = ngx_pcalloc(pool, sizeof(ngx_http_weir_redis_reply_t));
    if (reply == NULL) {
        return NULL;
    }

    reply->type = type;

    if (task->parent) {
        parent = task->parent->obj;
        parent->elements[task->idx] = reply;
    }

    return reply;
}


static ngx_pool_t *
ngx_http_weir_redis_reply_pool(const redisReadTask *task)
{
    ngx_http_weir_redis_t       *redis = task->privdata;
    ngx_http_weir_redis_slot_t  *slot;

    slot = ngx_http_weir_redis_head(redis);

    return (slot && slot->cmd) ? slot->cmd->pool : NULL;
}


/* Error replies that nobody waits for are still news to the operator. */

static void
ngx_http_weir_redis_unheard_error(ngx_http_weir_redis_t *redis, char *text,
    size_t len)
{
    ngx_str_t                    s;
    ngx_http_weir_redis_slot_t  *slot;

    slot = ngx_http_weir_redis_head(redis);

    if (slot && slot->handshake) {
        if (redis->refusal.len == 0) {
            redis->refusal.data = redis->refusal_buf;
            redis->refusal.len = ngx_min(len, sizeof(redis->refusal_buf));
            ngx_memcpy(redis->refusal.data, text, redis->refusal.len);
        }

        return;
    }

    if (redis->last_logged
        && ngx_current_msec - redis->last_logged
           < NGX_HTTP_WEIR_REDIS_LOG_INTERVAL)
    {
        return;
    }

    redis->last_logged = ngx_current_msec;

    s.data = (u_char *) text;
    s.len = ngx_min(len, 256);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_redis \"%V\" answered a command with \"%V\"",
                  &redis->name, &s);
}


static void *
ngx_http_weir_redis_string(const redisReadTask *task, char *text, size_t len)
{
    ngx_pool_t                   *pool;
    ngx_http_weir_redis_reply_t  *reply;

    pool = ngx_http_weir_redis_reply_pool(task);

    if (pool == NULL) {
        if (task->type == REDIS_REPLY_ERROR) {
            ngx_http_weir_redis_unheard_error(task->privdata, text, len);
        }

        return &ngx_http_weir_redis_dropped;
    }

    reply = ngx_http_weir_redis_object(task,
                task->type == REDIS_REPLY_ERROR ? NGX_HTTP_WEIR_REDIS_ERROR
                : task->type == REDIS_REPLY_STATUS ? NGX_HTTP_WEIR_REDIS_STATUS
                                                : NGX_HTTP_WEIR_REDIS_STRING,
                pool);
    if (reply == NULL) {
        return NULL;
    }

    reply->str.data = ngx_pnalloc(pool, len + 1);
    if (reply->str.data == NULL) {
        return NULL;
    }

    ngx_memcpy(reply->str.data, text, len);
    reply->str.data[len] = '\0';
    reply->str.len = len;

    return reply;
}


static void *
ngx_http_weir_redis_array(const redisReadTask *task,
    ngx_http_weir_hiredis_count_t n)
{
    ngx_pool_t                   *pool;
    ngx_http_weir_redis_reply_t  *reply;

    pool = ngx_http_weir_redis_reply_pool(task);

    if (pool == NULL) {
        return &ngx_http_weir_redis_dropped;
    }

    reply = ngx_http_weir_redis_object(task, NGX_HTTP_WEIR_REDIS_ARRAY, pool);
    if (reply == NULL) {
        return NULL;
    }

    reply->nelements = n;
    reply->elements = ngx_pcalloc(pool, (n + 1) * sizeof(void *));

    return reply->elements ? reply : NULL;
}


static void *
ngx_http_weir_redis_integer(const redisReadTask *task, long long value)
{
    ngx_pool_t                   *pool;
    ngx_http_weir_redis_reply_t  *reply;

    pool = ngx_http_weir_redis_reply_pool(task);

    if (pool == NULL) {
        return &ngx_http_weir_redis_dropped;
    }

    reply = ngx_http_weir_redis_object(task, NGX_HTTP_WEIR_REDIS_INTEGER, pool);

    if (reply) {
        reply->integer = value;
    }

    return reply;
}


static void *
ngx_http_weir_redis_nil(const redisReadTask *task)
{
    ngx_pool_t  *pool;

    pool = ngx_http_weir_redis_reply_pool(task);

    if (pool == NULL) {
        return &ngx_http_weir_redis_dropped;
    }

    return ngx_http_weir_redis_object(task, NGX_HTTP_WEIR_REDIS_NIL, pool);
}


static void
ngx_http_weir_redis_free(void *reply)
{
    /* pools free */
}


redisReplyObjectFunctions  ngx_http_weir_redis_functions = {
    .createString = ngx_http_weir_redis_string,
    .createArray = ngx_http_weir_redis_array,
    .createInteger = ngx_http_weir_redis_integer,
    .createNil = ngx_http_weir_redis_nil,
    .freeObject = ngx_http_weir_redis_free
};
