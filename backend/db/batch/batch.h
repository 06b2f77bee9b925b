/*
 * Natural batching of a set-based command.
 *
 * A command is one SQL statement over arrays, e.g.
 *   SELECT * FROM things_make($1::uuid[], $2::text[], $3::text[])
 * that returns one row per request, its first column the request's place in
 * the arrays (1-based).  While a batch is in flight the next one gathers, so
 * batching costs no wait when idle and grows with load.
 *
 * One request's failure is its own row; an error of the whole statement fails
 * every request of the batch.  Only a row that another transaction has locked is not waited for by
 * all: after 200 ms the batch is parted, over a session beside, and those of its requests that need
 * no such row have their outcome; the others are tried again for three seconds, and fail with
 * "55P03" then.
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H

#include "db/db.h"

#define WEIR_BATCH_WIDTH_MAX 16

typedef struct weir_batch weir_batch_t;

/*
 * The request's outcome: row `row` of result (valid during the call only), or
 * result NULL with error and sqlstate as in weir_db_cb; "08003" when it was never
 * sent.
 */
typedef void (*weir_batch_cb)(PGresult *result, int row, const char *error, const char *sqlstate,
                              void *arg);

/*
 * sql is a constant as for weir_db_query().  width is the number of array
 * parameters, max the most requests in one batch, limit the most that may wait
 * (past it submit refuses).  in_flight is how many batches may be under way at
 * once (1 is natural).
 */
weir_batch_t *weir_batch_new(weir_db_t *db, const char *sql, int width, int max, int limit,
                             int in_flight);
/*
 * A ceiling of max for the batches that are made after this call, in all the process; without it
 * there is none.
 */
void weir_batch_ceiling(int max);
/* After weir_db_free() of its session, which has called whatever was under way. */
void weir_batch_free(weir_batch_t *batch);

/*
 * Adds one request; the width values are copied, NULL is SQL NULL.  Returns
 * false, and calls nothing, when the session is not up or too many wait.
 */
bool weir_batch_submit(weir_batch_t *batch, const char *const *values, weir_batch_cb cb, void *arg)
    __attribute__((warn_unused_result));

#endif
