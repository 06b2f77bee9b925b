/*
 * Each transaction in flight is a segment of the pipeline: Parse messages of
 * statements not seen before in this session, then the statements, then Sync.
 * Segments are answered in the order of the list.
 *
 * A statement is marked as prepared when its Parse is sent.  If that Parse fails,
 * or is skipped because something before it failed, the mark is taken back when
 * the segment's answer tells; segments that were sent in between fail with
 * SQLSTATE 26000 and change nothing.
 *
 * The session is only given up from the event loop (on_timer, on_socket), so no
 * callback runs within a call of the user's.
 */
#include "db/db.h"

#include "log/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000
#define CONNECT_LIMIT_MS 5000
/* How often it is looked whether the server owes an answer, and for how many looks it may. */
#define CHECK_MS 5000
#define CHECKS_MAX 8

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
    int last;     /* statement of the last result */
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

    int depth;   /* callbacks that are running */
    bool doomed; /* freed from within one of them */
};

static void on_socket(evutil_socket_t fd, short what, void *arg);
static void on_connect(evutil_socket_t fd, short what, void *arg);

static void set_timer(weir_db_t *db, unsigned ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

    evtimer_add(db->timer, &tv);
}

static void drop_event(struct event **ev)
{
    if (*ev != NULL)
        event_free(*ev);
    *ev = NULL;
}

static void destroy(weir_db_t *db)
{
    drop_event(&db->timer);
    free(db->conninfo);
    free(db->name);
    free(db);
}

/* Brackets every callback: the user may free the session from within. */
static void enter(weir_db_t *db)
{
    db->depth++;
}

/* Returns false when the session is gone. */
static bool leave(weir_db_t *db)
{
    if (--db->depth > 0 || !db->doomed)
        return !db->doomed;

    destroy(db);

    return false;
}

static void finish(segment_t *s, const char *lost)
{
    if (s->cb != NULL) {
        if (lost != NULL)
            s->cb(NULL, lost, "08006", s->arg);
        else if (s->error != NULL)
            s->cb(NULL, s->error, s->sqlstate, s->arg);
        else
            s->cb(s->ok, NULL, NULL, s->arg);
    }

    PQclear(s->ok);
    free(s->error);
    free(s);
}

/* Closes the session and fails all in flight, in their order. */
static void close_session(weir_db_t *db, const char *why)
{
    segment_t *s = db->head;

    drop_event(&db->readable);
    drop_event(&db->writable);
    PQfinish(db->conn);
    db->conn = NULL;
    db->state = CLOSED;
    db->n_statements = 0;
    db->head = NULL;
    db->tail = &db->head;
    db->in_flight = 0;

    while (s != NULL) {
        segment_t *next = s->next;

        finish(s, why);
        s = next;
    }
}

/* Lost, or not reached: closes it and tries again later. */
static void lose(weir_db_t *db, const char *why)
{
    bool was_up = db->state == UP || db->state == BROKEN;
    char reason[sizeof(db->logged)];

    /* libpq goes on with advice on lines of their own. */
    snprintf(reason, sizeof(reason), "%.*s", (int)strcspn(why, "\n"), why);

    /* Once for each kind of failure, not for each attempt. */
    if (strcmp(reason, db->logged) != 0) {
        weir_log(WEIR_LOG_WARN, NULL,
                 was_up ? "database session lost" : "database cannot be reached", "{s:s,s:s}",
                 "session", db->name, "error", reason);
        memcpy(db->logged, reason, sizeof(reason));
    }

    if (was_up)
        db->backoff_ms = BACKOFF_MIN_MS;
    else if (db->backoff_ms < BACKOFF_MAX_MS)
        db->backoff_ms *= 2;

    /* Half of it at random, so that many processes don't come back at the same instant. */
    set_timer(db, db->backoff_ms / 2 + (unsigned)rand() % (db->backoff_ms / 2 + 1));

    enter(db);
    close_session(db, reason[0] != '\0' ? reason : "database session lost");
    if (was_up && !db->doomed && db->state_cb != NULL)
        db->state_cb(db, false, db->arg);
    leave(db);
}

