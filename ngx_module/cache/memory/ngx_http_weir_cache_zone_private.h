/*
 * Layout of the first level in shared memory, for the zone itself and for the
 * probe that tests it.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_ZONE_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_ZONE_PRIVATE_H_INCLUDED_


#include "cache/memory/ngx_http_weir_cache_zone.h"
#include "common/trace/context.h"


/* Under the zone's mutex, except the bytes of the entry, which never change. */
struct ngx_http_weir_cache_node_s {
    ngx_http_weir_cache_node_t    *next;       /* in the bucket of its digest */
    ngx_http_weir_cache_node_t    *key_next;   /* in the bucket of its key */
    ngx_http_weir_cache_node_t   **key_prev;   /* pointer to this node there */
    uint64_t                       key;        /* hash of the key's text */
    uint64_t                       began;      /* ngx_http_weir_ms(): upstream
                                                  asked; 0: by another edge */
    ngx_queue_t                    queue;      /* in small or main */
    u_char                         digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    uint32_t                       len;        /* bytes of the entry */
    uint16_t                       refs;       /* workers that have it pinned */
    unsigned                       linked:1;   /* is in bucket and queue */
    unsigned                       main:1;
    unsigned                       uses:2;     /* since it was queued, at most 3 */
    u_char                         data[];
};


/*
 * pins: written by the worker itself, one store each, under the mutex; the
 * address of the node selects the set.
 */
struct ngx_http_weir_cache_worker_s {
    ngx_pid_t                      pid;        /* 0: free */
    ngx_http_weir_cache_node_t    *pins[NGX_HTTP_WEIR_CACHE_PINS];
};


/* Under the zone's mutex. */
typedef struct {
    u_char                         digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    uint64_t                       token;
    uint64_t                       until;      /* ngx_http_weir_ms(); 0: free */
    ngx_pid_t                      pid;        /* 0: record without a fetch */
    weir_context_t                 context;    /* of the request that fetches;
                                                  all zero: not traced */
} ngx_http_weir_cache_flight_t;


struct ngx_http_weir_cache_sh_s {
    uint64_t                       layout;     /* first member: see
                                                  ngx_http_weir.h */
    ngx_atomic_t                   changing;   /* a change is in progress */

    ngx_http_weir_cache_counters_t counters;

    void                          *tenant;     /* memory of zone->tenant */
    weir_siphash_key_t             secret;     /* for the chains by key */

    u_char                        *memory;     /* of the arena */
    size_t                         size;
    size_t                         pinned;     /* bytes of pinned blocks */
    weir_arena_t                   arena;

    ngx_http_weir_cache_node_t   **buckets;
    ngx_http_weir_cache_node_t   **keys;       /* buckets by node->key */
    uint32_t                      *misses;     /* 24 bits of a digest, 8 of count */
    ngx_uint_t                     mask;       /* of buckets, keys, misses */

    ngx_queue_t                    small;      /* newest first */
    ngx_queue_t                    main;
    size_t                         small_bytes;
    ngx_uint_t                     entries;

    ngx_http_weir_cache_flight_t  *flights;
    ngx_uint_t                     nflights;
    uint64_t                       token;      /* the last one given out */

    ngx_uint_t                     nworkers;
    ngx_http_weir_cache_worker_t   workers[];
};


/*
 * The functions below are called under the zone's mutex.
 *
 * pins: takes a slot in the table of workers.  There may be none free if more
 * workers run than the zone was made for, or old ones have not exited yet.
 */
void ngx_http_weir_cache_zone_join(ngx_http_weir_cache_zone_t *zone);

/* pins: releases the pins of workers that have died. */
void ngx_http_weir_cache_zone_reap(ngx_http_weir_cache_zone_t *zone);

/*
 * pins: pins the node for this worker.  Index of the pin, or NGX_ERROR if all
 * places of the node's set are taken.
 */
ngx_int_t ngx_http_weir_cache_zone_pin(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_node_t *node);

/* index: the node of the digest; NULL if there is none. */
ngx_http_weir_cache_node_t *ngx_http_weir_cache_zone_find(
    ngx_http_weir_cache_sh_t *sh, u_char *digest);

/* index: the first node in the chain of the key, which may be of another key. */
ngx_http_weir_cache_node_t *ngx_http_weir_cache_zone_first(
    ngx_http_weir_cache_sh_t *sh, uint64_t key);

/*
 * index: links the node into its bucket, into the chain of its key, and into
 * the queue that node->main selects.
 */
void ngx_http_weir_cache_zone_link(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);

/* index: unlinks the node everywhere, and frees it unless it is pinned. */
void ngx_http_weir_cache_zone_unlink(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);

/*
 * evict: memory for a node with that many bytes of data; NULL: there is not
 * enough that may be evicted.
 */
ngx_http_weir_cache_node_t *ngx_http_weir_cache_zone_alloc(
    ngx_http_weir_cache_zone_t *zone, size_t len);


#endif /* _NGX_HTTP_WEIR_CACHE_ZONE_PRIVATE_H_INCLUDED_ */
