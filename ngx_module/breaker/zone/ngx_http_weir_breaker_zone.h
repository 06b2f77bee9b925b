/*
 * Breakers in shared memory, one per key, used by all workers and kept across
 * reloads.
 *
 *     zone    weir_breaker_zone, and what calls ask and report
 *     nodes   the memory: creation, eviction, what a worker remembers
 *     steer   what operators and other edges say
 *     list    copies for status and metrics
 *     log     a breaker's state in log and status
 *
 * To ask a closed breaker a worker compares one word: see nodes.  All else takes
 * the zone's slab mutex for a short time; nginx's master releases that mutex if
 * a worker dies while holding it.
 *
 * Generations are counted in the zone, so a breaker that was evicted and created
 * again ignores results of its predecessor.
 *
 * A breaker has the settings of the first request that asked it since the
 * configuration was read; settings of later requests are ignored.
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "common/breaker/breaker.h"
#include "breaker/zone/ngx_http_weir_breaker_log.h"
#include "redis/follow/ngx_http_weir_follow_log.h"
#include "redis/ngx_http_weir_redis.h"


/*
 * The cause of a failure: one of these values, or the status of the response.
 */
#define NGX_HTTP_WEIR_BREAKER_UNKNOWN  0
#define NGX_HTTP_WEIR_BREAKER_ERROR    1       /* no connection, or connection
                                                  lost */
#define NGX_HTTP_WEIR_BREAKER_TIMEOUT  2
#define NGX_HTTP_WEIR_BREAKER_SLOW     3
#define NGX_HTTP_WEIR_BREAKER_LEFT     4       /* the client left after slow= */
#define NGX_HTTP_WEIR_BREAKER_CUT      5       /* the body broke off */
#define NGX_HTTP_WEIR_BREAKER_GRPC     16      /* and the status of gRPC, from 0
                                                  to 15 */


typedef struct ngx_http_weir_breaker_node_s  ngx_http_weir_breaker_node_t;


/* A breaker's key with its hash, ngx_crc32_short(). */
typedef struct {
    ngx_str_t                 text;
    uint32_t                  hash;
} ngx_http_weir_breaker_key_t;


/*
 * An admitted call.  The node may be that of another key since, but the memory of
 * nodes has nothing else, and no other state has that generation.
 */
typedef struct {
    ngx_http_weir_breaker_node_t  *node;
    uint64_t                       generation;
} ngx_http_weir_breaker_ticket_t;


/* Who probes, of all edges that share a Redis. */
typedef enum {
    NGX_HTTP_WEIR_BREAKER_OURS = 0,
    NGX_HTTP_WEIR_BREAKER_OTHERS,              /* for ms, opened so often */
    NGX_HTTP_WEIR_BREAKER_RECOVERED            /* the others' have succeeded, so
                                                  many ms ago */
} ngx_http_weir_breaker_who_e;


typedef struct {
    ngx_http_weir_breaker_who_e  who;
    uint64_t                     ms;
    uint32_t                     reopened;
} ngx_http_weir_breaker_verdict_t;


/* A breaker for weir_status; key is a copy. */
typedef struct {
    ngx_str_t                 key;
    weir_breaker_state_t      state;
    weir_breaker_counts_t     counts;          /* of the window */
    weir_breaker_rule_t       rule;            /* that opened it last */
    weir_breaker_counts_t     opened;          /* counts when it opened last */
    uint64_t                  window;          /* ms */
    ngx_uint_t                cause;           /* of the last failure */
    uint64_t                  openings;
    uint64_t                  refused;         /* calls */
    uint64_t                  probes;          /* calls */
    uint64_t                  since;           /* ms in this state */
    uint64_t                  retry_after;     /* ms, unless closed */
    ngx_uint_t                forced;          /* bool: by an operator */
} ngx_http_weir_breaker_info_t;

typedef struct {
    ngx_str_t                 name;
    ngx_uint_t                breakers;
    ngx_uint_t                not_closed;
    uint64_t                  forgotten;       /* breakers evicted */
    uint64_t                  uncounted;       /* calls without a breaker */
} ngx_http_weir_breaker_zone_info_t;


/* Called while the configuration is read: "weir_breaker_zone name size ...". */
char *ngx_http_weir_breaker_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/*
 * Asks for admission of a call.  Returns NGX_OK (a result is owed, with the
 * ticket), NGX_BUSY (refused, *retry_after in ms), or NGX_DECLINED without
 * memory: the call is admitted and not counted.  The change is to be passed to
 * ngx_http_weir_breaker_changed().
 *
 * NGX_AGAIN: the breaker is to be probed, by whom the edges of the zone's Redis
 * have to agree.  The caller finds out and calls ngx_http_weir_breaker_zone_probe()
 * with the ticket.  Other calls are refused meanwhile, but not for longer than
 * two timeouts of Redis.
 */
