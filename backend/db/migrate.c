#include "db/migrate.h"

#include "db/settings.h"
#include "log/log.h"

#include <libpq-fe.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define FILE_MAX_BYTES 1048576
#define LOCK_TIMEOUT "1000" /* ms */
#define LOCK_RETRY 500      /* ms */

/* Any constant that nothing else in the database locks: "weir" in ASCII (the relay has 1, workers
 * 2). */
#define LOCK "(2003134834, 3)"

/* A file that begins with this line has statements that PostgreSQL refuses in a transaction. */
#define OUTSIDE "-- outside a transaction\n"

typedef struct {
    PGconn *conn;
    char *error;
    size_t error_size;
    bool locked; /* the last statement that failed did so because it got no lock in time */
} job_t;

static bool fail(job_t *job, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool fail(job_t *job, const char *format, ...)
{
    va_list ap;
    size_t len;

    va_start(ap, format);
    vsnprintf(job->error, job->error_size, format, ap);
    va_end(ap);

    len = strlen(job->error);
    while (len > 0 && job->error[len - 1] == '\n')
        job->error[--len] = '\0';

    return false;
}

/* Runs SQL, any number of statements; what it is for goes into the message. */
static bool run(job_t *job, const char *what, const char *sql)
{
    PGresult *result = PQexec(job->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);

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

    if (ok)
        *out = strtol(PQgetvalue(result, 0, 0), NULL, 10);
    else
        fail(job, "%s: %s", what, PQerrorMessage(job->conn));
    PQclear(result);

    return ok;
}

/* --- files ----------------------------------------------------------------------- */

static int is_sql(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return entry->d_name[0] != '.' && len > 4 && strcmp(entry->d_name + len - 4, ".sql") == 0;
}

/* Names of the folder's .sql files, sorted; -1 with a message. */
static int list_files(job_t *job, const char *folder, struct dirent ***files)
{
    int n = scandir(folder, files, is_sql, alphasort);

    if (n < 0)
        fail(job, "%s: %s", folder, strerror(errno));

    return n;
}

static void free_files(struct dirent **files, int n)
{
    for (int i = 0; i < n; i++)
        free(files[i]);
    free(files);
}

/* The file's text, to be freed; NULL with a message. */
static char *read_text(job_t *job, const char *path)
{
    FILE *f = fopen(path, "r");
    char *text;
    size_t len;

    if (f == NULL) {
        fail(job, "%s: %s", path, strerror(errno));
        return NULL;
    }

    text = malloc(FILE_MAX_BYTES + 1);
    if (text == NULL)
        abort();
    len = fread(text, 1, FILE_MAX_BYTES + 1, f);
    if (ferror(f) || len > FILE_MAX_BYTES || memchr(text, '\0', len) != NULL) {
        fail(job, "%s: it cannot be read, has more than %d bytes, or a NUL byte", path,
             FILE_MAX_BYTES);
        free(text);
        text = NULL;
    } else {
        text[len] = '\0';
    }
    fclose(f);

    return text;
}

static bool run_file(job_t *job, const char *folder, const char *name)
{
    char path[PATH_MAX];
    char *text;
    bool ok;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    text = read_text(job, path);
    if (text == NULL)
        return false;

    ok = run(job, path, text);
    free(text);

    return ok;
}

/*
 * Drops the function's every form that nothing hangs on.  A trigger's function
 * and the like stay: CREATE OR REPLACE has to do for them.
 */
static bool drop_function(job_t *job, const char *file, const char *name, size_t len)
{
    static const char format[] =
        "DO $drop$ DECLARE f regprocedure; BEGIN "
        "FOR f IN SELECT p.oid FROM pg_proc p "
        " WHERE p.proname = %s AND p.pronamespace = current_schema()::regnamespace"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.refclassid = 'pg_proc'::regclass"
        "                 AND d.refobjid = p.oid) "
        "LOOP EXECUTE 'DROP FUNCTION ' || f; END LOOP; END $drop$";
    char sql[sizeof(format) + 160];
    char *quoted = PQescapeLiteral(job->conn, name, len);
    bool ok;

    if (quoted == NULL)
        return fail(job, "%s: %s", file, PQerrorMessage(job->conn));

    snprintf(sql, sizeof(sql), format, quoted);
    PQfreemem(quoted);
    ok = run(job, file, sql);

    return ok;
}

/* Drops what the file is about to define. */
static bool drop_functions(job_t *job, const char *folder, const char *file)
{
    static const char create[] = "CREATE OR REPLACE FUNCTION ";
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    char path[PATH_MAX + 256];
    char *text;
    bool ok = true;

    snprintf(path, sizeof(path), "%s/%s", folder, file);
    text = read_text(job, path);
    if (text == NULL)
        return false;

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
                      "%s: a function's name must be 1 to 63 of a-z, 0-9 and _, with \"(\" "
                      "behind it: \"%.40s\"",
                      path, p);
        else
            ok = drop_function(job, path, name, len);
    }
    free(text);

    return ok;
}

