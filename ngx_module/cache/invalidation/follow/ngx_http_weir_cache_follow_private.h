/*
 * The follower, shared by its files.  Each calls those below it only:
 *
 *     follow        what it asks Redis in each cycle
 *     follow_log    evaluation of what was read
 *     follow_era    the era: the history to which a stream belongs
 *     follow_write  what is sent
 */

#ifndef _NGX_HTTP_WEIR_CACHE_FOLLOW_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_FOLLOW_PRIVATE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "cache/invalidation/invalidations.h"
#include "cache/memory/ngx_http_weir_cache_zone.h"
#include "redis/follow/ngx_http_weir_follow.h"


/* The commands of a cycle that are its own. */
typedef enum {
    NGX_HTTP_WEIR_CACHE_FOLLOW_INFO = 0,
    NGX_HTTP_WEIR_CACHE_FOLLOW_WRITE,
    NGX_HTTP_WEIR_CACHE_FOLLOW_ERA
} ngx_http_weir_cache_follow_e;


struct ngx_http_weir_cache_follower_s {
    ngx_http_weir_follow_stream_t   stream;
    ngx_http_weir_cache_zone_t     *zone;

    /* one cycle */

    weir_position_t                 from;        /* messages are applied behind
                                                    it */

    /* the connection */

    uint64_t                        server;      /* hash of the server's
                                                    identity */
    uint64_t                        era;
    weir_position_t                 last;        /* last ID, by the last XINFO */

    uint64_t                        trimmed;     /* ms, start of the cycle */
    uint64_t                        probed;      /* ms, last test write */
    uint64_t                        length;      /* messages, by the last XINFO */
    uint64_t                        message;     /* average bytes of a message */

    unsigned                        known:1;     /* run_id and era were read */
    unsigned                        told:1;      /* the write of this cycle is a
                                                    message */
    unsigned                        malformed:1; /* already logged */
};


/*
 * follow_log: evaluate the replies of the first cycle on a connection, which
 * identify the server (met), and of a cycle that has read (was_read).  NGX_OK:
 * the next cycle may follow at once; NGX_ERROR: the next cycle begins from the
 * start, at the next tick.
 */
ngx_int_t ngx_http_weir_cache_follow_met(ngx_http_weir_cache_follower_t *f);
ngx_int_t ngx_http_weir_cache_follow_was_read(
    ngx_http_weir_cache_follower_t *f);

/* follow_log: applies a message that was read. */
ngx_int_t ngx_http_weir_cache_follow_message(ngx_http_weir_follow_stream_t *s,
    weir_position_t position, weir_str_t *texts, size_t n);

/*
 * follow_era: identifies the server by its process (run_id) and its history of
 * writes (master_replid), in f->server.  NGX_ERROR: the reply does not have
 * them.
 */
ngx_int_t ngx_http_weir_cache_follow_era_read_server(
    ngx_http_weir_cache_follower_t *f);

/*
 * follow_era: compares the server with the previous one; value is that of the
 * era's key.  NGX_OK, or NGX_AGAIN if it is another server, whose era is being
 * renewed.
 */
ngx_int_t ngx_http_weir_cache_follow_era_compare(
    ngx_http_weir_cache_follower_t *f, ngx_http_weir_redis_reply_t *value);

/* follow_era: the hash of the server, the salt and the era's key; never 0. */
uint64_t ngx_http_weir_cache_follow_era_of(ngx_http_weir_cache_follower_t *f,
    ngx_http_weir_redis_reply_t *value);

/*
 * follow_write: sets the era's key, if it is missing, or (missing 0) replaces
 * it.
 */
void ngx_http_weir_cache_follow_write_era(ngx_http_weir_cache_follower_t *f,
    ngx_uint_t missing);

/*
 * follow_write: sends again what this edge invalidated and has not read back
 * from the stream.  0: there is nothing to send.
 */
ngx_uint_t ngx_http_weir_cache_follow_write_resend(
    ngx_http_weir_cache_follower_t *f);

/* follow_write: tests whether Redis accepts writes, if a test is due. */
void ngx_http_weir_cache_follow_write_probe(ngx_http_weir_cache_follower_t *f);

/*
 * follow_write: evaluates the reply to the write of the cycle, if there was one:
 * a message that was sent again, or a test write.
 */
void ngx_http_weir_cache_follow_write_done(ngx_http_weir_cache_follower_t *f);


#endif /* _NGX_HTTP_WEIR_CACHE_FOLLOW_PRIVATE_H_INCLUDED_ */
