/*
 * Changes of the table of invalidations: for the table itself and for those who
 * read messages.  Hidden, so that calls within the module are direct ones.
 *
 * All that a change consists of is done between weir_invalidations_change() with
 * its kind and with WEIR_CHANGE_NONE: whoever finds another kind there knows
 * that somebody was killed in the middle (weir_invalidations_distrust()).
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

/* Last of a change: whoever reads without a lock sees all of it then. */
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

/* The message is not known to be in the stream yet; of a client's record. */
static inline bool weir_mark_is_pending(const weir_mark_t *mark)
{
    return mark->position.ms == 0 && mark->position.seq == 0;
}

/* Which of so many sets a hash is in, the first or the second. */
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

/* Invalidates (soft: makes stale) what carries the tag or key of the hash. */
void weir_invalidations_record(weir_invalidations_t *inv, uint64_t hash, bool soft,
                               weir_mark_t mark);

/* The same for all keys that begin with the text. */
void weir_invalidations_record_prefix(weir_invalidations_t *inv, weir_str_t text, bool soft,
                                      weir_mark_t mark);

/* The stream has it: this edge's message of that local number and what it covers. */
void weir_invalidations_confirm(weir_invalidations_t *inv, uint64_t hash, bool soft,
                                uint64_t local);

/* The mark of a client's record; NULL: there is none. */
const weir_mark_t *weir_invalidations_find_client(const weir_invalidations_t *inv, uint64_t hash);

/* All of them, or but for those that are pending. */
void weir_invalidations_forget_clients(weir_invalidations_t *inv, bool all);

/*
 * Invalidates a key because of a client.  confirms: what is pending for it is no
 * longer, as the stream has this edge's own message.  False: no more of them in
 * this message; it is to be recorded as anything else.
 */
bool weir_invalidations_record_client(weir_invalidations_t *inv, uint64_t hash, weir_mark_t mark,
                                      bool confirms);

#pragma GCC visibility pop

#endif
