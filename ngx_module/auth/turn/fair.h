/*
 * A queue that is fair to sources: the next item is the oldest of the source that has waited
 * longest for its turn, so a source with many items delays the others by one item each.
 *
 * The queue has a bound. If it is full, the newest item of the source with most items leaves it, or
 * the new item finds no place if its own source would have most. So no source can keep the others
 * out.
 *
 * Items and their memory belong to the caller, the queue to one process.
 */
#ifndef WEIR_FAIR_H
#define WEIR_FAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_FAIR_MAX 1024 /* items in a queue */
#define WEIR_FAIR_KEY 16   /* bytes that name a source */
#define WEIR_FAIR_BUCKETS 1024

typedef struct weir_fair_source_s weir_fair_source_t;

typedef struct weir_fair_item_s {
    struct weir_fair_item_s *prev, *next; /* of the same source; prev is older */
    weir_fair_source_t *source;           /* NULL: it is in no queue */
} weir_fair_item_t;

struct weir_fair_source_s {
    uint8_t key[WEIR_FAIR_KEY];
    weir_fair_item_t *oldest, *newest;
    size_t n;                        /* items; 0: free */
    weir_fair_source_t *prev, *next; /* in the ring, or (next) in the list of free ones */
    weir_fair_source_t *chain;       /* of the same bucket */
};

typedef struct {
    size_t n;                 /* items */
    weir_fair_source_t *turn; /* whose turn it is; NULL: the queue is empty */
    weir_fair_source_t *free;
    uint64_t seed;
    weir_fair_source_t *buckets[WEIR_FAIR_BUCKETS];
    weir_fair_source_t sources[WEIR_FAIR_MAX];
} weir_fair_t;

/* seed is a random number, so that nobody can choose the keys of one bucket. */
void weir_fair_init(weir_fair_t *fair, uint64_t seed);

/*
 * Adds an item that is in no queue. Returns NULL, or the item that has no place: another one, which
 * has left the queue, or this one, which was not added.
 */
weir_fair_item_t *weir_fair_add(weir_fair_t *fair, weir_fair_item_t *item,
                                const uint8_t key[WEIR_FAIR_KEY]);

/* The item whose turn it is; it leaves the queue. NULL: the queue is empty. */
weir_fair_item_t *weir_fair_next(weir_fair_t *fair);

/* The item leaves the queue, if it is in it. */
void weir_fair_remove(weir_fair_t *fair, weir_fair_item_t *item);

#endif
