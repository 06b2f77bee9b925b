/*
 * The cache's first level: entries in shared memory, used by all workers and
 * kept across reloads.
 *
 * An entry is pinned while it is sent, so that its bytes are sent without
 * copying.  A worker has one pin per entry, however many of its requests send
 * it.  Pins are in the worker's own table in shared memory, so that the pins of
 * a killed worker are found and released.  If that table is full, the bytes are
 * copied instead.
 *
 *     flight        requests for one key at the same time
 *     zone_entries  finding, insertion and removal
 *     zone_evict    memory for a new entry, and eviction
 *     zone_index    entries by digest and by key, and the queues of eviction
 *     zone_misses   counts of misses
 *     zone_pins     workers and their pins
 *     zone          the memory and its mutex
 *
 * Each file calls those below it only.
 */

#ifndef _NGX_HTTP_WEIR_CACHE_ZONE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/entry.h"
#include "cache/entry_mac.h"
#include "cache/memory/arena.h"
#include "redis/ngx_http_weir_redis.h"


#define NGX_HTTP_WEIR_CACHE_DIGEST_LEN  16   /* bytes; SipHash with the zone's
                                                secret */

/* Number of reasons for forwarding a request, RFC 9211 section 2.2. */
#define NGX_HTTP_WEIR_CACHE_REASONS     7

/* A worker's pins: sets of places; the entry's address selects the set. */
#define NGX_HTTP_WEIR_CACHE_PIN_SETS    64
#define NGX_HTTP_WEIR_CACHE_PIN_WAYS    4
#define NGX_HTTP_WEIR_CACHE_PINS        (NGX_HTTP_WEIR_CACHE_PIN_SETS         \
                                         * NGX_HTTP_WEIR_CACHE_PIN_WAYS)


typedef struct ngx_http_weir_cache_zone_s    ngx_http_weir_cache_zone_t;
typedef struct ngx_http_weir_cache_sh_s      ngx_http_weir_cache_sh_t;
typedef struct ngx_http_weir_cache_worker_s  ngx_http_weir_cache_worker_t;
typedef struct ngx_http_weir_cache_node_s    ngx_http_weir_cache_node_t;


/* Owned by invalidation; the zone only keeps pointers to them. */
typedef struct ngx_http_weir_cache_invalidation_s
    ngx_http_weir_cache_invalidation_t;
typedef struct ngx_http_weir_cache_follower_s
    ngx_http_weir_cache_follower_t;


/*
 * Another part of the cache that has memory in each zone, and a say in which
 * entries memory may hold.
 */
typedef struct {
    size_t                       (*size)(size_t zone);  /* bytes, for a zone of
                                                           that size */
    void                         (*init)(void *memory, size_t size);
                                 /* under the zone's mutex */
    ngx_uint_t                   (*may_be_held)(void *memory,
                                                weir_entry_t *entry);
} ngx_http_weir_cache_tenant_t;


struct ngx_http_weir_cache_zone_s {
    ngx_str_t                      name;
    ngx_http_weir_redis_t         *redis;      /* NULL: no second level */
    weir_entry_mac_t              *mac;        /* NULL: entries in Redis are
                                                  not signed */
    ngx_shm_zone_t                *shm_zone;
    ngx_cycle_t                   *cycle;      /* that configured the zone */
    const ngx_http_weir_cache_tenant_t *tenant; /* the part invalidation */
    ngx_http_weir_cache_sh_t      *sh;
    ngx_slab_pool_t               *shpool;
    ngx_http_weir_cache_invalidation_t *invalidation;
    ngx_msec_t                     staleness;  /* ms, the least of the locations */
    ngx_uint_t                     warned;     /* bool: of weir_cache_max_size */

    /* of this worker */

    ngx_http_weir_cache_follower_t *follower;  /* NULL: no stream */

    ngx_http_weir_cache_worker_t  *worker;     /* in sh; NULL: no slot was free */
    uint32_t                       pins[NGX_HTTP_WEIR_CACHE_PINS];
                                               /* requests of each pin */
    weir_arena_extent_t           *extents;    /* array with room for all pins */
};


/* An entry that may be read until it is released. */
typedef struct {
    u_char                        *data;
    size_t                         len;
    ngx_http_weir_cache_node_t    *node;       /* NULL: nothing to release */
    ngx_uint_t                     place;      /* index of the pin */
    uint64_t                       began;      /* as given to zone_put() */
} ngx_http_weir_cache_pin_t;


/*
 * The counters of a zone since its memory was created; they count requests
 * unless the comment names another unit.
 */
