/*
 * The settings that Weir's SQL relies on, whatever the server's configuration, the database (ALTER
 * DATABASE … SET) or the role (ALTER ROLE … SET) has. A session sets them first; if one cannot be
 * set, the session is not used, and the log has the reason.
 *
 * Not changed: settings for tuning (work_mem, cost parameters, logging), synchronous_commit unless
 * it is off, and statement_timeout and lock_timeout if the connection string sets them.
 */
#ifndef WEIR_DB_SETTINGS_H
#define WEIR_DB_SETTINGS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * For libpq's "options". libpq checks whether a server is read-only (target_session_attrs) before
 * the statements below can run, and uses the role's settings for that.
 */
#define WEIR_DB_OPTIONS "-c default_transaction_read_only=off"

/*
 * The value of libpq's "options" for a session, which the caller frees: ours (defaults), then those
 * of conninfo, which override ours, then WEIR_DB_OPTIONS, which override all. The key must come
 * after conninfo in the list of parameters.
 */
char *weir_db_options(const char *conninfo, const char *ours);

/*
 * The value that conninfo has for the keyword, a list with commas, with its first `by` elements
 * moved behind the others; to be freed.  NULL when it has none, or a single element.
 */
char *weir_db_rotated(const char *conninfo, const char *keyword, unsigned by);

/* Statements for the simple query protocol, with more than one result. */
extern const char weir_db_settings_sql[];

/* Checks one of its results. Returns false with a message when the session must not be used. */
bool weir_db_settings_check(const PGresult *result, char *error, size_t size);

/* Runs these statements. Blocking. */
bool weir_db_settings_apply(PGconn *conn, char *error, size_t size)
    __attribute__((warn_unused_result));

/*
 * Sessions with this connection string have the password that is in the file, whatever the string
 * says. The file is read for each connection, so that another password needs no restart. The texts
 * must live as long as the process; an empty name of a file does nothing.
 */
void weir_db_password_file(const char *conninfo, const char *file);

/*
 * Reads the password for a connection: sets *password, for the caller to free with
 * weir_db_password_forget(), or to NULL if there is no file for this connection string. Returns
 * false, with a message that names the file, if it cannot be read. Does not block.
 */
bool weir_db_password(const char *conninfo, char **password, char *error, size_t size)
    __attribute__((warn_unused_result));
/* Overwrites and frees it; NULL is allowed. */
void weir_db_password_forget(char *password);

#endif