/* NNN of NNN_name.sql, -1 if the name is no such. */
static long number_of(const char *name)
{
    for (int i = 0; i < 3; i++) {
        if (!isdigit((unsigned char)name[i]))
            return -1;
    }

    return name[3] == '_' ? strtol(name, NULL, 10) : -1;
}

/* --- steps ------------------------------------------------------------------------ */

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

/*
 * Tries, rather than waits in the server: CREATE INDEX CONCURRENTLY waits for all statements that
 * run, so also for one that waits for this lock.
 */
static bool prepare(job_t *job)
{
    long taken = 0;

    for (bool said = false; !taken; said = true) {
        if (!ask(job, "advisory lock", "SELECT pg_try_advisory_lock" LOCK "::int", &taken))
            return false;
        if (!taken && !said)
            weir_log(WEIR_LOG_INFO, NULL, "another migration is under way, waiting for it", NULL);
        if (!taken)
            pause_ms(LOCK_RETRY);
    }

    return run(job, "schema_migrations",
               "SET client_min_messages = warning;"
               "CREATE TABLE IF NOT EXISTS schema_migrations ("
               " version int PRIMARY KEY,"
               " name text NOT NULL,"
               " applied_at timestamptz NOT NULL DEFAULT now())");
}

/*
 * Statements of a file, with blank lines between them, each by itself.  Those that may not be in a
 * transaction lock no table against reading and writing, and may wait for long transactions.
 */
static bool run_outside(job_t *job, const char *name, char *text)
{
    bool ok = run(job, name, "SET lock_timeout = 0");

    for (char *next; ok && text != NULL; text = next) {
        next = strstr(text, "\n\n");
        if (next != NULL) {
            *next = '\0';
            next += 2;
        }
        ok = run(job, name, text);
    }

    return ok && run(job, name, "SET lock_timeout = " LOCK_TIMEOUT);
}

static bool apply_text(job_t *job, const char *name, char *text, const char *record)
{
    if (strncmp(text, OUTSIDE, sizeof(OUTSIDE) - 1) == 0)
        return run_outside(job, name, text) && run(job, name, record);

    return run(job, name, "BEGIN") && run(job, name, text) && run(job, name, record) &&
           run(job, name, "COMMIT");
}

/*
 * A statement that waits for a table's lock makes all later ones of the table wait behind it.  So it
 * gives up after LOCK_TIMEOUT, which lets these pass, and is tried again.
 */
static bool apply(job_t *job, const char *folder, const char *name, long version)
{
    char record[512], path[PATH_MAX];
    char *quoted = PQescapeLiteral(job->conn, name, strlen(name)), *text;
    bool ok = false;

    snprintf(record, sizeof(record),
             "INSERT INTO schema_migrations (version, name) VALUES (%ld, %s)", version,
             quoted != NULL ? quoted : "''");
    PQfreemem(quoted);
    snprintf(path, sizeof(path), "%s/%s", folder, name);

    for (bool said = false; (text = read_text(job, path)) != NULL; said = true) {
        ok = apply_text(job, path, text, record);
        free(text);
        if (ok || !job->locked)
            break;
        if (!said)
            weir_log(WEIR_LOG_WARN, NULL,
                     "a transaction holds a lock that the migration needs; it is tried again until "
                     "that ends",
                     "{s:s}", "file", name);
        if (!run(job, name, "ROLLBACK"))
            return false;
        pause_ms(LOCK_RETRY);
    }
    if (ok)
        weir_log(WEIR_LOG_INFO, NULL, "migration applied", "{s:s}", "file", name);

    return ok;
}

