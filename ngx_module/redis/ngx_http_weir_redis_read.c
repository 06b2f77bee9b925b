/*
 * Reads replies from the socket and calls the handlers.
 *
 * A reply that is a single string is read without hiredis' reader
 * (ngx_http_weir_redis_read_string.c).  The reader decodes all other replies,
 * strings whose length is split between two reads, and strings that follow a
 * reply in the reader.
 *
 * The server is not trusted: data that is not RESP2, too large, nested too
 * deeply, or not asked for ends the connection.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "redis/ngx_http_weir_redis_commands.h"
#include "redis/ngx_http_weir_redis_read.h"


static ngx_int_t ngx_http_weir_redis_take(ngx_http_weir_redis_t *redis,
    u_char *p, u_char *last);
static u_char *ngx_http_weir_redis_put(ngx_http_weir_redis_t *redis,
    u_char *p, u_char *last);
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

    ngx_http_weir_assert(c != NULL && redis->reader != NULL);

    for ( ;; ) {
        n = ngx_http_weir_redis_read_string_recv(redis, buf, sizeof(buf), &direct);

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
            redis->received += direct;
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

            ngx_http_weir_assert(reader->ridx == -1
                                 && reader->pos == reader->len);

            p = ngx_http_weir_redis_put(redis, p, last);

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
                next = ngx_http_weir_redis_read_string_begin(redis, p, last);

                if (next == NULL) {
                    return NGX_ERROR;
                }

                if (next != p) {
                    redis->received += next - p;
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


/* More of a string; the byte behind it, or NULL with redis->fault. */

static u_char *
ngx_http_weir_redis_put(ngx_http_weir_redis_t *redis, u_char *p, u_char *last)
{
    u_char  *next;

    next = ngx_http_weir_redis_read_string_put(redis, p, last);

    if (next == NULL) {
        return NULL;
    }

    redis->received += next - p;

    if (redis->rest == 0 && ngx_http_weir_redis_end_string(redis) != NGX_OK) {
        return NULL;
    }

    return next;
}


/* NGX_OK, or NGX_ERROR with redis->fault. */

static ngx_int_t
ngx_http_weir_redis_end_string(ngx_http_weir_redis_t *redis)
{
    ngx_http_weir_redis_reply_t  *reply;

    if (ngx_http_weir_redis_read_string_end(redis, &reply) != NGX_OK) {
        return NGX_ERROR;
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
    redis->received += len;

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

        /* the rest belongs to the next reply */
        redis->received -= redis->reply_bytes;

        if (ngx_http_weir_redis_deliver(redis, reply) != NGX_OK) {
            return NGX_ERROR;
        }

        redis->received = redis->reply_bytes;
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

    ngx_http_weir_usage_redis(cmd ? cmd->usage : NULL,
                              NGX_HTTP_WEIR_USAGE_REDIS_RECEIVED,
                              redis->received);
    redis->received = 0;

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
