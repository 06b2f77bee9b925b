#include "limit/slots/slots_private.h"

static uint32_t *weir_slots_source_bucket(weir_slots_t *slots, uint32_t key, uint64_t hash)
{
    return &slots->source_buckets[(uint32_t)(hash + key * 0x9e3779b9u) & slots->source_mask];
}

uint32_t weir_slots_source_find(weir_slots_t *slots, uint32_t key, uint64_t hash)
{
    uint32_t i = *weir_slots_source_bucket(slots, key, hash);

    while (i != WEIR_SLOTS_NONE && (slots->sources[i].hash != hash || slots->sources[i].key != key))
        i = slots->sources[i].chain;

    return i;
}

uint32_t weir_slots_source_of(weir_slots_t *slots, uint32_t key, uint64_t hash)
{
    uint32_t i, *bucket;

    i = weir_slots_source_find(slots, key, hash);
    if (i != WEIR_SLOTS_NONE)
        return i;

    i = slots->free_source;
    slots->free_source = slots->sources[i].chain;

    bucket = weir_slots_source_bucket(slots, key, hash);
    slots->sources[i] = (weir_slots_source_t){.hash = hash, .key = key, .chain = *bucket};
    *bucket = i;

    return i;
}

void weir_slots_source_leave(weir_slots_t *slots, uint32_t source)
{
    weir_slots_source_t *s = &slots->sources[source];
    uint32_t *link;

    if (s->in_use + s->waiting > 0)
        return;

    link = weir_slots_source_bucket(slots, s->key, s->hash);
    while (*link != source)
        link = &slots->sources[*link].chain;
    *link = s->chain;

    s->chain = slots->free_source;
    slots->free_source = source;
}

void weir_slots_source_clear(weir_slots_t *slots)
{
    for (uint32_t i = 0; i <= slots->source_mask; i++)
        slots->source_buckets[i] = WEIR_SLOTS_NONE;

    for (uint32_t i = 0; i < slots->ntickets; i++)
        slots->sources[i] =
            (weir_slots_source_t){.chain = i + 1 < slots->ntickets ? i + 1 : WEIR_SLOTS_NONE};

    slots->free_source = 0;
}
