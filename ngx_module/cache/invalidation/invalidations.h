/*
 * The table of invalidations that an edge has applied, and the check of stored
 * responses against it.  The table is in shared memory; the caller holds the
 * lock.
 *
 * Invalidations are a log: a Redis stream whose entries have increasing IDs
 * (positions).  A response is stamped with the position that its edge had
 * applied when its upstream request *started*.  The response is valid as long
 * as no later invalidation concerns it.  A service that changes data commits
 * first and invalidates afterwards.  So a response that was computed from old
 * data started before the message that invalidates it was written; its position
 * is smaller, and it is invalid wherever that message has been applied, however
 * late the response is stored.
 *
 * There are two orders.  Stream positions order events between edges.  Local
 * numbers order events on one edge: each invalidation that the edge applies,
 * from the stream or made here, gets the next local number; a stamp contains
 * the edge's origin and that number.  So an edge can apply an invalidation at
 * once, before the stream has given it a position.  Responses that this edge
 * fetches afterwards are valid by the local order.  Responses that other edges
 * stored with those tags are not trusted until the message has come back with
 * its position.  Until then the invalidation is "pending"; if it does not come
 * back, it is sent again.
 *
 * The invariant: for every invalidation with position s and local number l that
 * concerns a response, whatever records were evicted meanwhile,
 *
 *     a response of this edge with local <  l        is never valid,
 *     a response of another   with position < s      is never valid,
 *
 * as long as its era is the current one; a response of another era is never
 * valid.  A record is kept per tag, in one of two sets.  When both sets are
 * full, the oldest record in them is evicted and the floor rises to its mark:
 * everything older is invalid then.  Without this invariant an invalidated
 * response could be served again.
 *
 * Invalidations that clients cause (a POST to a URI, the Location of its
 * response) are recorded in separate sets, so that requests, however many,
 * evict no record of tags and messages and do not raise the floor.  When those
 * sets are full, their oldest record is evicted, too.  The responses in memory
 * under its key are removed then (forgotten), and client_floor rises to its
 * mark: older responses that are stored elsewhere, or on their way from the
 * upstream, are refused (weir_invalidations_check()), and responses already in
 * memory stay valid (weir_invalidations_check_held()).  In both kinds of sets a
 * hash with a secret key selects the set.
 *
 * An era is the life of one stream on one server.  In a new era, positions of
 * the old one have no meaning, and no response stamped in the old era is used.
 */

#ifndef WEIR_CACHE_INVALIDATIONS_H
#define WEIR_CACHE_INVALIDATIONS_H

#include "cache/stamp.h"
#include "common/hash/siphash.h"
#include "common/text/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_INVALIDATION_WAYS 16        /* records in one set */
#define WEIR_INVALIDATION_PREFIX_MAX 256 /* bytes; a longer prefix is cut to this length */
#define WEIR_INVALIDATION_MEMORY_MIN 4096
#define WEIR_INVALIDATION_FORGOTTEN 32 /* client records that one message can evict */

/* The place of an invalidation in both orders. */
typedef struct {
    weir_position_t position;
    uint64_t local;
} weir_mark_t;

typedef struct {
    uint64_t hash[WEIR_INVALIDATION_WAYS]; /* lowest bit: soft; 0: free */
    weir_mark_t mark[WEIR_INVALIDATION_WAYS];
} weir_invalidation_set_t;

typedef struct {
    weir_mark_t mark;
    bool soft;
    uint16_t len;
    char text[WEIR_INVALIDATION_PREFIX_MAX];
} weir_invalidation_prefix_t;

/* An invalidation made here and not yet read back from the stream. */
typedef struct {
    uint64_t hash;  /* lowest bit: soft */
    uint64_t local; /* of the latest invalidation of the hash */
    uint64_t sent;  /* ms of the caller's clock */
} weir_invalidation_pending_t;

