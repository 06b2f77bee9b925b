/*
 * Reads replies from the socket and calls the handlers.
 *
 * Most bytes from Redis are large strings: cached responses.  A reply that is a
 * single string is not passed to hiredis' reader, which would collect it in a
 * buffer of its own.  It is read into the pool of its command, without the
 * reader: after its first part was seen, the rest is received there from the
 * socket directly.  The reader decodes all other replies, strings whose length
 * is split between two reads, and strings that follow a reply in the reader.
 *
 * Invariants:
 *   - while rest is not 0, the reader is empty and the string belongs to the
 *     head of the slots.
 *   - target and bulk are in the pool of that slot's command; after the slot
 *     has lost its command, they are not accessed, and the rest is dropped.
 *   - memory is allocated for received bytes, not for announced ones: the
 *     server is not trusted.  Data that is not RESP2, too large, nested too
 *     deeply, or not asked for ends the connection.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "redis/ngx_http_weir_redis_commands.h"
#include "redis/ngx_http_weir_redis_read.h"


/* Digits of the longest string that is read without the reader. */
#define NGX_HTTP_WEIR_REDIS_DIGITS  9


static ssize_t ngx_http_weir_redis_recv(ngx_http_weir_redis_t *redis,
    u_char *buf, size_t size, size_t *direct);
static ngx_int_t ngx_http_weir_redis_take(ngx_http_weir_redis_t *redis,
    u_char *p, u_char *last);
static u_char *ngx_http_weir_redis_put_string(ngx_http_weir_redis_t *redis,
    u_char *p, u_char *last);
static u_char *ngx_http_weir_redis_begin_string(ngx_http_weir_redis_t *redis,
    u_char *p, u_char *last);
static ngx_int_t ngx_http_weir_redis_begin_reply(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_command_t *cmd, size_t len);
static ngx_int_t ngx_http_weir_redis_make_room(ngx_http_weir_redis_t *redis);
static ngx_int_t ngx_http_weir_redis_end_string(ngx_http_weir_redis_t *redis);
static ngx_int_t ngx_http_weir_redis_feed(ngx_http_weir_redis_t *redis,
    u_char *p, size_t len);
static ngx_uint_t ngx_http_weir_redis_is_endless(redisReader *reader);
static ngx_int_t ngx_http_weir_redis_deliver(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_reply_t *reply);


