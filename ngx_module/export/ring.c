#include "export/ring.h"

#include <assert.h>

/* Bits of a word: the place is in the upper half, the number of records in the lower. */
#define PLACE(word) ((uint32_t)((word) >> 32))
#define COUNT(word) ((uint32_t)(word))

static uint32_t index_of(const weir_ring_t *ring, uint32_t place)
{
    return place >= ring->units ? place - ring->units : place;
}

/* Units from tail to head; more than ring->units if a word is corrupt. */
static uint64_t used(const weir_ring_t *ring, uint64_t head, uint64_t tail)
{
    uint64_t h = PLACE(head), t = PLACE(tail), places = 2 * (uint64_t)ring->units;

    if (h >= places || t >= places)
        return UINT64_MAX;

    return h >= t ? h - t : h + places - t;
}

static char *at(const weir_ring_t *ring, uint32_t place)
{
    return ring->data + (size_t)index_of(ring, place) * WEIR_RING_UNIT;
}

/*
 * The producer's head. If it is corrupt, all records are given up; if tail is corrupt too, the
 * consumer corrects that next.
 */
static uint64_t own_head(weir_ring_t *ring, uint64_t tail)
{
    uint64_t head = atomic_load_explicit(&ring->words->head, memory_order_relaxed);
    uint64_t places = 2 * (uint64_t)ring->units;

    if (used(ring, head, tail) <= ring->units)
        return head;

    if (PLACE(tail) < places)
        head = tail;
    else if (PLACE(head) >= places)
        head = weir_ring_word(0, COUNT(head));

    atomic_store_explicit(&ring->words->head, head, memory_order_release);

    return head;
}

char *weir_ring_reserve_rest(weir_ring_t *ring, size_t need, size_t max, size_t *cap)
{
    uint64_t tail = atomic_load_explicit(&ring->words->tail, memory_order_acquire);
    uint64_t head = own_head(ring, tail);
    uint64_t n = used(ring, head, tail);
    uint32_t room, rest, place = PLACE(head);

    assert(ring->units > 1);
    ring->room = 0;
    if (n >= ring->units || need > max)
        return NULL;

    room = ring->units - (uint32_t)n;
    rest = ring->units - index_of(ring, place); /* until the end of the memory */

    if (weir_ring_units(need) > (room < rest ? room : rest)) {
        if (room <= rest || weir_ring_units(need) > room - rest)
            return NULL;

        weir_put64(at(ring, place), WEIR_RING_GAP | (uint64_t)weir_ring_check(place, WEIR_RING_GAP)
                                                        << 32);
        place = weir_ring_advance(ring, place, rest);
        atomic_store_explicit(&ring->words->head, weir_ring_word(place, COUNT(head)),
                              memory_order_release);

        room -= rest;
        rest = ring->units;
    }

    ring->place = place;
    ring->count = COUNT(head);
    ring->room = room < rest ? room : rest;
    ring->next = at(ring, place) + WEIR_RING_UNIT;

    *cap = (size_t)(ring->room - 1) * WEIR_RING_UNIT;
    if (*cap > max)
        *cap = max;

    return ring->next;
}

bool weir_ring_begin(const weir_ring_t *ring, weir_ring_cursor_t *cursor)
{
    cursor->start = atomic_load_explicit(&ring->words->tail, memory_order_acquire);
    cursor->head = atomic_load_explicit(&ring->words->head, memory_order_acquire);
    cursor->next = cursor->start;

    return used(ring, cursor->head, cursor->start) <= ring->units;
}

/* What is left to read, while records are read. */
typedef struct {
    uint32_t place;
    uint32_t count; /* of the records before the place */
    uint32_t left;  /* units */
} position_t;

