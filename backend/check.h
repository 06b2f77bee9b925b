/*
 * Addresses in the configuration, read by the very parsers that use them later, so that "-t" finds
 * what start would refuse or what could never work.
 */
#ifndef WEIR_CHECK_H
#define WEIR_CHECK_H

#include "config/config.h"

/* False, with a message that names the key and its place, when listen, redis or database is wrong.
 */
bool weir_check_addresses(const weir_config_t *config, char *error, size_t size)
    __attribute__((warn_unused_result));

#endif
