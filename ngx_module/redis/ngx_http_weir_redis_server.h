/*
 * A server and this worker's connection to it; private to the client.
 *
 *     module      weir_redis, and the servers of a configuration
 *     url         its argument
 *     login/      user and password
 *     connection  connecting, writing, closing, reconnecting
 *     tls         the TLS handshake
 *     read        replies from the socket to the handlers
 *     read_string those that are single strings
 *     commands    the queue of commands that wait for their replies
 *     reply       replies in the memory of their commands
 *
 * Each file calls those below it only; what ends the connection is returned to
 * the file connection, in redis->fault.
 */

#ifndef _NGX_HTTP_WEIR_REDIS_SERVER_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_SERVER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "compat/ngx_http_weir_compat_hiredis.h"
#include "redis/login/ngx_http_weir_redis_login.h"
#include "redis/ngx_http_weir_redis.h"
#include "tls/ngx_http_weir_tls.h"


/* Limit of bytes that wait to be sent; a command beyond it is refused. */
#define NGX_HTTP_WEIR_REDIS_OUT_MAX    (16 * 1024 * 1024)

/* Limit of commands that wait for their replies. */
#define NGX_HTTP_WEIR_REDIS_SLOTS_MAX  65536

/*
 * Limits for the data of a server, which is not trusted: bytes and elements of
 * one reply, nesting depth of arrays, and the bytes that are allocated for a
 * string at once; more are allocated as the string arrives.
 */
#define NGX_HTTP_WEIR_REDIS_REPLY_MAX     (64 * 1024 * 1024)
#define NGX_HTTP_WEIR_REDIS_ELEMENTS_MAX  (1024 * 1024)
#define NGX_HTTP_WEIR_REDIS_DEPTH_MAX     6
#define NGX_HTTP_WEIR_REDIS_STRING_FIRST  (1024 * 1024)

/* Limit of a line in bytes: a status, an error, a number, a length. */
#define NGX_HTTP_WEIR_REDIS_LINE_MAX      16384

/* Delay before reconnecting: first and longest, ms. */
#define NGX_HTTP_WEIR_REDIS_BACKOFF_MIN  50
#define NGX_HTTP_WEIR_REDIS_BACKOFF_MAX  2000

/*
 * Minimum interval between log lines about error replies without a waiting
 * command, ms.
 */
#define NGX_HTTP_WEIR_REDIS_LOG_INTERVAL  10000


typedef enum {
    NGX_HTTP_WEIR_REDIS_CLOSED = 0,
    NGX_HTTP_WEIR_REDIS_CONNECTING,
    NGX_HTTP_WEIR_REDIS_HANDSHAKE,     /* AUTH, SELECT, PING were sent */
    NGX_HTTP_WEIR_REDIS_UP
} ngx_http_weir_redis_state_e;


/* The place of one command in the order of replies. */
typedef struct {
    ngx_queue_t                      queue;
    ngx_http_weir_redis_command_t   *cmd;       /* NULL: reply is dropped */
    ngx_msec_t                       deadline;
    unsigned                         handshake:1;
    unsigned                         failed:1;  /* the deadline of its command has
                                                   passed, which was said */
} ngx_http_weir_redis_slot_t;


struct ngx_http_weir_redis_s {
    ngx_str_t                        name;      /* of weir_redis */
    ngx_str_t                        purpose;   /* for the log; may be empty */

    /* configuration; addr NULL until weir_redis has defined the server */

    ngx_addr_t                      *addr;
    ngx_str_t                        place;     /* file:line of its first use */
    ngx_http_weir_tls_t             *tls;       /* NULL: no TLS */
    ngx_http_weir_redis_login_t     *login;     /* of all its connections */
    ngx_str_t                        database;
    ngx_msec_t                       timeout;
    ngx_msec_t                       connect_timeout;

    /* this worker's connection */

    ngx_http_weir_redis_state_e      state;
    ngx_peer_connection_t            peer;
    redisReader                     *reader;

    /* a string that is read without the reader; see read_string */

    size_t                           rest;      /* bytes outstanding, with CRLF */
    u_char                          *target;    /* for the next byte; NULL:
                                                   dropped */
    size_t                           room;      /* bytes of room at target */
    ngx_http_weir_redis_reply_t     *bulk;      /* NULL: no waiting command */

    /* the reply that the reader is reading */

    size_t                           reply_bytes;
    size_t                           reply_elements;

    size_t                           received;  /* bytes of the next reply */

    ngx_queue_t                      slots;     /* oldest first */
    ngx_queue_t                      free;
    ngx_uint_t                       nslots;

    u_char                          *out;       /* malloc'ed */
    size_t                           out_pos;
    size_t                           out_len;
    size_t                           out_size;

    ngx_event_t                      flush;     /* posted once per tick */
    ngx_event_t                      deadline;  /* of the oldest live command */
    ngx_event_t                      reconnect;

    char                            *fault;     /* that ends the connection;
                                                   NULL: none, the server has
                                                   closed it while idle */
    ngx_uint_t                       failures;  /* in a row */
    ngx_uint_t                       refused;   /* a refusal was logged */
    ngx_err_t                        err;       /* of the failure; 0: none */
    ngx_log_t                        quiet;     /* log for repeated failures */
    ngx_msec_t                       last_read;
    ngx_msec_t                       last_logged;
    ngx_str_t                        refusal;   /* error reply to the handshake */
    u_char                           refusal_buf[128];
};


/* The oldest slot, whose reply is read next; NULL if there is none. */
static ngx_inline ngx_http_weir_redis_slot_t *
ngx_http_weir_redis_head(ngx_http_weir_redis_t *redis)
{
    if (ngx_queue_empty(&redis->slots)) {
        return NULL;
    }

    return ngx_queue_data(ngx_queue_head(&redis->slots),
                          ngx_http_weir_redis_slot_t, queue);
}


#endif /* _NGX_HTTP_WEIR_REDIS_SERVER_H_INCLUDED_ */
