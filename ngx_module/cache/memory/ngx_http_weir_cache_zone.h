/*
 * The cache's first level: entries in shared memory, seen by all workers and
 * kept across reloads.
 *
 * An entry is pinned while it is sent, so that its bytes are served from where
 * they are.  A worker has one pin per entry however many of its requests send
 * it; pins stand in the worker's own table in shared memory, so that those of a
 * worker that was killed are found and given back.  When its table is full the
 * bytes are copied instead.
 *
 *     zone          the memory, its mutex and its workers
 *     zone_entries  entries and their pins, and which of them stay
 *     zone_keys     entries by their key, for what clients invalidate
 *     zone_misses   look-ups in vain
 */

#ifndef _NGX_HTTP_WEIR_CACHE_ZONE_H_INCLUDED_
#define _NGX_HTTP_WEIR_CACHE_ZONE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#include "cache/memory/arena.h"
#include "cache/entry/entry_mac.h"
#include "redis/ngx_http_weir_redis.h"


#define NGX_HTTP_WEIR_CACHE_DIGEST_LEN  16   /* bytes; SipHash with the
                                                zone's secret */

/* Why a request was forwarded, RFC 9211 section 2.2 */
#define NGX_HTTP_WEIR_CACHE_REASONS     7

/* A worker's pins: sets of places, chosen by the entry's address. */
#define NGX_HTTP_WEIR_CACHE_PIN_SETS    64
#define NGX_HTTP_WEIR_CACHE_PIN_WAYS    4
#define NGX_HTTP_WEIR_CACHE_PINS        (NGX_HTTP_WEIR_CACHE_PIN_SETS         \
                                         * NGX_HTTP_WEIR_CACHE_PIN_WAYS)


typedef struct ngx_http_weir_cache_zone_s    ngx_http_weir_cache_zone_t;
typedef struct ngx_http_weir_cache_sh_s      ngx_http_weir_cache_sh_t;
typedef struct ngx_http_weir_cache_worker_s  ngx_http_weir_cache_worker_t;
typedef struct ngx_http_weir_cache_node_s    ngx_http_weir_cache_node_t;


/* They belong to invalidation, and are only kept here. */
typedef struct ngx_http_weir_cache_invalidation_s
    ngx_http_weir_cache_invalidation_t;
typedef struct ngx_http_weir_cache_follower_s
    ngx_http_weir_cache_follower_t;


/* Another part of the cache that has memory in each zone. */
typedef struct {
    size_t                       (*size)(size_t zone);  /* bytes, in a zone of
                                                           so many */
    void                         (*init)(void *memory, size_t size);
} ngx_http_weir_cache_tenant_t;


struct ngx_http_weir_cache_zone_s {
    ngx_str_t                      name;
    ngx_http_weir_redis_t         *redis;      /* NULL: no second level */
    weir_entry_mac_t              *mac;        /* NULL: entries in Redis are
                                                  not signed */
    ngx_shm_zone_t                *shm_zone;
    ngx_cycle_t                   *cycle;      /* that configured it */
    const ngx_http_weir_cache_tenant_t *tenant; /* who has invalidation */
    ngx_http_weir_cache_sh_t      *sh;
    ngx_slab_pool_t               *shpool;
    ngx_http_weir_cache_invalidation_t *invalidation;
    ngx_msec_t                     staleness;  /* the least of its locations */
    ngx_uint_t                     warned;     /* bool: of weir_cache_max_size */

    /* this worker's */

    ngx_http_weir_cache_follower_t *follower;  /* NULL: no stream */

    ngx_http_weir_cache_worker_t  *worker;     /* in sh; NULL: none was free */
    uint32_t                       pins[NGX_HTTP_WEIR_CACHE_PINS];
                                               /* requests behind each pin */
    weir_arena_extent_t           *extents;    /* room for all pins */
};


/* An entry that may be read until it is released. */
typedef struct {
    u_char                        *data;
    size_t                         len;
    ngx_http_weir_cache_node_t    *node;       /* NULL: nothing to release */
    ngx_uint_t                     place;      /* of the pin */
    uint64_t                       began;      /* as it was put in */
} ngx_http_weir_cache_pin_t;


/* The counters of a zone, since its memory was made; requests unless named. */
typedef struct {
    ngx_atomic_t                   hits_memory;
    ngx_atomic_t                   hits_redis;
    ngx_atomic_t                   stale;        /* of them, served stale */
    ngx_atomic_t                   collapsed;    /* of them, that had waited */
    ngx_atomic_t                   forwarded[NGX_HTTP_WEIR_CACHE_REASONS];
    ngx_atomic_t                   revalidated;  /* of them, answered by 304 */
    ngx_atomic_t                   stale_errors; /* of them, served stale */
    ngx_atomic_t                   stored;       /* entries in memory */
    ngx_atomic_t                   evicted;      /* entries, to make room */
    ngx_atomic_t                   refused;      /* entries, for want of room */
    ngx_atomic_t                   recovered;    /* times begun anew */
    ngx_atomic_t                   forged;       /* values in Redis without a
                                                    right signature */
} ngx_http_weir_cache_counters_t;


