/*
 * An allocator inside one piece of memory: two-level segregated fit (Masmano et
 * al., "TLSF: a new dynamic memory allocator for real-time systems", 2004).
 *
 * nginx's slab pool rounds what is smaller than a page up to a power of two,
 * and so would spend half of the memory on entries of one to two kilobytes.
 * Here a block costs 8 bytes and is rounded up to 16; allocating and freeing
 * take constant time, and neighbours that are free are one block at once.
 *
 * A block is an 8-byte header (its size with the header, and two flags) and its
 * payload, which stands at a multiple of 16.  The last 8 bytes of a free block
 * repeat its size, so that the block after it finds its start.
 *
 * The caller locks.  All processes must have the memory at the same address.
 */

#ifndef WEIR_CACHE_ARENA_H
#define WEIR_CACHE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_ARENA_FIRST  5  /* log2 of the smallest block */
#define WEIR_ARENA_LEVELS 36 /* powers of two from there on */
#define WEIR_ARENA_STEPS  16 /* sizes between two of them */

typedef struct weir_arena_block weir_arena_block_t;

typedef struct {
    weir_arena_block_t *free[WEIR_ARENA_LEVELS][WEIR_ARENA_STEPS];
    uint32_t steps[WEIR_ARENA_LEVELS]; /* bit set: the list is not empty */
    uint64_t levels;
    char *start; /* of the first block */
    char *end;   /* the sentinel's header */
    size_t used; /* bytes in allocated blocks, headers included */
} weir_arena_t;

/* An allocated block as it is known from outside. */
typedef struct {
    void *payload;
    size_t size; /* weir_arena_block_size() of it */
} weir_arena_extent_t;

/*
 * Makes memory of size bytes an arena in which nothing is allocated but the n
 * extents, which were blocks of an arena in the same memory before and stay
 * where they are.  extents are put into order.  memory is at least 1 KiB.
 */
void weir_arena_init(weir_arena_t *arena, void *memory, size_t size, weir_arena_extent_t *extents,
                     size_t n);

/* NULL when no free block is large enough. */
void *weir_arena_alloc(weir_arena_t *arena, size_t size);

void weir_arena_free(weir_arena_t *arena, void *payload);

/* Bytes that the allocated block takes, header included. */
size_t weir_arena_block_size(const void *payload);

/* Bytes that an allocation of size takes. */
size_t weir_arena_cost(size_t size);

/*
 * Whether an allocation of size would find room if all allocated blocks were
 * freed but the n extents, which may have some more than once and are put into
 * order.  Takes time proportional to n * log(n), however many blocks there are.
 */
bool weir_arena_could_fit(const weir_arena_t *arena, size_t size, weir_arena_extent_t *extents,
                          size_t n);

/*
 * Whether blocks, flags, lists and count agree; for tests.  Takes time
 * proportional to the number of blocks.
 */
bool weir_arena_check(const weir_arena_t *arena);

#endif
