/*
 * Sending commands, and the queue of slots in which they wait for their
 * replies, which arrive in the order of the commands.
 *
 * Invariants:
 *   - slots are in the order in which their commands were written to out, the
 *     handshake's before all others; a sent command has a slot until its reply
 *     was read, even if no caller waits for it.
 *   - all commands have the same timeout, so deadlines are in the same order.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "redis/ngx_http_weir_redis_commands.h"


static ngx_int_t ngx_http_weir_redis_introduce(ngx_http_weir_redis_t *redis);
static ngx_int_t ngx_http_weir_redis_append(ngx_http_weir_redis_t *redis,
    ngx_uint_t argc, ngx_str_t *argv);
static ngx_http_weir_redis_slot_t *ngx_http_weir_redis_slot(
    ngx_http_weir_redis_t *redis, ngx_http_weir_redis_command_t *cmd);


ngx_int_t
ngx_http_weir_redis_command(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_command_t *cmd, ngx_uint_t argc, ngx_str_t *argv)
{
    size_t                       len;
    ngx_http_weir_redis_slot_t  *slot;

    ngx_http_weir_assert(argc != 0);
    ngx_http_weir_assert(cmd->handler == NULL || cmd->pool != NULL);

    cmd->slot = NULL;

    if (redis->state != NGX_HTTP_WEIR_REDIS_UP && redis->failures) {
        return NGX_DECLINED;
    }

    if (redis->nslots >= NGX_HTTP_WEIR_REDIS_SLOTS_MAX) {
        return NGX_DECLINED;
    }

    /* of what is not sent yet, which append() may move */
    len = redis->out_len - redis->out_pos;

    if (ngx_http_weir_redis_append(redis, argc, argv) != NGX_OK) {
        return NGX_DECLINED;
    }

    slot = ngx_http_weir_redis_slot(redis, cmd->handler ? cmd : NULL);
    if (slot == NULL) {
        redis->out_len = redis->out_pos + len;
        return NGX_DECLINED;
    }

    ngx_queue_insert_tail(&redis->slots, &slot->queue);

    len = redis->out_len - redis->out_pos - len;

    ngx_http_weir_usage_redis(cmd->usage, NGX_HTTP_WEIR_USAGE_COMMANDS, 1);
    ngx_http_weir_usage_redis(cmd->usage, NGX_HTTP_WEIR_USAGE_REDIS_SENT, len);

    if (cmd->handler) {
        cmd->slot = slot;
    }

    if (!redis->deadline.timer_set) {
        ngx_add_timer(&redis->deadline, redis->timeout);
    }

    ngx_post_event(&redis->flush, &ngx_posted_events);

    return NGX_OK;
}


void
ngx_http_weir_redis_cancel(ngx_http_weir_redis_command_t *cmd)
{
    ngx_http_weir_redis_slot_t  *slot = cmd->slot;

    if (slot) {
        ngx_http_weir_assert(slot->cmd == cmd);

        slot->cmd = NULL;
        cmd->slot = NULL;
    }
}


void
ngx_http_weir_redis_arm(ngx_http_weir_redis_t *redis)
{
    ngx_http_weir_redis_slot_t  *slot;

    slot = ngx_http_weir_redis_head(redis);

    if (slot == NULL) {
        if (redis->deadline.timer_set) {
            ngx_del_timer(&redis->deadline);
        }

    } else if (!redis->deadline.timer_set) {
        ngx_add_timer(&redis->deadline, redis->timeout);
    }
}