/* Gives up later, from the event loop. */
static void break_session(weir_db_t *db)
{
    if (db->state != UP)
        return;

    db->state = BROKEN;
    event_active(db->timer, EV_TIMEOUT, 0);
}

/* --- connecting -------------------------------------------------------------- */

static void on_notice(void *arg, const PGresult *result)
{
    weir_db_t *db = arg;
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    weir_log(WEIR_LOG_INFO, NULL, "database notice", "{s:s,s:s}", "session", db->name, "notice",
             text != NULL ? text : "");
}

static void opened(weir_db_t *db)
{
    if (PQsetnonblocking(db->conn, 1) != 0 || !PQenterPipelineMode(db->conn)) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }

    drop_event(&db->readable);
    db->readable = event_new(db->base, PQsocket(db->conn), EV_READ | EV_PERSIST, on_socket, db);
    db->writable = event_new(db->base, PQsocket(db->conn), EV_WRITE, on_socket, db);
    event_add(db->readable, NULL);

    db->state = UP;
    db->checks = 0;
    db->backoff_ms = BACKOFF_MIN_MS;
    db->logged[0] = '\0';
    set_timer(db, CHECK_MS);
    weir_log(WEIR_LOG_INFO, NULL, "database session open", "{s:s}", "session", db->name);

    enter(db);
    if (db->state_cb != NULL)
        db->state_cb(db, true, db->arg);
    leave(db);
}

/* PQconnectPoll() may change the socket at each step, so each has an event of its own. */
static void on_connect(evutil_socket_t fd, short what, void *arg)
{
    weir_db_t *db = arg;
    PostgresPollingStatusType step = PQconnectPoll(db->conn);

    (void)fd;
    (void)what;
    drop_event(&db->readable);

    switch (step) {
    case PGRES_POLLING_OK:
        opened(db);
        break;
    case PGRES_POLLING_READING:
    case PGRES_POLLING_WRITING:
        db->readable =
            event_new(db->base, PQsocket(db->conn),
                      step == PGRES_POLLING_READING ? EV_READ : EV_WRITE, on_connect, db);
        event_add(db->readable, NULL);
        break;
    default:
        lose(db, PQerrorMessage(db->conn));
    }
}

static void open_session(weir_db_t *db)
{
    char application[64];
    /* What stands before dbname gives way to conninfo, what stands after it does not. */
    const char *const keys[] = {"options",          "keepalives_idle",  "keepalives_interval",
                                "keepalives_count", "tcp_user_timeout", "dbname",
                                "client_encoding",  "application_name", NULL};
    const char *const values[] = {"-c statement_timeout=30s",
                                  "10",
                                  "5",
                                  "3",
                                  "20000",
                                  db->conninfo,
                                  "UTF8",
                                  application,
                                  NULL};

    snprintf(application, sizeof(application), "weir-%s", db->name);
    db->state = CONNECTING;
    db->conn = PQconnectStartParams(keys, values, 1);

    if (db->conn == NULL || PQstatus(db->conn) == CONNECTION_BAD) {
        lose(db, db->conn != NULL ? PQerrorMessage(db->conn) : "out of memory");
        return;
    }

    PQsetNoticeReceiver(db->conn, on_notice, db);
    /* The manual: wait for writing first, as if PQconnectPoll() had asked for it. */
    db->readable = event_new(db->base, PQsocket(db->conn), EV_WRITE, on_connect, db);
    event_add(db->readable, NULL);
    set_timer(db, CONNECT_LIMIT_MS);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    weir_db_t *db = arg;

    (void)fd;
    (void)what;

    switch (db->state) {
    case CLOSED:
        open_session(db);
        break;
    case CONNECTING:
        lose(db, "no connection within 5 s");
        break;
    case BROKEN:
        lose(db,
             PQstatus(db->conn) == CONNECTION_BAD ? PQerrorMessage(db->conn) : "session given up");
        break;
    case UP:
        if (db->in_flight == 0)
            db->checks = 0;
        else if (++db->checks > CHECKS_MAX) {
            lose(db, "no answer for 40 s");
            return;
        }
        set_timer(db, CHECK_MS);
        break;
    }
}

