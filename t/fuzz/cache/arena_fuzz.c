// needs: ngx_module/cache/memory/arena.c
/*
 * The arena under any order of allocations, releases and recoveries: blocks
 * don't overlap, keep their bytes and sizes, and everything agrees after each
 * step.
 */
#include "cache/memory/arena.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE 8192
#define BLOCKS 64

static struct {
    unsigned char *p;
    size_t size;
    unsigned char fill;
} blocks[BLOCKS];

static void check_bytes(size_t i)
{
    for (size_t k = 0; k < blocks[i].size; k++)
        assert(blocks[i].p[k] == blocks[i].fill);
}

/* A worker was killed: those with an odd number were pinned by others. */
static void recover(weir_arena_t *arena, void *memory)
{
    weir_arena_extent_t extents[BLOCKS];
    size_t n = 0;

    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].p != NULL && i % 2 == 1) {
            extents[n].payload = blocks[i].p;
            extents[n++].size = weir_arena_block_size(blocks[i].p);
        } else {
            blocks[i].p = NULL;
        }
    }

    /* lists and counts may be anything by then */
    memset(arena, 0xa5, sizeof(*arena));
    weir_arena_init(arena, memory, SIZE, extents, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_arena_t arena;
    void *memory = malloc(SIZE);
    size_t used;

    assert(memory != NULL);
    memset(blocks, 0, sizeof(blocks));
    memset(memory, 0xa5, SIZE);
    weir_arena_init(&arena, memory, SIZE, NULL, 0);

    for (size_t at = 0; at + 3 <= size; at += 3) {
        size_t i = data[at] % BLOCKS, wanted = (size_t)(data[at + 1] | (data[at + 2] & 0x1f) << 8);

        if (data[at + 2] >= 0xf8) {
            recover(&arena, memory);
        } else if (blocks[i].p != NULL) {
            check_bytes(i);
            weir_arena_free(&arena, blocks[i].p);
            blocks[i].p = NULL;
        } else if ((blocks[i].p = weir_arena_alloc(&arena, wanted)) != NULL) {
            assert((uintptr_t)blocks[i].p % 16 == 0);
            assert(weir_arena_block_size(blocks[i].p) >= weir_arena_cost(wanted));
            blocks[i].size = wanted;
            blocks[i].fill = (unsigned char)(at + i);
            memset(blocks[i].p, blocks[i].fill, wanted);
        }

        assert(weir_arena_check(&arena));
        used = 0;

        for (size_t k = 0; k < BLOCKS; k++) {
            if (blocks[k].p != NULL)
                used += weir_arena_block_size(blocks[k].p);
        }

        assert(used == arena.used);
    }

    for (size_t i = 0; i < BLOCKS; i++) {
        if (blocks[i].p == NULL)
            continue;

        check_bytes(i);
        weir_arena_free(&arena, blocks[i].p);
    }

    assert(arena.used == 0 && weir_arena_check(&arena));
    free(memory);
    return 0;
}
