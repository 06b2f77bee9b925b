/*
 * One PostgreSQL session on the event loop, in libpq's pipeline mode.
 *
 * Statements are sent at once and answered in order. Each is a transaction of its own, so an error
 * affects no other statement. The text of a statement is prepared once per session, on first use,
 * and is identified by its address: it must be a constant for the life of the process.
 *
 * A transaction ends at the protocol's Sync message (PostgreSQL manual, 55.2.3 and 34.5.1.2: what
 * is pipelined between two Syncs without BEGIN is one implicit transaction). So a callback is
 * called when the server has answered the Sync, not when the statement's result arrives: that
 * result arrives before the commit.
 *
 * When the session is lost, every statement in flight fails and its callback is called (the caller
 * cannot know whether it committed), and the session is opened again with back-off. While it is
 * closed, weir_db_query() refuses.
 *
 * A session begins with the settings of settings.h. Statements end after 30 s (statement_timeout)
 * unless conninfo's `options` set another time; when the server owes an answer and sends nothing
 * for 40 s, the session is lost. A host name in conninfo is resolved by a blocking call; numeric
 * addresses and sockets need none.
 *
 * All callbacks run on the event loop, never within the call that registered them. Only
 * weir_db_free() calls the callbacks in flight before it returns.
 */
#ifndef WEIR_DB_H
#define WEIR_DB_H

#include "common/text/str.h"
#include "db/sqlstate.h"

#include <event2/event.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct weir_db weir_db_t;

/* The most transactions in flight in a session; at this limit weir_db_query() returns false. */
#define WEIR_DB_IN_FLIGHT_MAX 4096
/* The most different statements prepared in a session; the same applies. */
#define WEIR_DB_STATEMENTS_MAX 128

/*
 * When the session was lost, result is NULL, error has the reason, and sqlstate is "08006". When
 * the server refused the statement, result is NULL, error is its message and sqlstate its code.
 * Otherwise error is NULL; result is only valid during the call.
 */
typedef void (*weir_db_cb)(PGresult *result, const char *error, const char *sqlstate, void *arg);

/*
 * Called when the session has opened (up), and when it was lost and all statements in flight have
 * failed.
 */
typedef void (*weir_db_state_cb)(weir_db_t *db, bool up, void *arg);

/*
 * Starts to connect at once, and reconnects until weir_db_free(). name appears in the log and, as
 * "weir-NAME", as application_name. state may be NULL. The strings are copied.
 */
weir_db_t *weir_db_new(struct event_base *base, const char *conninfo, const char *name,
                       weir_db_state_cb state, void *arg);
/*
 * Closes the session. The callbacks of statements in flight are called as for a lost session; state
 * is not called. May be called within a callback. NULL is allowed.
 */
void weir_db_free(weir_db_t *db);

/*
 * Sets the first statement of each session, a constant as for weir_db_query(). To be called before
 * the session has opened. A later call replaces the statement.
 */
void weir_db_begin_with(weir_db_t *db, const char *sql);
/* A second session to the same database, as by weir_db_new(). */
weir_db_t *weir_db_beside(const weir_db_t *db, const char *name, weir_db_state_cb state, void *arg);
struct event_base *weir_db_base(const weir_db_t *db);

bool weir_db_is_up(const weir_db_t *db);
/* How many sessions the process has asked for, and how many of them are open. */
void weir_db_count(unsigned *sessions, unsigned *open);
/* Transactions sent and not yet answered. */
unsigned weir_db_in_flight(const weir_db_t *db);
/*
 * For a callback: the time in us that the session has worked for its transaction, as the client
 * sees it: from sending, or from the answer before if that came later, to the answer.
 */
uint64_t weir_db_spent_us(const weir_db_t *db);
/*
 * For a callback: when the result of the transaction's last statement was there, by
 * weir_clock_us(); the rest of its time was the commit. 0: it is not known.
 */
uint64_t weir_db_executed_us(const weir_db_t *db);
/*
 * Bounds each statement of the next transaction to that time in ms; 0, and more than the session's
 * statement_timeout: to that one. A different bound than that of the transaction before is set by a
 * statement of its own; one that is later by less than 1/64 is left as it is.
 */
void weir_db_bound(weir_db_t *db, unsigned ms);
/*
 * Drops the session and opens a new one (for a lock that may be lost). weir_db_is_up() is false
 * when this returns; the callbacks are called later.
 */
void weir_db_reset(weir_db_t *db);

/*
 * Runs one prepared statement with text parameters; the values are copied (NULL is SQL NULL). cb
 * may be NULL. Returns false, and never calls cb, when the session is not up or a limit above is
 * reached.
 */
bool weir_db_query(weir_db_t *db, const char *sql, int n, const char *const *values, weir_db_cb cb,
                   void *arg) __attribute__((warn_unused_result));

typedef struct {
    const char *sql; /* as for weir_db_query() */
    int n;
    const char *const *values;
} weir_db_statement_t;

/*
 * Runs the statements in one transaction, pipelined in one round trip. The callback is called once:
 * after the commit with the result of the last statement, or with the first error, and then nothing
 * was changed. count is at least 1.
 */
bool weir_db_transaction(weir_db_t *db, const weir_db_statement_t *statements, int count,
                         weir_db_cb cb, void *arg) __attribute__((warn_unused_result));

/* --- columns and parameters -------------------------------------------------- */

/*
 * Columns are named by an enum beside the statement, which lists them in that order; so are the
 * parameters of a statement that has many.
 */

/* A value of a result, whose bytes it shares; data is NULL for SQL's NULL. */
static inline weir_str_t weir_column(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return (weir_str_t){NULL, 0};

    return (weir_str_t){PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column)};
}

/* The same as a C string; NULL for SQL's NULL. */
static inline const char *weir_column_text(const PGresult *result, int row, int column)
{
    return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

/* The value of an integer column and of a boolean column; SQL's NULL is 0 and false. */
static inline int64_t weir_column_int(const PGresult *result, int row, int column)
{
    return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static inline bool weir_column_bool(const PGresult *result, int row, int column)
{
    return *PQgetvalue(result, row, column) == 't';
}

/* An integer as a parameter; the text lives until the end of the block that encloses the macro. */
typedef struct {
    char text[24];
} weir_number_t;

static inline const char *weir_number_print(weir_number_t *number, int64_t value)
{
    snprintf(number->text, sizeof(number->text), "%" PRId64, value);

    return number->text;
}

#define WEIR_NUMBER(value) weir_number_print(&(weir_number_t){{0}}, value)

#endif
