/*
 * The edge's Redis client: one pipelined connection per worker and server.
 *
 * nginx does the I/O (ngx_connection_t, timers), hiredis decodes replies, all
 * but the one that matters for speed: a string goes from the socket to where
 * its command wants it.
 * Commands of one event-loop tick leave in one write.  Replies come back in
 * order, so a connection is a FIFO of slots; each command has a deadline, and
 * a command whose deadline passed leaves its slot behind as an orphan whose
 * reply is read and thrown away.
 *
 * A server that fails several times in a row is "down": commands are refused
 * at once, without a wait, until a new connection has shaken hands.
 *
 * Everything here runs in a worker on the event loop.  Nothing blocks.
 */

#ifndef _NGX_HTTP_WEIR_REDIS_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>


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
    ngx_uint_t                      room;       /* private: places in elements */
};


typedef struct ngx_http_weir_redis_command_s  ngx_http_weir_redis_command_t;

/*
 * Called exactly once per accepted command that was not cancelled, never from
 * within ngx_http_weir_redis_command() itself.
 *
 * rc is NGX_OK with a reply (which may be the server's own error, see its
 * type), NGX_ABORT when the deadline passed, or NGX_ERROR when the connection
 * was lost; reply is then NULL.  The reply and its strings live in the
 * command's pool.
 */
typedef void (*ngx_http_weir_redis_handler_pt)(
    ngx_http_weir_redis_command_t *cmd, ngx_int_t rc,
    ngx_http_weir_redis_reply_t *reply);

/*
 * The caller fills the first part; the struct must live until the handler was
 * called or the command was cancelled (a request's pool does).  With handler
 * NULL it need not outlive the call: the command is sent and its reply thrown
 * away (an error reply is logged).
 */
struct ngx_http_weir_redis_command_s {
    ngx_pool_t                      *pool;      /* takes the reply */
    size_t                           max;       /* bytes of a string that is
                                                   wanted; a longer one comes
                                                   as an empty one; 0: any */
    ngx_http_weir_redis_handler_pt   handler;   /* may be NULL */
    void                            *data;      /* the caller's */
    ngx_log_t                       *log;

    void                            *slot;      /* private to the client */
};


/*
 * Configuration time: the server of that name, created empty if its weir_redis
 * comes later in the file; a name that no weir_redis ever defines is refused
 * with [emerg] when the http block ends.  NULL when memory ran out.
 */
ngx_http_weir_redis_t *ngx_http_weir_redis_get(ngx_conf_t *cf,
    ngx_str_t *name);


/*
 * Sends one command of argc arguments; all bytes are copied before the call
 * returns.
 *
 * Returns NGX_OK (the handler will be called), or NGX_DECLINED when the server
 * is down or the queue is full: nothing was sent, the handler won't be called,
 * the caller goes on without Redis.
 */
ngx_int_t ngx_http_weir_redis_command(ngx_http_weir_redis_t *redis,
    ngx_http_weir_redis_command_t *cmd, ngx_uint_t argc, ngx_str_t *argv);


/* Whether a command would be taken now: the server is not known to be down. */
ngx_uint_t ngx_http_weir_redis_is_up(ngx_http_weir_redis_t *redis);

/* Milliseconds that a command may take. */
ngx_msec_t ngx_http_weir_redis_timeout(ngx_http_weir_redis_t *redis);


/*
 * Another connection of this worker to the same server, for commands that the
 * server itself may hold up for block milliseconds (XREAD BLOCK): a command's
 * deadline comes that much later.  purpose is for the log.  NULL: no memory.
 */
ngx_http_weir_redis_t *ngx_http_weir_redis_dedicate(
    ngx_http_weir_redis_t *redis, ngx_str_t *purpose, ngx_msec_t block,
    ngx_pool_t *pool, ngx_log_t *log);

/*
 * Gives such a connection up as a failure, with its reason in the log; live
 * commands get NGX_ERROR.  Not from within a command's handler.
 */
void ngx_http_weir_redis_drop(ngx_http_weir_redis_t *redis, char *reason);

/* Closes it for good; live commands get NGX_ERROR. */
void ngx_http_weir_redis_release(ngx_http_weir_redis_t *redis);


/*
 * Forgets the caller: the handler won't be called and cmd may be freed.  Does
 * nothing when the handler has been called already.
 */
void ngx_http_weir_redis_cancel(ngx_http_weir_redis_command_t *cmd);


#endif /* _NGX_HTTP_WEIR_REDIS_H_INCLUDED_ */
