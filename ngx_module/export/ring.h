/*
 * A ring of records in shared memory: one producer, one consumer, no lock.  Plain C.
 *
 * Invariants:
 *
 * - head is written by the producer alone, tail by the consumer alone.  Each is one 64-bit word
 *   that holds a place in the ring and a number of records, so both always change together.
 * - The records between tail and head are complete, and nobody writes to them.  The producer writes
 *   a record behind head, and then moves head with a release store.  So of a producer that is
 *   killed at any moment no part of a record is ever visible, and the next producer continues at
 *   head.
 * - The consumer reads head with an acquire load, reads records, and moves tail with a
 *   compare-and-swap from the value that it had begun with.  Records that were read and not
 *   committed are read again, also by another consumer.  A consumer that was stopped for so long
 *   that another took over has its commit refused.
 * - A place is a number of units of 8 bytes, from 0 to twice the size of the ring: a full ring and
 *   an empty one differ in it.
 * - A record has a header of one unit, and is contiguous.  If the rest of the ring is too short for
 *   it, the rest is one gap, which is a record without a payload that does not count.
 *
 * The memory may be corrupt.  The consumer checks places, lengths and the check word of a header
 * before it uses them, and never reads outside of the ring.
 */

#ifndef WEIR_EXPORT_RING_H
#define WEIR_EXPORT_RING_H

#include "common/text/bytes.h"
#include "common/text/str.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WEIR_RING_UNIT 8 /* bytes */

/* Bytes of a ring; the places need 32 bits. */
#define WEIR_RING_SIZE_MAX ((size_t)1 << 33)

/* In shared memory; all zero is an empty ring. The words are in cache lines of their own. */
typedef struct {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
} weir_ring_words_t;

/* A process' view of a ring. The members behind units are the producer's, and begin as 0. */
typedef struct {
    weir_ring_words_t *words;
    char *data;     /* aligned to a unit */
    uint32_t units; /* of data, more than 1 */
    uint32_t place; /* those of head, if room is not 0 */
    uint32_t count;
    uint32_t room; /* units from there on that are free, as of the last look at tail */
    char *next;    /* payload of the next record */
} weir_ring_t;

/* What the consumer has copied. */
typedef struct {
    uint64_t start; /* tail at the beginning */
    uint64_t next;
    uint64_t head;
} weir_ring_cursor_t;

typedef enum {
    WEIR_RING_RECORD, /* there may be more records, for which the copy has no room */
    WEIR_RING_EMPTY,  /* nothing is left */
    WEIR_RING_CORRUPT /* all up to head is to be dropped: weir_ring_reset() */
} weir_ring_result_t;

/* --- producer -------------------------------------------------------------------------------- */

/* The header's length of a gap. */
#define WEIR_RING_GAP 0xffffffffU

/* Mixed with place and length, so that neither zeros nor an old header pass for one. */
#define WEIR_RING_MARK 0x57656972U

static inline uint32_t weir_ring_check(uint32_t place, uint32_t len)
{
    return (place * 2654435761U) ^ len ^ WEIR_RING_MARK;
}

static inline uint32_t weir_ring_units(size_t len)
{
    return (uint32_t)(1 + (len + WEIR_RING_UNIT - 1) / WEIR_RING_UNIT);
}

/* n is at most ring->units, so that the sum has 32 bits. */
static inline uint32_t weir_ring_advance(const weir_ring_t *ring, uint32_t place, uint32_t n)
{
    uint32_t places = 2 * ring->units, next = place + n;

    return next >= places ? next - places : next;
}

static inline uint64_t weir_ring_word(uint32_t place, uint32_t count)
{
    return (uint64_t)place << 32 | count;
}

/* weir_ring_reserve() with a look at the words. */
char *weir_ring_reserve_rest(weir_ring_t *ring, size_t need, size_t max, size_t *cap);

/*
 * Room for a record of need bytes at least. Returns the place for its payload, and in *cap the
 * bytes of room, at most max. A caller that finds out that it needs more may call again. NULL:
 * there is not so much room (or tail is corrupt).
 */
static inline char *weir_ring_reserve(weir_ring_t *ring, size_t need, size_t max, size_t *cap)
{
    if (ring->room == 0 || (size_t)(ring->room - 1) * WEIR_RING_UNIT < need || need > max)
        return weir_ring_reserve_rest(ring, need, max, cap);

    *cap = (size_t)(ring->room - 1) * WEIR_RING_UNIT;
    if (*cap > max)
        *cap = max;

    return ring->next;
}

/* Makes the record of len bytes visible that was written to the place of reserve(). */
static inline void weir_ring_push(weir_ring_t *ring, char *payload, size_t len)
{
    uint32_t units = weir_ring_units(len), place = ring->place;

    assert(payload == ring->next && units <= ring->room);

    weir_put64(payload - WEIR_RING_UNIT,
               (uint32_t)len | (uint64_t)weir_ring_check(place, (uint32_t)len) << 32);
    ring->place = weir_ring_advance(ring, place, units);
    ring->count++;
    ring->room -= units;
    ring->next = payload + (size_t)units * WEIR_RING_UNIT;
    atomic_store_explicit(&ring->words->head, weir_ring_word(ring->place, ring->count),
                          memory_order_release);
}

/* --- consumer -------------------------------------------------------------------------------- */

/* Begins at tail. False: nothing can be copied, because a word is corrupt. */
bool weir_ring_begin(const weir_ring_t *ring, weir_ring_cursor_t *cursor);

/* Where records are copied to, one behind the other. */
typedef struct {
    char *p;              /* behind what was copied */
    size_t bytes;         /* of the records that still have room, without separators */
    uint32_t records;     /* that may still be copied */
    weir_str_t separator; /* before each record but the first */
    bool separated;       /* the next record is not the first one */
} weir_ring_copy_t;

/* Copies records from the cursor on, of at most max bytes each. After CORRUPT, *copy is undefined.
 */
weir_ring_result_t weir_ring_copy(const weir_ring_t *ring, weir_ring_cursor_t *cursor, size_t max,
                                  weir_ring_copy_t *copy);

/*
 * Frees all records up to a cursor's next, which are *n. False: another consumer has moved tail,
 * and nothing was changed.
 */
bool weir_ring_commit(weir_ring_t *ring, const weir_ring_cursor_t *cursor, uint32_t *n);

/*
 * Drops all records, because something is corrupt; *n were lost, as far as can be known. False if
 * head itself is corrupt: the producer corrects it with its next record.
 */
bool weir_ring_reset(weir_ring_t *ring, uint32_t *n);

/* True if both words are the same, so that no record waits; for any process. */
static inline bool weir_ring_is_empty(const weir_ring_words_t *words)
{
    return atomic_load_explicit(&words->head, memory_order_acquire) ==
           atomic_load_explicit(&words->tail, memory_order_acquire);
}

/* Records that wait, and their bytes with headers, for any process; 0 if a word is corrupt. */
uint32_t weir_ring_count(const weir_ring_t *ring, uint64_t *bytes);

/* Records that were freed since the ring was created, modulo 2^32. */
uint32_t weir_ring_freed(const weir_ring_t *ring);

#endif