ngx_int_t
ngx_http_weir_redis_handshake(ngx_http_weir_redis_t *redis)
{
    u_char            *out;
    size_t             pos, len, size;
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = redis->peer.connection;

    ngx_http_weir_assert(c != NULL);
    ngx_http_weir_assert(redis->state == NGX_HTTP_WEIR_REDIS_CONNECTING);

    /* the bytes of waiting commands are put aside */

    out = redis->out;
    pos = redis->out_pos;
    len = redis->out_len;
    size = redis->out_size;

    redis->out = NULL;
    redis->out_pos = redis->out_len = redis->out_size = 0;

    rc = ngx_http_weir_redis_introduce(redis);

    /* a few hundred bytes fit into an empty socket buffer */

    if (rc == NGX_OK
        && c->send(c, redis->out, redis->out_len) != (ssize_t) redis->out_len)
    {
        rc = NGX_ERROR;
    }

    ngx_free(redis->out);
    redis->out = out;
    redis->out_pos = pos;
    redis->out_len = len;
    redis->out_size = size;

    if (rc != NGX_OK || ngx_handle_read_event(c->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    redis->state = NGX_HTTP_WEIR_REDIS_HANDSHAKE;

    return NGX_OK;
}


/* Sends AUTH, SELECT and PING, with their slots before all others. */

static ngx_int_t
ngx_http_weir_redis_introduce(ngx_http_weir_redis_t *redis)
{
    ngx_str_t                    argv[3];
    ngx_uint_t                   i, commands;
    ngx_http_weir_redis_slot_t  *slot;

    ngx_http_weir_assert(redis->out == NULL && redis->out_len == 0);

    commands = 1;

    ngx_http_weir_redis_login_renew(redis->login, &redis->name,
                                    redis->peer.connection->log);

    if (redis->login->password.len) {
        ngx_str_set(&argv[0], "AUTH");
        i = 1;

        if (redis->login->user.len) {
            argv[i++] = redis->login->user;
        }

        argv[i++] = redis->login->password;
        commands++;

        if (ngx_http_weir_redis_append(redis, i, argv) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    if (redis->database.len) {
        ngx_str_set(&argv[0], "SELECT");
        argv[1] = redis->database;
        commands++;

        if (ngx_http_weir_redis_append(redis, 2, argv) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_str_set(&argv[0], "PING");

    if (ngx_http_weir_redis_append(redis, 1, argv) != NGX_OK) {
        return NGX_ERROR;
    }

    ngx_http_weir_usage_redis(NULL, NGX_HTTP_WEIR_USAGE_COMMANDS, commands);
    ngx_http_weir_usage_redis(NULL, NGX_HTTP_WEIR_USAGE_REDIS_SENT,
                              redis->out_len);

    for (i = 0; i < commands; i++) {
        slot = ngx_http_weir_redis_slot(redis, NULL);
        if (slot == NULL) {
            return NGX_ERROR;
        }

        slot->handshake = 1;
        ngx_queue_insert_head(&redis->slots, &slot->queue);
    }

    return NGX_OK;
}


/*
 * Appends the command in Redis' protocol to the output buffer, as an array of
 * bulk strings. hiredis' formatter would build it in a buffer of its own first,
 * and values can be large.
 */

static ngx_int_t
ngx_http_weir_redis_append(ngx_http_weir_redis_t *redis, ngx_uint_t argc,
    ngx_str_t *argv)
{
    u_char      *out;
    size_t       size, len;
    ngx_uint_t   i;

    len = sizeof("*\r\n") - 1 + NGX_INT_T_LEN;

    for (i = 0; i < argc; i++) {
        len += sizeof("$\r\n\r\n") - 1 + NGX_SIZE_T_LEN + argv[i].len;
    }

    if (redis->out_len - redis->out_pos + len > NGX_HTTP_WEIR_REDIS_OUT_MAX) {
        return NGX_ERROR;
    }

    if (redis->out_pos) {
        ngx_memmove(redis->out, redis->out + redis->out_pos,
                    redis->out_len - redis->out_pos);
        redis->out_len -= redis->out_pos;
        redis->out_pos = 0;
    }

    if (redis->out_len + len > redis->out_size) {
        size = ngx_max(redis->out_size * 2, redis->out_len + len);
        size = ngx_max(size, 16384);

        out = realloc(redis->out, size);
        if (out == NULL) {
            return NGX_ERROR;
        }

        redis->out = out;
        redis->out_size = size;
    }

    ngx_http_weir_assert(redis->out_pos == 0
                         && redis->out_len + len <= redis->out_size);

    out = redis->out + redis->out_len;
    out = ngx_sprintf(out, "*%ui\r\n", argc);

    for (i = 0; i < argc; i++) {
        out = ngx_sprintf(out, "$%uz\r\n", argv[i].len);
        out = ngx_cpymem(out, argv[i].data, argv[i].len);
        *out++ = CR;
        *out++ = LF;
    }

    redis->out_len = out - redis->out;

    return NGX_OK;
}


static ngx_http_weir_redis_slot_t *
ngx_http_weir_redis_slot(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_command_t *cmd)
{
    ngx_queue_t                 *q;
    ngx_http_weir_redis_slot_t  *slot;

    if (ngx_queue_empty(&redis->free)) {
        slot = ngx_alloc(sizeof(ngx_http_weir_redis_slot_t), ngx_cycle->log);
        if (slot == NULL) {
            return NULL;
        }

    } else {
        q = ngx_queue_head(&redis->free);
        ngx_queue_remove(q);
        slot = ngx_queue_data(q, ngx_http_weir_redis_slot_t, queue);
    }

    ngx_http_weir_assert(redis->nslots < NGX_HTTP_WEIR_REDIS_SLOTS_MAX + 3);

    slot->cmd = cmd;
    slot->deadline = ngx_current_msec + redis->timeout;
    slot->handshake = 0;
    slot->failed = 0;
    redis->nslots++;

    return slot;
}
