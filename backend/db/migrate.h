/*
 * Migrations. Each part of the backend that has SQL (events, idempotency keys, the domain) keeps it
 * in its folder sql/, as a line of migrations: numbered files, NNN_name.sql, that change its tables
 * step by step, and functions/ with its functions. `make` compiles these files into the program
 * (scripts/build/embed-sql.sh), so program and SQL always have the same version.
 *
 * Each numbered file is run once, in a transaction of its own that also records it in the table
 * schema_migrations. A file that begins with the line "-- outside a transaction" has statements
 * that must not be in a transaction (CREATE INDEX CONCURRENTLY), with blank lines between them; it
 * must work when it is run again after an interruption. Then the functions of all lines are
 * created, in one transaction and on every call: functions are code, not state, so the files must
 * work when they are run again (CREATE OR REPLACE, DROP … IF EXISTS). So a numbered file must not
 * call a function.
 *
 * Lines are migrated in the given order, each to its newest migration before the next begins. A
 * later line may use the tables of earlier lines, in the form of their newest migration.
 *
 * CREATE OR REPLACE can change neither a result's type nor a parameter's name, and with other
 * parameters it creates a second function beside the first. So the functions that the files define
 * ("CREATE OR REPLACE FUNCTION name(" at a line's start), with whatever parameters they have in the
 * database, are dropped first, in the same transaction. A function on which another object depends
 * (a trigger, an index, a default) is replaced, not dropped; no other function is changed.
 *
 * An advisory lock prevents two migrations at the same time. Blocking: not for the event loop.
 */
#ifndef WEIR_MIGRATE_H
#define WEIR_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
    const char
        *path; /* "backend/events/sql/002_events.sql": letters, digits, _ and - in its name */
    const char *text;
} weir_sql_file_t;

/*
 * scripts/build/embed-sql.sh generates weir_sql_NAME from a folder sql/, where NAME is the folder's
 * parent. Lists end with a path of NULL; migrations are in the order of their names.
 */
typedef struct {
    const char *name;   /* recorded in schema_migrations, so it must not change; a-z, 0-9 and _ */
    const char *folder; /* "backend/events/sql" */
    const weir_sql_file_t *migrations;
    const weir_sql_file_t *functions;
} weir_sql_line_t;

/* Functions for the SQL of all other lines. This line has no tables. */
extern const weir_sql_line_t weir_sql_db;

/*
 * Migrates the database to the newest migration of each line; lines ends with NULL. On failure
 * returns false with a message that names the file; the changes of earlier files remain. A database
 * that has a line or a migration that is not among these belongs to a later version or to another
 * domain: it is refused and not changed.
 */
bool weir_migrate(const char *conninfo, const weir_sql_line_t *const *lines, char *error,
                  size_t error_size) __attribute__((warn_unused_result));

#endif
