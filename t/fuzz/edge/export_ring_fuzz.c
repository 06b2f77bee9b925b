// needs: ngx_module/export/ring.c
/*
 * A ring whose memory has any content: the words of head and tail, then the data. Nothing outside
 * of it is read or written, and producer and consumer recover.
 */
#include "export/ring.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX 200

/* As the exporter does. */
static void drain(weir_ring_t *ring)
{
    weir_ring_cursor_t cursor;
    weir_ring_result_t result = WEIR_RING_CORRUPT;
    weir_ring_copy_t copy;
    char room[4 * MAX];
    uint32_t n;

    if (weir_ring_begin(ring, &cursor)) {
        do {
            copy = (weir_ring_copy_t){room, sizeof(room) - 8, 4, {"; ", 2}, false};
            result = weir_ring_copy(ring, &cursor, MAX, &copy);
            assert(result == WEIR_RING_CORRUPT || copy.p <= room + sizeof(room));
        } while (result == WEIR_RING_RECORD);
    }
    if (result == WEIR_RING_CORRUPT)
        (void)weir_ring_reset(ring, &n);
    else
        assert(weir_ring_commit(ring, &cursor, &n));
}

static bool push(weir_ring_t *ring, size_t len)
{
    size_t cap;
    char *p = weir_ring_reserve(ring, len, MAX, &cap);

    if (p == NULL)
        return false;

    assert(cap >= len && cap <= MAX);
    memset(p, 'x', cap);
    weir_ring_push(ring, p, len);

    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    weir_ring_words_t words;
    weir_ring_t ring = {0};
    uint64_t head, tail, bytes;

    if (size < 17 + 2 * WEIR_RING_UNIT)
        return 0;

    memcpy(&head, data + 1, sizeof(head));
    memcpy(&tail, data + 9, sizeof(tail));
    ring.units = (uint32_t)((size - 17) / WEIR_RING_UNIT);
    ring.words = &words;
    ring.data = malloc((size_t)ring.units * WEIR_RING_UNIT);
    assert(ring.data != NULL);
    memcpy(ring.data, data + 17, (size_t)ring.units * WEIR_RING_UNIT);
    atomic_init(&words.head, head);
    atomic_init(&words.tail, tail);

    /* the first byte says who begins */
    if (data[0] & 1)
        (void)push(&ring, data[0] % MAX);
    (void)weir_ring_count(&ring, &bytes);
    for (int i = 0; i < 3; i++) {
        drain(&ring);
        (void)push(&ring, 0);
    }
    drain(&ring);
    assert(weir_ring_count(&ring, &bytes) == 0 && bytes == 0);
    assert(push(&ring, 0));
    assert(weir_ring_count(&ring, &bytes) == 1);
    free(ring.data);

    return 0;
}
