/*
 * Shared by session.c (connecting, losing, back-off) and pipeline.c (statements and their answers);
 * no other file includes it. session.c calls pipeline.c, never the other way round.
 */
#ifndef WEIR_DB_PRIVATE_H
#define WEIR_DB_PRIVATE_H

#include "db/db.h"
#include "db/summary.h"
#include "metrics/series.h"

typedef struct {
    const char *sql;
    weir_db_summary_t summary;
    weir_series_t *duration; /* of the executions without an error */
    weir_series_t *commit;   /* of their transactions' commits */
    unsigned runs;           /* as the last statement of a transaction */
    char name[32];           /* on the server; a text that must be parsed again gets a new one */
    bool prepared;
} statement_t;

typedef struct segment {
    struct segment *next;
    weir_db_cb cb;
    void *arg;
    int parses;  /* Parse messages in front */
    int results; /* expected results, including those of the Parses */
    int got;
    PGresult *ok; /* the last result, kept for the commit */
    char *error;  /* of the first statement that failed */
    char sqlstate[6];
    int last;             /* place in statements of the last statement, which names the segment */
    uint64_t sent_us;     /* weir_clock_us() */
    uint64_t executed_us; /* the last statement's result was there; 0: it is not known */
    bool flushed;         /* so that it is known */
    int parsed[];         /* places in statements, one for each Parse */
} segment_t;

typedef enum {
    CLOSED,     /* at the start, and after a loss; the timer connects again */
    CONNECTING, /* libpq connects, then the settings are sent; both have a time limit */
    UP, /* statements are accepted; ends with an error of the socket, or with no answer in time */
    BROKEN /* weir_db_reset() was called; the event loop closes the session next */
} state_t;

struct weir_db {
    struct event_base *base;
    char *conninfo;
    char *name;
    weir_series_t *n_sessions, *n_open, *n_lost; /* shared by sessions of the same name */
    const char *first;                           /* statement of each new session, or NULL */
    unsigned turn; /* the host of conninfo's list at which connecting begins */
    weir_db_state_cb state_cb;
    void *arg;

    state_t state;
    PGconn *conn;
    struct event *readable;
    struct event *writable;
    struct event *timer;
    unsigned backoff_ms;
    char logged[256]; /* the failure that was logged last; empty while up */

    segment_t *head;
    segment_t **tail;
    unsigned in_flight;
    uint64_t answered_us; /* weir_clock_us() of the last answer */
    uint64_t spent_us;    /* the session's time for the last segment that was answered */
    uint64_t executed_us; /* of that segment */
    unsigned checks;      /* checks since the server last sent something */

    unsigned bound_ms;      /* of statements, as the session was told; 0: its own one */
    unsigned next_bound_ms; /* of those of the next transaction */

    statement_t statements[WEIR_DB_STATEMENTS_MAX];
    int n_statements;
    unsigned serial;
    uint64_t nonce; /* of the open session, in the names of its statements */

    int depth;   /* callbacks that are running */
    bool doomed; /* weir_db_free() was called within a callback */
};

/* --- pipeline.c: all of it is called by session.c, which holds the session meanwhile --------- */

/*
 * Reads from and writes to the open session's socket as far as possible, and calls the callbacks of
 * answered statements. Returns NULL, or why the session is lost (the text belongs to the session).
 */
const char *weir_pipeline_turn(weir_db_t *db);

/*
 * For a session that was closed: fails the statements in flight, in their order, and forgets the
 * prepared statements.
 */
void weir_pipeline_clear(weir_db_t *db, const char *why);

#endif
