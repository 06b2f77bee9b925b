/* The follower between its two halves: who asks (follow), who judges (follow_log). */

#ifndef _NGX_HTTP_WEIR_CACHE_FOLLOW_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FOLLOW_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "cache/ngx_http_weir_cache.h"


typedef enum {
    NGX_HTTP_WEIR_CACHE_FOLLOW_INFO = 0,
    NGX_HTTP_WEIR_CACHE_FOLLOW_WRITE,
    NGX_HTTP_WEIR_CACHE_FOLLOW_READ,
    NGX_HTTP_WEIR_CACHE_FOLLOW_ERA,
    NGX_HTTP_WEIR_CACHE_FOLLOW_STREAM,
    NGX_HTTP_WEIR_CACHE_FOLLOW_COMMANDS
} ngx_http_weir_cache_follow_e;


struct ngx_http_weir_cache_follower_s {
    ngx_http_weir_cache_zone_t     *zone;
    ngx_http_weir_redis_t          *redis;       /* a connection of its own */
    ngx_event_t                     tick;
    ngx_msec_t                      block;

    /* one cycle */

    ngx_pool_t                     *pool;
    ngx_uint_t                      waiting;     /* commands without a reply */
    uint64_t                        sent;        /* ms */
    weir_position_t                 from;
    ngx_http_weir_redis_command_t   commands[NGX_HTTP_WEIR_CACHE_FOLLOW_COMMANDS];
    ngx_http_weir_redis_reply_t    *replies[NGX_HTTP_WEIR_CACHE_FOLLOW_COMMANDS];

    /* this connection's */

    uint64_t                        server;      /* hash of its identity */
    uint64_t                        era;
    weir_position_t                 last;        /* as the last XINFO had it */

    uint64_t                        trimmed;     /* ms */
    uint64_t                        probed;      /* whether it takes writes; ms */
    uint64_t                        length;      /* messages, by the last XINFO */
    uint64_t                        message;     /* bytes of one on average */

    unsigned                        following:1;
    unsigned                        known:1;     /* run_id and era are */
    unsigned                        blocking:1;  /* this cycle's XREAD */
    unsigned                        caught_up:1;
    unsigned                        failed:1;    /* a command of the cycle */
    unsigned                        overdue:1;   /* its deadline passed */
    unsigned                        told:1;      /* this cycle's write is a message */
    unsigned                        complained:1;
    unsigned                        malformed:1; /* said so */
};


/*
 * follow_log: the replies of a first cycle on a connection, which tell who the server
 * is, or of one that has read.  NGX_OK: the next cycle may follow at once, or
 * NGX_ERROR: not before the next tick, and from the start.
 */
ngx_int_t ngx_http_weir_cache_follow_met(ngx_http_weir_cache_follower_t *f);
ngx_int_t ngx_http_weir_cache_follow_was_read(
    ngx_http_weir_cache_follower_t *f);

/*
 * follow_log: the reply to the cycle's write, if there is one: a message that was
 * sent again, or what changes nothing
 */
void ngx_http_weir_cache_follow_was_written(
    ngx_http_weir_cache_follower_t *f);

/* follow: sends a new era, if one is missing or in place of the one there is */
void ngx_http_weir_cache_follow_set_era(ngx_http_weir_cache_follower_t *f,
    ngx_uint_t missing);


#endif /* _NGX_HTTP_WEIR_CACHE_FOLLOW_H_INCLUDED_ */
