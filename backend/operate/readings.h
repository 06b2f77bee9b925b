/*
 * Metrics that are in the database: the outbox, and what consumer groups have to do. They are read
 * every few seconds, so that a scrape asks the database nothing, however often it comes.
 */
#ifndef WEIR_READINGS_H
#define WEIR_READINGS_H

#include "db/db.h"

#define WEIR_READINGS_INTERVAL_S 5

typedef struct weir_readings weir_readings_t;

/* groups ends with NULL. All must outlive the result. */
weir_readings_t *weir_readings_new(struct event_base *base, weir_db_t *db, bool outbox,
                                   const char *const *groups);
/* Call this after weir_db_free() of its session. */
void weir_readings_free(weir_readings_t *readings);

/* Reads now, because the session has opened. */
void weir_readings_read(weir_readings_t *readings);

#endif
