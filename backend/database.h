/*
 * Checks a connection string of the configuration for what libpq would check only when it connects.
 */
#ifndef WEIR_DATABASE_H
#define WEIR_DATABASE_H

#include "config/config.h"

/*
 * text is the value of the key. Returns false with a message that names the key and its place, and
 * shows no part of a password.
 */
bool weir_database_check(const weir_config_t *config, const char *key, const char *text,
                         char *error, size_t size) __attribute__((warn_unused_result));

#endif