/* A client's record that was evicted. */
typedef struct {
    uint64_t hash;  /* of the key */
    uint64_t local; /* of its last invalidation */
} weir_invalidation_forgotten_t;

typedef struct {
    /* weir_invalidations_untouched() reads the next three without a lock */
    uint64_t origin;
    uint64_t era;
    uint64_t local; /* of the newest invalidation */

    uint32_t changing; /* WEIR_CHANGE_*: a change is in progress */

    weir_position_t position; /* the last entry of the stream that was applied */
    weir_mark_t floor;        /* everything before is invalid */
    weir_mark_t soft_floor;   /* everything before is soft-invalid (stale) */

    uint64_t applied; /* messages of the stream, and invalidations made here */
    uint64_t evicted; /* records evicted */

    uint64_t pending_all;      /* local number of a pending "all"; 0: none */
    uint64_t pending_all_sent; /* ms */
    uint32_t npending, pending_max;
    uint32_t nprefixes, prefix_max;
    uint64_t nsets;

    weir_siphash_key_t secret; /* random; the caller sets it after weir_invalidations_init() */

    /* invalidations by clients; a record without a position (0-0) is pending */

    uint64_t client_nsets;
    weir_mark_t client_floor;
    uint32_t client_pending; /* records */
    uint32_t nforgotten;
    uint64_t client_evicted;
    uint64_t client_unsent;    /* records evicted while pending: other edges never learn of them */
    uint64_t client_cursor;    /* next set that the sweep for pending records visits */
    uint64_t client_due;       /* the sweep sends records up to this local number */
    uint64_t client_due_later; /* the same for the next sweep */
    uint64_t client_swept;     /* ms */
    weir_invalidation_forgotten_t forgotten[WEIR_INVALIDATION_FORGOTTEN];

    weir_invalidation_pending_t *pending;
    weir_invalidation_prefix_t *prefixes;
    weir_invalidation_set_t *sets;
    weir_invalidation_set_t *client_sets;
} weir_invalidations_t;

typedef enum {
    WEIR_VALID = 0,
    WEIR_INVALID_SOFT, /* stale; may be served while it is refreshed */
    WEIR_INVALID
} weir_validity_t;

/*
 * Creates an empty table in memory, which must be zeroed, 8-byte aligned, and
 * of size >= WEIR_INVALIDATION_MEMORY_MIN bytes.  origin is a random number
 * other than 0.
 */
weir_invalidations_t *weir_invalidations_init(void *memory, size_t size, uint64_t origin);

/*
 * Begins a new era.  No earlier stamp is valid, and no stamp of the new era
 * with a position before floor.  Pending invalidations stay pending.
 */
void weir_invalidations_begin(weir_invalidations_t *inv, uint64_t era, weir_position_t floor);

/* Messages up to position were missed: everything older than it is invalid. */
void weir_invalidations_skip(weir_invalidations_t *inv, weir_position_t position);

/*
 * A process was killed in the middle of a change: drops the era and all
 * records, so that no stored response is valid until the stream has been read
 * again.
 */
void weir_invalidations_distrust(weir_invalidations_t *inv);

/*
 * Pending invalidations of an earlier table of this edge may be lost:
 * invalidates everything here, and makes an "all" message pending for the other
 * edges.
 */
void weir_invalidations_doubt(weir_invalidations_t *inv);

/*
 * Applies an entry of the stream, n/2 pairs of field and value:
 *
 *     tags    tags, as tags.h reads them
 *     keys    cache keys, one per line
 *     prefix  all keys that start with it
 *     all     1: everything
 *     soft    1: what the message names becomes stale, not invalid
 *     hashes  16 hexadecimal digits each: sent again by an edge
 *     edge    origin-local of the edge that has applied it already
 *     client  1: a client has caused it
 *
 * Other fields are ignored.  Entries at or before inv->position are ignored.
 * Returns NULL, or the fault of a malformed field as a constant string; the
 * rest of the message is applied in both cases.
 */
