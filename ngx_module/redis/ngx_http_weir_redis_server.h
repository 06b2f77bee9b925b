/* A server and this worker's connection to it; private to the client. */

#ifndef _NGX_HTTP_WEIR_REDIS_SERVER_H_INCLUDED_
#define _NGX_HTTP_WEIR_REDIS_SERVER_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "compat/ngx_http_weir_compat_hiredis.h"
#include "redis/ngx_http_weir_redis.h"


/* Bytes that may wait to be sent; a command beyond them is refused. */
#define NGX_HTTP_WEIR_REDIS_OUT_MAX    (16 * 1024 * 1024)

/* Commands that may wait for their replies. */
#define NGX_HTTP_WEIR_REDIS_SLOTS_MAX  65536

/*
 * What is taken from a server that may say anything: bytes and elements of one
 * reply, how deep arrays may be nested, and the bytes of a string for which
 * memory is taken at once; the rest follows as it comes in.
 */
#define NGX_HTTP_WEIR_REDIS_REPLY_MAX     (64 * 1024 * 1024)
#define NGX_HTTP_WEIR_REDIS_ELEMENTS_MAX  (1024 * 1024)
#define NGX_HTTP_WEIR_REDIS_DEPTH_MAX     6
#define NGX_HTTP_WEIR_REDIS_STRING_FIRST  (1024 * 1024)

/* Bytes of a line: a status, an error, a number, a length. */
#define NGX_HTTP_WEIR_REDIS_LINE_MAX      16384

/* Reconnection: first and longest delay, in milliseconds. */
#define NGX_HTTP_WEIR_REDIS_BACKOFF_MIN  50
#define NGX_HTTP_WEIR_REDIS_BACKOFF_MAX  2000

/* An error reply that nobody waits for is logged at most this often, in ms. */
#define NGX_HTTP_WEIR_REDIS_LOG_INTERVAL  10000


typedef enum {
    NGX_HTTP_WEIR_REDIS_CLOSED = 0,
    NGX_HTTP_WEIR_REDIS_CONNECTING,
    NGX_HTTP_WEIR_REDIS_HANDSHAKE,     /* AUTH, SELECT, PING are under way */
    NGX_HTTP_WEIR_REDIS_UP
} ngx_http_weir_redis_state_e;


/* What rediss:// needs; see redis_tls.c */
typedef struct ngx_http_weir_redis_tls_s  ngx_http_weir_redis_tls_t;


/* The place of one command in the order of replies. */
typedef struct {
    ngx_queue_t                      queue;
    ngx_http_weir_redis_command_t   *cmd;       /* NULL: reply is dropped */
    ngx_msec_t                       deadline;
    unsigned                         handshake:1;
} ngx_http_weir_redis_slot_t;


struct ngx_http_weir_redis_s {
    ngx_str_t                        name;      /* of weir_redis */
    ngx_str_t                        purpose;   /* for the log; may be empty */

    /* configuration; addr NULL until weir_redis has defined the server */

    ngx_addr_t                      *addr;
    ngx_str_t                        place;     /* file:line of its first use */
    ngx_http_weir_redis_tls_t       *tls;       /* NULL: without */
    ngx_str_t                        user;
    ngx_str_t                        password;
    ngx_str_t                        database;
    ngx_msec_t                       timeout;
    ngx_msec_t                       connect_timeout;

    /* this worker's connection */

    ngx_http_weir_redis_state_e      state;
    ngx_peer_connection_t            peer;
    redisReader                     *reader;

    /* a string that is read past the reader; see redis_read.c */

    size_t                           rest;      /* bytes to come, CRLF too */
    u_char                          *target;    /* where the next goes; NULL:
                                                   nowhere */
    size_t                           room;      /* bytes that have room there */
    ngx_http_weir_redis_reply_t     *bulk;      /* NULL: nobody waits */

    /* the reply that the reader is reading */

    size_t                           reply_bytes;
    size_t                           reply_elements;

    ngx_queue_t                      slots;     /* oldest first */
    ngx_queue_t                      free;
    ngx_uint_t                       nslots;

    u_char                          *out;       /* malloc'ed */
    size_t                           out_pos;
    size_t                           out_len;
    size_t                           out_size;

    ngx_event_t                      flush;     /* posted once a tick */
    ngx_event_t                      deadline;  /* of the oldest live command */
    ngx_event_t                      reconnect;

    ngx_uint_t                       failures;  /* in a row */
    ngx_err_t                        err;       /* of the failure; 0: none */
    ngx_log_t                        quiet;     /* for what was told before */
    ngx_msec_t                       last_read;
    ngx_msec_t                       last_logged;
    ngx_str_t                        refusal;   /* error reply to the handshake */
    u_char                           refusal_buf[128];
};


/* Once in each worker, before the first command. */
void ngx_http_weir_redis_init_worker(ngx_http_weir_redis_t *redis,
    ngx_log_t *log);

/* Closes for good; live commands get NGX_ERROR. */
void ngx_http_weir_redis_exit_worker(ngx_http_weir_redis_t *redis);

/*
 * read: takes in what the server has sent and calls the handlers.  NGX_OK, or
 * NGX_DONE when the connection has been closed.
 */
ngx_int_t ngx_http_weir_redis_read(ngx_http_weir_redis_t *redis);

/*
 * connection: without a reason it is no failure, and nothing is logged.  With
 * one the first of a row is logged, and a reconnection is due.
 */
void ngx_http_weir_redis_close(ngx_http_weir_redis_t *redis, char *reason);

/*
 * connection: sets the timer for the oldest live command, or for a silent
 * connection.
 */
void ngx_http_weir_redis_arm(ngx_http_weir_redis_t *redis);

/*
 * connection: the way to the server is open (by TCP, or TLS over it): Redis' own
 * handshake begins.
 */
void ngx_http_weir_redis_connected(ngx_http_weir_redis_t *redis);

/*
 * commands: AUTH, SELECT, PING before everything that waits; their slots go to
 * the head of the line.  The waiting commands follow when the answers are in.
 */
void ngx_http_weir_redis_handshake(ngx_http_weir_redis_t *redis);

/* tls: empty, of the configuration's pool; NULL: no memory */
ngx_http_weir_redis_tls_t *ngx_http_weir_redis_tls_create(ngx_conf_t *cf);

/*
 * tls: takes a parameter of weir_redis.  NGX_OK, or NGX_DECLINED when it is none
 * of TLS'.
 */
ngx_int_t ngx_http_weir_redis_tls_parameter(ngx_http_weir_redis_tls_t *tls,
    ngx_str_t *arg);

/*
 * tls: reads the certificates; host is the URL's, whose name or address the
 * server's certificate must bear unless ssl_name= is another.  NGX_CONF_OK,
 * what is wrong (a constant string), or NGX_CONF_ERROR when that was logged.
 */
char *ngx_http_weir_redis_tls_init(ngx_conf_t *cf,
    ngx_http_weir_redis_tls_t *tls, ngx_str_t *host);

/*
 * tls: shakes hands over a new connection and goes on with
 * ngx_http_weir_redis_connected(), or closes.
 */
void ngx_http_weir_redis_tls_connect(ngx_http_weir_redis_t *redis);

/* tls: before the connection is closed; does nothing if it has no TLS */
void ngx_http_weir_redis_tls_close(ngx_connection_t *c);

/* The table of functions that build replies in the waiting command's pool;
 * the reader's privdata is the server. */
extern redisReplyObjectFunctions  ngx_http_weir_redis_functions;

/* The oldest slot: the one whose reply is being read; NULL when there is none. */
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
