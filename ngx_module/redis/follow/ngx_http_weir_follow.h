/*
 * Following streams of Redis: one worker of the edge reads them, for all.
 *
 * The streams of one Redis that a worker follows share a connection of its own,
 * on which it waits for all of them at once.  The owner of a stream (the cache's
 * invalidations, revoked tokens, ...) has in shared memory which worker follows
 * it (the role) and how far it was read, so that another worker goes on there
 * when that one has died, hangs or exits.
 *
 * A cycle is one write: for each stream the commands of its owner, one XREAD for
 * all, which waits if there is nothing to catch up with, then for each stream
 * commands that show whether the read was complete, XINFO STREAM among them.
 * The owner evaluates the replies.  Most streams are logs whose messages may be
 * applied again without harm: ngx_http_weir_follow_log.h evaluates those.
 *
 * All functions run in a worker on the event loop.  None of them blocks.
 */

#ifndef _NGX_HTTP_WEIR_FOLLOW_H_INCLUDED_
#define _NGX_HTTP_WEIR_FOLLOW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "common/text/str.h"
#include "redis/follow/position.h"
#include "redis/ngx_http_weir_redis.h"


/* Commands that an owner may send in a cycle, numbered from 0. */
#define NGX_HTTP_WEIR_FOLLOW_OWN  4


typedef struct ngx_http_weir_follow_stream_s  ngx_http_weir_follow_stream_t;
typedef struct ngx_http_weir_follower_s       ngx_http_weir_follower_t;


/*
 * In the owner's shared memory, zeroed when it is made.  Times are
 * ngx_http_weir_ms().  No lock: a worker takes the role by an atomic operation,
 * if its holder is dead, has left it, or has sent no heartbeat for a second.
 * Two workers may both believe to have it for a moment; owners must let that do
 * no harm.
 */
typedef struct {
    ngx_atomic_t                   pid;        /* the follower; 0: none */
    ngx_atomic_t                   heartbeat;
} ngx_http_weir_follow_role_t;


/* What XINFO STREAM says; a missing stream counts as an empty one. */
typedef struct {
    uint64_t                       added;      /* entries, ever */
    uint64_t                       length;
    weir_position_t                last;       /* greatest ID, ever */
    weir_position_t                first;      /* 0-0 if the stream is empty */
    weir_position_t                deleted;    /* greatest ID that XDEL removed */
} ngx_http_weir_follow_info_t;


/* All are called in the worker that has the role. */
typedef struct {
    /*
     * At the beginning of a cycle: sets s->from, from where on the stream is
     * read; may send commands.  NGX_OK, or NGX_DECLINED: nothing is read in this
     * cycle.
     */
    ngx_int_t (*prepare)(ngx_http_weir_follow_stream_t *s);

    /* May send commands that are executed after the read.  May be NULL. */
    void (*ask)(ngx_http_weir_follow_stream_t *s);

    /*
     * All replies are there.  NGX_OK: the next cycle may follow at once, and may
     * wait for messages if s->caught_up was set; NGX_ERROR: the stream is left
     * out for 100 ms at least.
     */
    ngx_int_t (*evaluate)(ngx_http_weir_follow_stream_t *s);

    /*
     * A message that was read, called by ngx_http_weir_follow_each().  NGX_OK;
     * other results end it.  texts has n of them, names and values in turn, in
     * the pool of the cycle.
     */
    ngx_int_t (*message)(ngx_http_weir_follow_stream_t *s,
        weir_position_t position, weir_str_t *texts, size_t n);

    /*
     * The cycle failed, or evaluate() has returned NGX_ERROR.  s->failed says
     * whether it was Redis that did not answer.
     */
    void (*missed)(ngx_http_weir_follow_stream_t *s);

    /*
     * To be logged: Redis answered a command with the text; called once until
     * s->complained is cleared.
     */
    void (*complain)(ngx_http_weir_follow_stream_t *s, char *what,
        ngx_str_t *text);
} ngx_http_weir_follow_owner_t;


/* Of a worker; lives until ngx_http_weir_follow_remove(). */
struct ngx_http_weir_follow_stream_s {

