/*
 * Migrations.  Each part of the backend that has SQL (the engine of events, the idempotency keys,
 * the domain) keeps it in its folder sql/, as a line of its own: numbered files, NNN_name.sql, that
 * bring its tables up step by step, and functions/, its functions.  `make` compiles these files
 * into the program (scripts/build/embed-sql.sh), so program and SQL are always of one version.
 *
 * Each numbered file is run once, in a transaction of its own that also records it in the table
 * schema_migrations.  One that begins with the line "-- outside a transaction" has statements, with
 * blank lines between them, that are not in one (CREATE INDEX CONCURRENTLY); it must be fit to be
 * begun again after it was broken off.  Then the functions of all lines are made, in one
 * transaction and on every call: functions are code, not state, so the files must be fit to be run
 * again (CREATE OR REPLACE, DROP … IF EXISTS).  So a numbered file must call none of them.
 *
 * Lines come in the order in which they are given, each to its newest migration before the next
 * begins.  A later line may use the tables of earlier ones, as they are at the newest migration.
 *
 * CREATE OR REPLACE can change neither a result's type nor a parameter's name,
 * and with other parameters it makes a second function beside the first.  So
 * the functions that the files define ("CREATE OR REPLACE FUNCTION name(" at a
 * line's start), with whatever parameters they have in the database, are dropped
 * first, in the same transaction.  A function that something else hangs on (a
 * trigger, an index, a default) stays and is replaced; no other one is touched.
 *
 * An advisory lock keeps two of them apart.  Blocking; not for the event loop.
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
 * What scripts/build/embed-sql.sh makes of a folder sql/: weir_sql_NAME, where NAME is the folder's
 * parent.  Lists end with a path of NULL; migrations are in the order of their names.
 */
typedef struct {
    const char *name;   /* in schema_migrations, so it stays; a-z, 0-9 and _ */
    const char *folder; /* "backend/events/sql" */
    const weir_sql_file_t *migrations;
    const weir_sql_file_t *functions;
} weir_sql_line_t;

/* Functions for the SQL of all other lines; it has no tables. */
extern const weir_sql_line_t weir_sql_db;

/*
 * Brings the database up to the newest migration of each line; the last one is followed by NULL.
 * Returns false with a message that names the file when something went wrong; what earlier files
 * did stays.  A database with a migration, or a line, that is not among these is refused and stays
 * as it is: it belongs to a later version, or to another domain.
 */
bool weir_migrate(const char *conninfo, const weir_sql_line_t *const *lines, char *error,
                  size_t error_size) __attribute__((warn_unused_result));

#endif
