/*
 * The settings under which Weir's SQL means what it should, whatever the server's configuration,
 * the database (ALTER DATABASE … SET) or the role (ALTER ROLE … SET) says.  A session sets them
 * before anything else; what cannot be set makes it unusable, with a message.
 *
 * Left alone is what an operator tunes (work_mem, cost parameters, logging), synchronous_commit
 * unless it is off, and statement_timeout and lock_timeout where the connection string sets them.
 */
#ifndef WEIR_DB_SETTINGS_H
#define WEIR_DB_SETTINGS_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * For libpq's "options".  libpq judges a server's read-only state (target_session_attrs) before the
 * statements below can run, by what the role's settings say.
 */
#define WEIR_DB_OPTIONS "-c default_transaction_read_only=off"

/*
 * The value of libpq's "options" for a session: ours (defaults), those of conninfo, which win over
 * ours, and WEIR_DB_OPTIONS, which win over all; to be freed.  It is to stand behind conninfo's
 * place.
 */
char *weir_db_options(const char *conninfo, const char *ours);

/*
 * The value that conninfo has for the keyword, a list with commas, with its first `by` elements
 * moved behind the others; to be freed.  NULL when it has none, or a single element.
 */
char *weir_db_rotated(const char *conninfo, const char *keyword, unsigned by);

/* Statements for the simple query protocol, with more than one result. */
extern const char weir_db_settings_sql[];

/* Looks at one of its results; false with a message when the session must not be used. */
bool weir_db_settings_check(const PGresult *result, char *error, size_t size);

/* Blocking: runs them. */
bool weir_db_settings_apply(PGconn *conn, char *error, size_t size)
    __attribute__((warn_unused_result));

#endif
