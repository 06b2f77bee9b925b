#include "db/settings.h"

#include "log/alloc.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWORD_MAX 1024 /* bytes */

/*
 * Every name is qualified, because search_path is not set yet. Only settings that differ are set:
 * some of them need a superuser. Names that this version of PostgreSQL does not have are skipped
 * (current_setting() is NULL for them).
 *
 * The schema is the one with Weir's tables: the first such schema in the present search path, or
 * the only one in the database. If the session has a role (SET role) that may not use these tables,
 * the role is reset.
 */
const char weir_db_settings_sql[] =
    "SELECT pg_catalog.set_config(w.name, w.value, false) FROM (VALUES"
    /* the form of literals and values */
    " ('array_nulls', 'on'), ('backslash_quote', 'safe_encoding'), ('bytea_output', 'hex'),"
    " ('client_encoding', 'UTF8'), ('DateStyle', 'ISO, YMD'), ('extra_float_digits', '1'),"
    " ('IntervalStyle', 'postgres'), ('lc_monetary', 'C'), ('lc_numeric', 'C'), ('lc_time', 'C'),"
    " ('standard_conforming_strings', 'on'), ('TimeZone', 'UTC'), ('transform_null_equals', 'off'),"
    " ('xmlbinary', 'base64'), ('xmloption', 'content'), ('default_text_search_config',"
    "  'pg_catalog.simple'), ('quote_all_identifiers', 'off'),"
    /* transactions, and the session's life */
    " ('default_transaction_isolation', 'read committed'), ('default_transaction_read_only', "
    "'off'),"
    " ('default_transaction_deferrable', 'off'), ('idle_in_transaction_session_timeout', '0'),"
    " ('idle_session_timeout', '0'), ('transaction_timeout', '0'), ('exit_on_error', 'off'),"
    " ('session_replication_role', 'origin'), ('row_security', 'on'),"
    " ('restrict_nonsystem_relation_kind', ''),"
    /* functions */
    " ('plpgsql.extra_errors', 'none'), ('plpgsql.extra_warnings', 'none'),"
    " ('client_min_messages', 'notice'), ('check_function_bodies', 'on'),"
    /* plans: short statements */
    " ('jit', 'off'), ('plan_cache_mode', 'auto'), ('force_parallel_mode', 'off'),"
    " ('debug_parallel_query', 'off'), ('default_table_access_method', 'heap')"
    ") w(name, value) WHERE pg_catalog.current_setting(w.name, true) <> w.value"
    " UNION ALL "
    "SELECT pg_catalog.set_config(s.name, s.boot_val, false) FROM pg_catalog.pg_settings s"
    " WHERE pg_catalog.starts_with(s.name, 'enable_') AND s.setting <> s.boot_val"
    "  AND s.source IN ('database', 'user', 'database user', 'global')"
    " UNION ALL "
    "SELECT pg_catalog.set_config(w.name, w.value, false)"
    " FROM (VALUES ('statement_timeout', '30s'), ('lock_timeout', '0')) w(name, value)"
    " JOIN pg_catalog.pg_settings s ON s.name = w.name"
    " WHERE s.source <> 'client' AND pg_catalog.current_setting(w.name) <> w.value"
    " UNION ALL "
    /*
     * A session of a machine that is down must not keep its locks: the server's default is two
     * hours.
     */
    "SELECT pg_catalog.set_config(w.name, w.value, false)"
    " FROM (VALUES ('tcp_keepalives_idle', '10'), ('tcp_keepalives_interval', '5'),"
    "  ('tcp_keepalives_count', '3'), ('tcp_user_timeout', '20000')) w(name, value)"
    " JOIN pg_catalog.pg_settings s ON s.name = w.name"
    " WHERE s.setting = '0' OR s.setting::bigint > w.value::bigint"
    " UNION ALL "
    /* The server must not lose a published position in a crash. */
    "SELECT pg_catalog.set_config('synchronous_commit', 'on', false)"
    " WHERE pg_catalog.current_setting('synchronous_commit') = 'off';"

    "WITH ours AS ("
    " SELECT pg_catalog.quote_ident(n.nspname) AS name, pg_catalog.pg_table_is_visible(c.oid) AS "
    "seen,"
    "  pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
    "   AND (pg_catalog.has_table_privilege(c.oid, 'INSERT') OR EXISTS (SELECT"
    "    FROM pg_catalog.pg_roles r WHERE r.rolname IN ('weir_api', 'weir_relay', 'weir_worker',"
    "     'weir_ctl', 'weir_operator') AND pg_catalog.pg_has_role(r.oid, 'USAGE'))) AS may"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = 'outbox' AND c.relkind = 'r' AND EXISTS (SELECT FROM pg_catalog.pg_class m"
    "  WHERE m.relname = 'schema_migrations' AND m.relnamespace = n.oid)"
    "), chosen AS ("
    " SELECT o.name, o.may FROM ours o"
    " WHERE o.seen OR 1 = (SELECT count(*) FROM ours) ORDER BY o.seen DESC LIMIT 1"
    ") SELECT pg_catalog.current_setting('server_encoding') AS encoding,"
    " (SELECT count(*) FROM ours) AS schemas, (SELECT count(*) FROM chosen) AS chosen,"
    " (SELECT pg_catalog.string_agg(o.name, ', ') FROM ours o) AS names,"
    " (SELECT pg_catalog.set_config('search_path', c.name, false) FROM chosen c),"
    " (SELECT pg_catalog.set_config('role', 'none', false) FROM chosen c"
    "  WHERE NOT c.may AND pg_catalog.current_setting('role') <> 'none')";

char *weir_db_options(const char *conninfo, const char *ours)
{
    assert(conninfo != NULL && ours != NULL);
    PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL), *o;
    const char *theirs = "";
    char *options;

    for (o = parsed; o != NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "options") == 0 && o->val != NULL)
            theirs = o->val;
    }
    options = weir_alloc_format("%s %s " WEIR_DB_OPTIONS, ours, theirs);
    PQconninfoFree(parsed);
    return options;
}

