/*
 * The edge's Redis client: one pipelined connection per worker and server.
 *
 * nginx does the I/O (ngx_connection_t, timers), and hiredis decodes replies,
 * with one exception for speed: a reply that is a single string is read from
 * the socket into the memory of its command.  Commands of one event-loop tick
 * are sent in one write.  Replies come back in order, so a connection is a FIFO
 * of slots.  Each command has a deadline.  A command whose deadline has passed
 * leaves its slot as an orphan, whose reply is read and dropped.
 *
 * A server that fails several times in a row is "down": commands are refused at
 * once, without waiting, until a new connection has completed the handshake.
 *
 * All functions run in a worker on the event loop.  None of them blocks.
 */

#ifndef _NGX_HTTP_WEIR_REDIS_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "usage/ngx_http_weir_usage.h"


/* A server named by "weir_redis"; lives as long as its configuration. */
typedef struct ngx_http_weir_redis_s  ngx_http_weir_redis_t;


typedef enum {
    NGX_HTTP_WEIR_REDIS_NIL = 0,
    NGX_HTTP_WEIR_REDIS_STRING,     /* bulk string; str */
    NGX_HTTP_WEIR_REDIS_STATUS,     /* simple string ("OK"); str */
    NGX_HTTP_WEIR_REDIS_ERROR,      /* the server's error text; str */
    NGX_HTTP_WEIR_REDIS_INTEGER,    /* integer */
    NGX_HTTP_WEIR_REDIS_ARRAY       /* elements[nelements] */
} ngx_http_weir_redis_type_e;


typedef struct ngx_http_weir_redis_reply_s  ngx_http_weir_redis_reply_t;

struct ngx_http_weir_redis_reply_s {
    ngx_http_weir_redis_type_e      type;
    ngx_str_t                       str;
    int64_t                         integer;
    ngx_uint_t                      nelements;
    ngx_http_weir_redis_reply_t   **elements;
    ngx_uint_t                      room;       /* private: capacity of elements */
};


typedef struct ngx_http_weir_redis_command_s  ngx_http_weir_redis_command_t;

/*
 * Called exactly once per accepted command that was not cancelled, and never
 * from within ngx_http_weir_redis_command() itself.
 *
 * rc is NGX_OK with a reply (which may be an error reply of the server, see its
 * type), NGX_ABORT if the deadline has passed, or NGX_ERROR if the connection
 * was lost; reply is NULL for the latter two.  The reply and its strings are in
 * the command's pool.
 */
typedef void (*ngx_http_weir_redis_handler_pt)(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);

/*
 * The caller fills the first part.  The struct must live until the handler was
 * called or the command was cancelled; a struct in the request's pool does.
 * With handler NULL the struct need not outlive the call: the command is sent
 * and its reply dropped (an error reply is logged).
 */
struct ngx_http_weir_redis_command_s {
    ngx_pool_t                      *pool;      /* for the reply */
    size_t                           max;       /* limit for a string reply,
                                                   bytes; a longer one is
                                                   replaced by an empty one; 0:
                                                   none */
    ngx_http_weir_redis_handler_pt   handler;   /* may be NULL */
    void                            *data;      /* the caller's */
    ngx_log_t                       *log;
    ngx_http_weir_usage_t           *usage;     /* that counts it, or NULL */

    void                            *slot;      /* private to the client */
};


/* The name of weir_redis; lives as long as the server. */
ngx_str_t *ngx_http_weir_redis_name(ngx_http_weir_redis_t *redis);

/*
 * Called while the configuration is read: returns the server of that name,
 * created empty if its weir_redis comes later in the file.  A name that no
 * weir_redis defines is refused with [emerg] at the end of the http block.
 * NULL: no memory.
 */
ngx_http_weir_redis_t *ngx_http_weir_redis_get(ngx_conf_t *cf,
    ngx_str_t *name);


/*
 * Sends one command of argc arguments; all bytes are copied before the call
 * returns.
 *
 * Returns NGX_OK (the handler will be called), or NGX_DECLINED if the server is
 * down or the queue is full: nothing was sent, the handler will not be called,
 * and the caller continues without Redis.
 */
ngx_int_t ngx_http_weir_redis_command(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_command_t *cmd, ngx_uint_t argc, ngx_str_t *argv);


/*
 * True if a command would be accepted now: the server is not known to be down.
 */
ngx_uint_t ngx_http_weir_redis_is_up(ngx_http_weir_redis_t *redis);

/* Timeout of a command, ms. */
ngx_msec_t ngx_http_weir_redis_timeout(ngx_http_weir_redis_t *redis);


/*
 * Creates another connection of this worker to the same server, for commands
 * that the server itself may delay by block ms (XREAD BLOCK): the deadline of a
 * command is that much later.  purpose is for the log.  NULL: no memory.
 */
ngx_http_weir_redis_t *ngx_http_weir_redis_dedicate(
    ngx_http_weir_redis_t *redis, ngx_str_t *purpose, ngx_msec_t block,
    ngx_pool_t *pool, ngx_log_t *log);

/*
 * Closes such a connection as a failure, and logs the reason; live commands get
 * NGX_ERROR.  Must not be called from within a command's handler.
 */
void ngx_http_weir_redis_drop(ngx_http_weir_redis_t *redis, char *reason);

/* Closes the connection for good; live commands get NGX_ERROR. */
void ngx_http_weir_redis_release(ngx_http_weir_redis_t *redis);


/*
 * Detaches the caller: the handler will not be called and cmd may be freed.
 * Does nothing if the handler has already been called.
 */
void ngx_http_weir_redis_cancel(ngx_http_weir_redis_command_t *cmd);


#endif /* _NGX_HTTP_WEIR_REDIS_H_INCLUDED_ */
