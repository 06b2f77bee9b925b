/*
 * A session ends only from the event loop (on_timer, on_socket), so no callback runs within a call
 * of the user.
 */
#include "db/private.h"

#include "common/ids/random.h"
#include "db/settings.h"
#include "log/alloc.h"
#include "log/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000
#define CONNECT_LIMIT_MS 5000
/*
 * The interval of the check whether the server owes an answer, and the number of checks until the
 * session is lost.
 */
#define CHECK_MS 5000
#define CHECKS_MAX 8

static unsigned n_sessions, n_open; /* of the process */

static void on_connect(evutil_socket_t fd, short what, void *arg);

static void set_timer(weir_db_t *db, unsigned ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};

    assert(db->timer != NULL);
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
    assert(db->depth == 0 && db->conn == NULL && db->in_flight == 0);
    drop_event(&db->timer);
    free(db->conninfo);
    free(db->name);
    free(db);
}

/* Around every callback, because the user may free the session in the callback. */
static void enter(weir_db_t *db)
{
    db->depth++;
}

static void leave(weir_db_t *db)
{
    assert(db->depth > 0);
    if (--db->depth == 0 && db->doomed)
        destroy(db);
}

/* Closes the session and fails all statements in flight, in their order. */
static void close_session(weir_db_t *db, const char *why)
{
    if (db->state == UP || db->state == BROKEN) {
        weir_series_subtract(db->n_open, 1);
        n_open--;
    }
    drop_event(&db->readable);
    drop_event(&db->writable);
    PQfinish(db->conn);
    db->conn = NULL;
    db->state = CLOSED;
    weir_pipeline_clear(db, why);
}

/* Closes the session and connects again later. Called from the event loop only. */
static void lose(weir_db_t *db, const char *why)
{
    bool was_up = db->state == UP || db->state == BROKEN;
    char reason[sizeof(db->logged)];
    unsigned random;

    assert(why != NULL && db->backoff_ms >= BACKOFF_MIN_MS);
    /* libpq adds advice on further lines. */
    snprintf(reason, sizeof(reason), "%.*s", (int)strcspn(why, "\n"), why);

    /* Logs each kind of failure once, not each attempt. */
    if (strcmp(reason, db->logged) != 0) {
        weir_log(WEIR_LOG_WARN, NULL,
                 was_up ? "database session lost" : "database cannot be reached", "{s:s,s:s}",
                 "session", db->name, "error", reason);
        memcpy(db->logged, reason, sizeof(reason));
    }

    if (was_up) {
        db->backoff_ms = BACKOFF_MIN_MS;
        weir_series_add(db->n_lost, 1);
    } else if (db->backoff_ms < BACKOFF_MAX_MS)
        db->backoff_ms *= 2;

    /* Half of the time is random, so that processes do not reconnect at the same time. */
    weir_random(&random, sizeof(random));
    set_timer(db, db->backoff_ms / 2 + random % (db->backoff_ms / 2 + 1));

    enter(db);
    close_session(db, reason[0] != '\0' ? reason : "database session lost");
    if (was_up && !db->doomed && db->state_cb != NULL)
        db->state_cb(db, false, db->arg);
    leave(db);
}

/* --- connecting -------------------------------------------------------------- */

static void on_notice(void *arg, const PGresult *result)
{
    weir_db_t *db = arg;
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    weir_log(WEIR_LOG_INFO, NULL, "database notice", "{s:s,s:s}", "session", db->name, "notice",
             text != NULL ? text : "");
}

/* The open session's socket is readable or writable. */
static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    weir_db_t *db = arg;
    const char *why;

    (void)fd;
    (void)what;
    if (db->state != UP)
        return;

    enter(db);
    db->checks = 0;
    why = weir_pipeline_turn(db);
    if (why != NULL)
        lose(db, why);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): lose() destroys nothing, as depth is not 0 */
    leave(db);
}

static void opened(weir_db_t *db)
{
    assert(db->state == CONNECTING);
    if (PQsetnonblocking(db->conn, 1) != 0 || !PQenterPipelineMode(db->conn)) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }

    drop_event(&db->readable);
    db->readable = event_new(db->base, PQsocket(db->conn), EV_READ | EV_PERSIST, on_socket, db);
    db->writable = event_new(db->base, PQsocket(db->conn), EV_WRITE, on_socket, db);
    event_add(db->readable, NULL);

    weir_random(&db->nonce, sizeof(db->nonce));
    db->state = UP;
    weir_series_add(db->n_open, 1);
    n_open++;
    db->checks = 0;
    db->backoff_ms = BACKOFF_MIN_MS;
    db->logged[0] = '\0';
    set_timer(db, CHECK_MS);
    weir_log(WEIR_LOG_INFO, NULL, "database session open", "{s:s}", "session", db->name);

    enter(db);
    if (db->first != NULL)
        (void)!weir_db_query(db, db->first, 0, NULL, NULL, NULL);
    if (db->state_cb != NULL)
        db->state_cb(db, true, db->arg);
    leave(db);
}

/* Answers to weir_db_settings_sql; the session is open after the last. */
static void on_settings(evutil_socket_t fd, short what, void *arg)
{
    weir_db_t *db = arg;
    char error[sizeof(db->logged)];
    PGresult *result;
    bool ok;

    assert(db->state == CONNECTING && db->conn != NULL);
    (void)fd;
    (void)what;
    if (!PQconsumeInput(db->conn)) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }
    while (!PQisBusy(db->conn)) {
        result = PQgetResult(db->conn);
        if (result == NULL) {
            opened(db);
            return;
        }
        ok = weir_db_settings_check(result, error, sizeof(error));
        PQclear(result);
        if (!ok) {
            lose(db, error);
            return;
        }
    }
}

