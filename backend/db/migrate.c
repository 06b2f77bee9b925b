#include "db/migrate.h"

#include "db/settings.h"
#include "log/alloc.h"
#include "log/log.h"

#include <libpq-fe.h>

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define LOCK_TIMEOUT "1000" /* ms */
#define LOCK_RETRY 500      /* ms */

/*
 * A constant that no other program locks in the database: "weir" in ASCII (the relay has 1, workers
 * 2).
 */
#define LOCK "(2003134834, 3)"

/* A file that begins with this line has statements that PostgreSQL refuses in a transaction. */
#define OUTSIDE "-- outside a transaction\n"

typedef struct {
    PGconn *conn;
    char *error;
    size_t error_size;
    bool locked; /* the last statement failed because it got no lock in time */
} job_t;

static bool fail(job_t *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(job_t *job, const char *format, ...)
{
    va_list ap;
    size_t len;

    assert(job->error_size > 0);
    va_start(ap, format);
    vsnprintf(job->error, job->error_size, format, ap);
    va_end(ap);

    len = strlen(job->error);
    while (len > 0 && job->error[len - 1] == '\n')
        job->error[--len] = '\0';

    return false;
}

/* Runs any number of statements; what names their purpose in the message. */
static bool run(job_t *job, const char *what, const char *sql)
{
    PGresult *result = PQexec(job->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
              status == PGRES_EMPTY_QUERY; /* blanks and comments */
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    assert(job->conn != NULL && sql != NULL);
    if (!ok)
        fail(job, "%s: %s", what, PQerrorMessage(job->conn));
    job->locked = sqlstate != NULL && strcmp(sqlstate, "55P03") == 0;
    PQclear(result);

    return ok;
}

/* Runs a query that gives one number. */
static bool ask(job_t *job, const char *what, const char *sql, long *out)
{
    PGresult *result = PQexec(job->conn, sql);
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;

    assert(job->conn != NULL && out != NULL);
    if (ok)
        *out = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    else
        fail(job, "%s: %s", what, PQerrorMessage(job->conn));
    PQclear(result);

    return ok;
}

/* --- functions ------------------------------------------------------------------- */

/*
 * Drops all overloads of the function on which no other object depends. The function of a trigger,
 * for example, remains and is replaced by CREATE OR REPLACE. Fails if an earlier line has created
 * the function in this transaction: a domain must not replace a function of the engine.
 */
static bool drop_function(job_t *job, const char *file, const char *name, size_t len)
{
    static const char format[] =
        "DO $drop$ DECLARE f regprocedure; BEGIN "
        "IF EXISTS (SELECT FROM pg_proc p WHERE p.proname = %1$s"
        " AND p.pronamespace = current_schema()::regnamespace"
        " AND p.xmin = pg_current_xact_id()::xid) THEN"
        " RAISE EXCEPTION 'a folder before this one has a function %%() already', %1$s; END IF; "
        "FOR f IN SELECT p.oid FROM pg_proc p "
        " WHERE p.proname = %1$s AND p.pronamespace = current_schema()::regnamespace"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_proc'::regclass"
        "                 AND d.refobjid = p.oid) "
        "LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $drop$";
    char sql[sizeof(format) + 480];
    char *quoted = PQescapeLiteral(job->conn, name, len);
    bool ok;

    assert(len > 0 && len < 64);
    if (quoted == NULL)
        return fail(job, "%s: %s", file, PQerrorMessage(job->conn));

    snprintf(sql, sizeof(sql), format, quoted);
    PQfreemem(quoted);
    ok = run(job, file, sql);

    return ok;
}

/* Drops the functions that the file defines. */
static bool drop_functions(job_t *job, const char *path, const char *text)
{
    static const char create[] = "CREATE OR REPLACE FUNCTION ";
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    bool ok = true;

    for (const char *p = text; ok && p != NULL; p = strchr(p, '\n')) {
        const char *name;
        size_t len;

        p += *p == '\n';
        if (strncasecmp(p, create, sizeof(create) - 1) != 0)
            continue;
        name = p + sizeof(create) - 1;
        len = strspn(name, letters);
        if (len == 0 || len >= 64 || name[len] != '(')
            ok = fail(job,
                      "%s: a function's name must be 1 to 63 of a-z, 0-9 and _, followed by "
                      "\"(\": \"%.40s\"",
                      path, p);
        else
            ok = drop_function(job, path, name, len);
    }

    return ok;
}

/* Runs, or drops, all functions of the line. */
static bool each_function(job_t *job, const weir_sql_line_t *line,
                          bool (*act)(job_t *, const char *path, const char *text))
{
    for (const weir_sql_file_t *f = line->functions; f->path != NULL; f++) {
        if (!act(job, f->path, f->text))
            return false;
    }

    return true;
}

/* db/sql/functions/grants.sql has it, if that line is among those that are migrated. */
static const char grant_end[] = "DO $$ BEGIN IF to_regprocedure('grant_end()') IS NOT NULL THEN"
                                " PERFORM grant_end(); END IF; END $$";

/*
 * Creates the functions of all lines in one transaction, so running processes never see functions
 * of two versions. Creates them twice: first without a check of the bodies, because functions may
 * call each other in any order; then with this check, so that a mistake is found here and not at
 * run time.
 */
static bool create_functions(job_t *job, const weir_sql_line_t *const *lines)
{
    bool ok = run(job, "functions",
                  "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL check_function_bodies = off");

    for (size_t i = 0; ok && lines[i] != NULL; i++)
        ok = each_function(job, lines[i], drop_functions) && each_function(job, lines[i], run);
    ok = ok && run(job, "functions", "SET LOCAL check_function_bodies = on");
    for (size_t i = 0; ok && lines[i] != NULL; i++)
        ok = each_function(job, lines[i], run);
    ok = ok && run(job, "rights", grant_end);

    return ok && run(job, "functions", "COMMIT");
}

/* --- what the database has ---------------------------------------------------------- */

static const char *name_of(const weir_sql_file_t *file)
{
    const char *slash = strrchr(file->path, '/');

    return slash != NULL ? slash + 1 : file->path;
}

/* NNN of NNN_name.sql; -1 if the name has another form. */
static long number_of(const weir_sql_file_t *file)
{
    const char *name = name_of(file);

    for (int i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)name[i]))
            return -1;
    }

    return name[3] == '_' ? strtol(name, NULL, 10) : -1;
}

