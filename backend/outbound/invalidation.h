/*
 * Handler of a consumer group: tells every edge which tags are of the past, by
 *   XADD weir:invalidate * tags "TAG TAG"
 * The domain says which events there are, and which tags each of them makes old.
 *
 * Its events are put in the transaction that made the answers old, so a message
 * comes after that commit, and at least once: it is handled when Redis has it, and
 * tried again until then, however long Redis refuses it: an invalidation that never
 * came would be a stale answer without bound.  A repeated message costs the edges a miss and no
 * more.
 */
#ifndef WEIR_INVALIDATION_H
#define WEIR_INVALIDATION_H

#include "db/migrate.h"
#include "events/events.h"

/* backend/outbound/sql: the function of such a group; it has no tables. */
extern const weir_sql_line_t weir_sql_outbound;

#define WEIR_INVALIDATION_TAGS_MAX 256 /* bytes, with the NUL */

/*
 * Writes the tags of the answers that the event makes old, with blanks between them.  NULL, or why
 * the event does not tell them: a constant.
 */
typedef const char *(*weir_invalidation_tags_fn)(const weir_event_t *event,
                                                 char tags[WEIR_INVALIDATION_TAGS_MAX]);

#define WEIR_INVALIDATION_CONCURRENCY 32 /* messages on their way, of different aggregates */

/*
 * What the handler works with, its self; redis as in redis/redis.h.  NULL, with a message in error,
 * when that is wrong.
 */
void *weir_invalidation_new(struct event_base *base, const char *redis,
                            weir_invalidation_tags_fn tags_of, char *error, size_t error_size);
/* After the worker has stopped. */
void weir_invalidation_free(void *self);

/* The handler of weir_consumer_t, for the dependency "redis". */
void weir_invalidation_handle(void *self, const weir_event_t *event, weir_delivery_t *delivery);

#endif
