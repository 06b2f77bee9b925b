/* The codes of errors (PostgreSQL manual, appendix A). */
#ifndef WEIR_SQLSTATE_H
#define WEIR_SQLSTATE_H

#include <stdbool.h>

/*
 * True when sqlstate (PostgreSQL manual, appendix A) is about the server or the session, not about
 * the statement: lost, shutting down, out of resources, a standby, a deadlock, a plan that a
 * migration has made stale, a missing privilege, a schema of another version. The same statement
 * may succeed later; whether it was executed is unknown.
 */
bool weir_db_is_away(const char *sqlstate);

/*
 * For the log: what an operator can do about an error of that code, or NULL. When a table, column
 * or function is missing, the schema has another version.
 */
const char *weir_db_advice(const char *sqlstate);

#endif