/* Fails for wrong names and numbers. The generator has sorted the files by name. */
static bool check_numbers(job_t *job, const weir_sql_line_t *line)
{
    long known = -1;

    for (const weir_sql_file_t *f = line->migrations; f->path != NULL; f++) {
        long version = number_of(f);

        if (version < 0)
            return fail(job, "%s: the name of a migration must be NNN_name.sql", f->path);
        if (version == known)
            return fail(job, "%s: two migrations have the number %03ld", f->path, version);
        assert(version > known);
        known = version;
    }

    return true;
}

static long newest_of(const weir_sql_line_t *line)
{
    long newest = -1;

    for (const weir_sql_file_t *f = line->migrations; f->path != NULL; f++)
        newest = number_of(f);

    return newest;
}

/*
 * Early versions had a single line, and a table without the column "line". Each record of that time
 * gets the line that has the file of this number and name.
 */
static bool adopt(job_t *job, const weir_sql_line_t *line)
{
    bool ok = true;

    for (const weir_sql_file_t *f = line->migrations; ok && f->path != NULL; f++) {
        /* Names of lines and of files have no quote: see migrate.h. */
        char *sql = weir_alloc_format("UPDATE schema_migrations SET line = '%s'"
                                      " WHERE line = '' AND version = %ld AND name = '%s'",
                                      line->name, number_of(f), name_of(f));

        ok = run(job, "schema_migrations", sql);
        free(sql);
    }

    return ok;
}

/* Fails if the program does not have this line of the database, or not its newest migration. */
static bool check_known(job_t *job, const weir_sql_line_t *const *lines, const char *name,
                        long newest, const char *newest_name)
{
    while (*lines != NULL && strcmp((*lines)->name, name) != 0)
        lines++;

    if (*lines == NULL)
        return fail(job,
                    "the database has migration %s%s%s, which this weir-backend does not know: the "
                    "database belongs to another domain, or to another version of weir-backend",
                    name, *name != '\0' ? "/" : "", newest_name);
    if (newest > newest_of(*lines))
        return fail(job,
                    "the database has migration %03ld, but the newest in %s is %03ld: the "
                    "database belongs to a later version of weir-backend",
                    newest, (*lines)->folder, newest_of(*lines));

    return true;
}

