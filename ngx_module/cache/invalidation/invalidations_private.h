/*
 * Changes of the table of invalidations, for its files.  The functions are
 * hidden, so that calls within the module are direct.  Each file calls those
 * below it only:
 *
 *     invalidations_apply   a message of the stream
 *     invalidations_make    what is made here, and what of it is pending
 *     invalidations         eras, records of tags and keys, and checks
 *     invalidations_client  records of clients
 *
 * A change begins with weir_invalidations_change() and its kind, and ends with
 * WEIR_CHANGE_NONE.  A process that finds another kind when it takes the lock
 * knows that the previous holder was killed in the middle
 * (weir_invalidations_distrust()).
 */

#ifndef WEIR_CACHE_INVALIDATIONS_PRIVATE_H
#define WEIR_CACHE_INVALIDATIONS_PRIVATE_H

#include "cache/invalidation/invalidations.h"

#define WEIR_INVALIDATION_SOFT 1u /* the lowest bit of a hash in the table */

enum { WEIR_CHANGE_NONE, WEIR_CHANGE_OF_STREAM, WEIR_CHANGE_MADE_HERE };

static inline void weir_invalidations_change(weir_invalidations_t *inv, uint32_t kind)
{
    __atomic_store_n(&inv->changing, kind, __ATOMIC_SEQ_CST);
}

/*
 * The last step of a change: a reader without a lock that sees the new number
 * sees all of the change.
 */
static inline void weir_invalidations_set_local(weir_invalidations_t *inv, uint64_t local)
{
    __atomic_store_n(&inv->local, local, __ATOMIC_RELEASE);
}

static inline weir_position_t weir_position_later(weir_position_t a, weir_position_t b)
{
    return weir_position_cmp(a, b) < 0 ? b : a;
}

/* Moves the mark to the later one, in both orders. */
static inline void weir_mark_raise(weir_mark_t *mark, weir_mark_t to)
{
    mark->position = weir_position_later(mark->position, to.position);

    if (mark->local < to.local)
        mark->local = to.local;
}

/* For a client's record: true if its message is not known to be in the stream yet. */
static inline bool weir_mark_is_pending(const weir_mark_t *mark)
{
    return mark->position.ms == 0 && mark->position.seq == 0;
}

/* What the table keeps for a hash. */
static inline uint64_t weir_invalidations_word(uint64_t hash, bool soft)
{
    return (hash & ~(uint64_t)WEIR_INVALIDATION_SOFT) | (soft ? WEIR_INVALIDATION_SOFT : 0);
}

/* Index of the first or the second set of a hash, among the given number of sets. */
static inline size_t weir_invalidations_place(const weir_invalidations_t *inv, uint64_t hash,
                                              size_t nsets, int which)
{
    uint64_t h = weir_siphash_word(inv->secret, hash);
    size_t first = (h & 0xffffffff) % nsets;

    if (which == 0 || nsets == 1)
        return first;

    return (first + 1 + (h >> 32) % (nsets - 1)) % nsets;
}

#pragma GCC visibility push(hidden)

/* Invalidates (soft: makes stale) responses with the tag or key of the hash. */
void weir_invalidations_record(weir_invalidations_t *inv, uint64_t hash, bool soft,
                               weir_mark_t mark);

/* The same for all keys that begin with the text. */
void weir_invalidations_record_prefix(weir_invalidations_t *inv, weir_str_t text, bool soft,
                                      weir_mark_t mark);

/*
 * The stream contains this edge's message of that local number: what it covers
 * is no longer pending.
 */
void weir_invalidations_confirm(weir_invalidations_t *inv, uint64_t hash, bool soft,
                                uint64_t local);

/* The mark of a client's record; NULL if there is none. */
const weir_mark_t *weir_invalidations_find_client(const weir_invalidations_t *inv, uint64_t hash);

/* Removes all client records, or all except pending ones. */
void weir_invalidations_forget_clients(weir_invalidations_t *inv, bool all);

/*
 * Records that a client invalidated a key.  confirms: the record is no longer
 * pending, because this edge's own message was read from the stream.  Returns
 * false if this message can add no more client records; the caller then records
 * the key like any other.
 */
bool weir_invalidations_record_client(weir_invalidations_t *inv, uint64_t hash, weir_mark_t mark,
                                      bool confirms);

#pragma GCC visibility pop

#endif
