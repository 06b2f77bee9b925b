/*
 * Whether the process can do its work: PostgreSQL answers and has all migrations, the process's
 * sessions are open, and Redis can be reached if a role needs it. This is found out every second,
 * so that a probe never waits, and tells what is wrong also when PostgreSQL hangs.
 */
#ifndef WEIR_HEALTH_H
#define WEIR_HEALTH_H

#include "db/db.h"
#include "db/migrate.h"
#include "redis/redis.h"

typedef struct weir_health weir_health_t;

/* redis may be NULL. lines ends with NULL. All must outlive the result. */
weir_health_t *weir_health_new(struct event_base *base, weir_db_t *db, const weir_redis_t *redis,
                               const weir_sql_line_t *const *lines);
/* Call this after weir_db_free() of its session. */
void weir_health_free(weir_health_t *health);

/* Asks PostgreSQL now, because its session has opened. */
void weir_health_check(weir_health_t *health);

/*
 * Why the process cannot do its work: one sentence without addresses and secrets, valid until the
 * next call. NULL: it can.
 */
const char *weir_health_why_not(const weir_health_t *health);

#endif
