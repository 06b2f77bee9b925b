/*
 * Builds replies for hiredis' reader: each string is copied once, into the pool
 * of the command that waits for it.  For a command that no longer waits,
 * nothing is built and no earlier part is accessed, because its pool may be
 * gone; a marker is returned for every object.
 *
 * A function that returns NULL makes the reader fail, and the connection is
 * closed.  That is done for RESP3 types, which no server may send before HELLO,
 * for arrays nested too deeply, and for too many elements.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "redis/ngx_http_weir_redis_reply.h"


static ngx_int_t ngx_http_weir_redis_place(ngx_http_weir_redis_reply_t *array,
    ngx_uint_t i, ngx_pool_t *pool);


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

        if (ngx_http_weir_redis_place(parent, task->idx, pool) != NGX_OK) {
            return NULL;
        }

        parent->elements[task->idx] = reply;
    }

    return reply;
}


/* Makes room for the array element of that index. */

static ngx_int_t
ngx_http_weir_redis_place(ngx_http_weir_redis_reply_t *array, ngx_uint_t i,
    ngx_pool_t *pool)
{
    ngx_uint_t                     room;
    ngx_http_weir_redis_reply_t  **elements;

    if (i < array->room) {
        return NGX_OK;
    }

    ngx_http_weir_assert(i == array->room && i < array->nelements);

    room = ngx_min(ngx_max(array->room * 2, 8), array->nelements);

    elements = ngx_pcalloc(pool, room * sizeof(void *));
    if (elements == NULL) {
        return NGX_ERROR;
    }

    if (array->room) {
        ngx_memcpy(elements, array->elements, array->room * sizeof(void *));
        (void) ngx_pfree(pool, array->elements);
    }

    array->elements = elements;
    array->room = room;

    return NGX_OK;
}


/* The command that waits for the reply; NULL: none. */

static ngx_http_weir_redis_command_t *
ngx_http_weir_redis_reply_command(const redisReadTask *task)
{
    ngx_http_weir_redis_slot_t  *slot;

    slot = ngx_http_weir_redis_head(task->privdata);

    return slot ? slot->cmd : NULL;
}


static ngx_pool_t *
ngx_http_weir_redis_reply_pool(const redisReadTask *task)
{
    ngx_http_weir_redis_command_t  *cmd;

    cmd = ngx_http_weir_redis_reply_command(task);

    return cmd ? cmd->pool : NULL;
}


/*
 * Makes a text from the server safe for the log: a line break in it would forge
 * a log line.
 */

static void
ngx_http_weir_redis_make_printable(u_char *text, size_t len)
{
    size_t  i;

    for (i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] == 0x7f) {
            text[i] = ' ';
        }
    }
}


/*
 * Error replies to commands for which nothing has ever waited are logged for the
 * operator.  A late one says nothing new, and may be no fault: that there is no
 * such stream yet.
 */

static void
ngx_http_weir_redis_unheard_error(ngx_http_weir_redis_t *redis, char *text,
    size_t len)
{
    u_char                       buf[256];
    ngx_str_t                    s;
    ngx_http_weir_redis_slot_t  *slot;

    slot = ngx_http_weir_redis_head(redis);

    if (slot && slot->handshake) {
        if (redis->refusal.len == 0) {
            redis->refusal.data = redis->refusal_buf;
            redis->refusal.len = ngx_min(len, sizeof(redis->refusal_buf));
            ngx_memcpy(redis->refusal.data, text, redis->refusal.len);
            ngx_http_weir_redis_make_printable(redis->refusal.data,
                                               redis->refusal.len);
        }

        return;
    }

    if (slot && slot->failed) {
        return;
    }

    if (redis->last_logged
        && ngx_current_msec - redis->last_logged
           < NGX_HTTP_WEIR_REDIS_LOG_INTERVAL)
    {
        return;
    }

    redis->last_logged = ngx_current_msec;

    s.data = buf;
    s.len = ngx_min(len, sizeof(buf));
    ngx_memcpy(buf, text, s.len);
    ngx_http_weir_redis_make_printable(buf, s.len);

    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "weir_redis \"%V\" answered a command with \"%V\"",
                  &redis->name, &s);
}


static void *
ngx_http_weir_redis_string(const redisReadTask *task, char *text, size_t len)
{
    size_t                        max;
    ngx_pool_t                   *pool;
    ngx_http_weir_redis_reply_t  *reply;

    if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_STATUS
        && task->type != REDIS_REPLY_ERROR)
    {
        return NULL;
    }

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

    max = ngx_http_weir_redis_reply_command(task)->max;

    if (max && len > max && reply->type == NGX_HTTP_WEIR_REDIS_STRING) {
        len = 0;
    }

    reply->str.data = ngx_pnalloc(pool, len + 1);
    if (reply->str.data == NULL) {
        return NULL;
    }

    ngx_memcpy(reply->str.data, text, len);
    reply->str.data[len] = '\0';
    reply->str.len = len;

    if (reply->type != NGX_HTTP_WEIR_REDIS_STRING) {
        ngx_http_weir_redis_make_printable(reply->str.data, len);
    }

    return reply;
}


static void *
ngx_http_weir_redis_array(const redisReadTask *task,
    ngx_http_weir_hiredis_count_t n)
{
    ngx_uint_t                    depth;
    ngx_pool_t                   *pool;
    const redisReadTask          *parent;
    ngx_http_weir_redis_t        *redis;
    ngx_http_weir_redis_reply_t  *reply;

    redis = task->privdata;
    depth = 1;

    for (parent = task->parent; parent; parent = parent->parent) {
        depth++;
    }

    if (task->type != REDIS_REPLY_ARRAY
        || depth > NGX_HTTP_WEIR_REDIS_DEPTH_MAX
        || (size_t) n > NGX_HTTP_WEIR_REDIS_ELEMENTS_MAX
                        - redis->reply_elements)
    {
        return NULL;
    }

    redis->reply_elements += n;

    pool = ngx_http_weir_redis_reply_pool(task);

    if (pool == NULL) {
        return &ngx_http_weir_redis_dropped;
    }

    reply = ngx_http_weir_redis_object(task, NGX_HTTP_WEIR_REDIS_ARRAY, pool);

    if (reply) {
        reply->nelements = n;
    }

    return reply;
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

    /* "_" of RESP3; a nil string or array has its own type here */

    if (task->type == REDIS_REPLY_NIL) {
        return NULL;
    }

    pool = ngx_http_weir_redis_reply_pool(task);

    if (pool == NULL) {
        return &ngx_http_weir_redis_dropped;
    }

    return ngx_http_weir_redis_object(task, NGX_HTTP_WEIR_REDIS_NIL, pool);
}


static void
ngx_http_weir_redis_free(void *reply)
{
    /* the pool frees the memory */
}


redisReplyObjectFunctions  ngx_http_weir_redis_functions = {
    .createString = ngx_http_weir_redis_string,
    .createArray = ngx_http_weir_redis_array,
    .createInteger = ngx_http_weir_redis_integer,
    .createNil = ngx_http_weir_redis_nil,
    .freeObject = ngx_http_weir_redis_free,
    NGX_HTTP_WEIR_HIREDIS_REFUSE_RESP3
};