char *weir_db_rotated(const char *conninfo, const char *keyword, unsigned by)
{
    PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL), *o;
    const char *list = "", *rest;
    char *rotated = NULL;
    unsigned count = 1;

    for (o = parsed; o != NULL && o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL)
            list = o->val;
    }
    for (const char *p = list; *p != '\0'; p++)
        count += *p == ',';
    if (count > 1) {
        rest = list;
        for (unsigned i = 0; i < by % count; i++)
            rest = strchr(rest, ',') + 1;
        rotated = rest == list ? weir_alloc_text(list)
                               : weir_alloc_format("%s,%.*s", rest, (int)(rest - list - 1), list);
    }
    PQconninfoFree(parsed);
    return rotated;
}

/* The row about the database: its encoding, and the schemas that have Weir's tables. */
static bool check_database(const PGresult *result, char *error, size_t size)
{
    const char *encoding = PQgetvalue(result, 0, PQfnumber(result, "encoding"));

    if (strcmp(encoding, "UTF8") != 0) {
        snprintf(error, size,
                 "the database's encoding is %s; it must be UTF8, or text of one request fails the "
                 "others' too",
                 encoding);
        return false;
    }
    if (strcmp(PQgetvalue(result, 0, PQfnumber(result, "chosen")), "0") == 0 &&
        strcmp(PQgetvalue(result, 0, PQfnumber(result, "schemas")), "0") != 0) {
        snprintf(error, size,
                 "Weir's tables are in more than one schema: %s; search_path must name one of them",
                 PQgetvalue(result, 0, PQfnumber(result, "names")));
        return false;
    }
    return true;
}

bool weir_db_settings_check(const PGresult *result, char *error, size_t size)
{
    const char *message;

    assert(size > 0);
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
        snprintf(error, size,
                 "a setting of the role or the database is unsuitable and cannot be changed: %s",
                 message != NULL ? message : PQresultErrorMessage(result));
        return false;
    }
    return PQfnumber(result, "chosen") < 0 || check_database(result, error, size);
}

bool weir_db_settings_apply(PGconn *conn, char *error, size_t size)
{
    PGresult *result;
    bool ok = PQsendQuery(conn, weir_db_settings_sql) == 1;

    assert(conn != NULL && size > 0);
    if (!ok)
        snprintf(error, size, "%s", PQerrorMessage(conn));
    while ((result = PQgetResult(conn)) != NULL) {
        ok = ok && weir_db_settings_check(result, error, size);
        PQclear(result);
    }
    return ok;
}

/* --- passwords ------------------------------------------------------------------------ */

static const char *password_of, *password_file;

void weir_db_password_file(const char *conninfo, const char *file)
{
    assert(conninfo != NULL && file != NULL);
    password_of = conninfo;
    password_file = *file != '\0' ? file : NULL;
}

/* Whatever is no regular file could make the process wait. Returns NULL, or why there is none. */
static const char *read_password(int fd, char *text)
{
    struct stat st;
    ssize_t n;

    if (fstat(fd, &st) != 0)
        return strerror(errno);
    if (!S_ISREG(st.st_mode))
        return "it is no regular file";
    n = read(fd, text, PASSWORD_MAX + 1);
    if (n < 0)
        return strerror(errno);
    if (n > PASSWORD_MAX || memchr(text, '\0', (size_t)n) != NULL)
        return "a password has at most 1024 bytes, and none is 0";
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
        n--;
    text[n] = '\0';

    return n > 0 ? NULL : "it is empty";
}

bool weir_db_password(const char *conninfo, char **password, char *error, size_t size)
{
    const char *why;
    int fd;

    assert(conninfo != NULL && size > 0);
    *password = NULL;
    if (password_file == NULL || strcmp(conninfo, password_of) != 0)
        return true;
    fd = open(password_file, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        why = strerror(errno);
    } else {
        *password = weir_alloc(PASSWORD_MAX + 2);
        why = read_password(fd, *password);
        close(fd);
    }
    if (why == NULL)
        return true;
    snprintf(error, size, "the file of the password, %s: %s", password_file, why);
    weir_db_password_forget(*password);
    *password = NULL;

    return false;
}

void weir_db_password_forget(char *password)
{
    if (password != NULL)
        explicit_bzero(password, PASSWORD_MAX + 2);
    free(password);
}
