/*
 * The memory of a zone's breakers, private to zone/.
 *
 * All nodes have one size and lie in one array, which is allocated when the zone
 * is made: a node's memory never becomes anything else.  So a worker may keep a
 * pointer to a node, and look at node->word without the mutex.  The word is the
 * breaker's state and generation.  As generations are never used twice in a
 * zone, a worker that has seen, under the mutex, that the node of a key has a
 * certain word knows as long as the word is the same that the node is still that
 * key's, and in that state.  That is what ngx_http_weir_breaker_seen_t is for; to
 * ask a closed breaker is one comparison with it.
 *
 * When no node is free, the least recently used closed breaker is evicted, never
 * one that is open, half-open or ramping.  If none is closed, the least recently
 * used breaker is evicted if its time was over long ago and no call has asked it
 * for as long as it was open: an upstream that no one calls.
 */

#ifndef _NGX_HTTP_WEIR_BREAKER_NODES_H_INCLUDED_
#define _NGX_HTTP_WEIR_BREAKER_NODES_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>

#include "breaker/zone/ngx_http_weir_breaker_zone.h"
#include "redis/follow/ngx_http_weir_follow_log.h"


struct ngx_http_weir_breaker_node_s {
    ngx_str_node_t            sn;          /* the key; its bytes are below */
    ngx_queue_t               queue;       /* sh->closed, tripped or free */
    ngx_atomic_t              word;        /* generation * 4 + state; written
                                              with the mutex, read without */
    weir_breaker_t            breaker;
    weir_breaker_settings_t   settings;    /* of the first request since ... */
    uint64_t                  configuration;  /* ... this configuration was read */
    uint64_t                  openings;    /* changes to open from closed or
                                              ramping */
    uint64_t                  refused;     /* calls */
    uint64_t                  probes;      /* calls */
    uint64_t                  asking;      /* ms: until then a request asks who
                                              probes */
    ngx_uint_t                cause;       /* of the last failure */
    u_char                    key[NGX_HTTP_WEIR_BREAKER_KEY_MAX];
};


typedef struct {
    uint64_t                  layout;      /* first member: see ngx_http_weir.h */
    ngx_rbtree_t              rbtree;
    ngx_rbtree_node_t         sentinel;
    ngx_queue_t               closed;      /* by last use, the newest first */
    ngx_queue_t               tripped;     /* the others, in the same order */
    ngx_queue_t               free;
    ngx_uint_t                breakers;
    ngx_uint_t                not_closed;
    uint64_t                  edge;        /* a random number */
    ngx_http_weir_follow_log_sh_t  log;    /* of the stream weir:breaker, in the
                                              first zone of a Redis */
    weir_position_t           steered;     /* the last order that was obeyed */
    uint64_t                  generation;  /* the last one given out */
    uint64_t                  configuration;  /* number of times it was read */
    uint64_t                  forgotten;   /* breakers evicted */
    uint64_t                  uncounted;   /* calls not counted for lack of
                                              memory */
    ngx_uint_t                full;        /* 1: to be logged, 2: was logged */
} ngx_http_weir_breaker_sh_t;


/* A breaker that this worker has asked. */
typedef struct {
    ngx_http_weir_breaker_node_t  *node;   /* NULL: none */
    ngx_atomic_uint_t              word;   /* that it had; closed */
    uint64_t                       generation;
    size_t                         len;
    u_char                         key[NGX_HTTP_WEIR_BREAKER_KEY_MAX];
} ngx_http_weir_breaker_seen_t;

#define NGX_HTTP_WEIR_BREAKER_SEEN  64     /* by the key's hash */


typedef struct {
    ngx_http_weir_breaker_sh_t    *sh;     /* guarded by shpool->mutex */
    ngx_slab_pool_t               *shpool;
    uint64_t                       configuration;  /* of this cycle */
    ngx_http_weir_breaker_seen_t  *seen;   /* of this process */
    ngx_http_weir_redis_t         *redis;  /* NULL: none */
} ngx_http_weir_breaker_zone_t;


/* For a new zone; NGX_OK or NGX_ERROR (no memory). */
ngx_int_t ngx_http_weir_breaker_nodes_init(ngx_http_weir_breaker_zone_t *zone,
    ngx_str_t *name);

/*
 * A closed breaker that this worker has asked before: fills the ticket.
 * NGX_DECLINED: it is not closed any more, or not known.  Takes no lock.
 */
static ngx_inline ngx_int_t
ngx_http_weir_breaker_nodes_seen(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_key_t *key, ngx_http_weir_breaker_ticket_t *ticket)
{
    ngx_http_weir_breaker_seen_t  *seen;

    seen = &zone->seen[key->hash % NGX_HTTP_WEIR_BREAKER_SEEN];

    if (seen->node == NULL || seen->node->word != seen->word
        || seen->len != key->text.len
        || ngx_memcmp(seen->key, key->text.data, seen->len) != 0)
    {
        return NGX_DECLINED;
    }

    ticket->node = seen->node;
    ticket->generation = seen->generation;

    return NGX_OK;
}


/* The following functions are called with the mutex. */

/* Remembers a closed breaker for this worker. */
void ngx_http_weir_breaker_nodes_remember(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node);

/* NULL: the zone has none. */
ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_nodes_find(
    ngx_http_weir_breaker_zone_t *zone, ngx_http_weir_breaker_key_t *key);

/*
 * Finds or creates the node of the key.  NULL: the zone is full of breakers that
 * are not closed.
 */
ngx_http_weir_breaker_node_t *ngx_http_weir_breaker_nodes_get(
    ngx_http_weir_breaker_zone_t *zone, ngx_http_weir_breaker_key_t *key,
    weir_breaker_settings_t *settings);

/*
 * To be called after each use of the breaker: moves the node to the front of its
 * queue, publishes its word, and counts.  was is the state before.
 */
void ngx_http_weir_breaker_nodes_used(ngx_http_weir_breaker_zone_t *zone,
    ngx_http_weir_breaker_node_t *node, weir_breaker_state_t was);

/* Describes what has changed; the key is copied, as the node may be evicted. */
void ngx_http_weir_breaker_nodes_change(
    ngx_http_weir_breaker_change_t *change, ngx_http_weir_breaker_node_t *node,
    weir_breaker_state_t was);


#endif /* _NGX_HTTP_WEIR_BREAKER_NODES_H_INCLUDED_ */
