/*
 * One pipelined connection: connecting, one write per event-loop tick, reading,
 * closing after a failure, and reconnecting.
 *
 * A connection is closed from its own events only, never from within
 * ngx_http_weir_redis_command(); handlers may therefore send and cancel.
 *
 * After a failure, commands are refused until a new connection has completed
 * the handshake, so no request waits for a server that is known to be down.
 */

#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "http/ngx_http_weir_assert.h"
#include "redis/ngx_http_weir_redis_commands.h"
#include "redis/ngx_http_weir_redis_connection.h"
#include "redis/ngx_http_weir_redis_read.h"
#include "redis/ngx_http_weir_redis_reply.h"
#include "redis/ngx_http_weir_redis_tls.h"


static void ngx_http_weir_redis_connect(ngx_http_weir_redis_t *redis);
static void ngx_http_weir_redis_open(ngx_http_weir_redis_t *redis);
static void ngx_http_weir_redis_tls_ended(ngx_connection_t *c);
static void ngx_http_weir_redis_greet(ngx_http_weir_redis_t *redis);
static void ngx_http_weir_redis_flush_handler(ngx_event_t *ev);
static void ngx_http_weir_redis_deadline_handler(ngx_event_t *ev);
static void ngx_http_weir_redis_reconnect_handler(ngx_event_t *ev);
static void ngx_http_weir_redis_write_handler(ngx_event_t *wev);
static void ngx_http_weir_redis_read_handler(ngx_event_t *rev);
static void ngx_http_weir_redis_close(ngx_http_weir_redis_t *redis,
    char *reason);
static void ngx_http_weir_redis_clear(ngx_http_weir_redis_t *redis);
static void ngx_http_weir_redis_plan_reconnect(ngx_http_weir_redis_t *redis);
static void ngx_http_weir_redis_give_up(ngx_http_weir_redis_t *redis);


void
ngx_http_weir_redis_init_worker(ngx_http_weir_redis_t *redis, ngx_log_t *log)
{
    ngx_queue_init(&redis->slots);
    ngx_queue_init(&redis->free);

    redis->flush.handler = ngx_http_weir_redis_flush_handler;
    redis->flush.data = redis;
    redis->flush.log = log;

    redis->deadline.handler = ngx_http_weir_redis_deadline_handler;
    redis->deadline.data = redis;
    redis->deadline.log = log;

    redis->reconnect.handler = ngx_http_weir_redis_reconnect_handler;
    redis->reconnect.data = redis;
    redis->reconnect.log = log;
    redis->reconnect.cancelable = 1;
}


void
ngx_http_weir_redis_exit_worker(ngx_http_weir_redis_t *redis)
{
    ngx_queue_t  *q;

    if (redis->slots.next == NULL) {
        /* "master_process off" does not initialize a configuration read later */
        return;
    }

    redis->failures = 1;  /* no new commands */

    if (redis->state != NGX_HTTP_WEIR_REDIS_CLOSED) {
        ngx_http_weir_redis_close(redis, NULL);
    }

    while (!ngx_queue_empty(&redis->free)) {
        q = ngx_queue_head(&redis->free);
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): q leaves the queue */
        ngx_queue_remove(q);
        ngx_free(ngx_queue_data(q, ngx_http_weir_redis_slot_t, queue));
    }

    ngx_free(redis->out);
    redis->out = NULL;
}


ngx_msec_t
ngx_http_weir_redis_timeout(ngx_http_weir_redis_t *redis)
{
    return redis->timeout;
}


ngx_uint_t
ngx_http_weir_redis_is_up(ngx_http_weir_redis_t *redis)
{
    return redis->state == NGX_HTTP_WEIR_REDIS_UP || redis->failures == 0;
}


ngx_http_weir_redis_t *
ngx_http_weir_redis_dedicate(ngx_http_weir_redis_t *redis, ngx_str_t *purpose,
    ngx_msec_t block, ngx_pool_t *pool, ngx_log_t *log)
{
    ngx_http_weir_redis_t  *own;

    own = ngx_pcalloc(pool, sizeof(ngx_http_weir_redis_t));
    if (own == NULL) {
        return NULL;
    }

    own->name = redis->name;
    own->purpose = *purpose;
    own->addr = redis->addr;
    own->tls = redis->tls;
    own->login = redis->login;
    own->database = redis->database;
    own->timeout = redis->timeout + block;
    own->connect_timeout = redis->connect_timeout;

    ngx_http_weir_redis_init_worker(own, log);

    return own;
}