    /* set by the owner; the rest is zeroed */

    ngx_str_t                            name;   /* the key */
    const ngx_http_weir_follow_owner_t  *owner;
    ngx_http_weir_follow_role_t         *role;
    ngx_msec_t                           block;  /* ms: the longest wait for
                                                    messages */
    void                                *data;

    /* for the owner to read, of the cycle; times are ngx_http_weir_ms() */

    weir_position_t                      from;
    uint64_t                             sent;   /* start of the cycle */
    uint64_t                             until;  /* the messages up to then were
                                                    read, if the last of the
                                                    stream was */
    ngx_uint_t                           n;      /* messages read */
    ngx_http_weir_follow_info_t          info;
    ngx_http_weir_redis_reply_t         *replies[NGX_HTTP_WEIR_FOLLOW_OWN];
                                                 /* NULL: not sent */
    ngx_pool_t                          *pool;

    unsigned                             following:1;
    unsigned                             met:1;      /* a cycle has succeeded
                                                        on this connection */
    unsigned                             reading:1;  /* prepare() was NGX_OK */
    unsigned                             blocking:1; /* the read of this cycle
                                                        could wait */
    unsigned                             failed:1;   /* Redis did not answer */
    unsigned                             refused:1;  /* complain() is about an
                                                        error of Redis */

    /* for the owner to change */

    unsigned                             caught_up:1;
    unsigned                             complained:1;

    /* private */

    unsigned                             asked:1;    /* is in this cycle */
    unsigned                             apart:1;    /* has an XREAD of its own:
                                                        one for all failed */
    unsigned                             shared:1;   /* read by the XREAD for all */
    unsigned                             listed:1;   /* ... and named there */
    unsigned                             resting:1;
    uint64_t                             rests;      /* ms, since then */
    ngx_uint_t                           free;       /* ticks without a holder */
    ngx_http_weir_follower_t            *follower;
    ngx_queue_t                          queue;
    ngx_http_weir_redis_reply_t         *entries;    /* an array, or NULL */
    ngx_http_weir_redis_reply_t         *read;       /* its own XREAD */
    ngx_http_weir_redis_reply_t         *xinfo;
    ngx_http_weir_redis_command_t        commands[NGX_HTTP_WEIR_FOLLOW_OWN
                                                  + 2];
};


/*
 * Called in init_process: the worker takes part in following the stream, which
 * must stay where it is.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_weir_follow_add(ngx_http_weir_redis_t *redis,
    ngx_http_weir_follow_stream_t *s);

/*
 * Called in exit_process: the worker gives up its roles.  May be called for a
 * stream that was not added.
 */
void ngx_http_weir_follow_remove(ngx_http_weir_follow_stream_t *s);

/*
 * In prepare() and ask(): sends a command of the cycle, whose reply will be
 * s->replies[which].
 */
void ngx_http_weir_follow_send(ngx_http_weir_follow_stream_t *s,
    ngx_uint_t which, ngx_uint_t argc, ngx_str_t *argv);

/* In any call-back: sends a command without waiting for the reply. */
void ngx_http_weir_follow_tell(ngx_http_weir_follow_stream_t *s,
    ngx_uint_t argc, ngx_str_t *argv);

/*
 * In evaluate(): calls message() for each message that was read, in their order.
 * Returns NGX_OK, NGX_ERROR, or what message() has returned otherwise.
 */
ngx_int_t ngx_http_weir_follow_each(ngx_http_weir_follow_stream_t *s);

/*
 * In evaluate(): calls complain() if it is not known yet that the stream cannot
 * be followed.  Returns NGX_ERROR.
 */
ngx_int_t ngx_http_weir_follow_complain(ngx_http_weir_follow_stream_t *s,
    char *what, ngx_http_weir_redis_reply_t *reply);

/* The ID behind which all entries are known, if nothing was read before. */
weir_position_t ngx_http_weir_follow_floor(
    const ngx_http_weir_follow_info_t *info);


#endif /* _NGX_HTTP_WEIR_FOLLOW_H_INCLUDED_ */
