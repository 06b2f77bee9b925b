/*
 * What a zone's workers share about invalidations: the table (invalidations.h)
 * and who follows the stream, in the zone's memory.
 *
 * A zone with Redis follows the stream weir:invalidate there: one worker of the
 * box reads it (follow), all workers look into the table with every hit.  While
 * the stream can't be read, entries that have tags are served for
 * weir_cache_staleness at most after the last moment up to which it was read.
 * A zone without Redis knows what is invalidated on its own box.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_INVALIDATION_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_INVALIDATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "cache/invalidation/invalidations.h"
#include "cache/memory/ngx_http_weir_cache_zone.h"


#define NGX_HTTP_WEIR_CACHE_STREAM  "weir:invalidate"


/*
 * Times are ngx_http_weir_ms().  Written by the follower, or by who
 * becomes it; under the zone's mutex, but for heartbeat and synced.
 */
struct ngx_http_weir_cache_invalidation_s {
    ngx_atomic_t            pid;        /* who follows; 0: nobody */
    ngx_atomic_t            heartbeat;
    ngx_atomic_t            synced;     /* read up to here; 0: never */
    ngx_atomic_t            tried;      /* a first attempt is over */
    ngx_atomic_t            refusing;   /* Redis answers and takes no writes: */
#define NGX_HTTP_WEIR_CACHE_REFUSES_ALL       1
#define NGX_HTTP_WEIR_CACHE_REFUSES_MESSAGES  2
    ngx_atomic_t            unsent;     /* messages not taken when made */
    ngx_atomic_t            malformed;  /* messages */
    uint64_t                server;     /* hash of the last one's identity; 0 */
    uint64_t                salt;       /* of the era; 0: none */
    uint64_t                salt_word;  /* hash of weir:era when it was made */
    ngx_uint_t              met;        /* Redis was reached, or missed, once */
    uint64_t                created;
    uint64_t                read;       /* entries added up to the position */
    uint64_t                gaps;       /* times that messages were missed */
    weir_invalidations_t   *table;
};


/* For weir_status and metrics. */
typedef struct {
    uint64_t                era;        /* 0: none is known */
    weir_position_t         position;
    weir_position_t         floor;
    int64_t                 lag;        /* milliseconds; -1: never in step */
    uint64_t                applied;    /* invalidations */
    uint64_t                evicted;    /* records that gave way */
    uint64_t                gaps;
    ngx_uint_t              pending;    /* made here, not yet in the stream */
    ngx_uint_t              clients_pending;
    uint64_t                clients_forgotten;  /* records that gave way */
    uint64_t                clients_unsent;     /* of them, while pending */
    uint64_t                unsent;
    uint64_t                malformed;
    ngx_uint_t              refusing;
    ngx_pid_t               follower;   /* 0: none */
} ngx_http_weir_cache_invalidation_info_t;


/* What a zone needs to know of it. */
extern const ngx_http_weir_cache_tenant_t
    ngx_http_weir_cache_invalidation_tenant;

/*
 * The zone's mutex for the table; a table that somebody left in the middle of a
 * change has been reset when it returns.
 */
weir_invalidations_t *ngx_http_weir_cache_invalidation_lock(
    ngx_http_weir_cache_zone_t *zone);
void ngx_http_weir_cache_invalidation_unlock(ngx_http_weir_cache_zone_t *zone);

/*
 * Whether what is invalidated here reaches other edges now, as far as is known;
 * there is nobody to reach without Redis.
 */
ngx_uint_t ngx_http_weir_cache_invalidation_is_heard(
    ngx_http_weir_cache_zone_t *zone);

void ngx_http_weir_cache_invalidation_info(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_invalidation_info_t *info);


#endif /* _NGX_HTTP_WEIR_CACHE_INVALIDATION_H_INCLUDED_ */