void
ngx_http_weir_redis_drop(ngx_http_weir_redis_t *redis, char *reason)
{
    if (redis->state != NGX_HTTP_WEIR_REDIS_CLOSED) {
        ngx_http_weir_redis_close(redis, reason);
    }
}


void
ngx_http_weir_redis_release(ngx_http_weir_redis_t *redis)
{
    ngx_http_weir_redis_exit_worker(redis);

    if (redis->reconnect.timer_set) {
        ngx_del_timer(&redis->reconnect);
    }
}


static void
ngx_http_weir_redis_flush_handler(ngx_event_t *ev)
{
    ngx_http_weir_redis_t  *redis = ev->data;

    ngx_http_weir_assert(redis->addr != NULL);

    if (redis->state == NGX_HTTP_WEIR_REDIS_UP) {
        ngx_http_weir_redis_write_handler(redis->peer.connection->write);

    } else if (redis->state == NGX_HTTP_WEIR_REDIS_CLOSED) {
        ngx_http_weir_redis_connect(redis);
    }
}


static void
ngx_http_weir_redis_connect(ngx_http_weir_redis_t *redis)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    ngx_http_weir_assert(redis->state == NGX_HTTP_WEIR_REDIS_CLOSED);
    ngx_http_weir_assert(redis->peer.connection == NULL
                         && redis->reader == NULL);

    ngx_memzero(&redis->peer, sizeof(ngx_peer_connection_t));
    redis->peer.sockaddr = redis->addr->sockaddr;
    redis->peer.socklen = redis->addr->socklen;
    redis->peer.name = &redis->addr->name;
    redis->peer.get = ngx_event_get_peer;
    redis->peer.log = ngx_cycle->log;
    redis->peer.log_error = NGX_ERROR_INFO;

    if (redis->failures) {
        /* one line for each change of state is enough */
        redis->quiet = *ngx_cycle->log;
        redis->quiet.log_level = NGX_LOG_EMERG;
        redis->peer.log = &redis->quiet;
    }

    redis->state = NGX_HTTP_WEIR_REDIS_CONNECTING;

    redis->reader = redisReaderCreateWithFunctions(
                                             &ngx_http_weir_redis_functions);
    if (redis->reader == NULL) {
        ngx_http_weir_redis_close(redis, "no memory for a reader");
        return;
    }

    redis->reader->privdata = redis;
    redis->refusal.len = 0;

    rc = ngx_event_connect_peer(&redis->peer);

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        redis->err = ngx_socket_errno;
        ngx_http_weir_redis_close(redis, "cannot connect");
        return;
    }

    c = redis->peer.connection;
    c->data = redis;
    c->read->handler = ngx_http_weir_redis_read_handler;
    c->write->handler = ngx_http_weir_redis_write_handler;
    c->log = ngx_cycle->log;
    c->read->log = c->log;
    c->write->log = c->log;

    /* covers the handshakes, too */
    ngx_add_timer(c->read, redis->connect_timeout);

    if (rc == NGX_OK) {
        ngx_http_weir_redis_open(redis);
    }
}


/* TCP is connected. */

static void
ngx_http_weir_redis_open(ngx_http_weir_redis_t *redis)
{
    ngx_int_t          rc;
    ngx_connection_t  *c;

    c = redis->peer.connection;

    if (redis->tls == NULL) {
        ngx_http_weir_redis_greet(redis);
        return;
    }

    rc = ngx_http_weir_redis_tls_connect(redis, ngx_http_weir_redis_tls_ended);

    if (rc == NGX_OK) {
        ngx_http_weir_redis_tls_ended(c);

    } else if (rc == NGX_ERROR) {
        ngx_http_weir_redis_close(redis, redis->fault);
    }
}


static void
ngx_http_weir_redis_tls_ended(ngx_connection_t *c)
{
    ngx_http_weir_redis_t  *redis;

    redis = c->data;

    ngx_http_weir_assert(redis->tls && redis->peer.connection == c);

    if (ngx_http_weir_redis_tls_check(redis) != NGX_OK) {
        ngx_http_weir_redis_close(redis, redis->fault);
        return;
    }

    /* OpenSSL had the events */

    c->read->handler = ngx_http_weir_redis_read_handler;
    c->write->handler = ngx_http_weir_redis_write_handler;

    ngx_http_weir_redis_greet(redis);
}


/* TCP, and TLS if used, are established. */

