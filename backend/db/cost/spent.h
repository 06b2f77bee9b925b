/*
 * What commands, and events of consumer groups, take of the database: time, and WAL.
 *
 * Time is that in which a session worked for the batch: from its sending, or from the answer before
 * it in the session if that came later, to its own answer. So a session is counted once, however
 * many statements wait in it. The time of a batch belongs in equal parts to its requests or events.
 *
 * PostgreSQL counts WAL for the whole server only. So one batch of 64, and until one could be used
 * one of 8, is a sample: the session asks for the end of the WAL before it, in the same
 * transaction, and after its commit. The difference is kept if no other transaction wrote
 * meanwhile, that is, if none was under way, and no transaction id was taken but the batch's own;
 * otherwise the sample is counted as unusable. What vacuum and checkpoints write at that moment is
 * in it, and so are whole pages, which PostgreSQL writes at their first change after a checkpoint.
 * A sample takes a transaction id, so a batch that only reads has the bytes of its commit.
 */
#ifndef WEIR_SPENT_H
#define WEIR_SPENT_H

#include "db/db.h"

typedef struct weir_spent weir_spent_t;

/* The operator's prices; a negative one is none. Without a currency there are none. */
typedef struct {
    const char *currency; /* borrowed for the life of the process; NULL: no prices */
    double database;      /* an hour of a session */
    double wal;           /* a GiB */
} weir_spent_prices_t;

/* To be called once, before the first batch, by a process whose metrics are read. */
void weir_spent_begin(const weir_spent_prices_t *prices);

/*
 * Of the batches with this summary, as in summary.h; group and type of event are NULL for a
 * command. The same one for each call with the same values, which are copied; it lives until the
 * process ends.
 */
weir_spent_t *weir_spent(const char *summary, const char *group, const char *type)
    __attribute__((returns_nonnull));

/*
 * A batch of `of` requests, `requests` of which are these, has been executed in that time. A batch
 * that has failed is not counted.
 */
void weir_spent_add(weir_spent_t *spent, unsigned requests, unsigned of, uint64_t us);

/* A batch has failed, perhaps one whose WAL is measured. */
void weir_spent_fail(weir_spent_t *spent);

/*
 * Sends the statement of a batch of these requests, as weir_db_query() does, and perhaps measures
 * its WAL. ids is how many transaction ids it takes at most, with one for each effect that it can
 * roll back.
 */
bool weir_spent_query(weir_spent_t *spent, weir_db_t *db, const weir_db_statement_t *statement,
                      unsigned requests, unsigned ids, weir_db_cb cb, void *arg)
    __attribute__((warn_unused_result));

#endif
