/*
 * A queue that is fair to sources; see fair.h.
 *
 * Invariants: the sources of the ring are those with items, and those that can be found by their
 * key. There are as many sources as there may be items, so an item always finds one.
 */

#include "auth/turn/fair.h"

#include <assert.h>
#include <string.h>

void weir_fair_init(weir_fair_t *fair, uint64_t seed)
{
    memset(fair, 0, sizeof(weir_fair_t));
    fair->seed = seed | 1;

    for (size_t i = 0; i < WEIR_FAIR_MAX; i++) {
        fair->sources[i].next = fair->free;
        fair->free = &fair->sources[i];
    }
}

static weir_fair_source_t **bucket_of(weir_fair_t *fair, const uint8_t key[WEIR_FAIR_KEY])
{
    uint64_t words[2], hash;

    memcpy(words, key, sizeof(words));
    hash = (words[0] ^ fair->seed) * 0x9e3779b97f4a7c15u;
    hash = ((hash ^ (hash >> 32)) + words[1]) * fair->seed;

    return &fair->buckets[(hash >> 40) % WEIR_FAIR_BUCKETS];
}

static weir_fair_source_t *find(weir_fair_t *fair, const uint8_t key[WEIR_FAIR_KEY])
{
    weir_fair_source_t *source;

    for (source = *bucket_of(fair, key); source != NULL; source = source->chain) {
        if (memcmp(source->key, key, WEIR_FAIR_KEY) == 0)
            break;
    }

    return source;
}

/* A source without items, behind all others in the ring. */
static weir_fair_source_t *take(weir_fair_t *fair, const uint8_t key[WEIR_FAIR_KEY])
{
    weir_fair_source_t *source = fair->free, **bucket = bucket_of(fair, key);

    assert(source != NULL);
    fair->free = source->next;

    memcpy(source->key, key, WEIR_FAIR_KEY);
    source->chain = *bucket;
    *bucket = source;

    if (fair->turn == NULL) {
        fair->turn = source->prev = source->next = source;
    } else {
        source->next = fair->turn;
        source->prev = fair->turn->prev;
        source->prev->next = source;
        source->next->prev = source;
    }

    return source;
}

static void give_back(weir_fair_t *fair, weir_fair_source_t *source)
{
    weir_fair_source_t **at = bucket_of(fair, source->key);

    while (*at != source)
        at = &(*at)->chain;
    *at = source->chain;

    if (fair->turn == source)
        fair->turn = source->next != source ? source->next : NULL;
    source->prev->next = source->next;
    source->next->prev = source->prev;

    source->next = fair->free;
    fair->free = source;
}

/* The source with most items; of several, the one whose turn comes last. */
static weir_fair_source_t *largest(weir_fair_t *fair)
{
    weir_fair_source_t *source = fair->turn->prev, *most = source;

    while (source != fair->turn) {
        source = source->prev;
        if (source->n > most->n)
            most = source;
    }

    return most;
}

weir_fair_item_t *weir_fair_add(weir_fair_t *fair, weir_fair_item_t *item,
                                const uint8_t key[WEIR_FAIR_KEY])
{
    weir_fair_source_t *source = find(fair, key);
    weir_fair_item_t *leaves = NULL;

    assert(item->source == NULL);

    if (fair->n == WEIR_FAIR_MAX) {
        weir_fair_source_t *most = largest(fair);

        if ((source != NULL ? source->n : 0) + 1 >= most->n)
            return item;
        leaves = most->newest;
        weir_fair_remove(fair, leaves);
    }

    if (source == NULL)
        source = take(fair, key);

    item->source = source;
    item->next = NULL;
    item->prev = source->newest;
    if (source->newest != NULL)
        source->newest->next = item;
    else
        source->oldest = item;
    source->newest = item;
    source->n++;
    fair->n++;

    return leaves;
}

weir_fair_item_t *weir_fair_next(weir_fair_t *fair)
{
    weir_fair_item_t *item;

    if (fair->turn == NULL)
        return NULL;

    item = fair->turn->oldest;
    fair->turn = fair->turn->next;
    weir_fair_remove(fair, item);

    return item;
}

void weir_fair_remove(weir_fair_t *fair, weir_fair_item_t *item)
{
    weir_fair_source_t *source = item->source;

    if (source == NULL)
        return;

    if (item->prev != NULL)
        item->prev->next = item->next;
    else
        source->oldest = item->next;
    if (item->next != NULL)
        item->next->prev = item->prev;
    else
        source->newest = item->prev;

    item->source = NULL;
    fair->n--;
    if (--source->n == 0)
        give_back(fair, source);
}