/* Does not block: the text fits into the buffers of a new connection. */
static void send_settings(weir_db_t *db)
{
    if (!PQsendQuery(db->conn, weir_db_settings_sql)) {
        lose(db, PQerrorMessage(db->conn));
        return;
    }
    db->readable = event_new(db->base, PQsocket(db->conn), EV_READ | EV_PERSIST, on_settings, db);
    event_add(db->readable, NULL);
}

/* PQconnectPoll() may change the socket at each step, so each step creates a new event. */
static void on_connect(evutil_socket_t fd, short what, void *arg)
{
    weir_db_t *db = arg;
    PostgresPollingStatusType step = PQconnectPoll(db->conn);

    assert(db->state == CONNECTING && db->conn != NULL);
    (void)fd;
    (void)what;
    drop_event(&db->readable);

    switch (step) {
    case PGRES_POLLING_OK:
        send_settings(db);
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

/*
 * libpq goes on to the next host of a list when one refuses, but waits for one that says nothing:
 * a machine that is off, a server that stands still.  So after a time-out the list begins with the
 * next one.
 *
 * Returns NULL, or why it cannot begin; error is room for a message.
 */
static const char *start_connecting(weir_db_t *db, char *error, size_t size)
{
    char application[64], *password;
    char *options = weir_db_options(db->conninfo, "-c statement_timeout=30s");
    char *host = weir_db_rotated(db->conninfo, "host", db->turn);
    char *address = weir_db_rotated(db->conninfo, "hostaddr", db->turn);
    char *port = weir_db_rotated(db->conninfo, "port", db->turn);
    /* conninfo overrides keys before dbname, but not keys after it. */
    const char *const keys[] = {"keepalives_idle",
                                "keepalives_interval",
                                "keepalives_count",
                                "tcp_user_timeout",
                                "dbname",
                                "options",
                                "client_encoding",
                                "application_name",
                                "host",
                                "hostaddr",
                                "port",
                                "password",
                                NULL};
    bool fine = weir_db_password(db->conninfo, &password, error, size);
    const char *const values[] = {"10",    "5",      "3",         "20000", db->conninfo,
                                  options, "UTF8",   application, host,    address,
                                  port,    password, NULL};

    assert(db->state == CONNECTING && db->conn == NULL && db->in_flight == 0);
    snprintf(application, sizeof(application), "weir-%s", db->name);
    if (fine)
        db->conn = PQconnectStartParams(keys, values, 1);
    weir_db_password_forget(password);
    free(options);
    free(host);
    free(address);
    free(port);
    if (!fine)
        return error;
    if (db->conn == NULL)
        return "out of memory";

    return PQstatus(db->conn) == CONNECTION_BAD ? PQerrorMessage(db->conn) : NULL;
}

static void open_session(weir_db_t *db)
{
    char error[1280];
    const char *why;

    db->state = CONNECTING;
    why = start_connecting(db, error, sizeof(error));
    if (why != NULL) {
        lose(db, why);
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
        db->turn++;
        lose(db, "no connection within 5 s");
        break;
    case BROKEN:
        lose(db,
             PQstatus(db->conn) == CONNECTION_BAD ? PQerrorMessage(db->conn) : "session dropped");
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

/* --- life -------------------------------------------------------------------- */

weir_db_t *weir_db_new(struct event_base *base, const char *conninfo, const char *name,
                       weir_db_state_cb state, void *arg)
{
    weir_db_t *db = weir_alloc(sizeof(*db));

    assert(base != NULL && conninfo != NULL && name != NULL);
    db->base = base;
    db->conninfo = weir_alloc_text(conninfo);
    db->name = weir_alloc_text(name);
    db->n_sessions = weir_series(WEIR_DB_SESSIONS, &name);
    db->n_open = weir_series(WEIR_DB_SESSIONS_OPEN, &name);
    db->n_lost = weir_series(WEIR_DB_SESSIONS_LOST, &name);
    weir_series_add(db->n_sessions, 1);
    n_sessions++;
    db->state_cb = state;
    db->arg = arg;
    db->state = CLOSED;
    db->backoff_ms = BACKOFF_MIN_MS;
    db->tail = &db->head;
    db->timer = evtimer_new(base, on_timer, db);
    set_timer(db, 0);

    return db;
}

weir_db_t *weir_db_beside(const weir_db_t *db, const char *name, weir_db_state_cb state, void *arg)
{
    return weir_db_new(db->base, db->conninfo, name, state, arg);
}

struct event_base *weir_db_base(const weir_db_t *db)
{
    return db->base;
}

void weir_db_begin_with(weir_db_t *db, const char *sql)
{
    db->first = sql;
}

void weir_db_free(weir_db_t *db)
{
    if (db == NULL || db->doomed)
        return;

    weir_series_subtract(db->n_sessions, 1);
    n_sessions--;
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

void weir_db_count(unsigned *sessions, unsigned *open)
{
    *sessions = n_sessions;
    *open = n_open;
}

unsigned weir_db_in_flight(const weir_db_t *db)
{
    return db->in_flight;
}