/* The record at the position, which is moved behind it. */
static inline weir_ring_result_t read_record(const weir_ring_t *ring, position_t *position,
                                             size_t max, weir_str_t *record)
{
    uint32_t index, rest, len, units;
    char *header;

    while (position->left > 0) {
        index = index_of(ring, position->place);
        rest = ring->units - index;
        header = ring->data + (size_t)index * WEIR_RING_UNIT;
        len = weir_get32(header);

        if (weir_get32(header + 4) != weir_ring_check(position->place, len))
            return WEIR_RING_CORRUPT;

        units = len == WEIR_RING_GAP ? rest : weir_ring_units(len);

        if (units > rest || units > position->left)
            return WEIR_RING_CORRUPT;
        if (len != WEIR_RING_GAP && len > max)
            return WEIR_RING_CORRUPT;

        position->place = weir_ring_advance(ring, position->place, units);
        position->left -= units;

        if (len != WEIR_RING_GAP) {
            position->count++;
            record->data = header + WEIR_RING_UNIT;
            record->len = len;
            return WEIR_RING_RECORD;
        }
    }

    return WEIR_RING_EMPTY;
}

weir_ring_result_t weir_ring_copy(const weir_ring_t *ring, weir_ring_cursor_t *cursor, size_t max,
                                  weir_ring_copy_t *copy)
{
    uint64_t left = used(ring, cursor->head, cursor->next);
    position_t position = {PLACE(cursor->next), COUNT(cursor->next), (uint32_t)left};
    position_t next = position;
    weir_ring_result_t result;
    weir_str_t record;

    assert(left <= ring->units);

    while (copy->records > 0) {
        result = read_record(ring, &next, max, &record);

        if (result == WEIR_RING_CORRUPT)
            return result;
        if (result == WEIR_RING_EMPTY) {
            /* too few records, or too many, are a sign that a header is wrong */
            cursor->next = weir_ring_word(next.place, next.count);
            return next.count == COUNT(cursor->head) ? WEIR_RING_EMPTY : WEIR_RING_CORRUPT;
        }
        if (record.len > copy->bytes)
            break;

        if (copy->separated) {
            memcpy(copy->p, copy->separator.data, copy->separator.len);
            copy->p += copy->separator.len;
        }
        memcpy(copy->p, record.data, record.len);
        copy->p += record.len;
        copy->bytes -= record.len;
        copy->records--;
        copy->separated = copy->separator.len > 0;
        position = next;
    }

    cursor->next = weir_ring_word(position.place, position.count);

    return WEIR_RING_RECORD;
}

bool weir_ring_commit(weir_ring_t *ring, const weir_ring_cursor_t *cursor, uint32_t *n)
{
    uint64_t expected = cursor->start;

    *n = COUNT(cursor->next) - COUNT(cursor->start);

    return atomic_compare_exchange_strong_explicit(&ring->words->tail, &expected, cursor->next,
                                                   memory_order_release, memory_order_relaxed);
}

bool weir_ring_reset(weir_ring_t *ring, uint32_t *n)
{
    uint64_t head = atomic_load_explicit(&ring->words->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->words->tail, memory_order_relaxed);

    *n = 0;

    if (PLACE(head) >= 2 * (uint64_t)ring->units)
        return false;

    /* more records than units are a sign that a count itself is wrong */
    if (used(ring, head, tail) <= ring->units && COUNT(head) - COUNT(tail) <= ring->units)
        *n = COUNT(head) - COUNT(tail);

    atomic_store_explicit(&ring->words->tail, head, memory_order_release);

    return true;
}

uint32_t weir_ring_count(const weir_ring_t *ring, uint64_t *bytes)
{
    uint64_t head, tail, n;

    /* both words as they were at one time: until tail is the same before and after head was read */
    for (int i = 0; i < 16; i++) {
        tail = atomic_load_explicit(&ring->words->tail, memory_order_acquire);
        head = atomic_load_explicit(&ring->words->head, memory_order_acquire);
        n = used(ring, head, tail);

        if (n <= ring->units && COUNT(head) - COUNT(tail) <= ring->units &&
            tail == atomic_load_explicit(&ring->words->tail, memory_order_acquire)) {
            *bytes = n * WEIR_RING_UNIT;
            return COUNT(head) - COUNT(tail);
        }
    }

    *bytes = 0;

    return 0;
}

uint32_t weir_ring_freed(const weir_ring_t *ring)
{
    return COUNT(atomic_load_explicit(&ring->words->tail, memory_order_acquire));
}
