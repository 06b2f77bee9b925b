/*
 * Each transaction in flight is a segment of the pipeline: Parse messages of
 * statements not seen before in this session, then the statements, then often Flush, then Sync.
 * Segments are answered in the order of the list.
 *
 * The server commits when it has read Sync. Flush makes it send the results before: so the time of
 * the statements and that of the commit, which waits for the disk, are known apart. That costs both
 * sides a system call or two, so it is done for all transactions only where spans are recorded.
 *
 * A statement is marked as prepared when its Parse is sent. If that Parse fails, or is skipped
 * after an earlier error, the mark is removed when the answer arrives; segments that were sent
 * meanwhile fail with SQLSTATE 26000 and change nothing.
 *
 * A statement's name contains a random number of the session. A pooler may share a session of the
 * server between clients (the settings forbid it, but this is not detected at once): then the name
 * is unknown or ours, but never another client's statement.
 */
#include "db/private.h"

#include "log/alloc.h"
#include "log/clock.h"
#include "log/log.h"
#include "trace/tracer.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where no spans are recorded, the commit of one in so many transactions is measured. */
#define FLUSH_EVERY 16

/* --- metrics ------------------------------------------------------------------ */

/* The text names no code of the server: such codes are many. */
static const char *kind_of_error(const char *sqlstate)
{
    return weir_db_is_away(sqlstate) ? "unavailable" : "refused";
}

uint64_t weir_db_spent_us(const weir_db_t *db)
{
    return db->spent_us;
}

uint64_t weir_db_executed_us(const weir_db_t *db)
{
    return db->executed_us;
}

/* sqlstate is NULL without an error. */
static void measure(weir_db_t *db, const segment_t *s, const char *sqlstate)
{
    const statement_t *statement;
    weir_series_t *series;
    uint64_t now = weir_clock_us();

    assert(s->last >= 0 && s->last < db->n_statements);
    statement = &db->statements[s->last];
    series = statement->duration;
    if (sqlstate != NULL)
        series =
            weir_series(WEIR_DB_DURATION, (const char *[]){"postgresql", statement->summary.text,
                                                           kind_of_error(sqlstate)});
    else if (s->executed_us != 0)
        weir_series_observe(statement->commit, now - s->executed_us);
    weir_series_observe(series, now - s->sent_us);
    db->spent_us = now - (s->sent_us > db->answered_us ? s->sent_us : db->answered_us);
    db->answered_us = now;
    db->executed_us = s->executed_us;
}

/* --- answers ----------------------------------------------------------------- */

/*
 * Calls the callback with the segment's outcome, or with the error lost if that is not NULL. Frees
 * the segment.
 */
static void finish_segment(segment_t *s, const char *lost)
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

static void keep_error(segment_t *s, const PGresult *result)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    size_t size;

    if (sqlstate != NULL && strcmp(sqlstate, "26000") == 0)
        detail = "a pooler must keep one session for each client, as PgBouncer does with"
                 " pool_mode = session";

    if (s->error != NULL)
        return;

    message = message != NULL ? message : "unexpected answer";
    size = strlen(message) + (detail != NULL ? strlen(detail) : 0) + sizeof(" ()");
    s->error = weir_alloc(size);
    if (detail != NULL)
        snprintf(s->error, size, "%s (%s)", message, detail);
    else
        snprintf(s->error, size, "%s", message);
    snprintf(s->sqlstate, sizeof(s->sqlstate), "%s", sqlstate != NULL ? sqlstate : "XX000");
}

/* Takes one result of the segment, and ownership of it. */
static void take_result(weir_db_t *db, segment_t *s, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    int place = s->got < s->results ? s->got++ : -1; /* -1: the commit itself failed */

    assert(s->parses <= s->results);
    if (!ok && status != PGRES_PIPELINE_ABORTED)
        keep_error(s, result);

    if (!ok && place >= 0 && place < s->parses)
        db->statements[s->parsed[place]].prepared = false;

    if (ok && place == s->results - 1) {
        s->ok = result;
        s->executed_us = s->flushed ? weir_clock_us() : 0;
    } else {
        PQclear(result);
    }
}

static void forget_stale_statement(weir_db_t *db, const segment_t *s)
{
    /* 0A000: "cached plan must not change result type", after a migration while we run. */
    if (s->error != NULL && strcmp(s->sqlstate, "0A000") == 0)
        for (int i = 0; i < db->n_statements; i++)
            db->statements[i].prepared = false;
}