/* --- answers ----------------------------------------------------------------- */

static void keep_error(segment_t *s, const PGresult *result)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    size_t size;

    if (s->error != NULL)
        return;

    message = message != NULL ? message : "unexpected answer";
    size = strlen(message) + (detail != NULL ? strlen(detail) : 0) + sizeof(" ()");
    s->error = malloc(size);
    if (s->error == NULL)
        abort();
    if (detail != NULL)
        snprintf(s->error, size, "%s (%s)", message, detail);
    else
        snprintf(s->error, size, "%s", message);
    snprintf(s->sqlstate, sizeof(s->sqlstate), "%s", sqlstate != NULL ? sqlstate : "XX000");
}

/* Takes one result of the segment; it is the segment's from here on. */
static void take_result(weir_db_t *db, segment_t *s, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    int place = s->got < s->results ? s->got++ : -1; /* -1: the commit itself failed */

    if (!ok && status != PGRES_PIPELINE_ABORTED)
        keep_error(s, result);

    if (!ok && place >= 0 && place < s->parses)
        db->statements[s->parsed[place]].prepared = false;

    if (ok && place == s->results - 1)
        s->ok = result;
    else
        PQclear(result);
}

static void forget_stale_statement(weir_db_t *db, const segment_t *s)
{
    /* 0A000: "cached plan must not change result type", after a migration while we run. */
    if (s->error != NULL && strcmp(s->sqlstate, "0A000") == 0)
        for (int i = 0; i < db->n_statements; i++)
            db->statements[i].prepared = false;
}

/* Returns false when the session is gone. */
static bool read_results(weir_db_t *db)
{
    int silent = 0; /* NULLs in a row: one ends a statement's results, two are the end of input */

    while (db->state == UP && db->head != NULL && silent < 2 && !PQisBusy(db->conn)) {
        segment_t *s = db->head;
        PGresult *result = PQgetResult(db->conn);
        ExecStatusType status;

        if (result == NULL) {
            silent++;
            continue;
        }

        silent = 0;
        status = PQresultStatus(result);
        if (status != PGRES_PIPELINE_SYNC) {
            take_result(db, s, result);
            /* libpq would repeat a broken connection's error for ever */
            if (status == PGRES_FATAL_ERROR && PQstatus(db->conn) == CONNECTION_BAD)
                break;
            continue;
        }

        PQclear(result);
        assert(s->got == s->results);
        forget_stale_statement(db, s);
        db->head = s->next;
        if (db->head == NULL)
            db->tail = &db->head;
        db->in_flight--;
        enter(db);
        finish(s, NULL);
        if (!leave(db))
            return false;
    }

    return true;
}

/* Sends what libpq holds back; what the socket doesn't take now goes when it can. */
static bool flush(weir_db_t *db)
{
    int rc = PQflush(db->conn);

    if (rc == 1)
        event_add(db->writable, NULL);

    return rc >= 0;
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    weir_db_t *db = arg;
    bool ok;

    (void)fd;
    (void)what;

    if (db->state != UP)
        return;

    /* Read also when writable: the server may wait for us to read before it reads. */
    db->checks = 0;
    ok = PQconsumeInput(db->conn);
    if (!read_results(db) || db->state != UP)
        return;

    if (!ok || PQstatus(db->conn) == CONNECTION_BAD || !flush(db))
        lose(db, db->head != NULL && db->head->error != NULL ? db->head->error /* its last word */
                                                             : PQerrorMessage(db->conn));
}

/* --- statements -------------------------------------------------------------- */