typedef struct {
    ngx_uint_t                     entries;
    size_t                         bytes;      /* that entries take */
    size_t                         size;       /* that entries may take */
} ngx_http_weir_cache_usage_t;


/* The ngx_shm_zone_t's init; its data is the ngx_http_weir_cache_zone_t. */
ngx_int_t ngx_http_weir_cache_zone_init(ngx_shm_zone_t *shm_zone, void *data);

/*
 * The least size, in bytes and whole pages, with which a zone starts in a
 * configuration of that many worker processes.  For messages: it lays out zones
 * until one has room for all parts.
 */
size_t ngx_http_weir_cache_zone_least(ngx_uint_t workers,
    const ngx_http_weir_cache_tenant_t *tenant);

/* Once in each worker, before all else.  NGX_OK or NGX_ERROR. */
ngx_int_t ngx_http_weir_cache_zone_init_worker(ngx_http_weir_cache_zone_t *zone);

/* When the worker leaves: nothing of it is pinned any more. */
void ngx_http_weir_cache_zone_exit_worker(ngx_http_weir_cache_zone_t *zone);

/*
 * Looks an entry up and pins it; when it can't be pinned its bytes are copied
 * into the pool.  Returns NGX_OK, NGX_DECLINED (not there), or NGX_ERROR (no
 * memory).
 */
ngx_int_t ngx_http_weir_cache_zone_get(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, ngx_pool_t *pool, ngx_http_weir_cache_pin_t *pin);

/* The pin's bytes may be gone afterwards.  Harmless when called again. */
void ngx_http_weir_cache_zone_release(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_pin_t *pin);

/*
 * Puts a copy of an entry into the zone, in place of what stands there under
 * the digest.  key is the hash of the key's text (tags.h), 0 in a pointer; began
 * is when the upstream was asked for it, ngx_http_weir_ms(), 0 when another
 * box has done so.
 * Returns NGX_OK, or NGX_DECLINED when what stands there was stored or asked for
 * later, or when there is no room: an entry may take an eighth of the zone.
 */
ngx_int_t ngx_http_weir_cache_zone_put(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, uint64_t key, uint64_t began, u_char *data, size_t len);

/*
 * Whether an entry that was found is in the zone still; of one whose bytes were
 * copied the look-up is believed.  Under the zone's mutex.
 */
ngx_uint_t ngx_http_weir_cache_zone_holds(ngx_http_weir_cache_pin_t *pin);

/* The bytes of the largest entry that may have room. */
size_t ngx_http_weir_cache_zone_largest(ngx_http_weir_cache_zone_t *zone);

/*
 * Drops the entry unless it was stored later than that (ms of the epoch); requests
 * that send it are not disturbed.
 */
void ngx_http_weir_cache_zone_remove(ngx_http_weir_cache_zone_t *zone,
    u_char *digest, int64_t stored);

/*
 * Under the zone's mutex: removes what is stored under a key (its hash), but for
 * entries of that origin which were asked for at local or later (entry.h).
 */
void ngx_http_weir_cache_zone_remove_key(ngx_http_weir_cache_zone_t *zone,
    uint64_t key, uint64_t origin, uint64_t local);

/* Remembers that a request has looked the key up in vain: once for each. */
void ngx_http_weir_cache_zone_missed(ngx_http_weir_cache_zone_t *zone,
    u_char *digest);

/* How often that was so lately, 255 at most. */
ngx_uint_t ngx_http_weir_cache_zone_uses(ngx_http_weir_cache_zone_t *zone,
    u_char *digest);

/*
 * For the other files that keep something in the zone: its mutex with its mark.
 * What is done in between must be short and must be able to break off anywhere.
 */
void ngx_http_weir_cache_zone_lock(ngx_http_weir_cache_zone_t *zone);
void ngx_http_weir_cache_zone_unlock(ngx_http_weir_cache_zone_t *zone);

/* The flights' memory, and how many there are. */
void *ngx_http_weir_cache_zone_flights(ngx_http_weir_cache_zone_t *zone,
    ngx_uint_t *n);

/* A number that was never given out before. */
uint64_t ngx_http_weir_cache_zone_token(ngx_http_weir_cache_zone_t *zone);

/* Whether there is no such process any more; needs no mutex. */
ngx_uint_t ngx_http_weir_cache_zone_dead(ngx_pid_t pid);


ngx_http_weir_cache_counters_t *ngx_http_weir_cache_zone_counters(
    ngx_http_weir_cache_zone_t *zone);

void ngx_http_weir_cache_zone_usage(ngx_http_weir_cache_zone_t *zone,
    ngx_http_weir_cache_usage_t *usage);


#endif /* _NGX_HTTP_WEIR_CACHE_ZONE_H_INCLUDED_ */
