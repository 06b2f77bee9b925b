/*
 * The follower, shared by its files.  Each calls those below it only:
 *
 *     follow        the roles
 *     follow_cycle  the commands of a cycle
 *     follow_read   what was read
 */

#ifndef _NGX_HTTP_WEIR_FOLLOW_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_FOLLOW_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "redis/follow/ngx_http_weir_follow.h"


#define NGX_HTTP_WEIR_FOLLOW_TICK  100    /* ms between two ticks */


/* The streams of one Redis, in this worker. */
struct ngx_http_weir_follower_s {
    ngx_http_weir_redis_t          *server;      /* as configured */
    ngx_http_weir_redis_t          *redis;       /* the connection for it; NULL:
                                                    not made yet */
    ngx_event_t                     tick;
    ngx_queue_t                     streams;
    ngx_uint_t                      nstreams;
    ngx_msec_t                      block;       /* ms: the least of all */
    ngx_uint_t                      split;       /* ticks during which a worker
                                                    with a greater pid follows,
                                                    too */

    /* one cycle */

    ngx_pool_t                     *pool;
    ngx_uint_t                      waiting;     /* commands without a reply */
    uint64_t                        sent;        /* ms, its start */
    ngx_msec_t                      wait;        /* ms that XREAD may wait; 0: it
                                                    does not */
    ngx_uint_t                      nshared;     /* streams of that XREAD */
    ngx_http_weir_redis_command_t   command;     /* XREAD */
    ngx_http_weir_redis_reply_t    *reply;

    unsigned                        failed:1;    /* a command of this cycle
                                                    failed */
    unsigned                        overdue:1;   /* a deadline has passed */
    unsigned                        closed:1;
};


/* The stream behind s, the first one if s is NULL; NULL: none. */
static ngx_inline ngx_http_weir_follow_stream_t *
ngx_http_weir_follow_next(ngx_http_weir_follower_t *f,
    ngx_http_weir_follow_stream_t *s)
{
    ngx_queue_t  *q;

    q = ngx_queue_next(s ? &s->queue : &f->streams);

    return q == ngx_queue_sentinel(&f->streams)
           ? NULL : ngx_queue_data(q, ngx_http_weir_follow_stream_t, queue);
}


/* The same, of the streams that are in the cycle. */
static ngx_inline ngx_http_weir_follow_stream_t *
ngx_http_weir_follow_next_asked(ngx_http_weir_follower_t *f,
    ngx_http_weir_follow_stream_t *s)
{
    do {
        s = ngx_http_weir_follow_next(f, s);
    } while (s && !s->asked);

    return s;
}


/*
 * follow_cycle: sends the commands of a cycle, when none waits for a reply;
 * ticked: streams that rest take part again.
 */
void ngx_http_weir_follow_cycle(ngx_http_weir_follower_t *f,
    ngx_uint_t ticked);

/* follow_cycle: the handler of all commands; its data is the follower. */
void ngx_http_weir_follow_cycle_handler(ngx_http_weir_redis_command_t *cmd,
    ngx_int_t rc, ngx_http_weir_redis_reply_t *reply);

/*
 * follow_read: divides the reply to the XREAD for all among its streams.
 * NGX_DECLINED: it is an error, which may concern one of them only.
 */
ngx_int_t ngx_http_weir_follow_read_shared(ngx_http_weir_follower_t *f);

/*
 * follow_read: reads the replies about a stream into s->info and s->entries.
 * NGX_ERROR: one is not as it should be.
 */
ngx_int_t ngx_http_weir_follow_read(ngx_http_weir_follow_stream_t *s);


#endif /* _NGX_HTTP_WEIR_FOLLOW_PRIVATE_H_INCLUDED_ */
