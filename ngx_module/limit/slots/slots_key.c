#include "limit/slots/slots_private.h"

#include <string.h>

/* ms */
#define PERIOD 2000

static uint32_t *bucket_of(weir_slots_t *slots, uint64_t hash)
{
    return &slots->key_buckets[hash & slots->key_mask];
}

static void idle_add(weir_slots_t *slots, uint32_t i)
{
    weir_slots_key_t *key = &slots->keys[i];

    key->idle_prev = WEIR_SLOTS_NONE;
    key->idle_next = slots->idle;

    if (slots->idle != WEIR_SLOTS_NONE)
        slots->keys[slots->idle].idle_prev = i;
    else
        slots->idle_last = i;

    slots->idle = i;
}

static void idle_remove(weir_slots_t *slots, uint32_t i)
{
    weir_slots_key_t *key = &slots->keys[i];

    if (key->idle_prev != WEIR_SLOTS_NONE)
        slots->keys[key->idle_prev].idle_next = key->idle_next;
    else
        slots->idle = key->idle_next;

    if (key->idle_next != WEIR_SLOTS_NONE)
        slots->keys[key->idle_next].idle_prev = key->idle_prev;
    else
        slots->idle_last = key->idle_prev;
}

weir_slots_key_t *weir_slots_find(weir_slots_t *slots, weir_str_t key, uint64_t hash)
{
    weir_slots_key_t *k;

    for (uint32_t i = *bucket_of(slots, hash); i != WEIR_SLOTS_NONE; i = k->chain) {
        k = &slots->keys[i];

        if (k->hash == hash && k->len == key.len && memcmp(k->text, key.data, key.len) == 0)
            return k;
    }

    return NULL;
}

/* The idle key that was not used for the longest time makes room. */
static uint32_t evict(weir_slots_t *slots)
{
    uint32_t i = slots->idle_last, *link;

    if (i == WEIR_SLOTS_NONE)
        return i;

    idle_remove(slots, i);

    link = bucket_of(slots, slots->keys[i].hash);
    while (*link != i)
        link = &slots->keys[*link].chain;
    *link = slots->keys[i].chain;

    slots->forgotten++;
    slots->used_keys--;

    return i;
}

static weir_slots_key_t *create(weir_slots_t *slots, weir_str_t text, uint64_t hash)
{
    weir_slots_key_t *key;
    uint32_t i = slots->free_key;

    if (i != WEIR_SLOTS_NONE)
        slots->free_key = slots->keys[i].chain;
    else
        i = evict(slots);

    if (i == WEIR_SLOTS_NONE)
        return NULL;

    key = &slots->keys[i];
    memset(key, 0, sizeof(*key));
    key->hash = hash;
    key->len = (uint8_t)text.len;
    memcpy(key->text, text.data, text.len);
    key->oldest = key->newest = WEIR_SLOTS_NONE;
    key->chain = *bucket_of(slots, hash);
    key->used = true;
    *bucket_of(slots, hash) = i;
    idle_add(slots, i);
    slots->used_keys++;

    return key;
}

/* Tickets that began under other settings count for the flows of these. */
static void set(weir_slots_t *slots, weir_slots_key_t *key, const weir_slots_request_t *request)
{
    uint32_t flow, i = weir_slots_key_index(slots, key);

    bool learned = key->adaptive.max > 0 && key->settings.min == request->settings->min &&
                   key->settings.max == request->settings->max;

    key->settings = *request->settings;
    key->configuration = request->configuration;
    key->limit = key->settings.concurrent;

    if (key->settings.concurrent == 0) {
        if (!learned)
            weir_adaptive_init(&key->adaptive, key->settings.min, key->settings.max, key->hash);
        key->limit = weir_adaptive_limit(&key->adaptive);
    } else {
        key->adaptive.max = 0;
    }

    memset(key->flow_in_use, 0, sizeof(key->flow_in_use));

    if (key->in_use > 0 && key->settings.nflows > 0) {
        for (uint32_t n = 0; n < slots->ntickets; n++) {
            const weir_slots_ticket_t *ticket = &slots->tickets[n];

            if ((ticket->state != WEIR_SLOTS_HELD && ticket->state != WEIR_SLOTS_GRANTED) ||
                ticket->key != i)
                continue;

            flow = weir_slots_key_flow(key, ticket->flow);
            if (flow != WEIR_SLOTS_NONE)
                key->flow_in_use[flow]++;
        }
    }

    weir_slots_key_count_unfilled(key);
    key->changed = true;
}