static void
ngx_http_weir_redis_greet(ngx_http_weir_redis_t *redis)
{
    if (ngx_http_weir_redis_handshake(redis) != NGX_OK) {
        ngx_http_weir_redis_close(redis, "cannot send the handshake");
    }
}


static void
ngx_http_weir_redis_write_handler(ngx_event_t *wev)
{
    int                     err;
    ssize_t                 n;
    socklen_t               len;
    ngx_connection_t       *c;
    ngx_http_weir_redis_t  *redis;

    c = wev->data;
    redis = c->data;

    ngx_http_weir_assert(redis->peer.connection == c);

    if (redis->state == NGX_HTTP_WEIR_REDIS_CONNECTING) {
        err = 0;
        len = sizeof(int);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1
            || err)
        {
            redis->err = err ? err : ngx_socket_errno;
            ngx_http_weir_redis_close(redis, "cannot connect");
            return;
        }

        ngx_http_weir_redis_open(redis);
        return;
    }

    if (redis->state != NGX_HTTP_WEIR_REDIS_UP) {
        return;
    }

    ngx_http_weir_assert(redis->out_pos <= redis->out_len
                         && redis->out_len <= redis->out_size);

    while (redis->out_pos < redis->out_len) {
        n = c->send(c, redis->out + redis->out_pos,
                    redis->out_len - redis->out_pos);

        if (n == NGX_ERROR) {
            redis->err = ngx_socket_errno;
            ngx_http_weir_redis_close(redis, "connection lost");
            return;
        }

        if (n == NGX_AGAIN || n == 0) {
            break;
        }

        redis->out_pos += n;
    }

    if (redis->out_pos == redis->out_len) {
        redis->out_pos = redis->out_len = 0;

        if (redis->out_size > 1024 * 1024) {
            /* the memory of one large value must not be kept for ever */
            ngx_free(redis->out);
            redis->out = NULL;
            redis->out_size = 0;
        }
    }

    if (ngx_handle_write_event(wev, 0) != NGX_OK) {
        ngx_http_weir_redis_close(redis, "connection lost");
    }
}


static void
ngx_http_weir_redis_read_handler(ngx_event_t *rev)
{
    ngx_connection_t       *c;
    ngx_http_weir_redis_t  *redis;

    c = rev->data;
    redis = c->data;

    ngx_http_weir_assert(redis->peer.connection == c);

    if (rev->timedout) {
        ngx_http_weir_redis_close(redis, "connect_timeout passed");
        return;
    }

    if (redis->state == NGX_HTTP_WEIR_REDIS_CONNECTING) {
        /* the write event has the error */
        return;
    }

    if (ngx_http_weir_redis_read(redis) != NGX_OK) {
        ngx_http_weir_redis_close(redis, redis->fault);
        return;
    }

    if (ngx_handle_read_event(rev, 0) != NGX_OK) {
        ngx_http_weir_redis_close(redis, "connection lost");
    }
}


/*
 * Calls the handlers of commands whose deadline has passed; their slots remain
 * until the replies arrive.  A connection that has sent nothing for one timeout
 * after the first of them is closed.
 */

static void
ngx_http_weir_redis_deadline_handler(ngx_event_t *ev)
{
    ngx_http_weir_redis_t *redis = ev->data;

    ngx_msec_t                      next;
    ngx_queue_t                    *q;
    ngx_http_weir_redis_slot_t     *slot;
    ngx_http_weir_redis_command_t  *cmd;

    next = redis->timeout;

    for (q = ngx_queue_head(&redis->slots);
         q != ngx_queue_sentinel(&redis->slots);
         q = ngx_queue_next(q))
    {
        slot = ngx_queue_data(q, ngx_http_weir_redis_slot_t, queue);

        if ((ngx_msec_int_t) (slot->deadline - ngx_current_msec) > 0) {
            next = slot->deadline - ngx_current_msec;
            break;
        }

        cmd = slot->cmd;

        if (cmd) {
            ngx_http_weir_assert(cmd->slot == slot);

            slot->cmd = NULL;
            slot->failed = 1;
            cmd->slot = NULL;
            cmd->handler(cmd, NGX_ABORT, NULL);
        }
    }

    slot = ngx_http_weir_redis_head(redis);

    if (slot == NULL) {
        return;
    }

    if (redis->state == NGX_HTTP_WEIR_REDIS_UP
        && (ngx_msec_int_t) (ngx_current_msec - slot->deadline)
           >= (ngx_msec_int_t) redis->timeout
        && ngx_current_msec - redis->last_read >= redis->timeout)
    {
        ngx_http_weir_redis_close(redis, "does not answer");
        return;
    }

    if (!redis->deadline.timer_set) {
        ngx_add_timer(&redis->deadline, next);
    }
}


