/*
 * What session.c (connecting, losing, back-off) and pipeline.c (statements and
 * their answers) share; nobody else includes it.  session.c calls pipeline.c, never the other way
 * round.
 */
#ifndef WEIR_DB_PRIVATE_H
#define WEIR_DB_PRIVATE_H

#include "db/db.h"

typedef struct {
    const char *sql;
    unsigned serial; /* names it on the server: a text that must be parsed again gets a new one */
    bool prepared;
} statement_t;

typedef struct segment {
    struct segment *next;
    weir_db_cb cb;
    void *arg;
    int parses;  /* Parse messages in front */
    int results; /* results to come, Parses included */
    int got;
    PGresult *ok; /* the last result, kept for the commit */
    char *error;  /* of the first that failed */
    char sqlstate[6];
    int parsed[]; /* places in statements, one for each Parse */
} segment_t;

typedef enum {
    CLOSED,     /* from the start, and when it was lost; the timer connects again */
    CONNECTING, /* libpq is at it, then the settings are asked for; both have a time limit */
    UP,         /* statements are taken; an error of the socket, or silence, ends it */
    BROKEN      /* given up by weir_db_reset(); the event loop closes it at once */
} state_t;

struct weir_db {
    struct event_base *base;
    char *conninfo;
    char *name;
    const char *first; /* statement of each new session, or NULL */
    unsigned turn;     /* the host of conninfo's list at which connecting begins */
    weir_db_state_cb state_cb;
    void *arg;

    state_t state;
    PGconn *conn;
    struct event *readable;
    struct event *writable;
    struct event *timer;
    unsigned backoff_ms;
    char logged[256]; /* the failure that the log knows of; empty while up */

    segment_t *head;
    segment_t **tail;
    unsigned in_flight;
    unsigned checks; /* looks since the server sent something */

    statement_t statements[WEIR_DB_STATEMENTS_MAX];
    int n_statements;
    unsigned serial;
    uint64_t nonce; /* of the open session, in the names of its statements */

    int depth;   /* callbacks that are running */
    bool doomed; /* freed from within one of them */
};

/* --- pipeline.c: all of it is called by session.c, which holds the session meanwhile --------- */

/*
 * Reads and writes what the open session's socket has and takes, and calls back for what is
 * answered.  Returns NULL, or why the session is lost (borrowed from it).
 */
const char *weir_pipeline_turn(weir_db_t *db);

/* The session was closed: fails what is in flight, in its order, and forgets what was prepared. */
void weir_pipeline_clear(weir_db_t *db, const char *why);

#endif
