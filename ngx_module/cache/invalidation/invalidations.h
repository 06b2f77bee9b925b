/*
 * What an edge knows of invalidations, and whether a stored response outlived
 * them.  Lives in shared memory; the caller locks.
 *
 * Invalidations are a log: a Redis stream whose entries have increasing IDs
 * (positions).  A response is stamped with what its edge had applied when its
 * upstream request *started*; it is good as long as no invalidation that
 * concerns it came later.  Whoever changes data commits first and invalidates
 * then, so a response computed from old data has started before the message
 * that invalidates it was written, carries a smaller position, and is bad
 * wherever that message has been applied, however late it is stored.
 *
 * There are two orders.  Between edges only stream positions can be compared.
 * On one edge every invalidation it applies, from the stream or made here,
 * gets the next local number; a stamp carries the edge's origin and that number
 * too.  So an edge can apply an invalidation at once, before the stream has
 * given it a position: what this edge fetched afterwards is good by the local
 * order; what other edges stored of those tags is not to be trusted until the
 * message has come back with its position (it is "pending" till then, and is
 * sent again if it doesn't).
 *
 * The invariant: for every invalidation with position s and local number l that
 * concerns a response, and whatever was forgotten meanwhile,
 *
 *     a response of this edge with local <  l        is never valid,
 *     a response of another   with position < s      is never valid,
 *
 * as long as its era is the current one; those of other eras never are.  A place
 * is kept per tag, in either of two sets of places; when both are full the oldest
 * record in them gives way and the floor rises to it: everything older is invalid
 * then.  Without this invariant an old answer could come back to life.
 *
 * What clients cause (a POST to a URI, the Location of its answer) is recorded in
 * sets of its own, so that no number of requests touches the records of tags and
 * messages, or the floor.  When those sets are full the oldest gives way there
 * too; what is in memory under its key is removed then (forgotten), and
 * client_floor rises to it: what was stored elsewhere before, or is still on its
 * way from the upstream, is not taken (weir_invalidations_check()), and what is
 * in memory already stays good (weir_invalidations_check_held()).  A place in
 * either kind of sets is chosen by a hash with a secret key.
 *
 * An era is the life of one stream on one server.  When the stream is another
 * one, positions of the old say nothing, and nothing stamped with it is used.
 */

#ifndef WEIR_CACHE_INVALIDATIONS_H
#define WEIR_CACHE_INVALIDATIONS_H

#include "common/siphash.h"
#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

#define WEIR_INVALIDATION_WAYS 16        /* records in one set */
#define WEIR_INVALIDATION_PREFIX_MAX 256 /* bytes; of a longer one the start is taken */
#define WEIR_INVALIDATION_MEMORY_MIN 4096
#define WEIR_INVALIDATION_FORGOTTEN 32 /* by clients, in one message */

/* A stream ID. */
typedef struct {
    uint64_t ms; /* milliseconds since the epoch, by the server's clock */
    uint64_t seq;
} weir_position_t;

/* What was known when an upstream request started. */
typedef struct {
    uint64_t era; /* 0: no stream was known yet */
    weir_position_t position;
    uint64_t origin; /* the edge; its shared memory's random number */
    uint64_t local;
} weir_stamp_t;

/* When something was invalidated, in both orders. */
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

/* Made here, and not yet seen in the stream. */
typedef struct {
    uint64_t hash;  /* lowest bit: soft */
    uint64_t local; /* of the last one */
    uint64_t sent;  /* milliseconds of the caller's clock */
} weir_invalidation_pending_t;

/* A client's record that gave way. */
typedef struct {
    uint64_t hash;  /* of the key */
    uint64_t local; /* of its last invalidation */
} weir_invalidation_forgotten_t;

typedef struct {
    /* read by weir_invalidations_untouched() without a lock; see there */
    uint64_t origin;
    uint64_t era;
    uint64_t local; /* of the newest invalidation */

    uint32_t changing; /* a change is under way; 2: one that can't be read again */

    weir_position_t position; /* the last entry of the stream that was applied */
    weir_mark_t floor;        /* everything before is invalid */
    weir_mark_t soft_floor;   /* everything before is stale */

    uint64_t applied; /* messages of the stream, and invalidations made here */
    uint64_t evicted; /* records that gave way */

    uint64_t pending_all;      /* local number; 0: none; an "all" that is pending */
    uint64_t pending_all_sent; /* milliseconds */
    uint32_t npending, pending_max;
    uint32_t nprefixes, prefix_max;
    uint64_t nsets;

    weir_siphash_key_t secret; /* random; the caller sets it after init */

    /* what clients cause; a record without a position (0-0) is pending */

    uint64_t client_nsets;
    weir_mark_t client_floor;
    uint32_t client_pending; /* records */
    uint32_t nforgotten;
    uint64_t client_evicted;
    uint64_t client_unsent;    /* evicted while pending: other edges never hear */
    uint64_t client_cursor;    /* of the sweep for what is pending; a set */
    uint64_t client_due;       /* local number up to which it sends */
    uint64_t client_due_later; /* the same for the next sweep */
    uint64_t client_swept;     /* milliseconds */
    weir_invalidation_forgotten_t forgotten[WEIR_INVALIDATION_FORGOTTEN];

    weir_invalidation_pending_t *pending;
    weir_invalidation_prefix_t *prefixes;
    weir_invalidation_set_t *sets;
    weir_invalidation_set_t *client_sets;
} weir_invalidations_t;

typedef enum {
    WEIR_VALID = 0,
    WEIR_INVALID_SOFT, /* stale since; may be served while it is refreshed */
    WEIR_INVALID
} weir_validity_t;