ngx_int_t
ngx_http_weir_redis_read(ngx_http_weir_redis_t *redis)
{
    size_t             direct;
    ssize_t            n;
    ngx_connection_t  *c;

    static u_char      buf[65536];

    c = redis->peer.connection;
    redis->fault = NULL;

    for ( ;; ) {
        n = ngx_http_weir_redis_recv(redis, buf, sizeof(buf), &direct);

        if (n == NGX_AGAIN) {
            return NGX_OK;
        }

        if (n == NGX_ERROR || n == 0) {

            if (n == 0 && redis->state == NGX_HTTP_WEIR_REDIS_UP
                && redis->nslots == 0)
            {
                /* the server's idle timeout: the next command reconnects */
                return NGX_ERROR;
            }

            redis->err = (n == NGX_ERROR) ? ngx_socket_errno : 0;
            redis->fault = "connection lost";
            return NGX_ERROR;
        }

        redis->last_read = ngx_current_msec;

        if (direct) {
            redis->rest -= direct;
            redis->target += direct;
            redis->room -= direct;

            if (redis->rest == 0
                && ngx_http_weir_redis_end_string(redis) != NGX_OK)
            {
                return NGX_ERROR;
            }
        }

        if (ngx_http_weir_redis_take(redis, buf, buf + (n - direct))
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_http_weir_redis_arm(redis);

        if (!c->read->ready) {
            return NGX_OK;
        }
    }
}


/*
 * Receives the rest of a string at its target (direct bytes), and the following
 * bytes into buf, in one call.
 */

static ssize_t
ngx_http_weir_redis_recv(ngx_http_weir_redis_t *redis, u_char *buf,
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

    if (redis->room == 0 && ngx_http_weir_redis_make_room(redis) != NGX_OK) {
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


/* NGX_OK, or NGX_ERROR with redis->fault. */

static ngx_int_t
ngx_http_weir_redis_take(ngx_http_weir_redis_t *redis, u_char *p, u_char *last)
{
    size_t        n;
    u_char       *next;
    redisReader  *reader;

    reader = redis->reader;

    while (p < last) {

        if (redis->rest) {
            p = ngx_http_weir_redis_put_string(redis, p, last);

            if (p == NULL) {
                return NGX_ERROR;
            }

            continue;
        }

        n = last - p;

        if (reader->ridx == -1 && reader->pos == reader->len) {

            /* between two replies */

            switch (*p) {

            case '$':
                next = ngx_http_weir_redis_begin_string(redis, p, last);

                if (next == NULL) {
                    return NGX_ERROR;
                }

                if (next != p) {
                    p = next;
                    continue;
                }

                /* fall through */

            case '+':
            case '-':
            case ':':
                next = ngx_strlchr(p, last, LF);

                if (next) {
                    n = next + 1 - p;
                }
            }
        }

        if (ngx_http_weir_redis_feed(redis, p, n) != NGX_OK) {
            return NGX_ERROR;
        }

        p += n;
    }

    return NGX_OK;
}


/*
 * Takes bytes of the string that is being read.  Returns the start of the
 * remaining bytes, or NULL with redis->fault.
 */

static u_char *
ngx_http_weir_redis_put_string(ngx_http_weir_redis_t *redis, u_char *p,
    u_char *last)
{
    size_t  n;

    n = ngx_min(redis->rest, (size_t) (last - p));

    if (redis->target && ngx_http_weir_redis_head(redis)->cmd) {

        if (redis->room == 0 && ngx_http_weir_redis_make_room(redis) != NGX_OK)
        {
            redis->fault = "no memory for a reply";
            return NULL;
        }

        n = ngx_min(n, redis->room);
        redis->target = ngx_cpymem(redis->target, p, n);
        redis->room -= n;
    }

    redis->rest -= n;

    if (redis->rest == 0 && ngx_http_weir_redis_end_string(redis) != NGX_OK) {
        return NULL;
    }

    return p + n;
}


/*
 * Reads "$length CRLF".  Returns the start of the string; p if the reader must
 * decode it; or NULL with redis->fault.
 */

static u_char *
ngx_http_weir_redis_begin_string(ngx_http_weir_redis_t *redis, u_char *p,
    u_char *last)
{
    size_t                       len;
    u_char                      *digit;
    ngx_http_weir_redis_slot_t  *slot;

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
        && ngx_http_weir_redis_begin_reply(redis, slot->cmd, len) != NGX_OK)
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
ngx_http_weir_redis_begin_reply(ngx_http_weir_redis_t *redis,
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


/*
 * The string's memory is full: allocates four times as much, so that an
 * announced length alone costs nothing.  NGX_OK or NGX_ERROR (no memory).
 */

static ngx_int_t
ngx_http_weir_redis_make_room(ngx_http_weir_redis_t *redis)
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


/* NGX_OK, or NGX_ERROR with redis->fault. */

static ngx_int_t
ngx_http_weir_redis_end_string(ngx_http_weir_redis_t *redis)
{
    u_char                       *end;
    ngx_http_weir_redis_reply_t  *reply;

    ngx_http_weir_assert(redis->rest == 0);

    reply = redis->bulk;
    redis->bulk = NULL;

    if (redis->target && ngx_http_weir_redis_head(redis)->cmd) {
        end = reply->str.data + reply->str.len;

        if (end[0] != CR || end[1] != LF) {
            redis->fault = "protocol error";
            return NGX_ERROR;
        }

        *end = '\0';
    }

    return ngx_http_weir_redis_deliver(redis, reply);
}


/*
 * Feeds bytes to the reader and delivers every complete reply.  NGX_OK, or
 * NGX_ERROR with redis->fault.
 */

static ngx_int_t
ngx_http_weir_redis_feed(ngx_http_weir_redis_t *redis, u_char *p, size_t len)
{
    void         *reply;
    redisReader  *reader;

    reader = redis->reader;
    redis->reply_bytes += len;

    if (redis->reply_bytes > NGX_HTTP_WEIR_REDIS_REPLY_MAX) {
        redis->fault = "sent a reply that is too large";
        return NGX_ERROR;
    }

    if (redisReaderFeed(reader, (char *) p, len) != REDIS_OK) {
        redis->fault = "protocol error";
        return NGX_ERROR;
    }

    /* called without input, the reader would begin the next reply */

    while (reader->pos < reader->len) {
        reply = NULL;

        if (redisReaderGetReply(reader, &reply) != REDIS_OK) {
            redis->fault = "protocol error";
            return NGX_ERROR;
        }

        if (reply == NULL) {

            if (ngx_http_weir_redis_is_endless(reader)) {
                redis->fault = "sent a line without an end";
                return NGX_ERROR;
            }

            break;
        }

        redis->reply_bytes = reader->len - reader->pos;
        redis->reply_elements = 0;

        if (ngx_http_weir_redis_deliver(redis, reply) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/*
 * The reader searches the end of a line from the line's start each time it is
 * fed.
 */

static ngx_uint_t
ngx_http_weir_redis_is_endless(redisReader *reader)
{
    u_char  *line;

    line = (u_char *) reader->buf + reader->pos;

    return reader->len - reader->pos > NGX_HTTP_WEIR_REDIS_LINE_MAX
           && ngx_strlchr(line, line + NGX_HTTP_WEIR_REDIS_LINE_MAX, LF)
              == NULL;
}


/*
 * A reply is complete; it is evaluated only if a command waits for it.  NGX_OK,
 * or NGX_ERROR with redis->fault.
 */

static ngx_int_t
ngx_http_weir_redis_deliver(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_reply_t *reply)
{
    ngx_uint_t                      handshake;
    ngx_connection_t               *c;
    ngx_http_weir_redis_slot_t     *slot;
    ngx_http_weir_redis_command_t  *cmd;

    slot = ngx_http_weir_redis_head(redis);

    if (slot == NULL) {
        redis->fault = "reply without a command";
        return NGX_ERROR;
    }

    ngx_http_weir_assert(redis->nslots != 0);
    ngx_http_weir_assert(slot->cmd == NULL || slot->cmd->slot == slot);

    cmd = slot->cmd;
    handshake = slot->handshake;

    ngx_queue_remove(&slot->queue);
    ngx_queue_insert_head(&redis->free, &slot->queue);
    redis->nslots--;

    if (cmd) {
        cmd->slot = NULL;
        cmd->handler(cmd, NGX_OK, reply);
        return NGX_OK;
    }

    if (!handshake) {
        return NGX_OK;
    }

    slot = ngx_http_weir_redis_head(redis);

    if (slot && slot->handshake) {
        return NGX_OK;
    }

    if (redis->refusal.len) {
        redis->fault = "refused the handshake";
        return NGX_ERROR;
    }

    redis->state = NGX_HTTP_WEIR_REDIS_UP;

    c = redis->peer.connection;
    ngx_del_timer(c->read);

    if (redis->failures) {
        redis->failures = 0;
        c->log = ngx_cycle->log;
        c->read->log = c->log;
        c->write->log = c->log;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0,
                      "weir_redis \"%V\" is up again%s%V", &redis->name,
                      redis->purpose.len ? "; connection for " : "",
                      &redis->purpose);
    }

    ngx_post_event(&redis->flush, &ngx_posted_events);

    return NGX_OK;
}