static bool apply_migrations(job_t *job, const char *folder, struct dirent **files, int n)
{
    long newest, known = -1;

    if (!ask(job, "schema_migrations", "SELECT coalesce(max(version), -1) FROM schema_migrations",
             &newest))
        return false;

    for (int i = 0; i < n; i++) {
        long version = number_of(files[i]->d_name);

        if (version < 0)
            return fail(job, "%s/%s: the name of a migration is NNN_name.sql", folder,
                        files[i]->d_name);
        if (version == known)
            return fail(job, "%s/%s: there are two migrations with the number %03ld", folder,
                        files[i]->d_name, version);
        known = version;
    }

    if (newest > known)
        return fail(job,
                    "the database has migration %03ld, %s knows none later than %03ld: the "
                    "database belongs to a later version of weir-backend",
                    newest, folder, known);

    for (int i = 0; i < n; i++) {
        long version = number_of(files[i]->d_name), applied;
        char query[128];

        snprintf(query, sizeof(query), "SELECT count(*) FROM schema_migrations WHERE version = %ld",
                 version);
        if (!ask(job, "schema_migrations", query, &applied))
            return false;
        if (!applied && !apply(job, folder, files[i]->d_name, version))
            return false;
    }

    return true;
}

/*
 * Twice: first without a look at the bodies, because functions may use each other
 * in any order, then with it, so that a mistake is found here and not at run time.
 */
static bool create_functions(job_t *job, const char *folder)
{
    struct dirent **files;
    int n = list_files(job, folder, &files);
    bool ok;

    if (n < 0)
        return false;

    ok = run(job, folder, "BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL check_function_bodies = off");
    for (int i = 0; ok && i < n; i++)
        ok = drop_functions(job, folder, files[i]->d_name);
    for (int i = 0; ok && i < n; i++)
        ok = run_file(job, folder, files[i]->d_name);
    ok = ok && run(job, folder, "SET LOCAL check_function_bodies = on");
    for (int i = 0; ok && i < n; i++)
        ok = run_file(job, folder, files[i]->d_name);
    ok = ok && run(job, folder, "COMMIT");
    free_files(files, n);

    return ok;
}

static bool migrate(job_t *job, const char *folder)
{
    char functions[PATH_MAX];
    struct dirent **files;
    int n;
    bool ok;

    n = list_files(job, folder, &files);
    if (n < 0)
        return false;
    ok = prepare(job) && apply_migrations(job, folder, files, n);
    free_files(files, n);

    snprintf(functions, sizeof(functions), "%s/functions", folder);

    ok = ok && create_functions(job, functions);
    if (ok)
        weir_log(WEIR_LOG_INFO, NULL, "the schema is up to date", "{s:s,s:i}", "sql", folder,
                 "migrations", n);

    return ok;
}

bool weir_migrate(const char *conninfo, const char *folder, char *error, size_t error_size)
{
    char *options = weir_db_options(conninfo, "-c statement_timeout=0 -c lock_timeout=0");
    const char *const keys[] = {"dbname", "options", "client_encoding", "application_name", NULL};
    const char *const values[] = {conninfo, options, "UTF8", "weir-migrate", NULL};
    job_t job = {.conn = PQconnectdbParams(keys, values, 1), .error = error, .error_size = error_size};
    bool ok;

    if (PQstatus(job.conn) != CONNECTION_OK)
        ok = fail(&job, "%s", PQerrorMessage(job.conn));
    else /* a migration takes as long as it takes */
        ok = weir_db_settings_apply(job.conn, error, error_size) &&
             run(&job, "settings", "SET statement_timeout = 0; SET lock_timeout = " LOCK_TIMEOUT) &&
             migrate(&job, folder);
    PQfinish(job.conn);
    free(options);

    return ok;
}
