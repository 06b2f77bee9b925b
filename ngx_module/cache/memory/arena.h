/*
 * An allocator inside one piece of memory: two-level segregated fit (Masmano et
 * al., "TLSF: a new dynamic memory allocator for real-time systems", 2004).
 *
 * nginx's slab pool rounds sizes below a page up to a power of two, which
 * wastes half of the memory for entries of one to two kilobytes.  Here a block
 * has 8 bytes of overhead and is rounded up to 16 bytes.  Allocating and
 * freeing take constant time, and free neighbours are merged at once.
 *
 * A block is an 8-byte header (its size with the header, and two flags) and its
 * payload, which begins at a multiple of 16.  The last 8 bytes of a free block
 * repeat its size, so that the next block can find its start.
 *
 * The caller holds the lock.  All processes must map the memory at the same
 * address.
 */

#ifndef WEIR_CACHE_ARENA_H
#define WEIR_CACHE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_ARENA_FIRST 5   /* log2 of the smallest block */
#define WEIR_ARENA_LEVELS 36 /* powers of two from WEIR_ARENA_FIRST on */
#define WEIR_ARENA_STEPS 16  /* lists between two powers of two */

typedef struct weir_arena_block weir_arena_block_t;

typedef struct {
    weir_arena_block_t *free[WEIR_ARENA_LEVELS][WEIR_ARENA_STEPS];
    uint32_t steps[WEIR_ARENA_LEVELS]; /* bit set: the list is not empty */
    uint64_t levels;
    char *start; /* start of the first block */
    char *end;   /* header of the sentinel */
    size_t used; /* bytes in allocated blocks, headers included */
} weir_arena_t;

/* Address and size of an allocated block. */
typedef struct {
    void *payload;
    size_t size; /* weir_arena_block_size() of the payload */
} weir_arena_extent_t;

/*
 * Makes memory of size bytes an arena.  The n extents stay allocated: they were
 * blocks of an arena in the same memory and keep their addresses.  extents are
 * sorted in place.  size must be at least 1 KiB.
 */
void weir_arena_init(weir_arena_t *arena, void *memory, size_t size, weir_arena_extent_t *extents,
                     size_t n);

/* Returns NULL if no free block is large enough. */
void *weir_arena_alloc(weir_arena_t *arena, size_t size);

void weir_arena_free(weir_arena_t *arena, void *payload);

/* Bytes that the allocated block takes, header included. */
size_t weir_arena_block_size(const void *payload);

/* Bytes that an allocation of size takes. */
size_t weir_arena_cost(size_t size);

/*
 * True if an allocation of size would fit after freeing all allocated blocks
 * except the n extents, which may contain duplicates and are sorted in place.
 * Takes time proportional to n * log(n), independent of the number of blocks.
 */
bool weir_arena_could_fit(const weir_arena_t *arena, size_t size, weir_arena_extent_t *extents,
                          size_t n);

/*
 * True if blocks, flags, lists and count are consistent; for tests.  Takes time
 * proportional to the number of blocks.
 */
bool weir_arena_check(const weir_arena_t *arena);

#endif
