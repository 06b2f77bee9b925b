/*
 * Handler of a consumer group that sends the tags of outdated answers to every edge, by
 *   XADD weir:invalidate * tags "TAG TAG"
 * The domain defines the events, and the tags that each event invalidates.
 *
 * The event is written in the transaction that changes the data, so the message is sent after the
 * commit, at least once. The event counts as handled when Redis has the message, and is retried
 * until then without a limit: a lost invalidation would leave a stale answer for an unlimited time.
 * A repeated message only causes a miss.
 */
#ifndef WEIR_INVALIDATION_H
#define WEIR_INVALIDATION_H

#include "db/migrate.h"
#include "events/events.h"

/* backend/outbound/sql: the function of such a group; it has no tables. */
extern const weir_sql_line_t weir_sql_outbound;

#define WEIR_INVALIDATION_TAGS_MAX 256 /* bytes, with the NUL */

/*
 * Writes the tags of the answers that the event invalidates, with blanks between them. Returns
 * NULL, or a constant message when the event lacks the data for the tags.
 */
typedef const char *(*weir_invalidation_tags_fn)(const weir_event_t *event,
                                                 char tags[WEIR_INVALIDATION_TAGS_MAX]);

#define WEIR_INVALIDATION_CONCURRENCY 32 /* messages in flight, of different aggregates */

/*
 * Creates the handler's self; redis as in redis/redis.h. Returns NULL, with a message in error,
 * when the URL is wrong.
 */
void *weir_invalidation_new(struct event_base *base, const char *redis,
                            weir_invalidation_tags_fn tags_of, char *error, size_t error_size);
/* Call this after the worker has stopped. */
void weir_invalidation_free(void *self);

/* The handler of weir_consumer_t, for the dependency "redis". */
void weir_invalidation_handle(void *self, const weir_event_t *event, weir_delivery_t *delivery);

#endif