ngx_int_t ngx_http_weir_breaker_zone_admit(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_key_t *key, weir_breaker_settings_t *settings,
    ngx_http_weir_breaker_ticket_t *ticket, ngx_msec_t *retry_after,
    ngx_http_weir_breaker_change_t *change, ngx_log_t *log);

/* Continues after NGX_AGAIN; returns as ngx_http_weir_breaker_zone_admit(). */
ngx_int_t ngx_http_weir_breaker_zone_probe(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_verdict_t *verdict,
    ngx_http_weir_breaker_ticket_t *ticket, ngx_msec_t *retry_after,
    ngx_http_weir_breaker_change_t *change);

/* The Redis of the zone's edges; NULL: each edge is alone. */
ngx_http_weir_redis_t *ngx_http_weir_breaker_zone_redis(ngx_shm_zone_t *zone);

/* A number that no other edge has; all workers of this one have it. */
uint64_t ngx_http_weir_breaker_zone_edge(ngx_shm_zone_t *zone);

/*
 * Reports a call's result.  For a success, *success becomes its number.  A
 * later report with that number says that the call has failed after all.
 */
void ngx_http_weir_breaker_zone_report(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_ticket_t *ticket, weir_breaker_outcome_t outcome,
    ngx_uint_t cause, uint64_t *success,
    ngx_http_weir_breaker_change_t *change);

/* Counts a failed try of a call that is tried again, at another server. */
void ngx_http_weir_breaker_zone_tried(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_ticket_t *ticket, weir_breaker_outcome_t outcome,
    ngx_uint_t cause, ngx_http_weir_breaker_change_t *change);

/* The current state; an unknown key is closed. */
weir_breaker_state_t ngx_http_weir_breaker_zone_state(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_key_t *key);

typedef enum {
    NGX_HTTP_WEIR_BREAKER_STEER_OPEN = 0,
    NGX_HTTP_WEIR_BREAKER_STEER_CLOSE,
    NGX_HTTP_WEIR_BREAKER_STEER_AUTO,
    NGX_HTTP_WEIR_BREAKER_STEER_HINT,          /* another edge's has opened */
    NGX_HTTP_WEIR_BREAKER_STEER_HURRY          /* another edge's is well */
} ngx_http_weir_breaker_order_e;

/*
 * steer: obeys an order for a breaker, for so many ms; open and close make one
 * with the settings if there is none, the others need none.  NGX_OK, NGX_DECLINED
 * (there is no such breaker), or NGX_ERROR (the zone is full of breakers that are
 * not closed).
 */
ngx_int_t ngx_http_weir_breaker_steer(ngx_shm_zone_t *zone,
    ngx_http_weir_breaker_key_t *key, weir_breaker_settings_t *settings,
    ngx_http_weir_breaker_order_e order, uint64_t ms,
    ngx_http_weir_breaker_change_t *change);

/*
 * steer: true if an order of that position is to be obeyed; others have been, or
 * were overtaken.  Positions only rise until ngx_http_weir_breaker_steer_again().
 */
ngx_uint_t ngx_http_weir_breaker_steer_is_new(ngx_shm_zone_t *zone,
    weir_position_t position);

/*
 * steer: last is the last position of the stream of orders.  It is another stream,
 * and begins again, if an order of a later position has been obeyed.
 */
void ngx_http_weir_breaker_steer_again(ngx_shm_zone_t *zone,
    weir_position_t last);

/* steer: the state of the follower of the stream, and the mutex for it. */
ngx_http_weir_follow_log_sh_t *ngx_http_weir_breaker_steer_log(
    ngx_shm_zone_t *zone, ngx_shmtx_t **mutex);

/*
 * list: copies the state of the breaker with that key, of which info->key shares
 * the bytes.  NGX_DECLINED: the zone has none, and info is unchanged.
 */
ngx_int_t ngx_http_weir_breaker_list_find(ngx_shm_zone_t *zone,
    ngx_str_t *key, ngx_http_weir_breaker_info_t *info);

/*
 * list: copies the zone's counters and up to n of its breakers: those that are
 * not closed first, then by last use.  Keys are copied to the pool.  Returns the
 * number of breakers copied, or NGX_ERROR (no memory).
 */
ngx_int_t ngx_http_weir_breaker_list(ngx_shm_zone_t *zone,
    ngx_pool_t *pool, ngx_http_weir_breaker_zone_info_t *info,
    ngx_http_weir_breaker_info_t *breakers, ngx_uint_t n);


#endif /* _NGX_HTTP_WEIR_BREAKER_ZONE_H_INCLUDED_ */
