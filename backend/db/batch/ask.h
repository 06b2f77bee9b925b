/*
 * A set-based query of a consumer, as in db/batch/batch.h, with retries. While the database is
 * unavailable (weir_db_is_away(): it restarts, its disk is full, a deadlock) the query is repeated,
 * so that the event loses no attempt. So it must be safe to run the query twice.
 */
#ifndef WEIR_ASK_H
#define WEIR_ASK_H

#include "db/batch/batch.h"

#define WEIR_ASK_PATIENCE_S 5 /* then cb is called with the last error */

typedef struct weir_ask weir_ask_t;

/* sql and width as for weir_batch_new(); group, for the log, is borrowed. */
weir_ask_t *weir_ask_new(struct event_base *base, weir_db_t *db, const char *group, const char *sql,
                         int width);
/* Call this after weir_db_free() of its session, when no query is left. */
void weir_ask_free(weir_ask_t *ask);

/*
 * Submits one row; the values are copied. cb is called once, from the event loop. The trace may be
 * NULL; it must live until then, as that of a delivery does.
 */
void weir_ask(weir_ask_t *ask, const weir_trace_t *trace, const char *const *values,
              weir_batch_cb cb, void *arg);

#endif
