// needs: ngx_module/cache/memory/arena.c
/* The allocator of the cache's shared memory, against a model. */

#include "cache/memory/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 1 << 20, SLOTS = 400 };

typedef struct {
    unsigned char *p;
    size_t size;
    unsigned char fill;
} slot_t;

static uint64_t state = 88172645463325252ULL;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t random_size(void)
{
    switch (next_random() % 4) {
    case 0:
        return next_random() % 64;
    case 1:
        return next_random() % 2000;
    case 2:
        return next_random() % 60000;
    default:
        return 1 + next_random() % 300;
    }
}

static bool intact(const slot_t *s)
{
    for (size_t i = 0; i < s->size; i++) {
        if (s->p[i] != s->fill)
            return false;
    }
    return true;
}

static void blocks_keep_apart(void **unused)
{
    weir_arena_t arena;
    char *memory = malloc(SIZE);
    slot_t slots[SLOTS];
    size_t refused = 0;

    (void)unused;
    memset(slots, 0, sizeof(slots));
    weir_arena_init(&arena, memory, SIZE, NULL, 0);
    assert_true(weir_arena_check(&arena));

    for (int i = 0; i < 200000; i++) {
        slot_t *s = &slots[next_random() % SLOTS];

        if (s->p != NULL) {
            assert_true(intact(s));
            weir_arena_free(&arena, s->p);
            s->p = NULL;
        } else {
            s->size = random_size();
            s->fill = (unsigned char)i;
            s->p = weir_arena_alloc(&arena, s->size);

            if (s->p == NULL) {
                refused++;
            } else {
                assert_int_equal((uintptr_t)s->p % 16, 0);
                assert_true((char *)s->p >= memory && (char *)s->p + s->size <= memory + SIZE);
                assert_true(weir_arena_block_size(s->p) >= s->size + 8);
                memset(s->p, s->fill, s->size);
            }
        }

        if (i % 1000 == 0)
            assert_true(weir_arena_check(&arena));
    }

    assert_true(refused > 0); /* the arena was full at times */

    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].p != NULL)
            weir_arena_free(&arena, slots[i].p);
    }

    assert_true(weir_arena_check(&arena));
    assert_int_equal(arena.used, 0);
    assert_non_null(weir_arena_alloc(&arena, SIZE - SIZE / 16 - 64)); /* all is one block again */
    free(memory);
}

static void rebuilding_keeps_what_is_pinned(void **unused)
{
    weir_arena_t arena;
    char *memory = malloc(SIZE);
    slot_t slots[SLOTS];
    weir_arena_extent_t kept[SLOTS];
    size_t n = 0, used = 0;

    (void)unused;
    weir_arena_init(&arena, memory, SIZE, NULL, 0);

    for (int i = 0; i < SLOTS; i++) {
        slots[i].size = random_size() % 2000;
        slots[i].fill = (unsigned char)i;
        slots[i].p = weir_arena_alloc(&arena, slots[i].size);
        assert_non_null(slots[i].p);
        memset(slots[i].p, i, slots[i].size);
    }

    /* from the last to the first, with neighbours among them */
    for (int i = SLOTS - 1; i >= 0; i--) {
        if (i % 5 == 0 || i % 5 == 1) {
            kept[n].payload = slots[i].p;
            kept[n].size = weir_arena_block_size(slots[i].p);
            used += kept[n++].size;
        }
    }

    memset(&arena, 0xff, sizeof(arena)); /* nothing of it is to be trusted */
    weir_arena_init(&arena, memory, SIZE, kept, n);
    assert_true(weir_arena_check(&arena));
    assert_int_equal(arena.used, used);

    while (weir_arena_alloc(&arena, 100) != NULL) {
    }

    for (int i = 0; i < SLOTS; i++) {
        if (i % 5 == 0 || i % 5 == 1) {
            assert_true(intact(&slots[i]));
            weir_arena_free(&arena, slots[i].p);
        }
    }

    assert_true(weir_arena_check(&arena));
    free(memory);
}

static void what_fits_between_blocks_that_stay_is_known(void **unused)
{
    weir_arena_t arena;
    char *memory = malloc(SIZE);
    void *blocks[SLOTS];
    weir_arena_extent_t stay[SLOTS * 2];

    (void)unused;

    for (int round = 0; round < 300; round++) {
        size_t n = 0, wanted = next_random() % (SIZE / 4), every = 1 + next_random() % 40;
        bool fits;

        weir_arena_init(&arena, memory, SIZE, NULL, 0);

        for (int i = 0; i < SLOTS; i++)
            blocks[i] = weir_arena_alloc(&arena, next_random() % 2500);

        for (int i = SLOTS - 1; i >= 0; i--) {
            if (blocks[i] == NULL || next_random() % every != 0)
                continue;

            /* as two workers have it */
            for (int k = 0; k < 1 + i % 2; k++) {
                stay[n].payload = blocks[i];
                stay[n++].size = weir_arena_block_size(blocks[i]);
            }

            blocks[i] = NULL;
        }

        fits = weir_arena_could_fit(&arena, wanted, stay, n);

        for (int i = 0; i < SLOTS; i++) {
            if (blocks[i] != NULL)
                weir_arena_free(&arena, blocks[i]);
        }

        assert_int_equal(fits, weir_arena_alloc(&arena, wanted) != NULL);
    }

    free(memory);
}

static void what_cannot_fit_is_refused(void **unused)
{
    static char memory[4096];
    weir_arena_t arena;

    (void)unused;
    weir_arena_init(&arena, memory, sizeof(memory), NULL, 0);
    assert_null(weir_arena_alloc(&arena, sizeof(memory)));
    assert_null(weir_arena_alloc(&arena, (size_t)-1));
    assert_null(weir_arena_alloc(&arena, (size_t)-20));
    assert_non_null(weir_arena_alloc(&arena, 0));
    assert_true(weir_arena_check(&arena));
}

#ifdef __SANITIZE_ADDRESS__

#include <sanitizer/asan_interface.h>

static void sanitizer_sees_bytes_that_nobody_asked_for(void **unused)
{
    static char memory[4096];
    weir_arena_t arena;
    char *p, *q;

    (void)unused;
    weir_arena_init(&arena, memory, sizeof(memory), NULL, 0);

    for (size_t size = 1; size < 100; size++) {
        p = weir_arena_alloc(&arena, size);
        q = weir_arena_alloc(&arena, size);

        assert_null(__asan_region_is_poisoned(p, size));
        assert_null(__asan_region_is_poisoned(q, size));
        assert_true(__asan_address_is_poisoned(p - 1));
        assert_true(__asan_address_is_poisoned(p + size));
        assert_true(__asan_address_is_poisoned(q - 1));
        assert_true(__asan_address_is_poisoned(q + size));

        weir_arena_free(&arena, p);
        assert_null(__asan_region_is_poisoned(q, size));
        assert_true(__asan_address_is_poisoned(p));
        weir_arena_free(&arena, q);
        assert_true(__asan_address_is_poisoned(q));
        assert_true(weir_arena_check(&arena));
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_apart),
        cmocka_unit_test(rebuilding_keeps_what_is_pinned),
        cmocka_unit_test(what_fits_between_blocks_that_stay_is_known),
        cmocka_unit_test(what_cannot_fit_is_refused),
#ifdef __SANITIZE_ADDRESS__
        cmocka_unit_test(sanitizer_sees_bytes_that_nobody_asked_for),
#endif
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
