/*
 * A set-based question of a consumer: as db/batch/batch.h, but patient.  While the database is away
 * (weir_db_is_away(): it starts again, its disk is full, two transactions were in each other's way)
 * the same is asked again, so that the event asked for burns no attempt.  A question must therefore
 * be one that may be asked twice.
 */
#ifndef WEIR_ASK_H
#define WEIR_ASK_H

#include "db/batch/batch.h"

#define WEIR_ASK_PATIENCE_S 5 /* then cb comes with the last error */

typedef struct weir_ask weir_ask_t;

/* sql and width as for weir_batch_new(); group, for the log, is borrowed. */
weir_ask_t *weir_ask_new(struct event_base *base, weir_db_t *db, const char *group, const char *sql,
                         int width);
/* After weir_db_free() of its session; nothing may wait any more. */
void weir_ask_free(weir_ask_t *ask);

/* Asks; the values are copied.  cb comes once, from the event loop. */
void weir_ask(weir_ask_t *ask, const char *const *values, weir_batch_cb cb, void *arg);

#endif
