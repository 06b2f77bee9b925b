/*
 * The Redis side of the log: one stream for each partition, filled in the order of positions.
 *
 * Entry IDs are "<position>-0".  An append is one script that first compares the stream's
 * last-generated-id with the one that the relay expects, so that Redis refuses what would leave a
 * gap or come twice: after FLUSHALL, a lost tail, a restart of the relay.
 *
 * The script also compares the relay's token with the fence, the greatest token that was ever shown
 * for this stream, and raises the fence, in the same step.  So when a relay has looked at a stream,
 * nothing that an earlier relay has sent, and that arrives late, is appended any more.  This
 * matters after a standby was promoted that lacks the last transactions: the old relay may have
 * sent events whose positions the new database gives to others.
 */
#ifndef WEIR_LOG_STREAM_H
#define WEIR_LOG_STREAM_H

#include "redis/redis.h"

#include <stdint.h>

#define WEIR_STREAM_PREFIX "weir:events:"
/* In the cluster slot of its stream. */
#define WEIR_FENCE_FORMAT "weir:fence:{" WEIR_STREAM_PREFIX "%d}"

/*
 * A token: the digits of relay_lead() (relay.sql), era first, then letters of the process's own.
 * The one with the greater digits is the later one.
 */
#define WEIR_TOKEN_ERA_DIGITS 10
#define WEIR_TOKEN_DIGITS 40
#define WEIR_TOKEN_LEN (WEIR_TOKEN_DIGITS + 8)

typedef struct {
    int64_t position;
    char *json; /* freed by weir_log_stream_append() */
    size_t len;
} weir_log_entry_t;

typedef enum {
    WEIR_LOG_APPENDED,
    WEIR_LOG_ELSEWHERE, /* the stream does not end at the expected position */
    WEIR_LOG_FENCED,    /* the fence is not below the token, and another one */
    WEIR_LOG_FAILED     /* the answer is not known or of no use: see error */
} weir_log_verdict_t;

/* Valid during the call.  error is NULL but for WEIR_LOG_FAILED, where the rest is not set. */
typedef struct {
    weir_log_verdict_t verdict;
    int64_t last; /* where the stream ends; 0: it is empty or absent */
    int64_t length;
    const char *fence; /* the stream's fence now: WEIR_TOKEN_LEN characters */
    const char *error;
} weir_log_answer_t;

typedef void (*weir_log_stream_cb)(const weir_log_answer_t *answer, void *arg);

/*
 * Appends count entries (may be 0: to look, and to raise the fence) if the stream ends at expected
 * and the token is the greatest.  Frees their texts in any case.  False, without a callback, when
 * Redis is away.
 */
bool weir_log_stream_append(weir_redis_t *redis, int partition, const char *token, int64_t expected,
                            const weir_log_entry_t *entries, size_t count, weir_log_stream_cb cb,
                            void *arg) __attribute__((warn_unused_result));

/*
 * The position of a stream's entry or last ID.  An ID that no relay gives, with another number
 * behind the dash than 0, is beyond all positions: INT64_MAX.
 */
int64_t weir_log_stream_position(const char *id);

/* Removes what lies at or before position. */
void weir_log_stream_trim(weir_redis_t *redis, int partition, int64_t position);

#endif