/*
 * Without a reason, the closing is no failure and is not logged.  With a reason,
 * the first failure in a row is logged, and the first refusal of the handshake,
 * such as of a password; and a reconnection is scheduled.
 */

static void
ngx_http_weir_redis_close(ngx_http_weir_redis_t *redis, char *reason)
{
    redis->state = NGX_HTTP_WEIR_REDIS_CLOSED;

    ngx_http_weir_redis_clear(redis);

    if (reason && (redis->failures++ == 0
                   || (redis->refusal.len && !redis->refused)))
    {
        redis->refused = redis->refusal.len != 0;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, redis->err,
                      "weir_redis \"%V\" at %V is down: %s%s%V%s%V",
                      &redis->name, &redis->addr->name, reason,
                      redis->refusal.len ? ": " : "", &redis->refusal,
                      redis->purpose.len ? "; connection for " : "",
                      &redis->purpose);
    }

    redis->err = 0;

    ngx_http_weir_redis_plan_reconnect(redis);
    ngx_http_weir_redis_give_up(redis);
}


/* Closes the connection, and drops all bytes that were in transit. */

static void
ngx_http_weir_redis_clear(ngx_http_weir_redis_t *redis)
{
    if (redis->peer.connection) {
        ngx_http_weir_tls_close(redis->peer.connection);
        redis->peer.connection = NULL;
    }

    if (redis->reader) {
        redisReaderFree(redis->reader);
        redis->reader = NULL;
    }

    /* a partly read reply does not continue on the next connection */

    redis->rest = 0;
    redis->reply_bytes = 0;
    redis->received = 0;
    redis->reply_elements = 0;

    if (redis->deadline.timer_set) {
        ngx_del_timer(&redis->deadline);
    }

    if (redis->flush.posted) {
        ngx_delete_posted_event(&redis->flush);
    }

    redis->out_pos = redis->out_len = 0;
}


/*
 * While failures are counted, commands are refused, so no command would
 * reconnect.
 */

static void
ngx_http_weir_redis_plan_reconnect(ngx_http_weir_redis_t *redis)
{
    ngx_msec_t  delay;

    ngx_http_weir_assert(redis->state == NGX_HTTP_WEIR_REDIS_CLOSED);

    if (redis->failures == 0 || ngx_exiting || ngx_terminate
        || redis->reconnect.timer_set)
    {
        return;
    }

    delay = NGX_HTTP_WEIR_REDIS_BACKOFF_MIN << ngx_min(redis->failures - 1, 6);
    delay = ngx_min(delay, NGX_HTTP_WEIR_REDIS_BACKOFF_MAX);

    /* half is random, so that workers do not reconnect at the same time */
    delay = delay / 2 + ngx_random() % (delay / 2 + 1);

    ngx_add_timer(&redis->reconnect, delay);
}


/*
 * Calls the handlers of all waiting commands; they find an empty queue and a
 * server that is down.
 */

static void
ngx_http_weir_redis_give_up(ngx_http_weir_redis_t *redis)
{
    ngx_queue_t                    *q, slots;
    ngx_http_weir_redis_slot_t     *slot;
    ngx_http_weir_redis_command_t  *cmd;

    if (ngx_queue_empty(&redis->slots)) {
        return;
    }

    ngx_http_weir_assert(redis->state == NGX_HTTP_WEIR_REDIS_CLOSED);
    ngx_http_weir_assert(redis->nslots != 0);

    slots = redis->slots;
    slots.next->prev = &slots;
    slots.prev->next = &slots;
    ngx_queue_init(&redis->slots);
    redis->nslots = 0;

    while (!ngx_queue_empty(&slots)) {
        q = ngx_queue_head(&slots);
        slot = ngx_queue_data(q, ngx_http_weir_redis_slot_t, queue);
        cmd = slot->cmd;

        ngx_queue_remove(q);
        ngx_queue_insert_head(&redis->free, q);

        if (cmd) {
            cmd->slot = NULL;
            cmd->handler(cmd, NGX_ERROR, NULL);
        }
    }
}


static void
ngx_http_weir_redis_reconnect_handler(ngx_event_t *ev)
{
    ngx_http_weir_redis_t  *redis = ev->data;

    if (redis->state == NGX_HTTP_WEIR_REDIS_CLOSED && !ngx_exiting) {
        ngx_http_weir_redis_connect(redis);
    }
}