/* Removes the first segment, which has its answer, from the list. */
static segment_t *take_head(weir_db_t *db)
{
    segment_t *s = db->head;

    assert(db->in_flight > 0 && s->got == s->results);
    db->head = s->next;
    if (db->head == NULL)
        db->tail = &db->head;
    db->in_flight--;

    return s;
}

/*
 * A callback may close the session. Returns NULL, or why the session is lost: answers that are not
 * the server's, but of something between it and us, belong to no known statement.
 */
static const char *read_results(weir_db_t *db)
{
    int silent =
        0; /* consecutive NULLs: one ends a statement's results, two are the end of the input */

    while (db->state == UP && db->head != NULL && silent < 2 && !PQisBusy(db->conn)) {
        PGresult *result = PQgetResult(db->conn);
        ExecStatusType status;
        segment_t *s;

        if (result == NULL) {
            silent++;
            continue;
        }

        silent = 0;
        status = PQresultStatus(result);
        if (status != PGRES_PIPELINE_SYNC) {
            take_result(db, db->head, result);
            /* libpq would return the error of a broken connection again and again */
            if (status == PGRES_FATAL_ERROR && PQstatus(db->conn) == CONNECTION_BAD)
                break;
            continue;
        }

        PQclear(result);
        if (db->head->got < db->head->results)
            return "a transaction has ended before its statements were answered";
        s = take_head(db);
        forget_stale_statement(db, s);
        measure(db, s, s->error != NULL ? s->sqlstate : NULL);
        finish_segment(s, NULL);
    }

    return NULL;
}

/* Sends buffered data; the rest is sent when the socket is writable. */
static bool flush(weir_db_t *db)
{
    int rc = PQflush(db->conn);

    assert(db->conn != NULL);
    if (rc == 1)
        event_add(db->writable, NULL);

    return rc >= 0;
}

const char *weir_pipeline_turn(weir_db_t *db)
{
    const char *why;
    bool ok;

    assert(db->state == UP && db->depth > 0);
    /* Reads also when the socket is writable: the server may read only after we have read. */
    ok = PQconsumeInput(db->conn);
    why = read_results(db);
    if (db->state != UP)
        return NULL; /* a callback has closed it */
    if (why != NULL)
        return why;
    if (ok && PQstatus(db->conn) != CONNECTION_BAD && flush(db))
        return NULL;

    return db->head != NULL && db->head->error != NULL
               ? db->head->error /* the server's last error */
               : PQerrorMessage(db->conn);
}

void weir_pipeline_clear(weir_db_t *db, const char *why)
{
    segment_t *s = db->head;

    assert(db->state == CLOSED && db->conn == NULL);
    db->head = NULL;
    db->tail = &db->head;
    db->in_flight = 0;

    while (s != NULL) {
        segment_t *next = s->next;

        measure(db, s, "08006");
        finish_segment(s, why);
        s = next;
    }
    db->n_statements = 0;
    db->bound_ms = 0;
}

void weir_db_reset(weir_db_t *db)
{
    if (db->state != UP)
        return;

    /* Only sets the state: callbacks are called from the event loop. */
    db->state = BROKEN;
    event_active(db->timer, EV_TIMEOUT, 0);
}

/* --- statements -------------------------------------------------------------- */

/* The index of the statement, or -1 when there are too many. */
static int find_statement(weir_db_t *db, const char *sql)
{
    int i;

    assert(db->n_statements <= WEIR_DB_STATEMENTS_MAX);
    for (i = 0; i < db->n_statements; i++) {
        if (db->statements[i].sql == sql)
            return i;
    }

    if (i == WEIR_DB_STATEMENTS_MAX)
        return -1;

    db->statements[i] = (statement_t){.sql = sql, .prepared = false};
    weir_db_summarize(sql, &db->statements[i].summary);
    db->statements[i].duration = weir_series(
        WEIR_DB_DURATION, (const char *[]){"postgresql", db->statements[i].summary.text, NULL});
    db->statements[i].commit =
        weir_series(WEIR_DB_COMMIT, (const char *[]){db->statements[i].summary.text});
    db->n_statements++;

    return i;
}

