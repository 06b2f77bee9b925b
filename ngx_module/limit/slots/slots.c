#include "limit/slots/slots_private.h"

#include <string.h>

/* Few keys have many requests; the tickets of a zone are shared by all of them. */
#define TICKETS_PER_KEY 4
#define ALIGN 64

static size_t aligned(size_t size)
{
    return (size + ALIGN - 1) / ALIGN * ALIGN;
}

/* A power of two, n / 2 at least. */
static uint32_t buckets(uint32_t n)
{
    uint32_t b = 1;

    while (b < n)
        b *= 2;

    return b;
}

static size_t size_for(uint32_t keys)
{
    uint32_t tickets = keys * TICKETS_PER_KEY;

    return aligned(sizeof(weir_slots_t)) + aligned(keys * sizeof(weir_slots_key_t)) +
           aligned(tickets * sizeof(weir_slots_ticket_t)) +
           aligned(tickets * sizeof(weir_slots_source_t)) +
           aligned(buckets(keys) * sizeof(uint32_t)) + aligned(buckets(tickets) * sizeof(uint32_t));
}

/* The most keys that fit. */
static uint32_t keys_for(size_t size)
{
    uint32_t low = 0, high = 1;

    while (high < UINT32_MAX / 16 && size_for(high) <= size) {
        low = high;
        high *= 2;
    }

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (size_for(middle) <= size)
            low = middle;
        else
            high = middle;
    }

    return low;
}

uint32_t weir_slots_room(size_t size)
{
    return keys_for(size) * TICKETS_PER_KEY;
}

weir_slots_t *weir_slots_init(void *memory, size_t size)
{
    weir_slots_t *slots = memory;
    uint32_t keys = keys_for(size);
    char *p = memory;

    if (keys == 0)
        return NULL;

    memset(memory, 0, size_for(keys));

    slots->nkeys = keys;
    slots->ntickets = keys * TICKETS_PER_KEY;
    slots->key_mask = buckets(keys) - 1;
    slots->source_mask = buckets(slots->ntickets) - 1;

    p += aligned(sizeof(weir_slots_t));
    slots->keys = (weir_slots_key_t *)p;
    p += aligned(keys * sizeof(weir_slots_key_t));
    slots->tickets = (weir_slots_ticket_t *)p;
    p += aligned(slots->ntickets * sizeof(weir_slots_ticket_t));
    slots->sources = (weir_slots_source_t *)p;
    p += aligned(slots->ntickets * sizeof(weir_slots_source_t));
    slots->key_buckets = (uint32_t *)p;
    p += aligned((slots->key_mask + 1) * sizeof(uint32_t));
    slots->source_buckets = (uint32_t *)p;

    /* all else is made from keys and tickets, of which there are none */
    slots->changing = true;
    weir_slots_begin(slots, 0);
    slots->repairs = 0;
    weir_slots_end(slots);

    return slots;
}

static weir_slots_result_t uncounted(weir_slots_t *slots)
{
    slots->uncounted++;

    return WEIR_SLOTS_UNCOUNTED;
}

weir_slots_result_t weir_slots_enter(weir_slots_t *slots, const weir_slots_request_t *request,
                                     uint64_t now, weir_slots_handle_t *handle,
                                     weir_slots_wakes_t *wakes)
{
    weir_slots_key_t *key = weir_slots_key_of(slots, request, now);
    weir_slots_state_t state = WEIR_SLOTS_HELD;
    uint32_t i;

    if (key == NULL)
        return uncounted(slots);

    if (key->changed) {
        key->changed = false;
        weir_slots_queue_grant(slots, key, now, wakes);
    }

    if (!weir_slots_ticket_fits(key, request->flow))
        weir_slots_reclaim(slots, request->gone, now, wakes);

    if (key->settings.concurrent == 0 && !weir_slots_ticket_fits(key, request->flow)) {
        weir_adaptive_reached(&key->adaptive, key->in_use);
        key->limit = weir_adaptive_limit(&key->adaptive);
        weir_slots_queue_grant(slots, key, now, wakes);
    }

    if (!weir_slots_ticket_fits(key, request->flow)) {
        state = WEIR_SLOTS_WAITING;

        if (!request->may_wait || key->settings.queue == 0 ||
            (key->waiting >= key->settings.queue &&
             !weir_slots_queue_make_room(slots, key, request->urgency, request->source, now,
                                         wakes))) {
            key->counts.refused[WEIR_SLOTS_BY_FULL]++;
            return WEIR_SLOTS_REFUSED;
        }
    }

    i = weir_slots_ticket_new(slots, request, key, state, now);
    if (i == WEIR_SLOTS_NONE)
        return uncounted(slots);

    if (state == WEIR_SLOTS_WAITING)
        weir_slots_queue_add(slots, key, i, now);

    *handle = (weir_slots_handle_t){i, slots->tickets[i].generation};

    return state == WEIR_SLOTS_HELD ? WEIR_SLOTS_ADMITTED : WEIR_SLOTS_QUEUED;
}