/* The statement's place, or -1 when there are too many. */
static int find_statement(weir_db_t *db, const char *sql)
{
    int i;

    for (i = 0; i < db->n_statements; i++) {
        if (db->statements[i].sql == sql)
            return i;
    }

    if (i == WEIR_DB_STATEMENTS_MAX)
        return -1;

    db->statements[i] = (statement_t){.sql = sql, .prepared = false};
    db->n_statements++;

    return i;
}

static void statement_name(const statement_t *statement, char name[16])
{
    snprintf(name, 16, "w%u", statement->serial);
}

static bool send_segment(weir_db_t *db, segment_t *s, const int *places,
                         const weir_db_statement_t *statements, int count)
{
    char name[16];

    for (int i = 0; i < count; i++) {
        statement_t *statement = &db->statements[places[i]];

        if (statement->prepared)
            continue;

        statement->prepared = true;
        statement->serial = db->serial++;
        s->parsed[s->parses++] = places[i];
        statement_name(statement, name);
        if (!PQsendPrepare(db->conn, name, statement->sql, 0, NULL))
            return false;
    }

    s->results = s->parses + count;

    for (int i = 0; i < count; i++) {
        statement_name(&db->statements[places[i]], name);
        if (!PQsendQueryPrepared(db->conn, name, statements[i].n, statements[i].values, NULL, NULL,
                                 0))
            return false;
    }

    return PQpipelineSync(db->conn) && flush(db);
}

bool weir_db_transaction(weir_db_t *db, const weir_db_statement_t *statements, int count,
                         weir_db_cb cb, void *arg)
{
    int places[WEIR_DB_STATEMENTS_MAX];
    segment_t *s;

    assert(count > 0 && count <= WEIR_DB_STATEMENTS_MAX);

    if (db->state != UP || db->in_flight == WEIR_DB_IN_FLIGHT_MAX)
        return false;

    for (int i = 0; i < count; i++) {
        places[i] = find_statement(db, statements[i].sql);
        if (places[i] < 0)
            return false;
    }

    s = calloc(1, sizeof(*s) + (size_t)count * sizeof(s->parsed[0]));
    if (s == NULL)
        return false;

    s->cb = cb;
    s->arg = arg;

    if (!send_segment(db, s, places, statements, count)) {
        /* Part of it may be in the pipeline, whose order is lost. */
        free(s);
        break_session(db);
        return false;
    }

    if (db->in_flight == 0)
        db->checks = 0;
    *db->tail = s;
    db->tail = &s->next;
    db->in_flight++;

    return true;
}

bool weir_db_query(weir_db_t *db, const char *sql, int n, const char *const *values, weir_db_cb cb,
                   void *arg)
{
    weir_db_statement_t statement = {sql, n, values};

    return weir_db_transaction(db, &statement, 1, cb, arg);
}

/* --- life -------------------------------------------------------------------- */

weir_db_t *weir_db_new(struct event_base *base, const char *conninfo, const char *name,
                       weir_db_state_cb state, void *arg)
{
    weir_db_t *db = calloc(1, sizeof(*db));

    if (db == NULL)
        abort();

    db->base = base;
    db->conninfo = strdup(conninfo);
    db->name = strdup(name);
    db->state_cb = state;
    db->arg = arg;
    db->state = CLOSED;
    db->backoff_ms = BACKOFF_MIN_MS;
    db->tail = &db->head;
    db->timer = evtimer_new(base, on_timer, db);
    if (db->conninfo == NULL || db->name == NULL || db->timer == NULL)
        abort();
    set_timer(db, 0);

    return db;
}

void weir_db_free(weir_db_t *db)
{
    if (db == NULL || db->doomed)
        return;

    enter(db);
    db->doomed = true;
    event_del(db->timer);
    close_session(db, "session closed");
    leave(db);
}

bool weir_db_is_up(const weir_db_t *db)
{
    return db->state == UP;
}

unsigned weir_db_in_flight(const weir_db_t *db)
{
    return db->in_flight;
}

void weir_db_reset(weir_db_t *db)
{
    break_session(db);
}
