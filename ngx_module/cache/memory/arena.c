/* Two-level segregated fit; see arena.h. */

#include "cache/memory/arena.h"

#include <stdlib.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORBID(start, size) ASAN_POISON_MEMORY_REGION(start, size)
#define ALLOW(start, size) ASAN_UNPOISON_MEMORY_REGION(start, size)
#define GUARD ((size_t)16)
#else
#define FORBID(start, size)
#define ALLOW(start, size)
#define GUARD ((size_t)0)
#endif

#define HEADER (sizeof(size_t) + GUARD)
#define FOOTER sizeof(size_t)
#define BLOCK_MIN (((size_t)1 << WEIR_ARENA_FIRST) + 2 * GUARD)

/* Flags in the low bits of a block's size. */
#define FREE ((size_t)1)
#define PREV_FREE ((size_t)2)
#define FLAGS ((size_t)15)

/*
 * With AddressSanitizer only requested bytes and the blocks' own fields may be
 * accessed. GUARD bytes before and after a payload are poisoned, and all of a
 * free block except its struct and its last 8 bytes.
 */
struct weir_arena_block {
    size_t size; /* bytes with the header; flags in the low bits */

    /* of a free block only */
    weir_arena_block_t *next;
    weir_arena_block_t *prev;
};

static size_t size_of(const weir_arena_block_t *b)
{
    return b->size & ~FLAGS;
}

static weir_arena_block_t *after(const weir_arena_block_t *b)
{
    return (weir_arena_block_t *)((char *)b + size_of(b));
}

static weir_arena_block_t *of_payload(const void *payload)
{
    return (weir_arena_block_t *)((char *)payload - HEADER);
}

static unsigned log2_of(size_t n)
{
    return 63 - (unsigned)__builtin_clzl(n);
}

/* The list for free blocks of that size. */
static void list_of(size_t size, unsigned *level, unsigned *step)
{
    unsigned log = log2_of(size);

    *level = log - WEIR_ARENA_FIRST;
    *step = (unsigned)(size >> (log - 4)) & (WEIR_ARENA_STEPS - 1);
}

static void insert(weir_arena_t *a, weir_arena_block_t *b, size_t size)
{
    unsigned level, step;

    list_of(size, &level, &step);

    b->size = size | FREE | (b->size & PREV_FREE);
    b->prev = NULL;
    b->next = a->free[level][step];

    if (b->next != NULL)
        b->next->prev = b;

    a->free[level][step] = b;
    a->steps[level] |= 1u << step;
    a->levels |= (uint64_t)1 << level;

    memcpy((char *)b + size - FOOTER, &size, FOOTER);
    after(b)->size |= PREV_FREE;
    FORBID(b + 1, size - sizeof(*b) - FOOTER);
}

static void take_out(weir_arena_t *a, weir_arena_block_t *b)
{
    unsigned level, step;

    list_of(size_of(b), &level, &step);

    if (b->next != NULL)
        b->next->prev = b->prev;

    if (b->prev != NULL) {
        b->prev->next = b->next;
    } else {
        a->free[level][step] = b->next;

        if (b->next == NULL) {
            a->steps[level] &= ~(1u << step);

            if (a->steps[level] == 0)
                a->levels &= ~((uint64_t)1 << level);
        }
    }

    ALLOW(b, size_of(b));
    b->size &= ~FREE;
    after(b)->size &= ~PREV_FREE;
}

/* The first block of a list in which every block has at least that size. */
static weir_arena_block_t *find(weir_arena_t *a, size_t size)
{
    unsigned level, step;
    uint32_t steps;
    uint64_t levels;

    /* up to the next step, so that every block of the list is large enough */
    size += ((size_t)1 << (log2_of(size) - 4)) - 1;

    list_of(size, &level, &step);

    if (level >= WEIR_ARENA_LEVELS)
        return NULL;

    steps = a->steps[level] & (~0u << step);

    if (steps == 0) {
        levels = a->levels & (~(uint64_t)0 << 1 << level);
        if (levels == 0)
            return NULL;

        level = (unsigned)__builtin_ctzll(levels);
        steps = a->steps[level];
    }

    return a->free[level][__builtin_ctz(steps)];
}

static int by_address(const void *a, const void *b)
{
    const weir_arena_extent_t *x = a, *y = b;

    return (x->payload > y->payload) - (x->payload < y->payload);
}

/* Makes the bytes between two addresses a free block, if there are any. */
static void free_between(weir_arena_t *a, char *from, char *to)
{
    weir_arena_block_t *b = (weir_arena_block_t *)from;

    if (from == to)
        return;

    b->size = 0;
    insert(a, b, (size_t)(to - from));
}