weir_slots_key_t *weir_slots_key_of(weir_slots_t *slots, const weir_slots_request_t *request,
                                    uint64_t now)
{
    weir_slots_key_t *key = weir_slots_find(slots, request->key, request->hash);

    if (key == NULL) {
        key = create(slots, request->key, request->hash);
        if (key == NULL)
            return NULL;
        key->drain.last = now;
        set(slots, key, request);

    } else if (key->configuration < request->configuration) {
        set(slots, key, request);
    }

    return key;
}

void weir_slots_key_busy(weir_slots_t *slots, weir_slots_key_t *key)
{
    if (key->in_use + key->waiting == 0)
        idle_remove(slots, weir_slots_key_index(slots, key));
}

void weir_slots_key_idle(weir_slots_t *slots, weir_slots_key_t *key)
{
    if (key->in_use + key->waiting == 0)
        idle_add(slots, weir_slots_key_index(slots, key));
}

uint32_t weir_slots_key_flow(const weir_slots_key_t *key, uint32_t name)
{
    if (name != 0)
        for (uint32_t i = 0; i < key->settings.nflows; i++)
            if (key->settings.flows[i].name == name)
                return i;

    return WEIR_SLOTS_NONE;
}

void weir_slots_key_count_unfilled(weir_slots_key_t *key)
{
    key->unfilled = 0;

    for (uint32_t i = 0; i < key->settings.nflows; i++)
        if (key->flow_in_use[i] < key->settings.flows[i].reserve)
            key->unfilled += key->settings.flows[i].reserve - key->flow_in_use[i];
}

void weir_slots_key_drained(weir_slots_key_t *key, uint64_t now)
{
    weir_slots_drain_t *drain = &key->drain;
    uint64_t period = now / PERIOD;

    if (period != drain->period) {
        drain->before = period == drain->period + 1 ? drain->now : 0;
        drain->now = 0;
        drain->period = period;
    }

    drain->now++;
    drain->last = now;
}

/* Requests per period at present: those of this one, and the right share of the one before. */
static double drain_rate(const weir_slots_drain_t *drain, uint64_t now)
{
    uint64_t period = now / PERIOD;
    double left = 1.0 - (double)(now % PERIOD) / PERIOD;

    if (period == drain->period)
        return drain->now + left * drain->before;
    if (period == drain->period + 1)
        return left * drain->now;

    return 0;
}

uint32_t weir_slots_retry_after(weir_slots_t *slots, weir_str_t text, uint64_t hash, uint64_t now)
{
    const weir_slots_key_t *key = weir_slots_find(slots, text, hash);
    double rate, seconds;

    if (key == NULL)
        return 1;

    rate = drain_rate(&key->drain, now);

    if (rate >= 1)
        seconds = (key->waiting + 1) / rate * (PERIOD / 1000.0);
    else
        seconds =
            (key->waiting + 1) * (double)(now > key->drain.last ? now - key->drain.last : 0) / 1000;

    if (seconds > WEIR_SLOTS_RETRY_MAX)
        return WEIR_SLOTS_RETRY_MAX;

    return seconds <= 1 ? 1 : (uint32_t)(seconds + 0.999);
}

void weir_slots_key_rebuild(weir_slots_t *slots)
{
    for (uint32_t i = 0; i <= slots->key_mask; i++)
        slots->key_buckets[i] = WEIR_SLOTS_NONE;

    slots->free_key = slots->idle = slots->idle_last = WEIR_SLOTS_NONE;
    slots->used_keys = 0;

    for (uint32_t i = slots->nkeys; i-- > 0;) {
        weir_slots_key_t *key = &slots->keys[i];

        if (!key->used) {
            key->chain = slots->free_key;
            slots->free_key = i;
            continue;
        }

        key->chain = *bucket_of(slots, key->hash);
        *bucket_of(slots, key->hash) = i;
        slots->used_keys++;

        if (key->in_use + key->waiting == 0)
            idle_add(slots, i);
    }
}
