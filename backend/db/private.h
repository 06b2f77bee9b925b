/*
 * What session.c (connecting, losing, back-off) and pipeline.c (statements and
 * their answers) share; nobody else includes it.
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

typedef enum { CLOSED, CONNECTING, UP, BROKEN } state_t;

struct weir_db {
    struct event_base *base;
    char *conninfo;
    char *name;
    const char *first; /* statement of each new session, or NULL */
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

/*
 * Bracket every callback, because the user may free the session from within.
 * leave returns false when the session is gone.
 */
void weir_db_enter(weir_db_t *db);
bool weir_db_leave(weir_db_t *db);

/* Closes the session, fails what is in flight, tries again later.  From the event loop only. */
void weir_db_lose(weir_db_t *db, const char *why);

/* Calls back with what the segment has, or with lost when that is not NULL, and frees it. */
void weir_db_finish_segment(segment_t *segment, const char *lost);

/* The open session's socket is readable or writable. */
void weir_db_on_socket(evutil_socket_t fd, short what, void *arg);

#endif
