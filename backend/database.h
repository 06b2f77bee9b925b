/*
 * The connection strings of the configuration: that of all processes (database), and those of
 * processes that have a role of their own in PostgreSQL (docs/guides/database-roles.md).
 */
#ifndef WEIR_DATABASE_H
#define WEIR_DATABASE_H

#include "settings.h"

typedef enum {
    WEIR_DATABASE_API,
    WEIR_DATABASE_RELAY, /* of the sealer of the audit log, too */
    WEIR_DATABASE_WORKER,
    WEIR_DATABASE_CTL,
    WEIR_DATABASE_MIGRATE
} weir_database_t;

/* The connection string of a part of the program; it belongs to settings. */
const char *weir_database_of(const weir_settings_t *settings, weir_database_t part);

/*
 * Checks what libpq would check only when it connects. Returns false with a message that names the
 * key and its place, and shows no part of a password.
 */
bool weir_database_check(const weir_settings_t *settings, char *error, size_t size)
    __attribute__((warn_unused_result));

#endif
