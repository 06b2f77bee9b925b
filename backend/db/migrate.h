/*
 * Migrations: the numbered files of a folder, NNN_name.sql, bring the schema up
 * step by step, each in a transaction of its own that also records it in the
 * table schema_migrations.  One that begins with the line "-- outside a transaction"
 * has statements, with blank lines between them, that are not in one (CREATE INDEX
 * CONCURRENTLY); it must be fit to be begun again after it was broken off.  Then all of functions/NAME.sql is run, in one
 * transaction and on every call: functions are code, not state, so the files
 * must be fit to be run again (CREATE OR REPLACE, DROP … IF EXISTS).
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

/*
 * Returns false with a message that names the file when something went wrong;
 * what earlier files did stays.  A database with a migration that the folder does
 * not have is refused: it belongs to a later version.
 */
bool weir_migrate(const char *conninfo, const char *folder, char *error, size_t error_size)
    __attribute__((warn_unused_result));

#endif