const char *weir_invalidations_apply(weir_invalidations_t *inv, weir_position_t position,
                                     const weir_str_t *fields, size_t n);

/*
 * Applies an invalidation at once and returns its local number.  position is
 * that of the message in the stream if it is known, otherwise NULL.  Without
 * position, the hashes become pending if pending is set, which means that the
 * caller sends them to the stream.  now is in ms.
 */
uint64_t weir_invalidations_make(weir_invalidations_t *inv, const uint64_t *hashes, size_t n,
                                 bool soft, const weir_position_t *position, bool pending,
                                 uint64_t now);

/*
 * The same for keys that a client invalidated, at most
 * WEIR_INVALIDATION_FORGOTTEN of them.  Without a stream (pending false) other
 * edges do not learn of them.
 */
uint64_t weir_invalidations_make_client(weir_invalidations_t *inv, const uint64_t *hashes, size_t n,
                                        const weir_position_t *position, bool pending);

/*
 * Invalidates everything here at once, for a change that cannot be named: all
 * responses of this edge, and those of other edges that are older than position.
 * Without a position, and with pending set, responses of other edges are invalid
 * until the message has come back from the stream.
 */
void weir_invalidations_make_all(weir_invalidations_t *inv, const weir_position_t *position,
                                 bool pending);

/*
 * Writes the hashes of client records that have been pending for age ms, up to
 * max of them, which must be at least WEIR_INVALIDATION_WAYS; returns their
 * number.
 */
size_t weir_invalidations_unsent_clients(weir_invalidations_t *inv, uint64_t now, uint64_t age,
                                         uint64_t *hashes, size_t max);

/*
 * True if a response with that stamp, found valid before, may still be put into
 * memory: no record that concerns it can have been evicted since.
 */
bool weir_invalidations_may_be_held(const weir_invalidations_t *inv, const weir_stamp_t *stamp);

/*
 * Returns a client's record that was evicted since the last call.  The caller
 * must remove older responses under its key from memory before it releases the
 * lock.  False if there is none.
 */
bool weir_invalidations_forgotten(weir_invalidations_t *inv, weir_invalidation_forgotten_t *record);

/*
 * Invalidations that have been pending since before now - age and must be sent
 * again: either everything (*all), or up to max hashes of one kind (*soft);
 * returns the number of hashes.  They count as sent at now.
 */
size_t weir_invalidations_unsent(weir_invalidations_t *inv, uint64_t now, uint64_t age,
                                 uint64_t *hashes, size_t max, bool *soft, bool *all);

/* Writes the stamp of a response whose upstream request starts now. */
void weir_invalidations_stamp(const weir_invalidations_t *inv, weir_stamp_t *stamp);

/* Checks a response by its stamp, key (the text) and tags (a block of hashes, see tags.h). */
weir_validity_t weir_invalidations_check(const weir_invalidations_t *inv, const weir_stamp_t *stamp,
                                         weir_str_t key, weir_str_t tags);

/* The same for a response that has been in this edge's memory since it was found valid. */
weir_validity_t weir_invalidations_check_held(const weir_invalidations_t *inv,
                                              const weir_stamp_t *stamp, weir_str_t key,
                                              weir_str_t tags);

/*
 * True if no invalidation at all was applied since the stamp, which holds for
 * most hits.  Needs no lock: each field is read once and atomically.  An
 * invalidation that another process is applying at the same time may or may not
 * be seen.
 */
static inline bool weir_invalidations_untouched(const weir_invalidations_t *inv,
                                                const weir_stamp_t *stamp)
{
    return stamp->local == __atomic_load_n(&inv->local, __ATOMIC_ACQUIRE) &&
           stamp->origin == inv->origin &&
           stamp->era == __atomic_load_n(&inv->era, __ATOMIC_ACQUIRE);
}

#endif
