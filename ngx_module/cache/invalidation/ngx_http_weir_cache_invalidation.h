/*
 * The invalidation state that a zone's workers share, in the zone's memory: the
 * table (invalidations.h) and the state of the follower.
 *
 * A zone with Redis follows the stream weir:invalidate there: one worker of the
 * edge reads it (follow), and all workers check the table with every hit.
 * While the stream cannot be read, entries with tags are served for at most
 * weir_cache_staleness after the time up to which it was last read.  A zone
 * without Redis knows only the invalidations made on this edge.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_INVALIDATION_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_INVALIDATION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "cache/entry.h"
#include "cache/invalidation/invalidations.h"
#include "cache/memory/ngx_http_weir_cache_zone.h"
#include "redis/follow/ngx_http_weir_follow.h"


#define NGX_HTTP_WEIR_CACHE_STREAM  "weir:invalidate"


/*
 * Times are ngx_http_weir_ms().  Written by the follower, under the zone's mutex;
 * role and synced are written without it.
 */
struct ngx_http_weir_cache_invalidation_s {
    ngx_http_weir_follow_role_t  role;
    ngx_atomic_t            synced;     /* stream read up to; 0: never */
    ngx_atomic_t            tried;      /* the first attempt has ended */
    ngx_atomic_t            refusing;   /* Redis answers but refuses: */
#define NGX_HTTP_WEIR_CACHE_REFUSES_ALL       1
#define NGX_HTTP_WEIR_CACHE_REFUSES_MESSAGES  2
    ngx_atomic_t            unsent;     /* messages refused when made */
    ngx_atomic_t            malformed;  /* messages */
    uint64_t                server;     /* hash of the last server; 0: none */
    uint64_t                salt;       /* part of the era; 0: none */
    uint64_t                salt_word;  /* hash of weir:era with the salt */
    ngx_uint_t              met;        /* bool: Redis was reached or missed */
    uint64_t                created;
    uint64_t                read;       /* entries added up to the position */
    uint64_t                gaps;       /* times that messages were missed */
    weir_invalidations_t   *table;
};


/* The state for weir_status and metrics. */
typedef struct {
    uint64_t                era;        /* 0: unknown */
    weir_position_t         position;
    weir_position_t         floor;
    int64_t                 lag;        /* ms; -1: never synced */
    uint64_t                applied;    /* invalidations */
    uint64_t                evicted;    /* records evicted */
    uint64_t                gaps;
    ngx_uint_t              pending;    /* made here, not yet in the stream */
    ngx_uint_t              clients_pending;
    uint64_t                clients_forgotten;  /* records evicted */
    uint64_t                clients_unsent;     /* of them, while pending */
    uint64_t                unsent;
    uint64_t                malformed;
    ngx_uint_t              refusing;
    ngx_pid_t               follower;   /* 0: none */
} ngx_http_weir_cache_invalidation_info_t;


/* The table's size and init, for the zone. */
extern const ngx_http_weir_cache_tenant_t
    ngx_http_weir_cache_invalidation_tenant;

/*
 * Takes and releases the zone's mutex for the table.  The lock function resets
 * a table whose change was interrupted by the death of its worker.
 */
weir_invalidations_t *ngx_http_weir_cache_invalidation_lock(
    ngx_http_weir_cache_zone_t *zone);
void ngx_http_weir_cache_invalidation_unlock(ngx_http_weir_cache_zone_t *zone);

/* The stamp of a stored response. */
static ngx_inline void
ngx_http_weir_cache_invalidation_read_stamp(weir_entry_t *entry,
    weir_stamp_t *stamp)
{
    stamp->era = entry->era;
    stamp->position.ms = entry->position_ms;
    stamp->position.seq = entry->position_seq;
    stamp->origin = entry->origin;
    stamp->local = entry->local;
}


/*
 * True if invalidations made here reach other edges now, as far as is known;
 * true without Redis, where there are no other edges.
 */
ngx_uint_t ngx_http_weir_cache_invalidation_is_heard(
    ngx_http_weir_cache_zone_t *zone);

void ngx_http_weir_cache_invalidation_info(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_invalidation_info_t *info);


#endif /* _NGX_HTTP_WEIR_CACHE_INVALIDATION_H_INCLUDED_ */
