/*
 * The log in Redis: one stream for each partition, filled in the order of positions.
 *
 * Entry IDs are "<position>-0". An append is one script that first compares the stream's
 * last-generated-id with the ID that the relay expects. So Redis refuses appends that would leave a
 * gap or repeat events: after FLUSHALL, a lost tail, a restart of the relay.
 *
 * In the same step the script compares the relay's token with the fence, the greatest token that
 * any relay has sent for this stream, and raises the fence. So once a relay has checked a stream,
 * late appends of earlier relays are refused. This matters after the promotion of a standby that
 * lacks the last transactions: the old relay may have sent events whose positions the new database
 * gives to other events.
 */
#ifndef WEIR_LOG_STREAM_H
#define WEIR_LOG_STREAM_H

#include "redis/redis.h"

#include <stdint.h>

#define WEIR_STREAM_PREFIX "weir:events:"
/* In the cluster slot of its stream. */
#define WEIR_FENCE_FORMAT "weir:fence:{" WEIR_STREAM_PREFIX "%d}"

/*
 * A token: the digits of relay_lead() (relay.sql), era first, then letters of the process's own. A
 * token with greater digits is later.
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
    WEIR_LOG_FENCED,    /* the fence is another token, and not below this one */
    WEIR_LOG_FAILED     /* the outcome is unknown; error has the reason */
} weir_log_verdict_t;

/* Valid during the call. For WEIR_LOG_FAILED only error is set; otherwise error is NULL. */
typedef struct {
    weir_log_verdict_t verdict;
    int64_t last; /* the position of the stream's last entry; 0: the stream is empty or absent */
    int64_t length;
    const char *fence; /* the stream's fence now: WEIR_TOKEN_LEN characters */
    const char *error;
} weir_log_answer_t;

typedef void (*weir_log_stream_cb)(const weir_log_answer_t *answer, void *arg);

/*
 * Appends count entries if the stream ends at expected and the token is the greatest; count may be
 * 0, to read the state of the stream and to raise the fence. Always frees the texts of the entries.
 * Returns false, without a callback, when the Redis connection is down.
 */
bool weir_log_stream_append(weir_redis_t *redis, int partition, const char *token, int64_t expected,
                            const weir_log_entry_t *entries, size_t count, weir_log_stream_cb cb,
                            void *arg) __attribute__((warn_unused_result));

/*
 * The position in the ID of an entry, or in the last ID of a stream. INT64_MAX for an ID that no
 * relay gives: a negative one, or one with another number than 0 after the dash.
 */
int64_t weir_log_stream_position(const char *id);

/* The number of the term in a token. */
uint64_t weir_log_stream_term(const char *token);

/* Removes all entries up to the position. */
void weir_log_stream_trim(weir_redis_t *redis, int partition, int64_t position);

#endif