typedef struct {
    ngx_atomic_t                   hits_memory;
    ngx_atomic_t                   hits_redis;
    ngx_atomic_t                   stale;        /* of these hits, served stale */
    ngx_atomic_t                   collapsed;    /* of these hits, after waiting */
    ngx_atomic_t                   forwarded[NGX_HTTP_WEIR_CACHE_REASONS];
    ngx_atomic_t                   revalidated;  /* of them, answered by 304 */
    ngx_atomic_t                   stale_errors; /* of these hits, served stale */
    ngx_atomic_t                   stored;       /* entries in memory */
    ngx_atomic_t                   evicted;      /* entries, to make room */
    ngx_atomic_t                   refused;      /* entries, for lack of room */
    ngx_atomic_t                   recovered;    /* resets of the zone */
    ngx_atomic_t                   forged;       /* values in Redis without a
                                                    valid signature */
} ngx_http_weir_cache_counters_t;


typedef struct {
    ngx_uint_t                     entries;
    size_t                         bytes;      /* that entries take */
    size_t                         size;       /* that entries may take */
} ngx_http_weir_cache_usage_t;


/* The ngx_shm_zone_t's init; its data is the ngx_http_weir_cache_zone_t. */
ngx_int_t ngx_http_weir_cache_zone_init(ngx_shm_zone_t *shm_zone, void *data);

/*
 * The least size of a zone for that many worker processes, in bytes, rounded up
 * to whole pages.  Used for messages only: it lays out zones until all parts
 * fit.
 */
size_t ngx_http_weir_cache_zone_least(ngx_uint_t workers,
    const ngx_http_weir_cache_tenant_t *tenant);

/*
 * Called once in each worker, before all other functions.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_weir_cache_zone_init_worker(ngx_http_weir_cache_zone_t *zone);

/* Called when the worker exits; releases all its pins. */
void ngx_http_weir_cache_zone_exit_worker(ngx_http_weir_cache_zone_t *zone);

/*
 * Finds an entry and pins it; if it cannot be pinned, its bytes are copied into
 * the pool.  Returns NGX_OK, NGX_DECLINED (not found), or NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_weir_cache_zone_get(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, ngx_pool_t *pool, ngx_http_weir_cache_pin_t *pin);

/*
 * Releases the pin; its bytes must not be used afterwards.  May be called
 * twice.
 */
void ngx_http_weir_cache_zone_release(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_pin_t *pin);

/*
 * Puts a copy of an entry into the zone and replaces the entry under the same
 * digest.  key is the hash of the key's text (tags.h), 0 in a pointer.  began
 * is the time at which the upstream was asked, ngx_http_weir_ms(); 0 if another
 * edge asked.  Returns NGX_OK, or NGX_DECLINED if the existing entry was stored
 * or asked for later, or if there is no room: an entry may take at most an
 * eighth of the zone.
 */
ngx_int_t ngx_http_weir_cache_zone_put(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t key, uint64_t began, u_char *data, size_t len);

/*
 * True if an entry that was found is still in the zone; always true for an
 * entry whose bytes were copied.  Under the zone's mutex.
 */
ngx_uint_t ngx_http_weir_cache_zone_holds(ngx_http_weir_cache_pin_t *pin);

/* The size of the largest entry that can fit, bytes. */
size_t ngx_http_weir_cache_zone_largest(ngx_http_weir_cache_zone_t *zone);

/*
 * Removes the entry unless it was stored later than the given time (ms since
 * the epoch).  Requests that send it are not affected.
 */
void ngx_http_weir_cache_zone_remove(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, int64_t stored);

/*
 * Under the zone's mutex: removes the entries of a key (its hash), except
 * entries of that origin that were asked for at local or later (entry.h).
 */
void ngx_http_weir_cache_zone_remove_key(ngx_http_weir_cache_zone_t *zone,
    uint64_t key, uint64_t origin, uint64_t local);

/* Counts a miss of the key; called once for each request. */
void ngx_http_weir_cache_zone_missed(ngx_http_weir_cache_zone_t *zone,
    u_char *digest);

/* Number of recent misses of the key, at most 255. */
ngx_uint_t ngx_http_weir_cache_zone_uses(ngx_http_weir_cache_zone_t *zone,
    u_char *digest);

/*
 * For other files with data in the zone: the zone's mutex with its mark.  The
 * code in between must be short, and must leave the data usable if its process
 * dies at any point.
 */
void ngx_http_weir_cache_zone_lock(ngx_http_weir_cache_zone_t *zone);
void ngx_http_weir_cache_zone_unlock(ngx_http_weir_cache_zone_t *zone);

/* True if no process with that pid exists; needs no mutex. */
ngx_uint_t ngx_http_weir_cache_zone_dead(ngx_pid_t pid);


ngx_http_weir_cache_counters_t *ngx_http_weir_cache_zone_counters(
    ngx_http_weir_cache_zone_t *zone);

void ngx_http_weir_cache_zone_usage(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_usage_t *usage);


#endif /* _NGX_HTTP_WEIR_CACHE_ZONE_H_INCLUDED_ */