void weir_arena_init(weir_arena_t *a, void *memory, size_t size, weir_arena_extent_t *extents,
                     size_t n)
{
    uintptr_t start = ((uintptr_t)memory + 15) & ~(uintptr_t)15;
    uintptr_t end = ((uintptr_t)memory + size) & ~(uintptr_t)15;
    char *at;

    memset(a, 0, sizeof(*a));

    /* headers are 8 bytes before a multiple of 16, payloads at a multiple of 16 */
    a->start = (char *)start + 16 - sizeof(size_t);
    a->end = (char *)end - sizeof(size_t);
    ALLOW(memory, size);
    ((weir_arena_block_t *)a->end)->size = 0;

    if (n > 1)
        qsort(extents, n, sizeof(extents[0]), by_address);

    /* sizes first: a free block writes to the header of the next block */
    for (size_t i = 0; i < n; i++) {
        of_payload(extents[i].payload)->size = extents[i].size;
        a->used += extents[i].size;
    }

    at = a->start;

    for (size_t i = 0; i < n; i++) {
        free_between(a, at, (char *)of_payload(extents[i].payload));
        at = (char *)of_payload(extents[i].payload) + extents[i].size;
    }

    free_between(a, at, a->end);
}

size_t weir_arena_cost(size_t size)
{
    size_t cost = (size + HEADER + GUARD + 15) & ~(size_t)15;

    return cost < BLOCK_MIN ? BLOCK_MIN : cost;
}

void *weir_arena_alloc(weir_arena_t *a, size_t payload)
{
    weir_arena_block_t *b, *rest;
    size_t size, left;

    if (payload > (size_t)(a->end - a->start))
        return NULL;

    size = weir_arena_cost(payload);

    b = find(a, size);
    if (b == NULL)
        return NULL;

    left = size_of(b) - size;
    take_out(a, b);

    if (left >= BLOCK_MIN) {
        b->size -= left;
        rest = after(b);
        rest->size = 0;
        insert(a, rest, left);
    }

    a->used += size_of(b);

    FORBID((char *)b + sizeof(size_t), size_of(b) - sizeof(size_t));
    ALLOW((char *)b + HEADER, payload);

    return (char *)b + HEADER;
}

void weir_arena_free(weir_arena_t *a, void *payload)
{
    weir_arena_block_t *b = of_payload(payload), *neighbour;
    size_t size = size_of(b), prev_size;

    a->used -= size;
    ALLOW(b, size);

    neighbour = after(b);

    if (neighbour->size & FREE) {
        size += size_of(neighbour);
        take_out(a, neighbour);
    }

    if (b->size & PREV_FREE) {
        memcpy(&prev_size, (char *)b - FOOTER, FOOTER);
        b = (weir_arena_block_t *)((char *)b - prev_size);
        take_out(a, b);
        size += prev_size;
    }

    insert(a, b, size);
}

size_t weir_arena_block_size(const void *payload)
{
    return size_of(of_payload(payload));
}

bool weir_arena_could_fit(const weir_arena_t *a, size_t size, weir_arena_extent_t *extents,
                          size_t n)
{
    size_t wanted = weir_arena_cost(size);
    const char *at = a->start, *start;

    /* weir_arena_alloc() takes a list in which every block is large enough */
    wanted += ((size_t)1 << (log2_of(wanted) - 4)) - 1;

    if (n > 1)
        qsort(extents, n, sizeof(extents[0]), by_address);

    for (size_t i = 0; i < n; i++) {
        start = (const char *)of_payload(extents[i].payload);

        /* a duplicate of the same block leaves no gap */
        if (start >= at && (size_t)(start - at) >= wanted)
            return true;

        at = start + extents[i].size;
    }

    return (size_t)(a->end - at) >= wanted;
}

bool weir_arena_check(const weir_arena_t *a)
{
    const weir_arena_block_t *b = (const weir_arena_block_t *)a->start, *f;
    size_t used = 0, nfree = 0, listed = 0;
    bool prev_free = false;

    while ((const char *)b < a->end) {
        if (((b->size & PREV_FREE) != 0) != prev_free || size_of(b) < BLOCK_MIN)
            return false;

        if (b->size & FREE) {
            if (prev_free)
                return false;
            nfree++;
        } else {
            used += size_of(b);
        }

        prev_free = (b->size & FREE) != 0;
        b = after(b);
    }

    if ((const char *)b != a->end || used != a->used || (b->size & FREE) ||
        ((b->size & PREV_FREE) != 0) != prev_free)
        return false;

    for (unsigned l = 0; l < WEIR_ARENA_LEVELS; l++) {
        if (((a->levels >> l) & 1) != (a->steps[l] != 0))
            return false;

        for (unsigned s = 0; s < WEIR_ARENA_STEPS; s++) {
            if (((a->steps[l] >> s) & 1) != (a->free[l][s] != NULL))
                return false;

            for (f = a->free[l][s]; f != NULL; f = f->next) {
                unsigned level, step;

                list_of(size_of(f), &level, &step);
                if (!(f->size & FREE) || level != l || step != s)
                    return false;
                listed++;
            }
        }
    }

    return listed == nfree;
}
