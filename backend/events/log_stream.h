/*
 * The Redis side of the log: one stream for each partition, filled in the order of positions.
 *
 * Entry IDs are "<position>-0".  An append is one script that first compares the stream's
 * last-generated-id with the one we believe in, so that Redis refuses what would leave a gap or
 * come twice: after FLUSHALL, a lost tail, a restart of ours, or beside another relay.
 */
#ifndef WEIR_LOG_STREAM_H
#define WEIR_LOG_STREAM_H

#include "redis/redis.h"

#include <stdint.h>

#define WEIR_STREAM_PREFIX "weir:events:"

typedef struct {
    int64_t position;
    char *json; /* freed by weir_log_stream_append() */
    size_t len;
} weir_log_entry_t;

/*
 * ok: the entries are in.  Otherwise error is NULL and the stream ends at last instead (0: it is
 * empty or absent), or error says why Redis's answer is not known or of no use.
 */
typedef void (*weir_log_stream_cb)(bool ok, int64_t last, int64_t length, const char *error,
                                   void *arg);

/*
 * Appends count entries (may be 0: to ask) if the stream ends at expected.  Frees their texts in
 * any case.  False, without a callback, when Redis is away.
 */
bool weir_log_stream_append(weir_redis_t *redis, int partition, int64_t expected,
                            const weir_log_entry_t *entries, size_t count, weir_log_stream_cb cb,
                            void *arg) __attribute__((warn_unused_result));

/* Removes what lies at or before position. */
void weir_log_stream_trim(weir_redis_t *redis, int partition, int64_t position);

#endif