/*
 * Makes memory (zeroed, 8-byte aligned, of size >= WEIR_INVALIDATION_MEMORY_MIN)
 * an empty table.  origin is a random number, not 0.
 */
weir_invalidations_t *weir_invalidations_init(void *memory, size_t size, uint64_t origin);

/*
 * A new era: nothing stamped before is valid, and of what will be stamped in it
 * nothing before floor.  What is pending stays pending.
 */
void weir_invalidations_begin(weir_invalidations_t *inv, uint64_t era, weir_position_t floor);

/* Messages up to position were missed: everything older than it is invalid. */
void weir_invalidations_skip(weir_invalidations_t *inv, weir_position_t position);

/*
 * Somebody was killed in the middle of a change: forgets the era and all
 * records, so that nothing stored is valid until the stream has been read again.
 */
void weir_invalidations_distrust(weir_invalidations_t *inv);

/*
 * What an earlier table of this edge had pending may be lost: everything is
 * invalidated, here and by the message that is pending then.
 */
void weir_invalidations_doubt(weir_invalidations_t *inv);

/*
 * Applies an entry of the stream: n/2 pairs of field and value.
 *
 *     tags    tags, as tags.h reads them
 *     keys    cache keys, one a line
 *     prefix  everything whose key starts with it
 *     all     1: everything
 *     soft    1: what is named becomes stale, not invalid
 *     hashes  16 hexadecimal digits each: what an edge sends again
 *     edge    origin-local of the edge that has applied it already
 *     client  1: a client has caused it
 *
 * Other fields are ignored.  Entries at or before inv->position are ignored.
 * Returns NULL, or what is malformed (a constant string); the rest of the
 * message is applied all the same.
 */
const char *weir_invalidations_apply(weir_invalidations_t *inv, weir_position_t position,
                                     const weir_str_t *fields, size_t n);

/*
 * Invalidates here and now, and returns the local number.  position is that of
 * the message in the stream when it is known, else NULL; the hashes are pending
 * then if pending is set, that is if they are sent to the stream.  now is in
 * milliseconds.
 */
uint64_t weir_invalidations_make(weir_invalidations_t *inv, const uint64_t *hashes, size_t n,
                                 bool soft, const weir_position_t *position, bool pending,
                                 uint64_t now);

/*
 * The same for keys that a client has caused to be invalidated, at most
 * WEIR_INVALIDATION_FORGOTTEN of them.  Without a stream (pending false) nobody
 * else hears of them.
 */
uint64_t weir_invalidations_make_client(weir_invalidations_t *inv, const uint64_t *hashes, size_t n,
                                        const weir_position_t *position, bool pending);

/*
 * What clients have caused and is pending for that long, up to max (at least
 * WEIR_INVALIDATION_WAYS) hashes; returns their number.
 */
size_t weir_invalidations_unsent_clients(weir_invalidations_t *inv, uint64_t now, uint64_t age,
                                         uint64_t *hashes, size_t max);

/*
 * Whether a response with that stamp that was found valid may still be put into
 * memory: no record that concerns it can have given way since.
 */
bool weir_invalidations_may_be_held(const weir_invalidations_t *inv, const weir_stamp_t *stamp);

/*
 * A client's record that gave way since the last call: what is in memory under
 * its key and older must be removed before the lock is released.  False: none.
 */
bool weir_invalidations_forgotten(weir_invalidations_t *inv, weir_invalidation_forgotten_t *record);

/*
 * What is pending since before now - age and has to be sent again: either all
 * (*all), or up to max hashes of one kind (*soft), whose number is returned.
 * They count as sent now.
 */
size_t weir_invalidations_unsent(weir_invalidations_t *inv, uint64_t now, uint64_t age,
                                 uint64_t *hashes, size_t max, bool *soft, bool *all);

/* What a response gets whose upstream request starts now. */
void weir_invalidations_stamp(const weir_invalidations_t *inv, weir_stamp_t *stamp);

/*
 * Whether a response with that stamp, key (its text) and tags (a block of
 * hashes, see tags.h) is valid.
 */
weir_validity_t weir_invalidations_check(const weir_invalidations_t *inv, const weir_stamp_t *stamp,
                                         weir_str_t key, weir_str_t tags);

/* The same for one that this edge has had in memory since it was found valid. */
weir_validity_t weir_invalidations_check_held(const weir_invalidations_t *inv,
                                              const weir_stamp_t *stamp, weir_str_t key,
                                              weir_str_t tags);

/*
 * Whether nothing at all was invalidated since the stamp: the answer for most
 * hits.  Needs no lock: each field is read once and whole; an invalidation that
 * another process is just applying may be seen or not.
 */
static inline bool weir_invalidations_untouched(const weir_invalidations_t *inv,
                                                const weir_stamp_t *stamp)
{
    return stamp->local == __atomic_load_n(&inv->local, __ATOMIC_ACQUIRE) &&
           stamp->origin == inv->origin &&
           stamp->era == __atomic_load_n(&inv->era, __ATOMIC_ACQUIRE);
}

/* -1, 0 or 1 as a stands before, at or after b. */
static inline int weir_position_cmp(weir_position_t a, weir_position_t b)
{
    if (a.ms != b.ms)
        return a.ms < b.ms ? -1 : 1;

    return a.seq == b.seq ? 0 : a.seq < b.seq ? -1 : 1;
}

/* Reads "ms-seq" or "ms"; false when it is neither. */
bool weir_position_parse(weir_str_t s, weir_position_t *position);

#endif
