/*
 * A reply that is a single string, read into the pool of its command.
 *
 * Most bytes from Redis are large strings: cached responses.  A reply that is a
 * single string is not passed to hiredis' reader, which would collect it in a
 * buffer of its own: after its first part was seen, the rest is received in the
 * pool from the socket directly.
 *
 * Invariants:
 *   - while rest is not 0, the reader is empty and the string belongs to the
 *     head of the slots.
 *   - target and bulk are in the pool of that slot's command; after the slot
 *     has lost its command, they are not accessed, and the rest is dropped.
 *   - memory is allocated for received bytes, not for announced ones: the
 *     server is not trusted.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "redis/ngx_http_weir_redis_read.h"


/* Digits of the longest string that is read without the reader. */
#define NGX_HTTP_WEIR_REDIS_DIGITS  9


static ngx_int_t ngx_http_weir_redis_read_string_reply(
    ngx_http_weir_redis_t *redis, ngx_http_weir_redis_command_t *cmd,
    size_t len);
static ngx_int_t ngx_http_weir_redis_read_string_room(
    ngx_http_weir_redis_t *redis);


ssize_t
ngx_http_weir_redis_read_string_recv(ngx_http_weir_redis_t *redis, u_char *buf,
    size_t size, size_t *direct)
{
    ssize_t            n;
    ngx_buf_t          b[2];
    ngx_chain_t        chain[2];
    ngx_connection_t  *c;

    c = redis->peer.connection;
    *direct = 0;

    if (redis->rest == 0 || redis->target == NULL
        || ngx_http_weir_redis_head(redis)->cmd == NULL)
    {
        return c->recv(c, buf, size);
    }

    if (redis->room == 0 && ngx_http_weir_redis_read_string_room(redis) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_memzero(b, sizeof(b));
    b[0].pos = b[0].last = redis->target;
    b[0].end = redis->target + redis->room;

    if (redis->room < redis->rest) {
        n = c->recv(c, redis->target, redis->room);
        *direct = ngx_max(n, 0);
        return n;
    }

    b[1].pos = b[1].last = buf;
    b[1].end = buf + size;

    chain[0].buf = &b[0];
    chain[0].next = &chain[1];
    chain[1].buf = &b[1];
    chain[1].next = NULL;

    n = c->recv_chain(c, chain, 0);

    if (n > 0) {
        *direct = ngx_min((size_t) n, redis->rest);
    }

    return n;
}


u_char *
ngx_http_weir_redis_read_string_begin(ngx_http_weir_redis_t *redis, u_char *p,
    u_char *last)
{
    size_t                       len;
    u_char                      *digit;
    ngx_http_weir_redis_slot_t  *slot;

    ngx_http_weir_assert(redis->rest == 0 && p < last && *p == '$');

    slot = ngx_http_weir_redis_head(redis);

    if (slot == NULL) {
        return p;
    }

    len = 0;

    for (digit = p + 1; digit < last && *digit >= '0' && *digit <= '9'; digit++)
    {
        if (digit - p > NGX_HTTP_WEIR_REDIS_DIGITS) {
            return p;
        }

        len = len * 10 + (*digit - '0');
    }

    if (digit == p + 1 || last - digit < 2 || digit[0] != CR || digit[1] != LF)
    {
        return p;
    }

    redis->rest = len + 2;
    redis->bulk = NULL;
    redis->target = NULL;

    if (slot->cmd
        && ngx_http_weir_redis_read_string_reply(redis, slot->cmd, len) != NGX_OK)
    {
        return NULL;
    }

    return digit + 2;
}


/*
 * Prepares the reply of a command that waits for a string of that length.
 * NGX_OK, or NGX_ERROR with redis->fault.
 */

static ngx_int_t
ngx_http_weir_redis_read_string_reply(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_command_t *cmd, size_t len)
{
    ngx_http_weir_redis_reply_t  *reply;

    reply = ngx_pcalloc(cmd->pool, sizeof(ngx_http_weir_redis_reply_t));
    if (reply == NULL) {
        redis->fault = "no memory for a reply";
        return NGX_ERROR;
    }

    reply->type = NGX_HTTP_WEIR_REDIS_STRING;
    redis->bulk = reply;

    if (cmd->max && len > cmd->max) {
        /* the bytes are dropped */
        reply->str.data = (u_char *) "";
        return NGX_OK;
    }

    if (len > NGX_HTTP_WEIR_REDIS_REPLY_MAX) {
        redis->fault = "sent a reply that is too large";
        return NGX_ERROR;
    }

    redis->room = ngx_min(redis->rest, NGX_HTTP_WEIR_REDIS_STRING_FIRST);

    reply->str.len = len;
    reply->str.data = ngx_pnalloc(cmd->pool, redis->room);

    if (reply->str.data == NULL) {
        redis->fault = "no memory for a reply";
        return NGX_ERROR;
    }

    redis->target = reply->str.data;

    return NGX_OK;
}


u_char *
ngx_http_weir_redis_read_string_put(ngx_http_weir_redis_t *redis, u_char *p,
    u_char *last)
{
    size_t  n;

    ngx_http_weir_assert(redis->rest != 0 && p < last);

    n = ngx_min(redis->rest, (size_t) (last - p));

    if (redis->target && ngx_http_weir_redis_head(redis)->cmd) {

        if (redis->room == 0 && ngx_http_weir_redis_read_string_room(redis) != NGX_OK)
        {
            redis->fault = "no memory for a reply";
            return NULL;
        }

        n = ngx_min(n, redis->room);
        redis->target = ngx_cpymem(redis->target, p, n);
        redis->room -= n;
    }

    redis->rest -= n;

    return p + n;
}


/*
 * The string's memory is full: allocates four times as much, so that an
 * announced length alone costs nothing.  NGX_OK or NGX_ERROR (no memory).
 */

static ngx_int_t
ngx_http_weir_redis_read_string_room(ngx_http_weir_redis_t *redis)
{
    u_char      *data;
    size_t       have, size;
    ngx_str_t   *str;
    ngx_pool_t  *pool;

    ngx_http_weir_assert(redis->room == 0 && redis->rest != 0);
    ngx_http_weir_assert(redis->bulk
                         && redis->target >= redis->bulk->str.data);

    pool = ngx_http_weir_redis_head(redis)->cmd->pool;
    str = &redis->bulk->str;

    have = redis->target - str->data;
    size = ngx_min(have * 4, have + redis->rest);

    data = ngx_pnalloc(pool, size);
    if (data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(data, str->data, have);
    (void) ngx_pfree(pool, str->data);

    str->data = data;
    redis->target = data + have;
    redis->room = size - have;

    return NGX_OK;
}


ngx_int_t
ngx_http_weir_redis_read_string_end(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_reply_t **reply)
{
    u_char  *end;

    ngx_http_weir_assert(redis->rest == 0);

    *reply = redis->bulk;
    redis->bulk = NULL;

    if (redis->target && ngx_http_weir_redis_head(redis)->cmd) {
        end = (*reply)->str.data + (*reply)->str.len;

        if (end[0] != CR || end[1] != LF) {
            redis->fault = "protocol error";
            return NGX_ERROR;
        }

        *end = '\0';
    }

    return NGX_OK;
}