static bool send_segment(weir_db_t *db, segment_t *s, const int *places,
                         const weir_db_statement_t *statements, int count)
{
    assert(count > 0 && s->parses == 0);
    for (int i = 0; i < count; i++) {
        statement_t *statement = &db->statements[places[i]];

        if (statement->prepared)
            continue;

        statement->prepared = true;
        snprintf(statement->name, sizeof(statement->name), "w%016" PRIx64 "_%u", db->nonce,
                 db->serial++);
        s->parsed[s->parses++] = places[i];
        if (!PQsendPrepare(db->conn, statement->name, statement->sql, 0, NULL))
            return false;
    }

    s->results = s->parses + count;

    for (int i = 0; i < count; i++) {
        if (!PQsendQueryPrepared(db->conn, db->statements[places[i]].name, statements[i].n,
                                 statements[i].values, NULL, NULL, 0))
            return false;
    }

    s->flushed = weir_tracer_is_on() || db->statements[s->last].runs++ % FLUSH_EVERY == 0;
    if (s->flushed && !PQsendFlushRequest(db->conn))
        return false;

    return PQpipelineSync(db->conn) && flush(db);
}

static bool send_transaction(weir_db_t *db, const weir_db_statement_t *statements, int count,
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

    s = weir_alloc(sizeof(*s) + (size_t)count * sizeof(s->parsed[0]));
    s->cb = cb;
    s->arg = arg;
    s->last = places[count - 1];
    s->sent_us = weir_clock_us();

    if (!send_segment(db, s, places, statements, count)) {
        /* A part of the segment may have been sent, so the order of answers is lost. */
        free(s);
        weir_db_reset(db);
        return false;
    }

    if (db->in_flight == 0)
        db->checks = 0;
    assert(*db->tail == NULL && (db->in_flight == 0) == (db->head == NULL));
    *db->tail = s;
    db->tail = &s->next;
    db->in_flight++;

    return true;
}

/* --- bounds ------------------------------------------------------------------ */

/*
 * Its own transaction: what a transaction that fails has set is rolled back. The first one keeps
 * the session's own bound.
 */
static const char bound_sql[] =
    "WITH d AS (SELECT coalesce(nullif(current_setting('weir.statement_timeout', true), ''),"
    " current_setting('statement_timeout')) AS own)"
    " SELECT set_config('weir.statement_timeout', d.own, false), set_config('statement_timeout',"
    " CASE WHEN $1 = '0' OR d.own <> '0' AND extract(epoch FROM d.own::interval) * 1000 <= $1::int"
    " THEN d.own ELSE $1 END, false) FROM d";

void weir_db_bound(weir_db_t *db, unsigned ms)
{
    db->next_bound_ms = ms;
}

/* True if the bound of the session is the wanted one, or later by so little. */
static bool is_bounded(const weir_db_t *db, unsigned ms)
{
    return ms == 0 ? db->bound_ms == 0 : db->bound_ms >= ms && db->bound_ms - ms <= ms / 64;
}

static void on_bound(PGresult *result, const char *error, const char *sqlstate, void *arg)
{
    weir_db_t *db = arg;

    (void)sqlstate;
    /* If it is not known, a new session has its own one. */
    if (result == NULL && db->state == UP) {
        weir_log(WEIR_LOG_ERROR, NULL, "statement_timeout cannot be set", "{s:s}", "error", error);
        weir_db_reset(db);
    }
}

static bool set_bound(weir_db_t *db, unsigned ms)
{
    const char *values[] = {WEIR_NUMBER(ms)};
    const weir_db_statement_t statement = {bound_sql, 1, values};

    if (!send_transaction(db, &statement, 1, on_bound, db))
        return false;
    db->bound_ms = ms;

    return true;
}

bool weir_db_transaction(weir_db_t *db, const weir_db_statement_t *statements, int count,
                         weir_db_cb cb, void *arg)
{
    unsigned ms = db->next_bound_ms;

    db->next_bound_ms = 0;
    if (!is_bounded(db, ms) && !set_bound(db, ms))
        return false;

    return send_transaction(db, statements, count, cb, arg);
}

bool weir_db_query(weir_db_t *db, const char *sql, int n, const char *const *values, weir_db_cb cb,
                   void *arg)
{
    weir_db_statement_t statement = {sql, n, values};

    return weir_db_transaction(db, &statement, 1, cb, arg);
}
