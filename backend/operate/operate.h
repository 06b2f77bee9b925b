/*
 * The listener for operators and their tools, beside the one for clients:
 *
 *   GET /metrics   all series (metrics/series.h), for Prometheus: text, or OpenMetrics by Accept
 *   GET /livez     200 as long as the event loop turns; a process without it should be restarted
 *   GET /readyz    200 if the process can do its work, or a 503 whose problem document names the
 *                  reason (health.h); to be asked before traffic is sent
 *
 * It has a session of its own to PostgreSQL, and, if a role needs Redis, a connection to it.
 */
#ifndef WEIR_OPERATE_H
#define WEIR_OPERATE_H

#include "db/migrate.h"
#include "tls/tls.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct weir_operate weir_operate_t;

/* All that the pointers point to must live as long as the listener. */
typedef struct {
    const char *listen;                  /* as for weir_http_listen() */
    const char *database;                /* libpq connection string */
    const char *redis;                   /* as in redis/redis.h; NULL: no role needs it */
    const char *roles;                   /* "api,relay" */
    const weir_sql_line_t *const *lines; /* that the database must have; ends with NULL */
    bool reads_outbox;                   /* whether the outbox's depth is in the metrics */
    weir_tls_t *tls;                     /* of the listener; NULL: in the clear */
    const char *const *groups; /* consumer groups whose state is in the metrics; ends with NULL */
} weir_operate_settings_t;

/* Returns NULL with a message on failure. */
weir_operate_t *weir_operate_start(struct event_base *base, const weir_operate_settings_t *settings,
                                   char *error, size_t size) __attribute__((warn_unused_result));
/* From now on the process is not ready. NULL is allowed. */
void weir_operate_stopping(weir_operate_t *operate);
/* NULL is allowed. */
void weir_operate_free(weir_operate_t *operate);

#endif