static bool check_all_known(job_t *job, const weir_sql_line_t *const *lines)
{
    PGresult *result =
        PQexec(job->conn, "SELECT DISTINCT ON (line) line, version, name FROM schema_migrations"
                          " ORDER BY line, version DESC");
    bool ok = PQresultStatus(result) == PGRES_TUPLES_OK;
    int line = PQfnumber(result, "line"), version = PQfnumber(result, "version"),
        name = PQfnumber(result, "name");

    if (!ok)
        fail(job, "schema_migrations: %s", PQerrorMessage(job->conn));
    for (int i = 0; ok && i < PQntuples(result); i++)
        ok = check_known(job, lines, PQgetvalue(result, i, line),
                         strtol(PQgetvalue(result, i, version), NULL, 10),
                         PQgetvalue(result, i, name));
    PQclear(result);

    return ok;
}

/* All in one transaction: a database that is refused is not changed. */
static bool open_records(job_t *job, const weir_sql_line_t *const *lines)
{
    static const char table[] =
        "BEGIN;"
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        " version int NOT NULL,"
        " name text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now(),"
        " line text NOT NULL DEFAULT '',"
        " PRIMARY KEY (line, version));"
        "DO $$ BEGIN"
        " IF NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'schema_migrations'::regclass"
        "                AND attname = 'line' AND NOT attisdropped) THEN"
        "  ALTER TABLE schema_migrations ADD line text NOT NULL DEFAULT '',"
        "   DROP CONSTRAINT schema_migrations_pkey, ADD PRIMARY KEY (line, version);"
        " END IF; "
        "END $$";
    bool ok = run(job, "schema_migrations", table);

    for (size_t i = 0; ok && lines[i] != NULL; i++)
        ok = adopt(job, lines[i]);

    return ok && check_all_known(job, lines) && run(job, "schema_migrations", "COMMIT");
}

/*
 * What is made belongs to the role weir_migrate, if that is there for it: a member may log in under
 * several names in turn, and the objects have one owner. A database whose tables another role owns
 * is left as it is.
 */
static const char as_owner[] =
    "SELECT set_config('role', r.rolname, false) FROM pg_roles r"
    " WHERE r.rolname = 'weir_migrate' AND pg_has_role(r.oid, 'MEMBER')"
    " AND current_user <> r.rolname AND has_schema_privilege(r.oid, current_schema(), 'CREATE')"
    " AND coalesce((SELECT c.relowner = r.oid FROM pg_class c"
    "               WHERE c.oid = to_regclass('schema_migrations')), true)";

/* --- steps ------------------------------------------------------------------------ */

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    assert(ms > 0);
    nanosleep(&t, NULL);
}

/*
 * Polls instead of waiting in the server: CREATE INDEX CONCURRENTLY waits for all running
 * statements, also for one that waits for this lock.
 */
static bool lock_out_others(job_t *job)
{
    long taken = 0;

    for (bool said = false; !taken; said = true) {
        if (!ask(job, "advisory lock", "SELECT pg_try_advisory_lock" LOCK "::int", &taken))
            return false;
        if (!taken && !said)
            weir_log(WEIR_LOG_INFO, NULL, "waiting for another migration to finish", NULL);
        if (!taken)
            pause_ms(LOCK_RETRY);
    }

    return true;
}

/*
 * While a statement waits for a lock on a table, all later statements on the table wait too. So the
 * statement fails after LOCK_TIMEOUT, and the others continue. Returns true when the statement is
 * to be repeated.
 */
static bool lock_is_awaited(job_t *job, const char *name, bool *said)
{
    if (!job->locked)
        return false;
    if (!*said)
        weir_log(WEIR_LOG_WARN, NULL,
                 "a transaction holds a lock that the migration needs; retrying until the "
                 "transaction ends",
                 "{s:s}", "file", name);
    *said = true;
    if (!run(job, name, "ROLLBACK"))
        return false;
    pause_ms(LOCK_RETRY);

    return true;
}

static bool prepare(job_t *job, const weir_sql_line_t *const *lines)
{
    bool ok, said = false;

    for (size_t i = 0; lines[i] != NULL; i++) {
        if (!check_numbers(job, lines[i]))
            return false;
    }

    ok = lock_out_others(job) && run(job, "settings", "SET client_min_messages = warning");
    if (!ok)
        return false;
    while (!(ok = open_records(job, lines)) && lock_is_awaited(job, "schema_migrations", &said))
        ;

    return ok;
}

