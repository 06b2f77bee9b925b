/*
 * The group invalidation: tells every edge which tags are of the past, by
 *   XADD weir:invalidate * tags "products product:{id}"
 *
 * Its events are put in the transaction that made the answers old, so a message
 * comes after that commit, and at least once: it is handled when Redis has it, and
 * tried again until then, however long Redis refuses it: an invalidation that never
 * came would be a stale answer without bound.  A repeated message costs the edges a miss and no
 * more.
 */
#ifndef WEIR_INVALIDATION_H
#define WEIR_INVALIDATION_H

#include "events/events.h"

typedef struct weir_invalidation weir_invalidation_t;

/* redis as in redis/redis.h.  NULL, with a message in error, when it is wrong. */
weir_invalidation_t *weir_invalidation_new(struct event_base *base, const char *redis, char *error,
                                           size_t error_size);
/* After the worker has stopped. */
void weir_invalidation_free(weir_invalidation_t *invalidation);

weir_consumer_t weir_invalidation_consumer(weir_invalidation_t *invalidation);

#endif
