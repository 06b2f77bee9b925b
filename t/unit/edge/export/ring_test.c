// needs: ngx_module/export/ring.c
#include "export/ring.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define MAX 1000

/* A ring in memory that children share, with a fence of bytes around its data. */
typedef struct {
    weir_ring_words_t words;
    char before[64];
    _Alignas(8) char data[65536];
    char after[64];
} shared_t;

static weir_ring_t new_ring(shared_t **memory, uint32_t units)
{
    *memory =
        mmap(NULL, sizeof(**memory), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(*memory, MAP_FAILED);
    memset((*memory)->before, 0x77, sizeof((*memory)->before));
    memset((*memory)->data + (size_t)units * WEIR_RING_UNIT, 0x77,
           sizeof((*memory)->data) - (size_t)units * WEIR_RING_UNIT + sizeof((*memory)->after));

    return (weir_ring_t){.words = &(*memory)->words, .data = (*memory)->data, .units = units};
}

static void assert_fence(const shared_t *memory, uint32_t units)
{
    for (const char *p = memory->data + (size_t)units * WEIR_RING_UNIT;
         p < memory->after + sizeof(memory->after); p++)
        assert_int_equal(*p, 0x77);
    for (size_t i = 0; i < sizeof(memory->before); i++)
        assert_int_equal(memory->before[i], 0x77);
}

/* A record whose bytes follow from its number. */
static size_t len_of(uint32_t n)
{
    return n * 7919 % 90;
}

static bool push(weir_ring_t *ring, uint32_t n)
{
    size_t cap, len = sizeof(n) + len_of(n);
    char *p = weir_ring_reserve(ring, len, MAX, &cap);

    if (p == NULL)
        return false;

    assert_true(cap >= len && cap <= MAX);
    memset(p, 0xee, cap); /* all of the room is the producer's */
    memcpy(p, &n, sizeof(n));
    memset(p + sizeof(n), (int)n & 0xff, len_of(n));
    weir_ring_push(ring, p, len);

    return true;
}

/* The next record as a copy in room, which has MAX bytes. */
static weir_ring_result_t read_one(const weir_ring_t *ring, weir_ring_cursor_t *cursor, char *room,
                                   weir_str_t *record)
{
    weir_ring_copy_t copy = {.p = room, .bytes = MAX, .records = 1};
    weir_ring_result_t result = weir_ring_copy(ring, cursor, MAX, &copy);

    *record = (weir_str_t){room, (size_t)(copy.p - room)};

    return result;
}

static void assert_record(weir_str_t record, uint32_t n)
{
    uint32_t number;

    assert_int_equal(record.len, sizeof(n) + len_of(n));
    memcpy(&number, record.data, sizeof(number));
    assert_int_equal(number, n);
    for (size_t i = sizeof(n); i < record.len; i++)
        assert_int_equal((unsigned char)record.data[i], n & 0xff);
}

/* Reads and frees all; the number of the next record. */
static uint32_t drain(weir_ring_t *ring, uint32_t next)
{
    weir_ring_cursor_t cursor;
    weir_str_t record;
    char room[MAX];
    uint32_t n, first = next;

    assert_true(weir_ring_begin(ring, &cursor));
    while (read_one(ring, &cursor, room, &record) == WEIR_RING_RECORD)
        assert_record(record, next++);
    assert_true(weir_ring_commit(ring, &cursor, &n));
    assert_int_equal(n, next - first);

    return next;
}

static void records_come_out_in_order_in_rings_of_all_sizes(void **state)
{
    (void)state;

    for (uint32_t units = 16; units < 80; units++) {
        uint32_t pushed = 0, drained = 0, full = 0;
        uint64_t bytes;
        shared_t *memory;
        weir_ring_t ring = new_ring(&memory, units);

        for (int i = 0; i < 3000; i++) {
            if (push(&ring, pushed))
                pushed++;
            else
                full++;
            assert_int_equal(weir_ring_count(&ring, &bytes), pushed - drained);
            assert_true(bytes <= (uint64_t)units * WEIR_RING_UNIT);
            if (i % 7 == 0)
                drained = drain(&ring, drained);
        }
        assert_int_equal(drain(&ring, drained), pushed);
        assert_true(full > 0 && pushed > 400);
        assert_int_equal(weir_ring_count(&ring, &bytes), 0);
        assert_int_equal(bytes, 0);
        assert_int_equal(weir_ring_freed(&ring), pushed);
        assert_fence(memory, units);
        munmap(memory, sizeof(*memory));
    }
}

static void a_full_ring_takes_nothing_and_loses_nothing(void **state)
{
    shared_t *memory;
    weir_ring_t ring = new_ring(&memory, 64);
    uint32_t n = 0, before;
    size_t cap;

    (void)state;
    while (push(&ring, n))
        n++;
    before = n;
    assert_null(weir_ring_reserve(&ring, MAX, MAX, &cap));
    assert_null(weir_ring_reserve(&ring, MAX + 1, MAX, &cap));
    assert_int_equal(drain(&ring, 0), before);
    munmap(memory, sizeof(*memory));
}

static void what_is_not_committed_is_read_again(void **state)
{
    shared_t *memory;
    weir_ring_t ring = new_ring(&memory, 512);
    weir_ring_cursor_t first, second;
    weir_str_t record;
    char room[MAX];
    uint32_t n;

    (void)state;
    push(&ring, 0);
    push(&ring, 1);
    assert_true(weir_ring_begin(&ring, &first));
    assert_int_equal(read_one(&ring, &first, room, &record), WEIR_RING_RECORD);
    assert_record(record, 0);

    assert_true(weir_ring_begin(&ring, &second));
    assert_int_equal(read_one(&ring, &second, room, &record), WEIR_RING_RECORD);
    assert_record(record, 0);
    assert_true(weir_ring_commit(&ring, &second, &n));
    assert_int_equal(n, 1);

    /* the first reader was overtaken */
    assert_int_equal(read_one(&ring, &first, room, &record), WEIR_RING_RECORD);
    assert_false(weir_ring_commit(&ring, &first, &n));
    assert_int_equal(drain(&ring, 1), 2);
    munmap(memory, sizeof(*memory));
}

/* A child writes until it is killed, at any moment. What it has published is complete. */
static void a_killed_producer_leaves_whole_records(void **state)
{
    shared_t *memory;
    weir_ring_t ring = new_ring(&memory, 300);
    uint32_t next = 0;

    (void)state;
    srand(7);
    for (int round = 0; round < 60; round++) {
        struct timespec time = {0, 1000 * (rand() % 400)};
        uint64_t bytes;
        uint32_t before = next, queued = weir_ring_count(&ring, &bytes);
        pid_t child = fork();

        assert_true(child >= 0);
        if (child == 0) {
            for (uint32_t n = before + queued;;) {
                if (push(&ring, n))
                    n++;
            }
        }
        for (int i = 0; i < 20; i++) {
            next = drain(&ring, next);
            nanosleep(&time, NULL);
        }
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        if (round % 2)
            next = drain(&ring, next);
    }
    next = drain(&ring, next);
    assert_int_equal(weir_ring_freed(&ring), next);
    assert_true(next > 1000);
    assert_fence(memory, 300);
    munmap(memory, sizeof(*memory));
}

/* Reads as the exporter does, whatever is in the memory. */
static void read_all(weir_ring_t *ring)
{
    weir_ring_cursor_t cursor;
    weir_ring_result_t result = WEIR_RING_CORRUPT;
    weir_str_t record;
    char room[MAX];
    uint32_t n, read = 0;

    if (weir_ring_begin(ring, &cursor)) {
        while ((result = read_one(ring, &cursor, room, &record)) == WEIR_RING_RECORD) {
            assert_true(record.len <= MAX);
            read++;
        }
        assert_true(read <= ring->units);
    }
    if (result == WEIR_RING_CORRUPT)
        (void)weir_ring_reset(ring, &n);
    else
        assert_true(weir_ring_commit(ring, &cursor, &n));
}

static void corrupt_memory_is_noticed_and_given_up(void **state)
{
    (void)state;
    srand(11);
    for (int round = 0; round < 4000; round++) {
        shared_t *memory;
        weir_ring_t ring = new_ring(&memory, 100);
        uint32_t n = 0, kind = (uint32_t)rand() % 4;

        while (n < 30 && push(&ring, n))
            n++;
        if (kind == 0)
            atomic_store(&memory->words.head, (uint64_t)rand() << 32 | (uint32_t)rand());
        else if (kind == 1)
            atomic_store(&memory->words.tail, (uint64_t)(rand() % 200) << 32 | (uint32_t)rand());
        else
            for (int i = 0; i < 8; i++)
                memory->data[rand() % 800] ^= (char)(1 << rand() % 8);

        for (int i = 0; i < 3; i++) {
            read_all(&ring);
            (void)push(&ring, 1);
        }

        /* both have recovered */
        read_all(&ring);
        assert_true(push(&ring, 5));
        assert_int_equal(drain(&ring, 5), 6);
        assert_fence(memory, 100);
        munmap(memory, sizeof(*memory));
    }
}

static void a_copy_ends_where_its_room_ends(void **state)
{
    char room[200];
    shared_t *memory;
    weir_ring_t ring = new_ring(&memory, 300);
    weir_ring_cursor_t cursor;
    weir_ring_copy_t copy = {.p = room, .bytes = 100, .records = 9, .separator = WEIR_STR(", ")};
    uint32_t n, expected = 0;
    size_t bytes = 0;

    (void)state;
    for (n = 0; n < 9; n++)
        assert_true(push(&ring, n));
    while (bytes + sizeof(n) + len_of(expected) <= 100)
        bytes += sizeof(n) + len_of(expected++);

    assert_true(weir_ring_begin(&ring, &cursor));
    assert_int_equal(weir_ring_copy(&ring, &cursor, MAX, &copy), WEIR_RING_RECORD);
    assert_int_equal(copy.records, 9 - expected);
    assert_int_equal(copy.bytes, 100 - bytes);
    assert_int_equal(copy.p - room, bytes + (expected - 1) * 2);
    assert_record((weir_str_t){room, sizeof(n) + len_of(0)}, 0);
    assert_memory_equal(room + sizeof(n) + len_of(0), ", ", 2);

    /* a second ring goes on behind the first one */
    copy.records = 1;
    copy.bytes = 100;
    assert_int_equal(weir_ring_copy(&ring, &cursor, MAX, &copy), WEIR_RING_RECORD);
    assert_int_equal(copy.p - room, bytes + expected * 2 + sizeof(n) + len_of(expected));
    assert_true(weir_ring_commit(&ring, &cursor, &n));
    assert_int_equal(n, expected + 1);
    assert_int_equal(drain(&ring, n), 9);
    munmap(memory, sizeof(*memory));
}

static void a_reset_counts_what_it_drops(void **state)
{
    shared_t *memory;
    weir_ring_t ring = new_ring(&memory, 100);
    weir_ring_cursor_t cursor;
    weir_str_t record;
    char room[MAX];
    uint32_t n;

    (void)state;
    push(&ring, 0);
    push(&ring, 1);
    push(&ring, 2);
    memory->data[0] ^= 1;
    assert_true(weir_ring_begin(&ring, &cursor));
    assert_int_equal(read_one(&ring, &cursor, room, &record), WEIR_RING_CORRUPT);
    assert_true(weir_ring_reset(&ring, &n));
    assert_int_equal(n, 3);
    assert_int_equal(weir_ring_freed(&ring), 3);
    push(&ring, 3);
    assert_int_equal(drain(&ring, 3), 4);
    munmap(memory, sizeof(*memory));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_out_in_order_in_rings_of_all_sizes),
        cmocka_unit_test(a_full_ring_takes_nothing_and_loses_nothing),
        cmocka_unit_test(what_is_not_committed_is_read_again),
        cmocka_unit_test(a_killed_producer_leaves_whole_records),
        cmocka_unit_test(corrupt_memory_is_noticed_and_given_up),
        cmocka_unit_test(a_copy_ends_where_its_room_ends),
        cmocka_unit_test(a_reset_counts_what_it_drops),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);

    return cmocka_run_group_tests(tests, NULL, NULL);
}
