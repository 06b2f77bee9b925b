/*
 * How the first level lies in shared memory: for the zone itself, and for the
 * probe that tests it.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_ZONE_PRIVATE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_ZONE_PRIVATE_H_INCLUDED_


#include "cache/memory/ngx_http_weir_cache_zone.h"


/* Under the zone's mutex, but for the bytes, which never change. */
struct ngx_http_weir_cache_node_s {
    ngx_http_weir_cache_node_t    *next;       /* in its bucket */
    ngx_http_weir_cache_node_t    *key_next;   /* in the bucket of its key */
    ngx_http_weir_cache_node_t   **key_prev;   /* what points to it there */
    uint64_t                       key;        /* hash of the key's text */
    uint64_t                       began;      /* ngx_http_weir_ms(): its
                                                  upstream was asked; 0: by
                                                  another box */
    ngx_queue_t                    queue;      /* in small or main */
    u_char                         digest[NGX_HTTP_WEIR_CACHE_DIGEST_LEN];
    uint32_t                       len;        /* bytes of the entry */
    uint16_t                       refs;       /* workers that have it pinned */
    unsigned                       linked:1;   /* in bucket and queue */
    unsigned                       main:1;
    unsigned                       uses:2;     /* since it was queued, 3 at most */
    u_char                         data[];
};


/*
 * pins are written by the worker itself, in one store each, under the mutex;
 * a pin's place is of the set that its node's address chooses.
 */
struct ngx_http_weir_cache_worker_s {
    ngx_pid_t                      pid;        /* 0: free */
    ngx_http_weir_cache_node_t    *pins[NGX_HTTP_WEIR_CACHE_PINS];
};


struct ngx_http_weir_cache_sh_s {
    uint64_t                       layout;     /* first: see ngx_http_weir.h */
    ngx_atomic_t                   changing;   /* a change is under way */

    ngx_http_weir_cache_counters_t counters;

    void                          *tenant;     /* memory of zone->tenant */
    weir_siphash_key_t             secret;     /* of the chains by key */

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

    void                          *flights;
    ngx_uint_t                     nflights;
    uint64_t                       token;      /* the last that was given out */

    ngx_uint_t                     nworkers;
    ngx_http_weir_cache_worker_t   workers[];
};


/*
 * The functions below are called under the zone's mutex.
 *
 * zone: takes a table for pins.  There may be none, when there are more workers
 * than the zone was made for, or old ones that have not left yet.
 */
void ngx_http_weir_cache_zone_join(ngx_http_weir_cache_zone_t *zone);

/* zone: gives back what workers had pinned that are no more */
void ngx_http_weir_cache_zone_reap(ngx_http_weir_cache_zone_t *zone);

/* entries: gives back all that the worker has pinned */
void ngx_http_weir_cache_zone_unpin_all(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_worker_t *worker);


/* keys: puts the node into the bucket of its key; takes it out */
void ngx_http_weir_cache_zone_link_key(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);
void ngx_http_weir_cache_zone_unlink_key(ngx_http_weir_cache_node_t *node);

/* entries: takes the node out, and frees it unless it is pinned */
void ngx_http_weir_cache_zone_unlink(ngx_http_weir_cache_sh_t *sh,
    ngx_http_weir_cache_node_t *node);


#endif /* _NGX_HTTP_WEIR_CACHE_ZONE_PRIVATE_H_INCLUDED_ */