/*
 * Runs the statements of a file, which blank lines separate, one by one. Such statements do not
 * block reads and writes of a table, and may wait for long transactions.
 */
static bool run_outside(job_t *job, const char *name, const char *text)
{
    bool ok = run(job, name, "SET lock_timeout = 0");

    while (ok && text != NULL) {
        const char *end = strstr(text, "\n\n");
        char *sql =
            end != NULL ? weir_alloc_bytes(text, (size_t)(end - text)) : weir_alloc_text(text);

        ok = run(job, name, sql);
        free(sql);
        text = end != NULL ? end + 2 : NULL;
    }

    return ok && run(job, name, "SET lock_timeout = " LOCK_TIMEOUT);
}

static bool apply_text(job_t *job, const char *name, const char *text, const char *record)
{
    if (strncmp(text, OUTSIDE, sizeof(OUTSIDE) - 1) == 0)
        return run_outside(job, name, text) && run(job, name, record);

    return run(job, name, "BEGIN") && run(job, name, text) && run(job, name, record) &&
           run(job, name, "COMMIT");
}

static bool apply(job_t *job, const weir_sql_line_t *line, const weir_sql_file_t *file)
{
    char *record = weir_alloc_format("INSERT INTO schema_migrations (line, version, name)"
                                     " VALUES ('%s', %ld, '%s')",
                                     line->name, number_of(file), name_of(file));
    bool ok, said = false;

    while (!(ok = apply_text(job, file->path, file->text, record)) &&
           lock_is_awaited(job, file->path, &said))
        ;
    free(record);
    if (ok)
        weir_log(WEIR_LOG_INFO, NULL, "migration applied", "{s:s}", "file", file->path);

    return ok;
}

static bool apply_line(job_t *job, const weir_sql_line_t *line)
{
    for (const weir_sql_file_t *f = line->migrations; f->path != NULL; f++) {
        char *query = weir_alloc_format("SELECT count(*) FROM schema_migrations"
                                        " WHERE line = '%s' AND version = %ld",
                                        line->name, number_of(f));
        long applied;
        bool ok = ask(job, "schema_migrations", query, &applied);

        free(query);
        if (!ok || (!applied && !apply(job, line, f)))
            return false;
    }

    return true;
}

static bool migrate(job_t *job, const weir_sql_line_t *const *lines)
{
    int n = 0;

    if (!prepare(job, lines))
        return false;
    for (size_t i = 0; lines[i] != NULL; i++) {
        if (!apply_line(job, lines[i]))
            return false;
        for (const weir_sql_file_t *f = lines[i]->migrations; f->path != NULL; f++)
            n++;
    }
    if (!create_functions(job, lines))
        return false;

    weir_log(WEIR_LOG_INFO, NULL, "the schema is up to date", "{s:i}", "migrations", n);

    return true;
}

bool weir_migrate(const char *conninfo, const weir_sql_line_t *const *lines, char *error,
                  size_t error_size)
{
    char *options = weir_db_options(conninfo, "-c statement_timeout=0 -c lock_timeout=0");
    char *password;
    bool ok = weir_db_password(conninfo, &password, error, error_size);
    const char *const keys[] = {"dbname",           "options",  "client_encoding",
                                "application_name", "password", NULL};
    const char *const values[] = {conninfo, options, "UTF8", "weir-migrate", password, NULL};
    job_t job = {.error = error, .error_size = error_size};

    assert(conninfo != NULL && lines != NULL && error_size > 0);
    if (ok)
        job.conn = PQconnectdbParams(keys, values, 1);
    weir_db_password_forget(password);
    if (!ok)
        ; /* there is a message */
    else if (PQstatus(job.conn) != CONNECTION_OK)
        ok = fail(&job, "%s", PQerrorMessage(job.conn));
    else /* a migration has no time limit */
        ok = weir_db_settings_apply(job.conn, error, error_size) &&
             run(&job, "settings", "SET statement_timeout = 0; SET lock_timeout = " LOCK_TIMEOUT) &&
             run(&job, "role", as_owner) && migrate(&job, lines);
    PQfinish(job.conn);
    free(options);

    return ok;
}
