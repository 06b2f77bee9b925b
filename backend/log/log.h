/*
 * Structured logging: one JSON object per line on standard error, written with
 * a single write(2) so that lines of several processes don't mix.
 *
 *   {"time":"2026-01-01T00:00:00.000Z","level":"info","role":"relay",
 *    "trace_id":"4bf9…","span_id":"00f0…","msg":"stream fell behind, publishing again","from":17}
 */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include "log/trace.h"

typedef enum {
    WEIR_LOG_DEBUG,
    WEIR_LOG_INFO,
    WEIR_LOG_WARN,
    WEIR_LOG_ERROR,
    WEIR_LOG_FATAL /* the last line of a process that aborts; not a level of the configuration */
} weir_log_level_t;

/* Lines below level are dropped. role ("api", "relay", ...) must live as long as the process. */
void weir_log_init(weir_log_level_t level, const char *role);

/*
 * trace may be NULL. fields is a json_pack() format of an object ("{s:i,s:s}") with its
 * arguments, or NULL. If the format is wrong or a string is not UTF-8, the message is logged
 * without fields. Fields that make the line longer than PIPE_BUF (4096 bytes) are replaced by
 * "truncated":true.
 */
void weir_log(weir_log_level_t level, const weir_trace_t *trace, const char *msg,
              const char *fields, ...);

#endif
