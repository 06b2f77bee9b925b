/*
 * Natural batching of a set-based command.
 *
 * A command is one SQL statement with arrays as parameters, for example
 *   SELECT * FROM things_make($1::uuid[], $2::text[], $3::text[])
 * that returns one row per request; the first column is the request's index in the arrays
 * (1-based). While a batch is in flight, requests collect for the next one. So a request never
 * waits when nothing is in flight, and batches grow with load.
 *
 * The failure of one request is reported in its own row; an error of the whole statement fails
 * every request of the batch. The exception is a row that another transaction has locked: after 200
 * ms the batch is split and sent over a second session, so that requests that do not need the row
 * get their outcome. The others are repeated for three seconds, and then fail with "55P03".
 */
#ifndef WEIR_BATCH_H
#define WEIR_BATCH_H

#include "db/db.h"
#include "log/trace.h"

#define WEIR_BATCH_WIDTH_MAX 16

typedef struct weir_batch weir_batch_t;

/*
 * The request's outcome: row `row` of result (valid during the call only), or NULL with error and
 * sqlstate as in weir_db_cb; "08003" when the request was never sent.
 */
typedef void (*weir_batch_cb)(PGresult *result, int row, const char *error, const char *sqlstate,
                              void *arg);

/*
 * sql is a constant as for weir_db_query(). width is the number of array parameters, max the most
 * requests in one batch, limit the most requests that may wait (weir_batch_submit() returns false
 * at this limit). in_flight is the most batches in flight at a time.
 */
weir_batch_t *weir_batch_new(weir_db_t *db, const char *sql, int width, int max, int limit,
                             int in_flight);
/*
 * Names the batch in metrics and spans by another statement than its own, of which its own one
 * executes the requests.
 */
void weir_batch_name(weir_batch_t *batch, const char *sql);
/* Sets an upper limit of max for all batches that the process creates after this call. */
void weir_batch_ceiling(int max);
/*
 * Call this after weir_db_free() of its session, which calls the callbacks of requests in flight.
 */
void weir_batch_free(weir_batch_t *batch);

/*
 * Adds one request, of that trace or (NULL) of none, whose tracestate must live until the outcome;
 * the width values are copied, NULL is SQL NULL. Returns false, and never calls
 * cb, when the session is not up or too many requests wait.
 *
 * deadline_us is when the outcome is of no more use, in weir_clock_us(); 0: never. A request that
 * waits until then is not sent, and fails with WEIR_BATCH_LATE. So does a statement that is
 * executed after the deadlines of all its requests, without any change.
 */
bool weir_batch_submit(weir_batch_t *batch, const weir_trace_t *trace, uint64_t deadline_us,
                       const char *const *values, weir_batch_cb cb, void *arg)
    __attribute__((warn_unused_result));

#define WEIR_BATCH_LATE "57014" /* query_canceled */

#endif
